"""Runs of the paper's rows: a recipe is trained and measured, and what came out is kept as one JSON."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count, product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.text import Text

from m2a.data.cores import default_workers
from m2a.errors import ConfigError, M2AError
from m2a.measurement import commit, hardware, versions
from m2a.recipes.paper import changes_of, paper_recipe
from m2a.recipes.published import published_command, published_options, published_skips
from m2a.recipes.results import (
    PROBES,
    RESULTS,
    DataInfo,
    Result,
    check_free,
    group_key,
    result_path,
    run_name,
    write_result,
)
from m2a.recipes.rows import PaperRow, find_row, find_rows
from m2a.recipes.shared import SharedResult, find_shared
from m2a.recipes.weights import start_weights
from m2a.training.callbacks import rows_before
from m2a.training.checkpoints import read_checkpoint
from m2a.training.config import TrainConfig
from m2a.workflows.paper_data import data_name, with_data
from m2a.workflows.paper_jobs import Answer, Job, run_side_by_side
from m2a.workflows.run import RunResult, train

RUNS = Path("runs/paper")


@dataclass(frozen=True, kw_only=True)
class PaperRuns:
    """What came of several runs."""

    results: dict[str, tuple[Path, Result]] = field(default_factory=dict)
    """By recipe and seed, with the files that hold them; those of other tables where a model was not trained again."""
    failures: dict[str, M2AError] = field(default_factory=dict)
    """By recipe and seed."""

    @property
    def files(self) -> set[Path]:
        """Of the results."""
        return {path for path, _ in self.results.values()}

    def in_the_order_of(self, names: Collection[str]) -> PaperRuns:
        """The same, whichever run ended first."""
        return PaperRuns(
            results={name: self.results[name] for name in names if name in self.results},
            failures={name: self.failures[name] for name in names if name in self.failures},
        )


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What a run is to be, known before anything is drawn or trained."""

    row: PaperRow
    config: TrainConfig
    settings: dict[str, Any]
    """As for `run_name`."""
    results: Path
    path: Path
    """Of its result."""
    overwrite: bool

    def find_shared(self, info: DataInfo, *, made: Collection[Path]) -> tuple[Path, SharedResult] | None:
        """The result that stands for it, of a row of another table that is the same model, with its file; None where
        there is none. Where results are to be overwritten it is looked for among the files `made` alone. Raises
        DataError when such a file cannot be used."""
        group = group_key(
            self.row.table,
            scale=self.settings["scale"],
            changes=self.settings["changes"],
            weights=self.settings["weights"],
            data=info,
            config=published_options(self.config.to_dict()) | {"data": info.name},
        )
        among = (() if self.path.exists() else made) if self.overwrite else None
        return find_shared(self.results, self.row, group, among=among, **self.settings)


def run_recipes(
    names: Sequence[str],
    *,
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    console: Console | None = None,
    **options: Any,
) -> PaperRuns:
    """Runs rows and whole tables, with each seed in turn, and rows that are the same model once. Where a run fails with
    an `M2AError` the next goes on.

    Args:
        names: rows and tables.
        seeds: of each row.
        jobs: how many runs at a time. More than one have processes of their own, and leave what they print in
            `out`/logs; a script that asks for them does so below `if __name__ == "__main__":`.
        console: says what is done.
        options: go to `run_recipe`.

    Raises ConfigError for names that the paper does not have, for no name at all, and for less than one job.
    """
    console = console or Console(stderr=True)
    if jobs < 1:
        raise ConfigError(f"jobs, how many runs at a time, must be at least 1; got {jobs}.")
    rows = find_rows(list(names))
    if not rows:
        raise ConfigError("Which rows? Name at least one, such as I/m2a, or a table; m2a paper list shows them all.")
    wanted = {f"{row.name}, seed {seed}": (row, seed) for seed, row in product(seeds, rows)}
    if jobs > 1 and len(wanted) > 1:
        return _run_side_by_side(wanted, jobs, console, options)
    done = PaperRuns()
    for job, (row, seed) in wanted.items():
        console.rule(job)
        try:
            found = run_recipe(row.name, seed=seed, made=done.files, console=console, **options)
        except M2AError as error:
            done.failures[job] = error
            if job != list(wanted)[-1]:
                _say_failed(job, error, console)
        else:
            done.results[job] = found
    return done


def _run_side_by_side(wanted: Mapping[str, Job], jobs: int, console: Console, options: dict[str, Any]) -> PaperRuns:
    asked = {"scale": "paper", "out": RUNS, "results": RESULTS, "overwrite": False, "command": "", **options}
    planned = {key: value for key, value in asked.items() if key not in ("out", "command")}
    done, plans = PaperRuns(), dict[str, _Plan]()
    for name, (row, seed) in wanted.items():
        try:
            plans[name] = _plan(row.name, seed=seed, **planned)
        except M2AError as error:  # the run would only say so later
            done.failures[name] = error
            _say_failed(name, error, console)
    info: DataInfo | None = None
    if plans:
        config = next(iter(plans.values())).config
        if config.workers is None:
            asked["workers"] = max(1, default_workers() // jobs)
        with suppress(M2AError):  # which the runs will say
            _, info = with_data(config, asked["scale"], Path(asked["out"]), console)  # drawn once, not by all

    def known(name: str) -> Answer | None:
        if info is None:
            return None
        try:
            found = plans[name].find_shared(info, made=done.files)
        except M2AError as error:
            return error
        if found:
            _say_shared(plans[name].row, found, console)
        return found

    threads = max(1, torch.get_num_threads() // jobs)
    events = run_side_by_side(
        {name: wanted[name] for name in plans},
        jobs,
        known=known,
        next_run=lambda: partial(_run_one, threads=threads, options={**asked, "made": done.files}),
        logs=Path(asked["out"]) / "logs",
    )
    try:
        for event in events:
            if event.answer is None:
                told = f"{event.job} began; it prints to {event.log}"
                console.print(Text(told), soft_wrap=True)
            elif isinstance(event.answer, M2AError):
                done.failures[event.job] = event.answer
                if len(done.results) + len(done.failures) < len(wanted):
                    _say_failed(event.job, event.answer, console)
            else:
                done.results[event.job] = path, result = event.answer
                ended = f"{len(done.results) + len(done.failures)} of {len(wanted)}"
                told = f"{event.job}: {result.top1:.1f}% after {event.seconds / 60:.1f} minutes, {ended}; {path}"
                console.print(Text(told), soft_wrap=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("The same command goes on with the rows that have no result yet.") from None
    finally:
        events.close()  # whatever happened, no process is left
    return done.in_the_order_of(wanted)


def _run_one(
    row: PaperRow, seed: int, console: Console, *, threads: int, options: dict[str, Any]
) -> tuple[Path, Result]:
    """In a process of its own."""
    torch.set_num_threads(threads)
    return run_recipe(row.name, seed=seed, console=console, **options)


def _say_shared(row: PaperRow, found: tuple[Path, SharedResult], console: Console) -> None:
    told = f"{row.name} is not trained again: {found[1].run_as} is the same model, and its result is {found[0]}"
    console.print(Text(told), soft_wrap=True)


def _say_failed(job: str, error: M2AError, console: Console) -> None:
    console.print(Text(f"{job} failed, going on: {str(error).splitlines()[0]}", "red"), soft_wrap=True)


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
    plan = _plan(name, data=data, scale=scale, seed=seed, results=results, overwrite=overwrite, **changes)
    row, path, settings = plan.row, plan.path, plan.settings
    changed, weights = settings["changes"], settings["weights"]
    config, info = with_data(plan.config, scale, Path(out), console)
    if shared := plan.find_shared(info, made=made):
        _say_shared(row, shared, console)
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


def _plan(
    name: str, *, data: str | Path, scale: str, seed: int, results: str | Path, overwrite: bool, **changes: Any
) -> _Plan:
    """Raises what `run_recipe` raises before anything is drawn or trained."""
    row = find_row(name)
    config = paper_recipe(name, data=data, scale=scale, seed=seed, **changes)
    settings: dict[str, Any] = {
        "scale": scale,
        "weights": start_weights(config.pretrained),
        "seed": seed,
        "changes": published_options(changes_of(config, name, scale)),
        "data": data_name(config.data),
    }
    path = result_path(Path(results), row, **settings)
    check_free(path, overwrite=overwrite)
    return _Plan(row=row, config=config, settings=settings, results=Path(results), path=path, overwrite=overwrite)


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
    return int(read_checkpoint(best)["epoch"]) + 1 if best.is_file() else None
