"""Results of runs on disk, one JSON each."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from m2a.data.clipset import ClipSet
from m2a.errors import ConfigError, DataError
from m2a.recipes.paper import NEUTRAL, ROW_OPTIONS
from m2a.recipes.rows import PaperRow, find_row
from m2a.recipes.scales import find_scale
from m2a.recipes.weights import StartWeights
from m2a.training.config import TrainConfig
from m2a.writing import put

SCHEMA = 2
PROBES = ("shuffled", "reversed", "still")
"""What a result has beside the clips as they were filmed: those of `m2a.evaluation.PROBES`."""
RESULTS = Path("paper/results")
"""Where results are kept unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """Which clips a run was trained and measured on."""

    name: str
    """The folder's name, "synthetic" for a scale's own set, or "edition-1"."""
    classes: int
    clips: dict[str, int]
    """How many, by split."""
    fingerprint: str
    """Of every clip's id, label and split: two sets of one name are told apart."""
    drawing: dict[str, Any] | None = None
    """How a synthetic set was drawn: its generator and parameters."""

    def __str__(self) -> str:
        counts = " + ".join(f"{self.clips.get(split, 0):,}" for split in ("train", "validation"))
        return f"{self.name} ({self.classes} classes, {counts} clips, {self.fingerprint})"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run of one row: what was measured, with all it takes to do it again. Files and folders are named, not placed:
    results are published."""

    schema: int = SCHEMA
    recipe: str
    table: str
    mechanism: str
    backbone: str
    inflate: bool
    scale: str
    data: DataInfo
    changes: dict[str, Any]
    """Options that differ from the recipe at that scale."""
    weights: StartWeights
    seed: int
    top1: float
    top5: float
    per_class: dict[str, float | None]
    """Top-1 in percent by label; None where a label has no clip that was measured."""
    probes: dict[str, dict[str, float]]
    """By name of `PROBES`, `top1` and `top5` of the same clips with their frames shuffled, reversed, and replaced by
    one."""
    num_train: int
    """Clips that were trained on, once those of `skip_list` and over `train_clips_per_class` are left out."""
    num_clips: int
    """Validation clips that were measured."""
    skipped: list[dict[str, str]]
    """Validation clips that could not be decoded, each with its reason."""
    macs: int
    """Of one clip at this run's size, as `m2a.count_macs` counts."""
    parameters: int
    best_epoch: int | None
    seconds: float
    """Reading the data, training, evaluation and report; not the drawing of a synthetic set. Of a run that was
    interrupted and went on, every epoch once."""
    run: str
    """The name of the run's folder."""
    config: dict[str, Any]
    commit: str | None
    versions: dict[str, str]
    hardware: str
    command: str

    @property
    def run_as(self) -> str:
        """The row it was run as."""
        return self.recipe

    @property
    def group(self) -> tuple[str, ...]:
        """See `group_key`."""
        return group_key(
            self.table,
            scale=self.scale,
            changes=self.changes,
            weights=self.weights,
            data=self.data,
            config=self.config,
        )


def group_key(
    table: str,
    *,
    scale: str,
    changes: Mapping[str, Any],
    weights: StartWeights,
    data: DataInfo,
    config: Mapping[str, Any],
) -> tuple[str, ...]:
    """What results must have in common to stand in one table. The settings are compared themselves, too: what a scale
    means may change with the library."""
    parts = (changes, weights.group, asdict(data), settings_of(config))
    return (table, scale, *(json.dumps(part, sort_keys=True) for part in parts))


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run that its row, its seed and its machine leave open. One that the library has had only since
    has its default, which is what runs did before."""
    known = {one.name: one.default for one in fields(TrainConfig) if one.default is not MISSING}
    return {option: value for option, value in (known | dict(config)).items() if option not in (*NEUTRAL, *ROW_OPTIONS)}


def result_path(folder: Path, row: PaperRow, **settings: Any) -> Path:
    """<folder>/<table>/<mechanism>-<scale>-<data>-<weights>-seed<k>.json, with weights "scratch" or "imagenet". Runs
    with changed options have a tag of the changes at the end, so that they stand beside the recipe's own. `settings`
    go to `run_name`."""
    return folder / row.table / f"{run_name(row, **settings)}.json"


def run_name(
    row: PaperRow, *, scale: str, data: str, weights: StartWeights, seed: int, changes: Mapping[str, Any]
) -> str:
    """A name of a run within its table that is safe in file names."""
    mechanism = row.mechanism.replace("+", "-plus-")
    return safe_name(f"{mechanism}-{scale}-{data}-{weights.tag}-seed{seed}{changes_tag(changes)}")


def changes_tag(changes: Mapping[str, Any]) -> str:
    """What tells names of changed recipes from the recipe's own; empty without changes."""
    return f"-changed-{_digest(json.dumps(changes, sort_keys=True))}" if changes else ""


def safe_name(text: str) -> str:
    """Without what file names cannot have on every system."""
    return re.sub(r"[^\w.-]+", "-", text)


def data_info(name: str, clips: ClipSet, *, drawing: Mapping[str, Any] | None = None) -> DataInfo:
    """What is recorded of a set."""
    splits = clips.splits.items()
    lines = sorted(f"{split}\t{clip.id}\t{clip.label}" for split, members in splits for clip in members)
    return DataInfo(
        name=name,
        classes=len(clips.labels),
        clips={split: len(members) for split, members in splits},
        fingerprint=_digest("\n".join(lines)),
        drawing=None if drawing is None else dict(drawing),
    )


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raises ConfigError when a result is there already and may not be replaced."""
    if path.exists() and not overwrite:
        raise ConfigError(
            f"There is a result already: {path}. To keep it, name another folder with --results, such as "
            "runs/paper/results, here and to m2a paper table; else run another --seed, or replace it with --overwrite."
        )


def write_result(path: Path, result: Result) -> None:
    """Writes the file in one step: it is whole, or not there."""
    put(path, (json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n").encode())


_KINDS: Mapping[type, tuple[str, ...]] = {
    str: ("recipe", "table", "mechanism", "backbone", "scale", "run", "hardware", "command"),
    dict: ("weights", "changes", "config", "versions", "per_class"),
    list: ("skipped",),
    int: ("num_train", "num_clips"),
}
"""What a result's values are, beside its numbers; a file that was edited may hold others."""


def read_result(path: Path) -> Result:
    """Raises DataError naming the file when it is not a result that this version wrote."""
    remedy = "Delete it and run the row again, or restore it."
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not readable as JSON ({error}). {remedy}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("data"), dict):
        raise DataError(f"{path} is not the result of a run: an object with 'data' in it was expected. {remedy}")
    if raw.get("schema") != SCHEMA:
        raise DataError(f"{path} has schema {raw.get('schema')!r}; this version reads {SCHEMA}. {remedy}")
    try:
        numbers = {name: raw.get(name) for name in ("top1", "top5", "macs", "parameters", "seed")}
        if wrong := [f"{name} is {value!r}" for name, value in numbers.items() if not isinstance(value, int | float)]:
            raise ValueError(f"{', '.join(wrong)}, not a number")
        if outside := [name for name in ("top1", "top5") if not 0 <= raw[name] <= 100]:
            raise ValueError(f"{' and '.join(outside)} must be percentages")
        for kind, names in _KINDS.items():
            if wrong := [f"{name} is {raw.get(name)!r}" for name in names if not isinstance(raw.get(name), kind)]:
                raise ValueError(", ".join(wrong))
        if not isinstance(raw["data"].get("clips"), dict) or not isinstance(raw["config"].get("size"), int):
            raise ValueError("its data has no counts of clips, or its config no size")
        if lacking := [name for name in PROBES if not _has_top1(raw.get("probes"), name)]:
            raise ValueError(f"probes hold no top-1 of {', '.join(lacking)}")
        result = Result(**{**raw, "data": DataInfo(**raw["data"]), "weights": StartWeights(**raw["weights"])})
        row = find_row(result.recipe)
        find_scale(result.scale)
        if (result.table, result.mechanism) != (row.table, row.mechanism):
            raise ValueError(f"recipe {result.recipe} is not {result.mechanism} of Table {result.table}")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not the result of a run: {error}. {remedy}") from error
    return result


def _has_top1(probes: Any, name: str) -> bool:
    figures = probes.get(name) if isinstance(probes, Mapping) else None
    return isinstance(figures, Mapping) and isinstance(figures.get("top1"), int | float)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
