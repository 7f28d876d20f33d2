"""Something-Something V2 as it is distributed: a video per clip, and lists in JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError, NotFoundError
from .clipset import VIDEO_SUFFIXES, ClipFile, ClipSet
from .listing import read_text, unknown_label, without_labels
from .reading import Reading, ReadOptions

FORMAT = "something-something-v2"
VIDEOS_FOLDER = "20bn-something-something-v2"
_SPLITS = ("train", "validation")


def detect(root: Path) -> str | None:
    """What was found of it."""
    home = _home(root)
    found = [path for path in (_find(home, "train"), _find(home, "labels")) if path]
    if len(found) == 2 or any(path.name.startswith(FORMAT) for path in found):  # others have a train.json too
        return found[0].name
    return VIDEOS_FOLDER if (home / VIDEOS_FOLDER).is_dir() else None


def read(root: Path, options: ReadOptions) -> ClipSet:
    """Reads the lists and checks that every clip they name has a video (or a folder of frames)."""
    home = _home(root)
    paths = {name: _find(home, name) for name in ("labels", *_SPLITS)}
    for name, path in paths.items():
        if path is None:
            raise NotFoundError(
                f"{home / FORMAT}-{name}.json is missing, and so is {name}.json, in {home} and its folder labels: the "
                f"{FORMAT} layout needs the labels, train and validation json. Copy it there from the data set's "
                "annotation download."
            )
    videos = home / VIDEOS_FOLDER
    if not videos.is_dir():
        raise NotFoundError(
            f"{videos} is missing: the {FORMAT} layout needs its .webm files in it. Unpack the data set's archive in "
            f"{home}."
        )
    reading = Reading(format=FORMAT, root=home, options=options)
    labels_path = paths["labels"] or home
    labels = _read_labels(labels_path)
    known = dict.fromkeys(labels)
    for split in _SPLITS:
        listing = paths[split] or home
        for line, entry in _entries(listing):
            clip = _read_entry(entry, f"{listing}:{line}", known, labels_path, videos, reading)
            reading.add(split, clip, f"{listing}:{line}")
        reading.check_disk(listing, split)
    test = _find(home, "test")
    if test is not None:
        reading.notes.append(without_labels(test, len(list(_entries(test)))))
    return reading.finish(labels)


def _home(root: Path) -> Path:
    return root.absolute().parent if root.name == VIDEOS_FOLDER else root


def _find(home: Path, name: str) -> Path | None:
    for folder in (home, home / "labels"):
        for path in (folder / f"{FORMAT}-{name}.json", folder / f"{name}.json"):
            if path.is_file():
                return path
    return None


def _read_labels(path: Path) -> tuple[str, ...]:
    """The labels in the order of their numbers."""
    try:
        pairs: list[tuple[str, Any]] = json.loads(read_text(path), object_pairs_hook=list)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: this is not JSON ({error.msg}); copy the file again") from None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) and str(pair[1]).isdecimal() for pair in pairs):
        raise DataError(f'{path} should map each label to its number, such as {{"Holding something": "0"}}')
    numbers: dict[int, str] = {}
    for label, number in pairs:
        if int(number) in numbers or label in numbers.values():
            raise DataError(f"{path}: the label {label!r} or its number {number} is there twice; each may appear once")
        numbers[int(number)] = label
    if len(numbers) < 2:
        raise DataError(f"{path} holds {len(numbers)} labels; at least 2 are needed")
    return tuple(numbers[number] for number in sorted(numbers))


def _entries(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON array, each with the line it starts in."""
    text, decoder = read_text(path), json.JSONDecoder()
    place, line = text.find("[") + 1, 1
    if not text.lstrip().startswith("["):
        raise DataError(f'{path}:1: expected a JSON array of clips, such as [{{"id": "1", "template": "..."}}]')
    counted = 0
    while True:
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
        line += text.count("\n", counted, place)
        counted = place
        if text[place : place + 1] == "]":
            return
        try:
            entry, place = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{error.lineno}: this is not JSON ({error.msg}); copy the file again") from None
        if not isinstance(entry, dict) or entry.get("id") in (None, ""):
            raise DataError(f'{path}:{line}: expected an object with an "id"; got {str(entry)[:60]}')
        yield line, entry


def _read_entry(
    entry: dict[str, Any], where: str, labels: Collection[str], labels_path: Path, videos: Path, reading: Reading
) -> ClipFile:
    template = entry.get("template")
    if not isinstance(template, str) or not template.strip():
        raise DataError(
            f'{where}: clip {entry["id"]} has no "template", such as "Pushing [something] from left to right", which '
            "tells its label. Is this the test list?"
        )
    label = template.replace("[", "").replace("]", "").strip()
    if label not in labels:
        raise DataError(f"{where}: {unknown_label(label, labels, labels_path)}")
    clip_id = str(entry["id"])
    named = (videos / f"{clip_id}{suffix}" for suffix in (".webm", *VIDEO_SUFFIXES, ""))
    path = next((path for path in named if reading.disk.has(path)), videos / f"{clip_id}.webm")
    return ClipFile(id=clip_id, path=path, label=label)
