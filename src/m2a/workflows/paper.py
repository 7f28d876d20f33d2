"""Runs of the paper's rows: a recipe is trained and measured, and what came out is kept as one JSON."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from m2a.data.annotations import read_clips
from m2a.data.synthetic import synthesize
from m2a.errors import ConfigError, M2AError, NotFoundError
from m2a.measurement import commit, hardware, versions
from m2a.recipes.paper import changes_of, paper_recipe
from m2a.recipes.results import RESULTS, DataInfo, Result, check_free, data_info, result_path, run_name, write_result
from m2a.recipes.rows import PaperRow, find_row, find_rows
from m2a.recipes.scales import find_scale
from m2a.training.config import TrainConfig
from m2a.workflows.run import RunResult, train

SYNTHETIC = "synthetic"
"""In the place of a data set's folder: the synthetic set of the scale."""
RUNS = Path("runs/paper")


@dataclass(frozen=True, kw_only=True)
class PaperRuns:
    """What came of several runs."""

    results: dict[Path, Result] = field(default_factory=dict)
    """By the file they were written to."""
    failures: dict[str, M2AError] = field(default_factory=dict)
    """By recipe and seed."""


def run_recipes(
    names: Sequence[str], *, seeds: Sequence[int] = (0,), console: Console | None = None, **options: Any
) -> PaperRuns:
    """Runs rows and whole tables, with each seed in turn. Where a run fails with an `M2AError` the next goes on.
    `options` go to `run_recipe`.

    Raises ConfigError for names that the paper does not have, and for no name at all.
    """
    console = console or Console(stderr=True)
    rows = find_rows(list(names))
    if not rows:
        raise ConfigError("Which rows? Name at least one, such as I/m2a, or a table; m2a paper list shows them all.")
    done = PaperRuns()
    jobs = {f"{row.name}, seed {seed}": (row, seed) for seed, row in product(seeds, rows)}
    for job, (row, seed) in jobs.items():
        console.rule(job)
        try:
            path, result = run_recipe(row.name, seed=seed, console=console, **options)
        except M2AError as error:
            done.failures[job] = error
            if job != list(jobs)[-1]:
                first = str(error).splitlines()[0]
                console.print(f"{job} failed, going on: {first}", style="red", markup=False, soft_wrap=True)
        else:
            done.results[path] = result
    return done


def run_recipe(
    name: str,
    *,
    data: str | Path,
    scale: str = "paper",
    seed: int = 0,
    out: str | Path = RUNS,
    results: str | Path = RESULTS,
    overwrite: bool = False,
    command: str = "",
    console: Console | None = None,
    **changes: Any,
) -> tuple[Path, Result]:
    """Trains and measures one row, and writes its result.

    Args:
        name: a row, such as "I/m2a".
        data: a data set's folder, or "synthetic" for the scale's own set, which is drawn into `out`/data once.
        scale: "paper", "small" or "tiny".
        seed: of weights, crops and order; the synthetic set is the same for all.
        out: a folder for the runs' folders, a new one for each run.
        results: the folder of the results.
        overwrite: replace a result that is there already.
        command: the command line to record.
        changes: options of `TrainConfig` that go over the recipe.

    Returns the result and its file. Raises ConfigError when there is a result already, before anything is drawn or
    trained, and what `paper_recipe` and `m2a.workflows.train` raise.
    """
    console = console or Console(stderr=True)
    row = find_row(name)
    config = paper_recipe(name, data=data, scale=scale, seed=seed, **changes)
    changed = changes_of(config, name, scale)
    data_name = SYNTHETIC if str(data) == SYNTHETIC else Path(data).resolve().name
    settings: dict[str, Any] = {"scale": scale, "data": data_name, "seed": seed, "changes": changed}
    path = result_path(Path(results), row, **settings)
    check_free(path, overwrite=overwrite)
    config, info = _with_data(config, scale, Path(out), console)
    folder = _run_folder(Path(out) / row.table / run_name(row, **settings), resume=config.resume)
    weights = _weights(row, scale, config)
    start = time.perf_counter()
    run = train(config.with_changes(out=folder), console=console)
    seconds = time.perf_counter() - start
    result = Result(
        recipe=row.name,
        table=row.table,
        mechanism=row.mechanism,
        backbone=config.backbone,
        inflate=config.inflate,
        scale=scale,
        data=info,
        changes=changed,
        weights=weights,
        seed=seed,
        **_measured(run),
        seconds=round(seconds, 1),
        run=str(folder),
        config=config.with_changes(out=folder).to_dict(),
        commit=commit(),
        versions=versions(),
        hardware=hardware(),
        command=command,
    )
    check_free(path, overwrite=overwrite)  # another process may have been quicker
    write_result(path, result)
    console.print(f"the result is in {path}", highlight=False, markup=False, soft_wrap=True)
    return path, result


def _with_data(config: TrainConfig, scale: str, out: Path, console: Console) -> tuple[TrainConfig, DataInfo]:
    """The config with the folder of its data, drawn where it is synthetic, and what there is in it."""
    name = config.data.resolve().name
    if str(config.data) == SYNTHETIC:
        name = SYNTHETIC
        root = out / "data" / f"{SYNTHETIC}-{scale}"
        synthesize(root, progress=console.is_terminal, **find_scale(scale).drawing)
        config = config.with_changes(data=root)
    clips = read_clips(config.data, format=config.format, missing=config.missing, split=config.split)
    return config, data_info(name, clips, drawing=_drawing(config.data))


def _drawing(root: Path) -> dict[str, Any] | None:
    """What a synthetic set says of itself."""
    record = root / "synthetic.json"
    if not record.is_file():
        return None
    content = json.loads(record.read_text(encoding="utf-8"))
    return {"generator": content["generator"], **content["parameters"]}


def _run_folder(wanted: Path, *, resume: bool) -> Path:
    """A new folder: the one wanted or the first free of `-2`, `-3`, ...; to resume, the last that is there."""
    there = []
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        if not folder.exists():
            break
        there.append(folder)
    return there[-1] if resume and there else folder  # where there is nothing to resume, training says so


def _weights(row: PaperRow, scale: str, config: TrainConfig) -> str:
    """Where training starts. A file's content is named by its hash: what is in it cannot be told otherwise."""
    if config.pretrained in ("imagenet", "none"):
        return config.pretrained
    path = Path(config.pretrained)
    if not path.is_file():
        raise NotFoundError(f"There is no checkpoint {path}. Give --pretrained imagenet, none, or the path of a file.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    assumed = paper_recipe(row.name, data=config.data, scale=scale).pretrained == "imagenet"
    return f"{'imagenet, taken to be in' if assumed else 'the file'} {path.name} (sha256 {digest})"


def _measured(run: RunResult) -> dict[str, Any]:
    evaluation = run.evaluation
    return {
        "top1": evaluation.top1,
        "top5": evaluation.top5,
        "num_clips": len(evaluation.clips),
        "skipped": [{"path": str(bad.path), "reason": bad.reason} for bad in evaluation.skipped],
        "macs": run.macs,
        "parameters": run.parameters,
        "best_epoch": _best_epoch(run.folder),
    }


def _best_epoch(folder: Path) -> int | None:
    best = folder / "checkpoints" / "best.ckpt"
    if not best.is_file():
        return None
    saved = torch.load(best, map_location="cpu", weights_only=False, mmap=True)  # our own file, just written
    return int(saved["epoch"]) + 1
