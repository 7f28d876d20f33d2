"""Runs of the paper's rows: a recipe is trained and measured, and what came out is kept as one JSON."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.text import Text

from m2a.errors import ConfigError, M2AError
from m2a.measurement import commit, hardware, versions
from m2a.recipes.paper import changes_of, paper_recipe
from m2a.recipes.published import published_command, published_options, published_skips
from m2a.recipes.results import PROBES, RESULTS, Result, check_free, group_key, result_path, run_name, write_result
from m2a.recipes.rows import find_row, find_rows
from m2a.recipes.shared import find_shared
from m2a.recipes.weights import start_weights
from m2a.training.callbacks import rows_before
from m2a.training.checkpoints import read_checkpoint
from m2a.training.config import TrainConfig
from m2a.workflows.paper_data import data_name, with_data
from m2a.workflows.run import RunResult, train

RUNS = Path("runs/paper")


@dataclass(frozen=True, kw_only=True)
class PaperRuns:
    """What came of several runs."""

    results: dict[str, tuple[Path, Result]] = field(default_factory=dict)
    """By recipe and seed, with the files that hold them; those of other tables where a model was not trained again."""
    failures: dict[str, M2AError] = field(default_factory=dict)
    """By recipe and seed."""


def run_recipes(
    names: Sequence[str], *, seeds: Sequence[int] = (0,), console: Console | None = None, **options: Any
) -> PaperRuns:
    """Runs rows and whole tables, with each seed in turn, and rows that are the same model once. Where a run fails with
    an `M2AError` the next goes on. `options` go to `run_recipe`.

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
        made = {path for path, _ in done.results.values()}
        try:
            found = run_recipe(row.name, seed=seed, made=made, console=console, **options)
        except M2AError as error:
            done.failures[job] = error
            if job != list(jobs)[-1]:
                first = str(error).splitlines()[0]
                console.print(Text(f"{job} failed, going on: {first}", "red"), soft_wrap=True)
        else:
            done.results[job] = found
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
    made: Collection[Path] = (),
    command: str = "",
    console: Console | None = None,
    **changes: Any,
) -> tuple[Path, Result]:
    """Trains and measures one row, and writes its result. Where a row of another table that is the same model has a
    result of the same settings already, that one stands for it, and nothing is trained.

    Args:
        name: a row, such as "I/m2a".
        data: a data set's folder, "synthetic" for the scale's own set, or "edition-1" for that edition of the synthetic
            set; the last two are drawn into `out`/data once.
        scale: "paper", "medium", "small" or "tiny".
        seed: of weights, crops and order; the synthetic sets and the clips of each class are the same for all.
        out: a folder for the runs' folders, a new one for each run.
        results: the folder of the results.
        overwrite: train although there is a result already: replace the row's own; leave those of other rows alone.
        made: files of other rows' results that stand for this one even then, unless there is one of its own to replace.
        command: the command line to record.
        changes: options of `TrainConfig` that go over the recipe.

    Returns the result and its file. Raises ConfigError when the row has a result already, before anything is drawn or
    trained; DataError when the file of the same model in another table cannot be used; and what `paper_recipe` and
    `m2a.workflows.train` raise.
    """
    console = console or Console(stderr=True)
    row = find_row(name)
    config = paper_recipe(name, data=data, scale=scale, seed=seed, **changes)
    changed, weights = published_options(changes_of(config, name, scale)), start_weights(config.pretrained)
    settings: dict[str, Any] = {"scale": scale, "weights": weights, "seed": seed, "changes": changed}
    settings["data"] = data_name(config.data)
    path = result_path(Path(results), row, **settings)
    check_free(path, overwrite=overwrite)
    config, info = with_data(config, scale, Path(out), console)
    record = published_options(config.to_dict()) | {"data": info.name}
    group = group_key(row.table, scale=scale, changes=changed, weights=weights, data=info, config=record)
    among = (() if path.exists() else made) if overwrite else None
    if shared := find_shared(Path(results), row, group, among=among, **settings):
        told = f"{row.name} is not trained again: {shared[1].run_as} is the same model, and its result is {shared[0]}"
        console.print(Text(told), soft_wrap=True)
        return shared
    folder = _run_folder(Path(out) / row.table / run_name(row, **settings), resume=config.resume)
    config = config.with_changes(out=folder)
    start, before = time.perf_counter(), _seconds_before(config)
    run = train(config, probes=True, console=console)
    seconds = before + time.perf_counter() - start
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
        **_measured(run, config.data),
        seconds=round(seconds, 1),
        run=folder.name,
        config=published_options(config.to_dict()) | {"data": info.name},
        commit=commit(),
        versions=versions(),
        hardware=hardware(),
        command=published_command(command),
    )
    check_free(path, overwrite=overwrite)  # another process may have been quicker
    write_result(path, result)
    console.print(Text(f"the result is in {path}"), soft_wrap=True)
    return path, result


def _run_folder(wanted: Path, *, resume: bool) -> Path:
    """A new folder: the one wanted or the first free of `-2`, `-3`, ...; to resume, the last that is there."""
    there = []
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        if not folder.exists():
            break
        there.append(folder)
    return there[-1] if resume and there else folder  # where there is nothing to resume, training says so


def _seconds_before(config: TrainConfig) -> float:
    """Of the epochs that a run to go on with has behind it, as far as its table has them."""
    last, table = config.run_folder / "checkpoints" / "last.ckpt", config.run_folder / "metrics.csv"
    if not config.resume or not last.is_file() or not table.is_file():
        return 0.0
    epochs = read_checkpoint(last)["epoch"] + 1
    return sum(float(row["seconds"]) for row in rows_before(table, epochs))


def _measured(run: RunResult, data: Path) -> dict[str, Any]:
    evaluation = run.evaluation
    probes = evaluation.probe_summary()
    assert probes is not None
    return {
        "top1": evaluation.top1,
        "top5": evaluation.top5,
        "per_class": {row["label"]: row["top1"] for row in evaluation.per_class()},
        "probes": {
            row["probe"]: {"top1": row["top1"], "top5": row["top5"]} for row in probes["rows"] if row["probe"] in PROBES
        },
        "num_train": run.num_train,
        "num_clips": len(evaluation.clips),
        "skipped": published_skips([(bad.path, bad.reason) for bad in evaluation.skipped], data),
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
