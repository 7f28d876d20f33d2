"""The data of the paper's rows: a folder, a scale's own synthetic set, or a frozen edition of the synthetic set."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from m2a.data.annotations import read_clips
from m2a.data.synthetic import synthesize
from m2a.errors import ConfigError, DataError
from m2a.recipes.published import name_of
from m2a.recipes.results import DataInfo, data_info
from m2a.recipes.scales import find_scale
from m2a.training.config import TrainConfig

SYNTHETIC = "synthetic"
"""In the place of a data set's folder: the synthetic set of the scale."""
EDITION = re.compile(r"edition-(\d+)")
"""Likewise: an edition of the synthetic set, the same for every scale."""


def data_name(data: Path) -> str:
    """What results call the data. A folder that holds an edition of the synthetic set is called as the edition is."""
    if _is_drawn(data):
        return str(data)
    edition = (_record(data) or {}).get("edition")
    return name_of(data) if edition is None else f"edition-{edition}"


def with_data(config: TrainConfig, scale: str, out: Path, console: Console) -> tuple[TrainConfig, DataInfo]:
    """The config with the folder of its data, drawn below `out` where it is synthetic, and what there is in it."""
    _refuse_both(config.data)
    name = data_name(config.data)
    if _is_drawn(config.data):
        root = out / "data" / (f"{SYNTHETIC}-{scale}" if name == SYNTHETIC else name)
        synthesize(root, progress=console.is_terminal, **_drawing(name, scale))
        config = config.with_changes(data=root)
    clips = read_clips(config.data, format=config.format, missing=config.missing, split=config.split)
    return config, data_info(name, clips, drawing=_drawn(config.data))


def _refuse_both(data: Path) -> None:
    """Raises ConfigError where a name of drawn clips is that of a folder here, which other clips are in."""
    edition = EDITION.fullmatch(str(data))
    if not (_is_drawn(data) and data.is_dir()) or (edition and (_record(data) or {}).get("edition") == int(edition[1])):
        return
    raise ConfigError(
        f"--data {data} names clips that are drawn, and there is a folder {data} here. For what is in it give its "
        f"absolute path, {data.resolve()}; for the drawn clips give the folder another name."
    )


def _is_drawn(data: Path) -> bool:
    return str(data) == SYNTHETIC or EDITION.fullmatch(str(data)) is not None


def _drawing(name: str, scale: str) -> Mapping[str, Any]:
    """Arguments of `synthesize`."""
    edition = EDITION.fullmatch(name)
    return find_scale(scale).drawing if edition is None else {"edition": int(edition[1])}


def _drawn(root: Path) -> dict[str, Any] | None:
    """What a synthetic set says of how it was drawn."""
    record = _record(root)
    if record is None:
        return None
    known = {key: record[key] for key in ("edition", "generator") if key in record}
    return {**known, **record.get("parameters", {})}


def _record(root: Path) -> dict[str, Any] | None:
    """What `synthesize` wrote beside the clips; None where the set is no drawn one. Raises DataError."""
    path = root / "synthetic.json"
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not readable as JSON ({error}). Draw the set again, or remove the file.") from error
    if not isinstance(record, dict):
        raise DataError(f"{path} is not what m2a data synthesize writes. Draw the set again, or remove the file.")
    return record
