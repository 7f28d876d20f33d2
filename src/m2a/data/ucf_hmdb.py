"""UCF101 and HMDB51 with their official splits, of which each has three."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import ConfigError, DataError, NotFoundError
from ..wording import count, first_few
from .clipset import ClipFile, ClipSet, is_hidden, natural_key
from .groups import ucf_group
from .listing import list_folders, read_lines, subfolders
from .reading import Reading, ReadOptions

UCF101 = "ucf101"
HMDB51 = "hmdb51"
_UCF_LISTS = "ucfTrainTestlist"
_HMDB_LIST = re.compile(r"(?P<label>.+)_test_split(?P<split>\d+)\.txt")
_TEST_IS_VALIDATION = "the official test list is read as the validation split"


def detect_ucf101(root: Path) -> str | None:
    """What was found of UCF101."""
    lists = _ucf_lists(root)
    return f"{lists.name}/classInd.txt, trainlist01.txt" if lists else None


def read_ucf101(root: Path, options: ReadOptions) -> ClipSet:
    """Reads `classInd.txt` and the lists of one split."""
    lists = _ucf_lists(root)
    if lists is None:
        raise NotFoundError(
            f"{root / _UCF_LISTS / 'classInd.txt'} is missing: the {UCF101} layout needs classInd.txt, trainlist01.txt "
            f"and testlist01.txt in {_UCF_LISTS}. Unpack the data set's annotation download there."
        )
    home = root if root != lists and root in lists.parents else lists.parent
    labels = _class_index(lists / "classInd.txt")
    reading = Reading(format=UCF101, root=home, options=options, notes=[_split_note(options)])
    videos: Path | None = None
    for split, stem in (("train", "trainlist"), ("validation", "testlist")):
        path = lists / f"{stem}{options.split:02d}.txt"
        if not path.is_file():
            there = sorted(child.name for child in lists.glob(f"{stem}*.txt"))
            raise NotFoundError(f"{path} is missing; there are: {first_few(there)}. Choose one of them with split.")
        for number, line in read_lines(path):
            name, label = _ucf_line(line, f"{path}:{number}", labels)
            videos = videos or _holding(home, name, reading)
            group = ucf_group(Path(name).stem, label)
            reading.add(split, ClipFile(id=name, path=videos / name, label=label, group=group), f"{path}:{number}")
        reading.check_disk(path, split)
    return reading.finish([labels[number] for number in sorted(labels)])


def detect_hmdb51(root: Path) -> str | None:
    """What was found of HMDB51."""
    lists = _hmdb_lists(root)
    return f"{len(lists)} files *_test_split*.txt" if lists else None


def read_hmdb51(root: Path, options: ReadOptions) -> ClipSet:
    """Reads the lists of one split, one a class: 1 is training, 2 is testing, 0 is neither."""
    lists = _hmdb_lists(root)
    if not lists:
        raise NotFoundError(
            f"{root} holds no *_test_split1.txt, nor does a folder in it: the {HMDB51} layout needs one a class. "
            "Unpack the data set's splits there."
        )
    chosen = {label: path for (label, split), path in lists.items() if split == options.split}
    if not chosen:
        there = sorted({str(split) for _, split in lists})
        raise NotFoundError(f"{root} has no split {options.split} of {HMDB51}; choose one of: {', '.join(there)}")
    reading = Reading(format=HMDB51, root=root, options=options, notes=[_split_note(options)])
    classes = _hmdb_classes(root, list(chosen))
    neither = 0
    for label, path in sorted(chosen.items()):
        for number, line in read_lines(path):
            name, side = _hmdb_line(line, f"{path}:{number}")
            split = {"1": "train", "2": "validation"}.get(side)
            if split is None:
                neither += 1
                continue
            group = re.sub(r"_\d+$", "", Path(name).stem)
            clip = ClipFile(id=f"{label}/{name}", path=classes / label / name, label=label, group=group)
            reading.add(split, clip, f"{path}:{number}")
    if neither:
        reading.notes.append(f"{count(neither, 'clip')} in neither list of split {options.split}, left out")
    reading.check_disk(next(iter(chosen.values())).parent, "train", "validation")
    return reading.finish(sorted(chosen))


def _split_note(options: ReadOptions) -> str:
    return f"split {options.split}: {_TEST_IS_VALIDATION}"


def _ucf_lists(root: Path) -> Path | None:
    if own := next(filter(_has_ucf_lists, list_folders(root)), None):
        return own
    beside = root.absolute().parent / _UCF_LISTS
    if not _has_ucf_lists(beside):
        return None
    # any other data set may lie beside them: they are this folder's where it has a class of theirs
    return beside if any((root / label).is_dir() for label in _class_index(beside / "classInd.txt").values()) else None


def _has_ucf_lists(folder: Path) -> bool:
    """A file classInd.txt alone may belong to lists of other layouts."""
    return (folder / "classInd.txt").is_file() and any(folder.glob("trainlist0*.txt"))


def _class_index(path: Path) -> dict[int, str]:
    labels: dict[int, str] = {}
    for number, line in read_lines(path):
        index, _, label = line.partition(" ")
        if not index.isdecimal() or not label.strip():
            raise DataError(f"{path}:{number}: expected a number and a class, such as `1 ApplyEyeMakeup`; got {line!r}")
        if int(index) in labels or label.strip() in labels.values():
            raise DataError(f"{path}:{number}: {line!r} repeats a number or a class; each may appear once")
        labels[int(index)] = label.strip()
    return labels


def _ucf_line(line: str, where: str, labels: dict[int, str]) -> tuple[str, str]:
    name, _, number = line.partition(" ")
    label, slash, _ = name.partition("/")
    if not slash:
        raise DataError(f"{where}: expected `Class/v_Class_g01_c01.avi`, in training lists with a number; got {line!r}")
    if label not in labels.values():
        raise DataError(f"{where}: the class {label!r} is not among the {len(labels)} of classInd.txt; correct one")
    if number.strip() and labels.get(int(number) if number.strip().isdecimal() else -1) != label:
        raise DataError(f"{where}: {number.strip()!r} is not the number of {label!r} in classInd.txt; correct one")
    return name, label


def _holding(home: Path, name: str, reading: Reading) -> Path:
    """The folder under which a listed class lies."""
    label = Path(name).parts[0]
    near = [home / "UCF-101", home, *subfolders(home)]
    return next((folder for folder in near if reading.disk.has(folder / label)), home / "UCF-101")


def _hmdb_lists(root: Path) -> dict[tuple[str, int], Path]:
    """Lists by class and split, in `root` or a folder for lists."""
    for folder in list_folders(root):
        there = (path.name for path in folder.glob("*_test_split*.txt"))
        names = sorted((name for name in there if not is_hidden(name)), key=natural_key)
        matches = [(match, folder / name) for name in names if (match := _HMDB_LIST.fullmatch(name))]
        if matches:
            return {(match["label"], int(match["split"])): path for match, path in matches}
    return {}


def _hmdb_classes(root: Path, labels: list[str]) -> Path:
    """The folder that holds most of the class folders."""
    near = [root, *subfolders(root)]
    return max(near, key=lambda folder: sum((folder / label).is_dir() for label in labels))


def _hmdb_line(line: str, where: str) -> tuple[str, str]:
    parts = line.rsplit(None, 1)
    if len(parts) != 2 or parts[1] not in ("0", "1", "2"):
        raise DataError(f"{where}: expected a file's name and 0, 1 or 2, such as `a_0.avi 1`; got {line!r}")
    return parts[0], parts[1]


def validate_split(format_: str, split: int) -> None:
    """UCF101 and HMDB51 have splits 1, 2 and 3."""
    if format_ in (UCF101, HMDB51) and split not in (1, 2, 3):
        raise ConfigError(f"split={split} is not one of: 1, 2, 3")
