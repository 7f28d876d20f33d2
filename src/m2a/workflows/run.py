"""Whole runs: train, evaluate, report, and everything a run's folder holds.

config.yaml   checkpoints/   tensorboard/   metrics.csv   evaluation.json   predictions.csv   model/   report.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from m2a.data.annotations import read_clips
from m2a.data.class_folders import refuse_inside
from m2a.data.clipset import ClipSet
from m2a.data.cores import default_workers
from m2a.data.skip_list import LeftOut, leave_out
from m2a.data.subset import first_of_each_class
from m2a.errors import ConfigError, DataError, NotFoundError
from m2a.evaluation import Evaluation, evaluate, load_predictor
from m2a.evaluation.predictor import Predictor
from m2a.export import ExportedClassifier
from m2a.measurement import count_macs, count_parameters, hardware, versions
from m2a.reporting import Run, write_report
from m2a.reporting.owned import check_probes_kept, check_replaceable, check_results, has_probes
from m2a.training.config import TrainConfig
from m2a.training.fitting import FitResult, fit
from m2a.training.interruption import saying_how_to_go_on
from m2a.training.lock import RunLock
from m2a.training.resuming import SKIP_LIST, as_the_run_was, how_to_go_on, resume_command
from m2a.wording import first_few
from m2a.workflows.learnt import check_learnt, is_data_of, num_learnt_before, say_what_start_learnt
from m2a.workflows.report_page import mistake_strips, pairs_and_ceiling, paper_figures
from m2a.workflows.strips import strips_of
from m2a.writing import put_all


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A finished run: its folder, the best model and how it did on the validation split."""

    folder: Path
    model: Predictor
    evaluation: Evaluation
    macs: int | None
    """Multiply-adds of one view of a clip; None of a network that cannot be counted, and like `parameters` of a file
    that a model was exported to."""
    parameters: int | None
    num_train: int | None = None
    """Clips that it was trained on; None where an evaluation does not know."""
    num_skipped: int = 0
    """Clips of the split that are in no figure: they cannot be decoded, or a skip list names them. `evaluation.json`
    lists them under `skipped`."""
    num_skipped_training: int = 0
    """Training clips that could not be decoded and were left out."""


def train(config: TrainConfig, *, probes: bool = False, console: Console | None = None) -> RunResult:
    """A whole run: reads the data, trains, keeps the best epoch's model, evaluates it, with `probes` in time if asked
    or, of a run that goes on, if it has some; writes the report.

    Raises what `m2a.data.read_clips`, `m2a.training.fit` and `evaluate_model` raise, and ConfigError for a run's folder
    that lies among the class folders.
    """
    with RunLock() as lock:
        if config.resume:
            lock.take(config.run_folder)
        return _train(config, probes, console or Console(stderr=True), lock)


def _train(config: TrainConfig, probes: bool, console: Console, lock: RunLock) -> RunResult:
    config = as_the_run_was(config, console)
    clips = read_set(config.data, config.format, config.missing, console, split=config.split)
    refuse_inside(clips, config.run_folder, "name one with --out")
    clips, left_out = without_listed(clips, config.skip_list, console)
    _refuse_emptied(clips, left_out["train"], config.skip_list)
    clips = limited(clips, config, console)
    say_what_start_learnt(config, clips.split("validation"), console)
    fitted = fit(config, clips, console=console, lock=lock)
    with saying_how_to_go_on(config.run_folder):
        return _measured(config, fitted, clips, left_out["validation"], probes, console)


def _measured(
    config: TrainConfig, fitted: FitResult, clips: ClipSet, left_out: Sequence[LeftOut], probes: bool, console: Console
) -> RunResult:
    """What a run does once it is trained: keeps the model, measures it, writes the report."""
    folder = config.run_folder
    fitted.model.save_pretrained(folder / "model")
    console.print(Text(f"epoch {fitted.best_epoch} was the best; its model is in {folder / 'model'}"))
    if config.freeze_backbone and config.pretrained == "none":
        console.print(
            "no adapter was saved: it would need the random weights that it was trained beside, and those are in "
            "model/ alone. Name image weights with --pretrained for one.",
            style="yellow",
        )
    elif config.freeze_backbone:
        fitted.model.save_adapter(folder / "adapter")
        size = sum(file.stat().st_size for file in (folder / "adapter").iterdir()) / 1e3
        console.print(Text(f"the part that was trained is in {folder / 'adapter'} ({size:,.0f} kB)"))
    result = evaluate_model(
        fitted.model,
        clips,
        "validation",
        folder,
        batch_size=config.batch_size,
        workers=default_workers() if config.workers is None else config.workers,
        device=config.device,
        bf16=config.precision == "bf16-mixed",
        skip_bad=config.skip_bad,
        probes=probes or has_probes(folder),  # those that are there are of the model as it was
        left_out=left_out,
        about={
            **_skipped_training(fitted.skipped),
            "num_trained_on": num_learnt_before(config, clips.split("validation")),
        },
        console=console,
    )
    _write_report(folder, config, clips, len(fitted.skipped))
    return replace(result, num_train=len(clips.split("train")), num_skipped_training=len(fitted.skipped))


def _skipped_training(skipped: Mapping[Path, str]) -> dict[str, Any]:
    """Of `evaluation.json`, the training clips that could not be decoded; nothing where there were none."""
    listed = [{"path": str(path), "reason": reason} for path, reason in sorted(skipped.items())]
    return {"skipped_training": listed} if listed else {}


def _write_report(folder: Path, config: TrainConfig, clips: ClipSet, num_skipped: int) -> None:
    run = Run.load(folder)
    members, drawn = clips.split("validation"), pairs_and_ceiling(clips.root, clips.labels)
    all_of_it = len(clips.split("train"))
    learnt = f"{all_of_it - num_skipped:,} of {all_of_it:,}" if num_skipped else f"{all_of_it:,}"
    examples = list(dict.fromkeys([*(label for pair in drawn["pairs"] for label in pair), *clips.labels]))
    write_report(
        [folder],
        folder / "report.html",
        title=folder.name,
        summary=f"Trained on {learnt} clips of `{config.data}`, {len(clips.labels)} classes.",
        strips=strips_of(members, examples[:6]),
        mistakes=[mistake_strips(run, {clip.id: clip for clip in members})],
        paper=paper_figures([run]),
        **drawn,
    )


def evaluate_model(
    model: Predictor,
    clips: ClipSet,
    split: str,
    out: Path,
    *,
    left_out: Sequence[LeftOut] = (),
    about: Mapping[str, Any] | None = None,
    console: Console | None = None,
    **options: Any,
) -> RunResult:
    """Evaluates a model on one split and writes `evaluation.json` and `predictions.csv` into `out`. `left_out` are
    clips of the split that a skip list took away: `evaluation.json` names them too, and holds what `about` does.
    `options` go to `m2a.evaluation.evaluate`, whose errors it raises."""
    evaluation = evaluate(model, clips.split(split), console=console, **options)
    out.mkdir(parents=True, exist_ok=True)
    made_of, macs, parameters = _what_it_is(model)
    summary = evaluation.summary()
    summary["skipped"] += [{"path": str(left.clip.path), "reason": left.reason} for left in left_out]
    content = {
        "schema": 1,
        **made_of,
        "num_frames": model.num_frames,
        "size": model.preprocessing.size,
        "data": str(clips.root),
        "split": split,
        "precision": "bf16" if options.get("bf16") else "32",
        **(about or {}),
        "macs": macs,
        "parameters": parameters,
        **summary,
        "hardware": hardware(),
        "versions": versions(),
    }
    put_all(
        {out / "predictions.csv": evaluation.predictions_csv(), out / "evaluation.json": _as_json(content).encode()}
    )
    return RunResult(
        folder=out,
        model=model,
        evaluation=evaluation,
        macs=macs,
        parameters=parameters,
        num_skipped=len(summary["skipped"]),
    )


def _what_it_is(model: Predictor) -> tuple[dict[str, Any], int | None, int | None]:
    """What it is made of, its multiply-adds and its parameters; of a file that nobody can count."""
    if isinstance(model, ExportedClassifier):
        made_of = {name: model.made_of.get(name) for name in ("mechanism", "backbone", "inflate")}
        made_of["backbone"] = made_of["backbone"] or model.file.stem  # something that a report can call it
        with model.file.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {**made_of, "exported": {"run_by": model.run_by, "sha256": digest}}, None, None
    made_of = {
        "mechanism": model.config.mechanism if model.config else None,
        "backbone": model.config.backbone if model.config else type(model.backbone).__name__,
        "inflate": model.config.inflate if model.config else False,
    }
    try:
        macs = count_macs(model)
    except ConfigError:  # a network of one's own that needs data to run: no reason to lose what was measured
        macs = None
    return made_of, macs, count_parameters(model)


def _as_json(content: Mapping[str, Any]) -> str:
    """Indented, a row of the confusion matrix a line: it has as many numbers as the square of the classes."""
    rows = ",\n".join(f"  {json.dumps(row)}" for row in content["confusion"])
    text = json.dumps({**content, "confusion": None}, indent=1)
    return text.replace('\n "confusion": null', f'\n "confusion": [\n{rows}\n ]', 1) + "\n"


def evaluate_run(
    path: str | Path,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    out: str | Path | None = None,
    image_weights: str | Path | None = None,
    format: str = "auto",  # noqa: A002 - the word users look for
    split_number: int = 1,
    skip_list: str | Path | None = None,
    bf16: bool | None = None,
    console: Console | None = None,
    **options: Any,
) -> RunResult:
    """Evaluates a run's folder, a saved model, or a file that one was exported to. A run knows its data; a model alone
    needs `data`. Results go to `out`, by default the run's folder for its own data, validation split, skip list and
    precision. `split` is "train", "validation", "test" or "all"; by default the validation split, of `data` that has
    none all clips. `format` and `split_number` say how `data` is read (`m2a.data.read_clips`), `image_weights` is for
    an adapter. `skip_list` names clips to leave out, by default for a run's own data those that the run left out.
    `bf16` computes in bfloat16, by default where the run's own evaluation did.

    Raises NotFoundError and ConfigError when the model or the data cannot be told, and ConfigError where `out` holds
    other results, probes that would be lost, or files that are not ours in their place, or lies among class folders.
    """
    console = console or Console(stderr=True)
    path = Path(path)
    run = TrainConfig.load(path / "config.yaml") if (path / "config.yaml").is_file() else None
    if run is not None and not (path / "model").is_dir():
        way = how_to_go_on(path) or resume_command(path)
        raise NotFoundError(f"{path} holds a run without a model; it did not finish. {way}")
    views = f"{options.get('num_clips', 1)} x {options.get('num_crops', 1)}"
    trained_in_bf16 = run is not None and run.precision == "bf16-mixed"
    bf16 = trained_in_bf16 if bf16 is None else bf16
    named = None if data is None else _named(path, data, split, format, split_number, console)
    split = split or ("all" if named is not None and "validation" not in named.splits else "validation")
    own = run is not None and data is None and split == "validation" and views == "1 x 1" and skip_list is None
    own = own and bf16 == trained_in_bf16
    about: dict[str, Any] = {"model": str(path.resolve() if path.exists() else path)}  # or a name on the hub
    if data is not None:
        about["read"] = {"path": str(Path(data).resolve()), "format": format, "split": split_number}
    if skip_list is not None:
        about["skip_list"] = str(Path(skip_list))
    place = path if out is None else Path(out)
    if own and place.resolve() == path.resolve():
        check_replaceable(path)
    elif out is not None:
        check_results(place, of={"split": split, "views": views, "read": None, "skip_list": None, **about})
    if own or out is not None:
        check_probes_kept(place, options.get("probes", False))
    how: dict[str, Any] = {"image_weights": image_weights, "device": options.get("device"), "bf16": bf16}
    model = load_predictor(path / "model" if run is not None else path, **how)
    if data is None and run is None:
        raise ConfigError(f"{path} is a model without a run, which does not know its data. Name it with --data.")
    if data is None and (format != "auto" or split_number != 1):
        raise ConfigError("A run's own data is read as the run read it; --format and --split-number are for --data.")
    if out is None and not own:
        why = ", so that the run's own are not overwritten" if run is not None else ""
        raise ConfigError(f"Name a folder for the results with --out{why}.")
    if run is not None and named is None:
        skip_list = _skip_list_of(path, run) if skip_list is None else skip_list
        named = read_set(run.data, run.format, run.missing, console, split=run.split)
    assert named is not None
    refuse_inside(named, place, "name another with --out")
    clips, left_out = without_listed(named, skip_list, console)
    if data is None and run is not None:
        clips = limited(clips, run, console)
    about["num_trained_on"] = check_learnt(path, data, split, clips.split(split), place, console)
    left = [one for name, members in left_out.items() if split in (name, "all") for one in members]
    options["bf16"] = bf16
    return evaluate_model(model, clips, split, place, left_out=left, about=about, console=console, **options)


def _named(
    path: Path, data: str | Path, split: str | None, format_: str, split_number: int, console: Console
) -> ClipSet:
    """The set that is named with `data`. Where no split of it is asked for, and the run was not trained on it, nothing
    is held out of it."""
    whole = split in (None, "all") and not is_data_of(path, data)
    to_train = not whole and split != "test"
    try:
        clips = read_set(data, format_, "error", console, split=split_number, to_train=to_train)
    except DataError:
        if split != "validation":
            raise
        clips = read_set(data, format_, "error", console, split=split_number, to_train=False)
        if split not in clips.splits:  # nor could one be held out
            raise
    if whole and "validation" not in clips.splits:
        console.print("  no validation split: all of them are measured on")
    return clips


def _skip_list_of(folder: Path, run: TrainConfig) -> Path | None:
    """The copy of its skip list that a run keeps; of a run that has none, the list itself."""
    copy = folder / SKIP_LIST
    return copy if run.skip_list is not None and copy.is_file() else run.skip_list


def read_set(
    root: str | Path, format_: str, missing: str, console: Console, *, split: int = 1, to_train: bool = True
) -> ClipSet:
    """`read_clips`, and a line about what was found."""
    clips = read_clips(root, format=format_, missing=missing, split=split, to_train=to_train)
    counts = ", ".join(f"{len(members):,} {name}" for name, members in clips.splits.items())
    console.print(Text(f"{clips.root}: {clips.format}, {len(clips.labels)} classes, {counts} clips"))
    for note in clips.notes:
        console.print(Text(f"  {note}"))
    return clips


def without_listed(
    clips: ClipSet, skip_list: str | Path | None, console: Console
) -> tuple[ClipSet, Mapping[str, tuple[LeftOut, ...]]]:
    """`leave_out`, and a line about how many clips that were; the set as it is where there is no list."""
    if skip_list is None:
        return clips, dict.fromkeys(clips.splits, ())
    kept, left_out = leave_out(clips, skip_list)
    counts = ", ".join(f"{len(members):,} {name}" for name, members in left_out.items())
    console.print(Text(f"  {skip_list} leaves out {counts} clips"), soft_wrap=True)
    return kept, left_out


def _refuse_emptied(clips: ClipSet, left_out: Sequence[LeftOut], skip_list: str | Path | None) -> None:
    """Raises DataError where the list takes the last training clip of a class: it could never be learned."""
    lost = sorted({left.clip.label for left in left_out} - {clip.label for clip in clips.split("train")})
    if lost:
        raise DataError(
            f"{skip_list} leaves {first_few(lost)} without a training clip. Add sound clips, take some out of the "
            "list, or remove the class from the data set."
        )


def limited(clips: ClipSet, config: TrainConfig, console: Console) -> ClipSet:
    """The clips that `train_clips_per_class` and `validation_clips_per_class` leave, and a line about each of them."""
    limits = {"train": config.train_clips_per_class, "validation": config.validation_clips_per_class}
    kept, notes = first_of_each_class(clips, limits)
    for note in notes:
        console.print(Text(f"  {note}"), soft_wrap=True)
    return kept
