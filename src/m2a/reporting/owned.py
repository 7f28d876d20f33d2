"""Files that this library wrote carry its mark, and only such files are written over without being asked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from m2a.errors import ConfigError

MARK = "Written by m2a"
"""In the text of a page, in the metadata of a picture."""
_MARKS = (MARK.encode(), b"made by m2a explain")  # the second in pictures of before there was one mark for all


def check_ours(path: Path, flag: str = "--out") -> None:
    """Raises ConfigError where something is at `path`, which `flag` names, that this library did not write, or where
    nothing can be written there."""
    _check(path, flag, lambda: _marked(path.read_bytes()))


def _marked(content: bytes) -> bool:
    return any(mark in content for mark in _MARKS)


def check_picture(path: Path, flag: str) -> None:
    """The same of a picture. Raises ConfigError for one that is not a .png, too."""
    if path.suffix.lower() != ".png":
        raise ConfigError(f"A picture is a .png; got {flag} {path}.")
    check_ours(path, flag)


def check_our_json(path: Path, flag: str = "--out") -> None:
    """The same for a JSON file of measurements; these say with which versions they were made."""
    _check(path, flag, lambda: "versions" in _json_object(path))


def _check(path: Path, flag: str, is_ours: Callable[[], bool]) -> None:
    _check_place(path, f"Name another file with {flag}.")
    if path.is_dir() or (path.exists() and path.stat().st_size > 0 and not is_ours()):
        what = "is a folder" if path.is_dir() else "is there already and was not written by m2a"
        raise ConfigError(f"{path} {what}; nothing is overwritten. Name another file with {flag}.")


def _check_place(path: Path, way_out: str) -> None:
    """Raises ConfigError where a file or folder at `path` could not be written or made: what is long to measure is
    not to be lost for want of a place."""
    nearest = next(place for place in (path, *path.absolute().parents) if os.path.exists(place))
    if nearest != path and not nearest.is_dir():
        raise ConfigError(f"{path} cannot be written: {nearest} is not a folder. {way_out}")
    if not os.access(nearest, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise ConfigError(f"{path} cannot be written: you may not write {nearest}. {way_out}")


def check_results(folder: Path, of: Mapping[str, Any]) -> None:
    """Raises ConfigError for a folder that the results of an evaluation may not go to: one of a run, whose own they
    would replace, one with a file of somebody else or with other results in their place, or one that cannot be written.
    `of` is what `evaluation.json` would say under these names of what was measured: results may be measured anew."""
    _check_place(folder, "Name another folder for the results with --out.")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a folder for the results with --out.")
    if (folder / "config.yaml").exists():
        raise ConfigError(
            f"{folder} is the folder of a run, whose own results are not overwritten. Name another folder with --out."
        )
    for name, is_ours in (("evaluation.json", _is_evaluation), ("predictions.csv", _is_predictions)):
        if (folder / name).exists() and not is_ours(folder / name):
            raise ConfigError(
                f"{folder / name} is there already and was not written by m2a; nothing is overwritten. Name another "
                "folder with --out."
            )
    there = _json_object(folder / "evaluation.json")
    other = [
        f"{name} {_told(there.get(name))}, not {_told(value)}" for name, value in of.items() if there.get(name) != value
    ]
    if there and other:
        raise ConfigError(
            f"{folder / 'evaluation.json'} holds other results ({'; '.join(other)}); nothing is overwritten. Name "
            "another folder with --out."
        )


def _told(value: Any) -> str:
    return "none" if value is None else str(value)


def check_replaceable(folder: Path) -> None:
    """Raises ConfigError where the results in a run's folder cannot be replaced."""
    for name in ("evaluation.json", "predictions.csv"):
        _check_place(folder / name, "Name a folder for the results with --out.")
        if (folder / name).is_dir():
            raise ConfigError(f"{folder / name} is a folder. Name another one for the results with --out.")


def check_probes_kept(folder: Path, probes: bool) -> None:
    """Raises ConfigError where an evaluation without probes would replace one that has them."""
    if not probes and has_probes(folder):
        raise ConfigError(
            f"{folder / 'evaluation.json'} holds probes in time, which an evaluation without them would take away. Add "
            "--probes, or name another folder with --out."
        )


def has_probes(folder: Path) -> bool:
    """Whether the evaluation in a folder has probes in time."""
    return bool(_json_object(folder / "evaluation.json").get("probes"))


def _is_evaluation(path: Path) -> bool:
    return {"schema", "mechanism", "per_class", "confusion"} <= set(_json_object(path))


def _json_object(path: Path) -> dict[str, Any]:
    """What a JSON file holds; of one that is none, or holds no object, nothing."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_predictions(path: Path) -> bool:
    return path.is_file() and path.read_bytes().startswith(b"clip,label,prediction")
