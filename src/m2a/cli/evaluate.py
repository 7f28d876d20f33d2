"""`m2a evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from m2a.training.config import DataFormat

if TYPE_CHECKING:
    from m2a.evaluation import Evaluation


def evaluate(
    run: Path,
    /,
    *,
    data: Path | None = None,
    format: DataFormat = "auto",  # noqa: A002 - the word users look for
    split: str | None = None,
    split_number: int = 1,
    out: Path | None = None,
    image_weights: Path | None = None,
    batch_size: int = 16,
    workers: int | None = None,
    device: str | None = None,
    num_clips: int = 1,
    num_crops: int = 1,
    bf16: bool | None = None,
    probes: bool = False,
    skip_list: Path | None = None,
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Measure a run, a saved model or an exported file: top-1, top-5, per class, confusion.

    Writes evaluation.json and predictions.csv: into the run's folder for its own validation split, else into --out.

    Parameters
    ----------
    run:
        A run's folder, or a saved model or adapter (a folder, or owner/name on the hub), or a file that m2a export
        wrote.
    data:
        Another data set than the run's own; needed for a model alone.
    format:
        Layout of --data; auto tells by what is there.
    split:
        Which split of it: train, validation, test, or all of them. By default validation; of --data that has no
        validation split, all.
    split_number:
        Which official split of --data, of sets that have several (UCF101 and HMDB51 have 3).
    out:
        Folder for the results.
    image_weights:
        For an adapter: the image checkpoint it was trained beside, when it is not where it was.
    batch_size:
        Clips in a batch; each view counts.
    workers:
        Processes that decode clips; by default one a core but one, at most 8.
    device:
        cpu, cuda, ...; by default cuda where there is one.
    num_clips:
        Samples of each clip's frames, spread over it; probabilities are averaged.
    num_crops:
        Crops of each sample, spread over the longer side; 3 sees all of it.
    bf16:
        Compute in bfloat16; by default where the run did.
    probes:
        Also predict each clip with its frames shuffled, reversed, and replaced by the middle one, to see how much of
        the accuracy is motion.
    skip_list:
        A file of clips to leave out, one path a line, such as the skip.txt of m2a data check. For a run's own data, by
        default the one of the run.
    skip_bad:
        Leave out clips that cannot be decoded and name them in evaluation.json, instead of stopping at the first.
    json:
        Print evaluation.json instead of tables.
    """
    from m2a.cli.output import CONSOLE, print_json
    from m2a.data.cores import default_workers
    from m2a.wording import count
    from m2a.workflows.run import evaluate_run

    result = evaluate_run(
        run,
        data=data,
        format=format,
        split=split,
        split_number=split_number,
        out=out,
        image_weights=image_weights,
        batch_size=batch_size,
        device=device,
        num_clips=num_clips,
        num_crops=num_crops,
        bf16=bf16,
        probes=probes,
        skip_list=skip_list,
        skip_bad=skip_bad,
        workers=default_workers() if workers is None else workers,
    )
    evaluation = result.evaluation
    if json:
        import json as json_module

        print_json(json_module.loads((result.folder / "evaluation.json").read_text(encoding="utf-8")))
        return
    _print_classes(evaluation)
    if (found := evaluation.probe_summary()) is not None:
        _print_probes(found, top5=len(evaluation.labels) > 5)
    if evaluation.skipped:
        told = count(len(evaluation.skipped), "clip")
        CONSOLE.print(f"{told} could not be decoded, left out of these figures:")
        for bad in evaluation.skipped:
            CONSOLE.print(f"  {bad.path}: {bad.reason}", highlight=False, soft_wrap=True)
    CONSOLE.print(f"written: {result.folder / 'evaluation.json'}, predictions.csv", highlight=False, soft_wrap=True)


def _print_classes(evaluation: Evaluation) -> None:
    from rich.table import Table

    from m2a.cli.output import CONSOLE, print_table
    from m2a.estimate import wilson

    table = Table("class", "clips", "top-1, %")
    for row in sorted(evaluation.per_class(), key=lambda row: -(row["top1"] if row["top1"] is not None else -1)):
        table.add_row(row["label"], str(row["clips"]), "-" if row["top1"] is None else f"{row['top1']:.1f}")
    table.add_section()
    low, high = wilson(evaluation.top1, len(evaluation.clips))
    top5 = f" (top-5 {evaluation.top5:.1f})" if len(evaluation.labels) > 5 else ""  # else 100 whatever the model says
    table.add_row("all", str(len(evaluation.clips)), f"{evaluation.top1:.1f}{top5}")
    table.add_row("95% interval", "", f"{low:.1f} to {high:.1f}")
    if len({row["clips"] for row in evaluation.per_class() if row["clips"]}) > 1:  # else it is the same
        table.add_row("mean of the classes", "", f"{evaluation.mean_class:.1f}")
    print_table(table)
    if told := evaluation.single_answer:
        CONSOLE.print(told, style="yellow", highlight=False, markup=False, soft_wrap=True)


def _print_probes(found: dict[str, Any], *, top5: bool) -> None:
    from rich.table import Table

    from m2a.cli.output import CONSOLE, print_table

    table = Table("probe", "top-1, %", "95% interval", *(["top-5, %"] if top5 else []), "what the model sees")
    for row in found["rows"]:
        interval = f"{row['top1_low']:.1f} to {row['top1_high']:.1f}"
        last = [f"{row['top5']:.1f}"] if top5 else []
        table.add_row(row["probe"], f"{row['top1']:.1f}", interval, *last, row["definition"])
    print_table(table)
    CONSOLE.print(found["reading"], highlight=False)
    if (reversals := found["reversals"]) is not None:
        CONSOLE.print(reversals["reading"], highlight=False)
