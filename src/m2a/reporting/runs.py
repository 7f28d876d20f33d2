"""Reading a run's folder: `evaluation.json`, and where they exist `config.yaml`, `metrics.csv`, `predictions.csv`."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from m2a.errors import DataError, NotFoundError
from m2a.reporting.text import finite

SCHEMA = 1
_PROBE_NUMBERS = {"top1": "top1", "low": "top1_low", "high": "top1_high"}
_REQUIRED = ("schema", "mechanism", "num_clips", "top1", "labels", "per_class", "confusion")


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """How one class did: clips seen, percent of them named rightly."""

    label: str
    clips: int
    top1: float | None


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One row of `metrics.csv`; what was not measured in that epoch is None."""

    epoch: int
    train_loss: float | None = None
    train_top1: float | None = None
    val_loss: float | None = None
    val_top1: float | None = None
    val_mean_class: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class ClipPrediction:
    """One row of `predictions.csv`: the truth, the guess, and the probability given to the guess."""

    clip: str
    label: str
    prediction: str
    probability: float | None


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How a run did on clips whose frames were changed, percent; the first of several is the clips as they are."""

    name: str
    definition: str
    top1: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was read of a run's folder."""

    folder: Path
    mechanism: str
    backbone: str = ""
    inflate: bool = False
    """Whether it is a 3D network."""
    num_frames: int | None = None
    size: int | None = None
    model: str = ""
    """What was evaluated, where it was not the run whose folder this is."""
    data: str = ""
    read_as: Mapping[str, Any] = field(default_factory=dict)
    """How `data` was read, where it is not a run's own: arguments of `m2a.data.read_clips`."""
    split: str = "validation"
    views: str = ""
    """Of each clip, in time and in space, such as "1 x 1"."""
    precision: str = ""
    """What it was computed in, "32" or "bf16"; empty in evaluations of earlier versions."""
    num_clips: int
    top1: float | None
    num_trained_on: int = 0
    """How many of these clips its training, or that of a model that it started from, had, where an evaluation knows."""
    top5: float | None = None
    macs: float | None = None
    parameters: float | None = None
    labels: tuple[str, ...]
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Clips by truth (rows) and prediction (columns), both in the order of `labels`."""
    skipped: tuple[tuple[str, str], ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    """By clip, its group, which clips of one recording have in common; empty where the data set has none, and in
    evaluations of earlier versions."""
    probes: tuple[Probe, ...] = ()
    readings: tuple[str, ...] = ()
    """What the probes come to, in sentences."""
    hardware: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    epochs: tuple[Epoch, ...] = ()
    predictions: tuple[ClipPrediction, ...] = ()

    @property
    def num_views(self) -> int:
        """How often each clip was looked at."""
        numbers = [int(number) for number in self.views.split("x")] if re.fullmatch(r"\d+ x \d+", self.views) else []
        return max(1, math.prod(numbers))

    @property
    def best_epoch(self) -> int | None:
        """The one whose model was kept: of the highest top-1, or where classes weigh alike of their highest mean; of
        several the one with the lowest loss, all on the validation clips."""
        column = "val_mean_class" if self.config.get("class_weights") == "balanced" else "val_top1"

        def rank(one: Epoch) -> tuple[float, float, int]:
            return getattr(one, column), -math.inf if one.val_loss is None else -one.val_loss, -one.epoch

        measured = [one for one in self.epochs if getattr(one, column) is not None]
        return max(measured, key=rank).epoch if measured else None

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Read a run's folder. Only `evaluation.json` has to be there."""
        folder = Path(path)
        if not folder.is_dir():
            raise NotFoundError(f"{folder}: no such folder. Name the folder of a run, as `m2a train` leaves it.")
        evaluation, config = _evaluation(folder), _config(folder / "config.yaml")
        evaluation["inflate"] |= config.get("inflate") == "true"  # evaluations of earlier versions do not say
        epochs = _metrics(folder / "metrics.csv")
        planned = config.get("epochs", "")
        if epochs and planned.isdecimal() and len(epochs) < int(planned):  # it was ended early
            config = {**config, "epochs": f"{len(epochs)} of {planned}"}
        return cls(
            folder=folder,
            **evaluation,
            config=config,
            epochs=epochs,
            predictions=_predictions(folder / "predictions.csv"),
        )


def options_of(run: Run) -> Mapping[str, str]:
    """The options that its model was trained with, also of an evaluation in a folder of its own; none where they are
    not known."""
    if run.config or not run.model:
        return run.config
    model = Path(run.model)  # a run, or the model in one
    return _config(model / "config.yaml") or _config(model.parent / "config.yaml")


def _evaluation(folder: Path) -> dict[str, Any]:
    path = folder / "evaluation.json"
    remedy = f"Run `m2a evaluate {folder}` to write it anew."
    if not path.is_file():
        if (folder / "config.yaml").is_file() and not any((folder / kind).is_dir() for kind in ("model", "adapter")):
            told = quote(str(folder / "config.yaml")), quote(str(folder))
            remedy = "It did not finish; go on with m2a train --config {} --out {} --resume.".format(*told)
        raise NotFoundError(f"{path}: no such file, so there is nothing to report about this run. {remedy}")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not readable as JSON ({error}). {remedy}") from error
    if not isinstance(raw, dict):
        raise DataError(f"{path}: expected an object at the top, got {type(raw).__name__}. {remedy}")
    if absent := [key for key in _REQUIRED if key not in raw]:
        raise DataError(f"{path}: lacks {', '.join(absent)}. {remedy}")
    if raw["schema"] != SCHEMA:
        raise DataError(f"{path}: schema {raw['schema']!r}, this version reads schema {SCHEMA}. {remedy}")
    try:
        values = _values(raw)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise DataError(f"{path}: a value is not of the expected kind ({error!r}). {remedy}") from error
    classes = len(values["labels"])
    shape = (len(values["confusion"]), {len(row) for row in values["confusion"]} or {0})
    if shape != (classes, {classes}):
        widths = "/".join(map(str, sorted(shape[1])))
        raise DataError(f"{path}: confusion is {shape[0]} x {widths}, expected {classes} x {classes}. {remedy}")
    return values


def _values(raw: Mapping[str, Any]) -> dict[str, Any]:
    hardware = raw.get("hardware") or ""
    if isinstance(hardware, dict):
        hardware = ", ".join(f"{key} {value}" for key, value in hardware.items())
    return {
        "mechanism": str(raw["mechanism"] or raw.get("backbone") or "?"),  # of a model that was put together by hand
        "backbone": str(raw.get("backbone") or ""),
        "inflate": raw.get("inflate") is True,
        "num_frames": None if raw.get("num_frames") is None else int(raw["num_frames"]),
        "size": None if raw.get("size") is None else int(raw["size"]),
        "model": str(raw.get("model") or ""),
        "data": str(raw.get("data") or ""),
        "read_as": _read_as(raw.get("read") or {}),
        "split": str(raw.get("split") or "validation"),
        "views": str(raw.get("views") or ""),
        "precision": str(raw.get("precision") or ""),
        "num_clips": int(raw["num_clips"]),
        "num_trained_on": int(raw.get("num_trained_on") or 0),
        **{key: _number(raw.get(key)) for key in ("top1", "top5", "macs", "parameters")},
        "labels": tuple(map(str, raw["labels"])),
        "per_class": tuple(
            ClassScore(label=str(row["label"]), clips=int(row["clips"]), top1=_number(row.get("top1")))
            for row in raw["per_class"]
        ),
        "confusion": tuple(tuple(map(int, row)) for row in raw["confusion"]),
        "skipped": tuple((str(clip["path"]), str(clip.get("reason", ""))) for clip in raw.get("skipped") or ()),
        "groups": {str(clip): str(group) for clip, group in (raw.get("groups") or {}).items()},
        **_probes(raw.get("probes") or {}),
        "hardware": str(hardware),
        "versions": {str(key): str(value) for key, value in (raw.get("versions") or {}).items()},
    }


def _read_as(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {"root": str(raw["path"]), "format": str(raw["format"]), "split": int(raw["split"])} if raw else {}


def _probes(raw: Mapping[str, Any]) -> dict[str, Any]:
    rows = tuple(
        Probe(
            name=str(row["probe"]),
            definition=str(row["definition"]),
            **{name: _number(row.get(key)) for name, key in _PROBE_NUMBERS.items()},
        )
        for row in raw.get("rows", ())
    )
    readings = (raw.get("reading"), (raw.get("reversals") or {}).get("reading"))
    return {"probes": rows, "readings": tuple(map(str, filter(None, readings)))}


def _number(value: object) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, str | int | float):
        return finite(float(value))
    raise TypeError(f"{value!r} is not a number")


def _config(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError) as error:
        raise DataError(f"{path}: not readable as YAML ({error}). Restore or delete the file.") from error
    if not isinstance(raw, dict):
        raise DataError(f"{path}: expected options and values, got {type(raw).__name__}. Restore or delete the file.")
    return dict(_flat(raw))


def _flat(options: Mapping[Any, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in options.items():
        if isinstance(value, dict) and value:
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, default=str)))
    return rows


def _metrics(path: Path) -> tuple[Epoch, ...]:
    rows = []
    lines = _csv(path, required=("epoch",))
    _, columns = next(lines, (0, []))
    for line, cells in lines:
        row = dict(zip(columns, cells, strict=False))
        try:
            numbers = {one.name: _number(row.get(one.name)) for one in fields(Epoch) if one.name != "epoch"}
            rows.append(Epoch(epoch=int(float(row["epoch"])), **numbers))
        except (ValueError, OverflowError) as error:
            raise DataError(f"{path}, line {line}: {error}. Correct the line or delete the file.") from error
    return tuple(rows)


def _predictions(path: Path) -> tuple[ClipPrediction, ...]:
    """Columns behind the first three are named after classes, and a class may be called `label` too."""
    lines = _csv(path, required=("clip", "label", "prediction"))
    _, columns = next(lines, (0, []))
    scores = {name: place for place, name in enumerate(columns) if place > 2}
    rows = []
    for line, cells in lines:
        clip, label, guess = cells[:3]
        try:
            probability = _number(cells[scores[guess]] if guess in scores else None)
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}. Correct the line or delete the file.") from error
        rows.append(ClipPrediction(clip=clip, label=label, prediction=guess, probability=probability))
    return tuple(rows)


def _csv(path: Path, *, required: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """The line in the file and the cells of the columns' names, and of each row as many. Columns that are required come
    first. A row at a time: there may be thousands of columns."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        columns = next(reader, [])
        if columns[: len(required)] != list(required):
            raise DataError(
                f"{path}: its columns must begin with {', '.join(required)}; it has {', '.join(columns) or 'none'}. "
                "Restore or delete the file."
            )
        yield reader.line_num, columns
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row + [""] * (len(columns) - len(row))
        except csv.Error as error:
            raise DataError(
                f"{path}, line {reader.line_num}: {error}; is a quote not closed? Correct the line or delete the file."
            ) from error
