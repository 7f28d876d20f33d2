"""The main job, from nothing: clips are drawn, the same small network learns them without and with motion, and a page
shows what came out. `m2a demo` and `make demo` run it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from m2a.data.synthetic import SyntheticSummary, synthesize, time_reversal_pairs
from m2a.errors import ConfigError
from m2a.evaluation import Prediction, predict
from m2a.measurement import hardware
from m2a.reporting import Prediction as ShownPrediction
from m2a.reporting import results_table, write_report
from m2a.training.config import QUICK, TrainConfig
from m2a.workflows.run import RunResult, read_set, strip_of, strips_of, train

_PAIRS = 6
MODEL: Mapping[str, Any] = {
    "backbone": "resnet10t",
    "backbone_options": {"channels": [32, 64, 128, 256]},
    "reduction": 2,
    "pretrained": "none",
    "num_frames": 8,
    "size": 56,
    "dropout": 0.2,
}
"""A ResNet-10 of half the usual width, which 2 cores train in minutes. The gate keeps half of the channels instead of
an eighth, because an eighth of 32 leaves 4, with which M2A did not learn."""
RECIPE: Mapping[str, Any] = {**QUICK, "epochs": 8, "precision": "bf16-mixed", "scales": [1.0, 0.875]}


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """Where everything is, and the table that was printed."""

    folder: Path
    report: Path
    table: list[dict[str, Any]]
    seconds: float


def demo(
    out: str | Path | None = None,
    *,
    mechanisms: Sequence[str] = ("none", "m2a"),
    num_train: int = 1200,
    num_validation: int = 360,
    epochs: int | None = None,
    seed: int = 0,
    console: Console | None = None,
) -> DemoResult:
    """Draws clips, trains and evaluates one model per mechanism, predicts a clip that none has seen, writes the report.

    Args:
        out: a new folder; by default runs/demo, or the first of runs/demo-2, runs/demo-3, ... that is free.
        mechanisms: the models to compare; differences are to the first.
        num_train, num_validation: clips to draw.
        epochs: passes over the training clips; by default what the recipe says.
        seed: of the clips, the weights and the order.

    Raises ConfigError when `out` is in use.
    """
    console = console or Console(stderr=True)
    start = time.perf_counter()
    folder = _claim(out)
    labels = [label for pair in time_reversal_pairs()[:_PAIRS] for label in pair]
    console.rule(f"drawing {num_train + num_validation:,} clips of {len(labels)} actions")
    drawn = synthesize(
        folder / "data", num_train=num_train, num_validation=num_validation, classes=labels, size=72, seed=seed
    )
    unseen = _draw_unseen(folder, labels, seed + 1)
    runs = []
    for mechanism in mechanisms:
        console.rule(f"training {MODEL['backbone']} with {mechanism}")
        config = _config(folder, mechanism, epochs, seed)
        runs.append(train(config, console=console))
    console.rule("predicting a clip that no model has seen")
    said = {run.model.config.mechanism: predict(run.model, unseen) for run in runs if run.model.config}
    _show_predictions(unseen, said, console)
    report = _report(folder, drawn, runs, unseen, said, console)
    table = results_table([run.folder for run in runs], ceiling=drawn.ceiling)
    seconds = time.perf_counter() - start
    _show_table(table, drawn, seconds, report, console)
    return DemoResult(folder=folder, report=report, table=table, seconds=seconds)


def _config(folder: Path, mechanism: str, epochs: int | None, seed: int) -> TrainConfig:
    changes = {"data": folder / "data", "out": folder / mechanism, "mechanism": mechanism, "seed": seed}
    if epochs is not None:
        changes["epochs"] = epochs
    return TrainConfig.from_dict({**RECIPE, **MODEL, **changes})


def _draw_unseen(folder: Path, labels: Sequence[str], seed: int) -> Path:
    """One mp4 for each label from another seed; returns one of them."""
    synthesize(
        folder / "unseen",
        layout="class-folders",
        num_train=len(labels),
        num_validation=len(labels),
        classes=labels,
        size=72,
        seed=seed,
        progress=False,
        workers=1,
    )
    return next(iter(sorted((folder / "unseen" / "validation" / labels[0]).glob("*.mp4"))))


def _report(
    folder: Path,
    drawn: SyntheticSummary,
    runs: Sequence[RunResult],
    unseen: Path,
    said: Mapping[str, Prediction],
    console: Console,
) -> Path:
    clips = read_set(folder / "data", "auto", "error", Console(quiet=True))
    shown = [label for pair in drawn.pairs[:4] for label in pair]
    example = ShownPrediction(
        strip=strip_of(unseen, unseen.parent.name),
        truth=unseen.parent.name,
        models={name: [(g.label, g.probability) for g in guess.guesses] for name, guess in said.items()},
    )
    return write_report(
        [run.folder for run in runs],
        folder / "report.html",
        title="An image network learns to see motion",
        summary=_summary(drawn, runs),
        strips=strips_of(clips.split("validation"), shown),
        pairs=drawn.pairs,
        ceiling=drawn.ceiling,
        prediction=example,
        notes=_notes(),
    )


def _summary(drawn: SyntheticSummary, runs: Sequence[RunResult]) -> str:
    return (
        f"The same small image network was trained {len(runs)} times from scratch on {drawn.counts['train']:,} drawn "
        f"clips of {len(drawn.labels)} actions, and tested on {drawn.counts['validation']:,} clips from other seeds. The "
        f"actions come in {len(drawn.pairs)} pairs that are exact time reversals of each other: no single frame, nor any "
        "unordered set of frames, tells the members of a pair apart."
    )


def _notes() -> list[str]:
    channels = MODEL["backbone_options"]["channels"]
    return [
        f"Backbone: timm's {MODEL['backbone']} with {channels} channels, from scratch, {MODEL['num_frames']} frames "
        f"of {MODEL['size']} x {MODEL['size']} pixels; chosen so that 2 processor cores train it in minutes. The gate keeps "
        f"1/{MODEL['reduction']} of the channels (the paper: 1/8, on a network twice as wide).",
        f"Recipe: AdamW, one-cycle learning rate {RECIPE['lr']}, {RECIPE['epochs']} epochs, batches of "
        f"{RECIPE['batch_size']}; the same for every model. Every figure here was measured in this run.",
    ]


def _show_predictions(unseen: Path, said: Mapping[str, Prediction], console: Console) -> None:
    table = Table("model", "says", "probability", title=f"truth: {unseen.parent.name}", title_justify="left")
    for name, prediction in said.items():
        for guess in prediction.guesses[:2]:
            mark = "[green]" if guess.label == unseen.parent.name else ""
            table.add_row(name, mark + guess.label, f"{guess.probability:.1%}")
            name = ""
    console.print(table)


def _show_table(
    rows: Sequence[Mapping[str, Any]], drawn: SyntheticSummary, seconds: float, report: Path, console: Console
) -> None:
    table = Table("", "GMACs", "parameters, M", "top-1, %", "top-5, %")
    for row in rows:
        figures = [row.get("gmacs"), row.get("parameters_m"), row.get("top1"), row.get("top5")]
        digits = (3, 2, 1, 1)
        cells = ["" if x is None else f"{x:.{d}f}" for x, d in zip(figures, digits, strict=True)]
        table.add_row(str(row["name"]), *cells, style="dim" if row["kind"] != "run" else None)
    console.print(table)
    console.print(
        f"Blind to the order of frames, {drawn.ceiling:.0f}% is the most one can expect. {seconds / 60:.1f} minutes on "
        f"{hardware()}.\nOpen {report}; next: m2a train --data FOLDER_OF_CLIPS --recipe quick",
        highlight=False,
    )


def _claim(out: str | Path | None) -> Path:
    if out is None:
        names = (f"demo-{n}" if n > 1 else "demo" for n in range(1, 1000))
        folder = next(Path("runs") / name for name in names if not (Path("runs") / name).exists())
    else:
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder} is not empty; a demo never overwrites anything. Name a new folder with --out.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
