"""Text lists whose last column is a class number, as TSN, TSM, PySlowFast, mmaction2 and others write them.

path label                  PySlowFast, V-JEPA (.csv), mmaction2 (.txt)
dir num_frames label        TSN, TSM, TEA, mmaction2
dir start num_frames label  mmaction2 with an offset, from 0
path start end label        IBM, frames from 1, the last one included
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import NamedTuple

from ..errors import ConfigError, DataError, NotFoundError
from .clipset import VIDEO_SUFFIXES, ClipFile, ClipSet, is_frame, names_in
from .listing import (
    Disk,
    Lists,
    called_after_first,
    find_lists,
    first_lines,
    most_hits,
    read_lines,
    subfolders,
    without_labels,
)
from .reading import Reading, ReadOptions
from .split_csv import is_table

TSN, MMACTION2, IBM, KINETICS = "tsn", "mmaction2", "ibm", "kinetics"
_SUFFIXES = {TSN: (".txt", ".csv"), MMACTION2: (".txt",), IBM: (".txt", ".csv"), KINETICS: (".csv",)}
_NUMBERS = {TSN: (2,), MMACTION2: (1, 2, 3), IBM: (3,), KINETICS: (1,)}  # after the path, that a format may have
_COLUMNS = {1: "path label", 2: "dir num_frames label", 3: "dir start num_frames label"}
_NAMES_FILES = ("category.txt", "classInd.txt", "labels.txt", "label_map.txt", "classes.txt")
_LOOKED_AT = 1000  # folders whose frames are counted; more would take long on network disks


@dataclass(frozen=True)
class Shape:
    """How the lines of a list are made."""

    separator: str | None
    """None for spaces."""
    numbers: int
    """After the path."""


def detect(root: Path, format_: str) -> str | None:
    """The training list that speaks for a format, where there is one."""
    lists = find_lists(root, _SUFFIXES[format_], lambda path: _speaks_for(path, format_))
    return lists.files["train"].name if lists else None


def read(root: Path, options: ReadOptions, format_: str) -> ClipSet:
    """Reads the lists of a folder, or a list and those that go with it by name."""
    suffixes = (".txt", ".csv") if root.is_file() else _SUFFIXES[format_]
    lists = find_lists(root, suffixes, lambda path: _can_be(path, format_), split=options.split)
    if lists is None:
        columns = _columns(format_)
        raise NotFoundError(
            f"{root} holds no training list of the {format_} layout: a file such as train.txt, whose lines are "
            f"{columns}, with numbers as labels"
        )
    reading = Reading(format=format_, root=lists.home, options=options, notes=[*lists.notes])
    shape = _shape(lists.files["train"])
    assert shape is not None
    names = _names(lists, root, reading.notes, _labels(lists, shape, format_))
    declared: dict[str, int] = {}
    seen: set[int] = set()
    bases = {split: _place_of(path, split, shape, reading) for split, path in lists.files.items()}
    # in folders of their own, clips of two lists may have the same names
    apart = any(one.base != other.base and one.paths & other.paths for one, other in combinations(bases.values(), 2))
    read_before: list[tuple[bytes, Path]] = []
    for split, path in lists.files.items():
        base = bases[split].base
        content = (path.read_bytes(), base)
        if content in read_before:
            reading.notes.append(f"{path.name}: the same list as another split's; {split} is left out")
            continue
        read_before.append(content)
        prefix = f"{base.name}/" if apart else ""
        seen |= _read_list(path, split, shape, format_, names, reading, declared, base=base, prefix=prefix)
        if reading.splits.get(split):
            reading.check_disk(path, split)
    _compare_lengths(reading, declared)
    if names:
        return reading.finish([names[number] for number in sorted(names)])
    if seen != set(range(len(seen))):
        reading.notes.append(f"the {len(seen)} labels are not the numbers 0 to {len(seen) - 1}; classes are in order")
    return reading.finish([str(number) for number in sorted(seen)])


class _Place(NamedTuple):
    """Where the clips of a list are."""

    base: Path
    """The folder below which most of them are."""
    paths: frozenset[str]
    """Below it, as they are listed."""


def _place_of(path: Path, split: str, shape: Shape, reading: Reading) -> _Place:
    """Where most clips of a list are; of equal folders, that which is called after the split."""
    home = reading.root
    paths = [_split(line, shape)[0].strip() for _, line in read_lines(path)]
    bases = [path.parent, home, *subfolders(home)]
    if path.absolute().parent != home.absolute().parent:  # lists beside the clips' folder are not of its neighbours
        bases += subfolders(path.parent)
    base = most_hits(paths, called_after_first(dict.fromkeys(bases), split), reading.disk) if paths else home
    return _Place(base, frozenset(paths))


def _read_list(
    path: Path,
    split: str,
    shape: Shape,
    format_: str,
    names: dict[int, str],
    reading: Reading,
    declared: dict[str, int],
    *,
    base: Path,
    prefix: str,
) -> set[int]:
    """Adds the clips of a list, which lie below `base`, with `prefix` before their ids; returns the class numbers in
    it."""
    lines = list(read_lines(path))
    if not lines and split == "validation":
        raise DataError(f"{path} is empty. Name the clips to validate on, or remove it to have some held out.")
    if _lacks_labels(lines, shape, split):
        reading.notes.append(without_labels(path, len(lines)))
        return set()
    seen: set[int] = set()
    for number, line in lines:
        where = f"{path}:{number}"
        name, numbers = _parse(line, shape, where, base, reading.disk)
        label = numbers[-1]
        if names and label not in names:
            raise DataError(
                f"{where}: the label {label} is not among the {len(names)} named ones ({min(names)} to {max(names)}); "
                "correct the line or the file of names"
            )
        seen.add(label)
        window = _window(numbers, format_, where)
        clip_id = prefix + (f"{name}:{window[0]}+{window[1]}" if window else name)
        label_name = names.get(label, str(label))
        group = prefix + name if window else ""  # parts of one recording
        clip = ClipFile(id=clip_id, path=base / name, label=label_name, group=group, window=window)
        reading.add(split, clip, where)
        if len(numbers) == 2:
            declared[clip_id] = numbers[0]
    return seen


def _parse(line: str, shape: Shape, where: str, base: Path, disk: Disk) -> tuple[str, tuple[int, ...]]:
    """The path and the numbers of a line."""
    parts = [part.strip() for part in _split(line, shape)]
    expected = _COLUMNS[shape.numbers].replace(" ", shape.separator or " ")
    if len(parts) != shape.numbers + 1 or not parts[0] or not all(part.isdecimal() for part in parts[1:]):
        raise DataError(
            f"{where}: expected `{expected}`, with whole numbers after the path; got {line!r}. Where labels are names, "
            "write a csv with the header path,label instead."
        )
    name, numbers = parts[0], tuple(int(part) for part in parts[1:])
    one_more = len(line.split(shape.separator)) > shape.numbers + 1 and name.split()[-1].isdecimal()
    is_video = shape.numbers == 2 and Path(name).suffix.lower() in VIDEO_SUFFIXES
    if is_video or (one_more and not disk.has(base / name)):
        raise DataError(
            f"{where}: {line!r} has more numbers than `{expected}`. Several labels a clip cannot be learned here: "
            "keep one label a line."
        )
    return name, numbers


def _split(line: str, shape: Shape) -> list[str]:
    return line.split(shape.separator) if shape.separator else line.rsplit(None, shape.numbers)


def _window(numbers: Sequence[int], format_: str, where: str) -> tuple[int, int] | None:
    """The part of the recording that a line with a start names."""
    if len(numbers) != 3:
        return None
    start, second, _ = numbers
    if format_ == MMACTION2:
        window = (start, second)
    else:
        window = (max(start, 1) - 1, second - max(start, 1) + 1)
    if window[1] < 1:
        raise DataError(f"{where}: {start} and {second} name no frame as {format_} reads them; is --format right?")
    return window


def _compare_lengths(reading: Reading, declared: dict[str, int]) -> None:
    """Notes folders that hold another number of frames than their line says; the frames on disk are used."""
    clips = [clip for members in reading.splits.values() for clip in members if clip.id in declared]
    looked_at = clips[:: max(1, -(-len(clips) // _LOOKED_AT))]
    differing = [clip for clip in looked_at if clip.path.is_dir() and _count(clip.path) != declared[clip.id]]
    if differing:
        first = differing[0]
        reading.notes.append(
            f"{len(differing)} of {len(looked_at)} folders looked at hold another number of frames than listed, first "
            f"{first.id} ({declared[first.id]} listed, {_count(first.path)} there); what is there is used"
        )


def _count(folder: Path) -> int:
    return sum(map(is_frame, names_in(folder)))


def _labels(lists: Lists, shape: Shape, format_: str) -> set[int]:
    """The class numbers in all lists, as far as their lines can be read."""
    found: set[int] = set()
    for split, path in lists.files.items():
        lines = list(read_lines(path))
        if not _lacks_labels(lines, shape, split):
            last = (_split(line, shape)[-1].strip() for _, line in lines)
            found |= {int(label) for label in last if label.isdecimal()}
    return found


def _names(lists: Lists, root: Path, notes: list[str], labels: set[int]) -> dict[int, str]:
    """Class names by number, from a file beside the lists, which hold `labels`; none where there is no such file."""
    folders = dict.fromkeys([lists.files["train"].parent, lists.home, root if root.is_dir() else root.parent])
    path = next((folder / name for folder in folders for name in _NAMES_FILES if (folder / name).is_file()), None)
    if path is None:
        notes.append(f"classes are called by their numbers: no {', '.join(_NAMES_FILES)} names them")
        return {}
    lines = [line for _, line in read_lines(path)]
    numbered = _numbered_names(path, lines)
    names = [name for _, name in numbered] or lines
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{path}:{names.index(twice[0]) + 1}: the label {twice[0]!r} is there twice; each may be once")
    return _by_number(path, numbered, labels) if numbered else dict(enumerate(names))


def _numbered_names(path: Path, lines: Sequence[str]) -> list[tuple[int, str]]:
    """The lines as numbers and names, the number in front or behind; none where they are names alone. Raises where a
    header may stand above numbers."""
    first = [re.fullmatch(r"(\d+)(?:\s*[,;:]\s*|\s+)(\S.*)", line) for line in lines]
    numbered = [(int(match[1]), match[2]) for match in first if match]
    if len(numbered) == len(lines):
        return numbered
    if len(numbered) > 1 and first[0] is None and _counts(numbered, len(lines) - 1):
        raise DataError(
            f"{path}:1: {lines[0]!r} has no class number in front, and all other lines have. Remove it where it is a "
            "header, and give it one where it is a class."
        )
    last = [re.fullmatch(r"(.*\S)(\s*[,;:]\s*|\s+)(\d+)", line) for line in lines]
    behind = [(int(match[3]), match[1]) for match in last if match]
    if not _counts(behind, len(lines)) or len({name for _, name in behind}) < len(lines):
        return []
    in_turn = [number for number, _ in behind] == sorted(number for number, _ in behind)
    spaced = any(match is not None and match[2].isspace() for match in last)
    return [] if in_turn and spaced else behind  # "jump 1", "hop 2": as well a part of the name


def _counts(numbered: Sequence[tuple[int, str]], length: int) -> bool:
    """Whether the numbers are those from 0 or 1 on, each once, in whatever order."""
    numbers = sorted(number for number, _ in numbered)
    return any(numbers == list(range(start, start + length)) for start in (0, 1))


def _by_number(path: Path, numbered: Sequence[tuple[int, str]], labels: set[int]) -> dict[int, str]:
    """Names by their numbers, in whatever order they come. Numbers from 1 become those from 0, unless the lists count
    from 1 too: they hold the last number, and no 0. Raises where they hold neither, which fits both."""
    numbers = sorted(number for number, _ in numbered)
    first = numbers[0] if numbers else 0
    if not _counts(numbered, len(numbered)):
        odd = ", ".join(map(str, numbers[:3] if first not in (0, 1) else _not_in_turn(numbers)))
        raise DataError(
            f"{path}: each line begins with a number, but they are not those of {len(numbers)} classes, from 0 or 1 "
            f"on, each once (look at {odd}). Correct them, or give names alone, one a line. Where the names themselves "
            "begin with numbers, put the class number in front of them."
        )
    by_number = dict(sorted(numbered))
    if first == 1 and labels and 0 not in labels:
        if max(labels) >= len(numbers):
            return by_number
        one, two = by_number[1], by_number[2]
        raise DataError(
            f"{path}: the names count from 1, and the lists hold neither 0 nor {len(numbers)}: they may count from 0 "
            f"or from 1, so that their 1 may be {two!r} or {one!r}. Where they count from 0, number the names from 0 "
            "too; where they count from 1, name class 0 as well, in a line such as `0 nothing`."
        )
    return {number - first: name for number, name in by_number.items()}


def _not_in_turn(numbers: Sequence[int]) -> list[int]:
    """The first of sorted numbers that does not follow the one before it, with that one."""
    return next([before, after] for before, after in pairwise(numbers) if after != before + 1)


def _columns(format_: str) -> str:
    numbers = " or ".join(f"`{_COLUMNS[n]}`" for n in _NUMBERS[format_])
    return "`path start end label`" if format_ == IBM else numbers


def _shape(path: Path) -> Shape | None:
    """How most of the first lines are made; None where they hold no class numbers."""
    lines = first_lines(path)
    separators = ("::", ";") if path.suffix.lower() == ".csv" else ("::", ";", ",")
    separator = next((mark for mark in separators if lines and _trailing_numbers(lines[0], mark)), None)
    counts = Counter(_trailing_numbers(line, separator) for line in lines)
    if not counts:
        return None
    numbers = min(counts.most_common(1)[0][0], 3)
    if numbers == 0 and separator is None and lines:
        first = lines[0].split()
        numbers = int(len(first) == 2 and Path(first[0]).suffix.lower() in VIDEO_SUFFIXES)
    return Shape(separator, numbers) if numbers else None


def _trailing_numbers(line: str, separator: str | None) -> int:
    parts = [part.strip() for part in line.split(separator)]
    count = 0
    while count < len(parts) - 1 and parts[-1 - count].isdecimal():
        count += 1
    return count


def _can_be(path: Path, format_: str) -> bool:
    shape = _shape(path)
    return shape is not None and shape.numbers in _NUMBERS[format_]


def _speaks_for(path: Path, format_: str) -> bool:
    """Whether `auto` takes a list for this format; a list with two readings speaks for both."""
    shape = _shape(path)
    if shape is None or not _can_be(path, format_) or (path.suffix.lower() == ".csv" and is_table(path)):
        return False  # labels of a table may end in numbers: `a.mp4,gesture 1`
    if shape.numbers == 1:
        return format_ == (KINETICS if path.suffix.lower() == ".csv" else MMACTION2)
    if shape.numbers == 2:
        return format_ == TSN
    return format_ in _four_columns(path, shape)


def _four_columns(path: Path, shape: Shape) -> set[str]:
    """Which of `dir start num_frames label` and `path start end label` a list can be."""
    if shape.separator == ";":
        return {IBM}
    possible = {MMACTION2, IBM}
    near = [path.parent, path.parent.parent, *subfolders(path.parent), *subfolders(path.parent.parent)]
    looked_at, fits = 0, Counter[str]()
    for line in first_lines(path):
        name, *numbers = _split(line, shape)
        if len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
            continue
        start, second, _ = (int(number) for number in numbers)
        if start == 0 or second < start:
            possible.discard(IBM)
        folder = next((base / name for base in near if (base / name).is_dir()), None) if looked_at < 8 else None
        if folder is not None:
            looked_at += 1
            there = _count(folder)
            fits.update({MMACTION2: 1 <= second <= there - start, IBM: start <= second <= there})
    most, margin = max(fits[name] for name in possible), max(1, looked_at / 4)  # some folders may lack frames
    possible = {name for name in possible if most - fits[name] < margin}
    if looked_at and not any(fits[name] for name in possible):
        raise DataError(
            f"{path}: its lines are a path and three numbers, and neither `dir start num_frames label` nor `path start "
            "end label` fits the frames on disk. Does each clip have several labels? Keep one label a line."
        )
    return possible


def _lacks_labels(lines: list[tuple[int, str]], shape: Shape, split: str) -> bool:
    """A test list of IBM's kind may have one number less a line."""
    if split != "test" or not lines:
        return False
    return all(_trailing_numbers(line, shape.separator) < shape.numbers for _, line in lines)


def refuse_two_readings(found: dict[str, str]) -> None:
    """Says what to look at where four columns have two readings."""
    if set(found) == {MMACTION2, IBM}:
        raise ConfigError(
            f"{found[IBM]} may be read as `dir start num_frames label` (mmaction2) or as `path start end label` (ibm), "
            "and its numbers fit both. Choose with --format mmaction2 or --format ibm."
        )
