"""The main job, from nothing: clips are drawn, the same small network learns them without and with motion, and a page
shows what came out. `m2a demo` and `make demo` run it."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from m2a.data.synthetic import SyntheticSummary, synthesize
from m2a.errors import ConfigError
from m2a.evaluation import Prediction, predict
from m2a.measurement import commit, hardware, versions
from m2a.recipes.scales import ACTIONS as LARGE_MOTIONS
from m2a.reporting import Prediction as ShownPrediction
from m2a.reporting import Run, results_table, write_report
from m2a.training.config import SCRATCH, TrainConfig
from m2a.workflows.report_page import mistake_strips
from m2a.workflows.run import RunResult, read_set, train
from m2a.workflows.strips import strip_of, strips_of
from m2a.writing import put

ACTIONS: tuple[str, ...] = (
    *LARGE_MOTIONS,
    "Turning the camera upwards while filming something",
    "Turning the camera downwards while filming something",
    "Moving something towards the camera",
    "Moving something away from the camera",
)
"""Pairs of exact time reversals whose motion is large, the camera's or an object's in a hand: a network from scratch
sees it within minutes. Finer motion (pushing against pulling) is learnt too, but later, and when varies from run to
run."""

EXAMPLE = "Moving something down"
"""What the clip shows that the models are asked about at the end."""
DRAWING: Mapping[str, Any] = {"size": 64, "num_frames": 12, "difficulty": 0.3}
SETTINGS: Mapping[str, Any] = {
    **SCRATCH,
    "backbone": "resnet10t",
    "backbone_options": {"channels": [32, 64, 128, 256], "zero_init_last": False},
    "reduction": 4,
    "num_frames": 8,
    "size": 48,
    "dropout": 0.1,
    "epochs": 4,
    "batch_size": 8,
    "lr": 2e-3,
    "precision": "bf16-mixed",
}
"""A ResNet-10 of half the usual width, which 2 cores train in minutes. timm starts the last norm of a residual branch
at zero, so that the branch, and a mechanism in it, has no effect at first; with that start M2A breaks through later
than the demo lasts, so it is switched off, for every model alike. The gate keeps a quarter of the channels, not an
eighth, for the same reason: an eighth of 32 leaves 4."""


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
    num_train: int = 2400,
    num_validation: int = 400,
    epochs: int | None = None,
    seed: int = 0,
    console: Console | None = None,
) -> DemoResult:
    """Draws clips, trains and evaluates one model per mechanism, predicts a clip that none has seen, writes the report.

    Args:
        out: a new folder; by default runs/demo, or the first of runs/demo-2, runs/demo-3, ... that is free.
        mechanisms: the models to compare; differences are to none, or where it is not among them to the first.
        num_train, num_validation: clips to draw.
        epochs: passes over the training clips; by default what `SETTINGS` says.
        seed: of the clips, the weights and the order.

    Raises ConfigError when `out` is in use.
    """
    console = console or Console(stderr=True)
    start = time.perf_counter()
    folder = _claim(out)
    changes = {"data": folder / "data", "seed": seed} | ({} if epochs is None else {"epochs": epochs})
    config = TrainConfig.from_dict({**SETTINGS, **changes})
    console.rule(f"drawing {num_train + num_validation:,} clips of {len(ACTIONS)} actions")
    drawn = synthesize(
        config.data, num_train=num_train, num_validation=num_validation, classes=ACTIONS, seed=seed, **DRAWING
    )
    unseen = _draw_unseen(folder, seed + 1)
    runs: dict[str, RunResult] = {}
    for mechanism in mechanisms:
        console.rule(f"training {config.backbone}, mechanism {mechanism}")
        run = config.with_changes(mechanism=mechanism, out=folder / mechanism.replace(":", "-"))
        runs[mechanism] = train(run, probes=True, console=console)
    console.rule("a clip that no model has seen")
    said = {name: predict(run.model, unseen) for name, run in runs.items()}
    _show_predictions(unseen, said, console)
    report = _report(folder, config, drawn, runs, _example(unseen, said))
    table = results_table([run.folder for run in runs.values()], ceiling=drawn.ceiling)
    seconds = time.perf_counter() - start
    _record(folder, config, drawn, table, seconds)
    _show_table(table, console)
    serving = ["m2a", "serve", *(word for run in runs.values() for word in ("--model", str(run.folder / "model")))]
    end = (
        f"Blind to the order of frames, {drawn.ceiling:.0f}% is the most one can expect. This took {seconds / 60:.1f} "
        f"minutes on {hardware()}.\nOpen {report}. To try the models on clips, in the browser:\n  "
        f"{shlex.join(serving)}\nNext, your own clips: m2a train --data FOLDER --recipe quick"
    )
    console.print(Text(end), soft_wrap=True)
    return DemoResult(folder=folder, report=report, table=table, seconds=seconds)


def _record(
    folder: Path, config: TrainConfig, drawn: SyntheticSummary, table: list[dict[str, Any]], seconds: float
) -> None:
    """Writes `demo.json`: what was measured, and on what."""
    shared = {key: value for key, value in config.to_dict().items() if key not in ("data", "out", "mechanism")}
    content = {
        "schema": 1,
        "seconds": round(seconds, 1),
        "table": table,
        "clips": drawn.counts,
        "labels": list(drawn.labels),
        "drawing": dict(DRAWING),
        "config": shared,
        "seed": config.seed,
        "hardware": hardware(),
        "versions": versions(),
        "commit": commit(),
    }
    put(folder / "demo.json", f"{json.dumps(content, indent=1)}\n".encode())


def _draw_unseen(folder: Path, seed: int) -> Path:
    """Draws a few mp4 files from a seed of their own; returns the one of `EXAMPLE`."""
    synthesize(
        folder / "unseen",
        layout="class-folders",
        num_train=len(ACTIONS),
        num_validation=len(ACTIONS),
        classes=ACTIONS,
        seed=seed,
        progress=False,
        workers=1,
        **DRAWING,
    )
    return next((folder / "unseen" / "validation" / EXAMPLE).glob("*.mp4"))


def _example(unseen: Path, said: Mapping[str, Prediction]) -> ShownPrediction:
    return ShownPrediction(
        strip=strip_of(unseen, unseen.parent.name),
        truth=unseen.parent.name,
        models={name: [(g.label, g.probability) for g in guess.guesses] for name, guess in said.items()},
    )


def _report(
    folder: Path,
    config: TrainConfig,
    drawn: SyntheticSummary,
    runs: Mapping[str, RunResult],
    example: ShownPrediction,
) -> Path:
    members = read_set(config.data, "auto", "error", Console(quiet=True)).split("validation")
    by_id = {clip.id: clip for clip in members}
    summary = (
        f"The same small image network was trained {len(runs)} times from scratch on {drawn.counts['train']:,} drawn "
        f"clips of {len(drawn.labels)} actions, and tested on {drawn.counts['validation']:,} clips from other seeds. "
        f"The actions come in {len(drawn.pairs)} pairs that are exact time reversals of each other: no single frame, "
        "nor any unordered set of frames, tells the members of a pair apart."
    )
    return write_report(
        [run.folder for run in runs.values()],
        folder / "report.html",
        title="An image network learns to see motion",
        summary=summary,
        strips=strips_of(members, [label for pair in drawn.pairs for label in pair]),
        pairs=drawn.pairs,
        ceiling=drawn.ceiling,
        prediction=example,
        mistakes=[mistake_strips(Run.load(run.folder), by_id) for run in runs.values()],
        notes=_notes(config),
    )


def _notes(config: TrainConfig) -> list[str]:
    channels = ", ".join(map(str, config.backbone_options["channels"]))
    return [
        f"Backbone: timm's {config.backbone} with {channels} channels, from scratch, on {config.num_frames} frames of "
        f"{config.size} x {config.size} pixels; chosen so that two processor cores train it in minutes. Its residual "
        "branches start with their full effect (`zero_init_last=False`), and the gate works on "
        f"1/{config.reduction} of the channels (the paper: 1/8, in a network twice as wide).",
        f"Recipe: AdamW, one-cycle learning rate up to {config.lr:g}, {config.epochs} epochs, batches of "
        f"{config.batch_size} clips, seed {config.seed}; the same for every model. The model of the best epoch on the "
        "validation clips is the one shown.",
        "The actions are those with large motion, which is learnt within minutes. Drawn clips are a test of seeing "
        "motion, not of the world's variety; and one run says nothing of its spread.",
    ]


def _show_predictions(unseen: Path, said: Mapping[str, Prediction], console: Console) -> None:
    truth = unseen.parent.name
    console.print(Text(f"{unseen} shows: {truth}"), soft_wrap=True)
    table = Table("model", "says", "probability")
    for name, prediction in said.items():
        for rank, guess in enumerate(prediction.guesses[:2]):
            style = "green" if guess.label == truth else None
            table.add_row("" if rank else name, Text(guess.label), f"{guess.probability:.1%}", style=style)
    console.print(table)


def _show_table(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    columns = {"gmacs": 3, "parameters_m": 2, "top1": 1, "top5": 1, "difference": 1}
    table = Table("", "GMACs", "parameters, M", "top-1, %", "top-5, %", "difference")
    for row in rows:
        cells = [
            "" if row.get(key) is None else f"{row[key]:{'+' if key == 'difference' else ''}.{digits}f}"
            for key, digits in columns.items()
        ]
        table.add_row(str(row["name"]), *cells, style=None if row["kind"] == "run" else "dim")
    console.print(table)


def _claim(out: str | Path | None) -> Path:
    if out is None:
        names = (f"demo-{number}" if number > 1 else "demo" for number in range(1, 1000))
        folder = next(Path("runs") / name for name in names if not (Path("runs") / name).exists())
    else:
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder} is not empty; a demo never overwrites anything. Name a new folder with --out.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
