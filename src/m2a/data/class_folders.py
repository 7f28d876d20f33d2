"""Clips in folders named after their class, in split folders or not, with a `split.csv` or not."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from pathlib import Path

from ..errors import ConfigError, DataError
from ..wording import count, first_few
from .clipset import (
    VIDEO_SUFFIXES,
    WHAT_A_CLIP_IS,
    ClipFile,
    ClipSet,
    is_clip,
    is_hidden,
    names_in,
    natural_key,
)
from .groups import ucf_group
from .listing import SPLIT_NAMES, first_lines, split_of
from .reading import ReadOptions, complete, refuse_untrained
from .split_csv import COLUMNS, is_table, read_split_csv

FORMAT = "class-folders"
_LISTS = frozenset({".csv", ".txt", ".json"})


def detect_class_folders(root: Path) -> str | None:
    """What speaks for clips in class folders."""
    if (root / "split.csv").is_file():
        return "split.csv"
    loose = [child for child in _children(root) if child.is_file() and is_clip(child)]
    if loose or any(is_clip(path) for folder in _folders(root) for path in _two_levels(folder)):
        return "clips in folders"
    return None


def read_class_folders(root: Path, options: ReadOptions) -> ClipSet:
    """Reads `root/<split>/<class>/clip`, or `root/<class>/clip` with or without `root/split.csv`."""
    notes: list[str] = []
    found: dict[str, list[ClipFile]]
    if (root / "split.csv").is_file():
        found = read_split_csv(root, options, notes)
    else:
        folders = split_folders(root)
        found = _read_split_folders(root, folders, notes) if folders else {"train": _read_classes(root, root, notes)}
        if lists := _strange_tables(root):
            notes.append(
                f"not read: {first_few(lists)}; a list of clips names the columns {','.join(COLUMNS)} in its first line"
            )
    members = found.get("train") or [clip for clips in found.values() for clip in clips]
    labels = sorted({clip.label for clip in members})
    splits = complete(root, found, labels, options, notes)
    if "train" in splits:
        refuse_untrained(root, splits)
    return ClipSet(format=FORMAT, root=root, labels=tuple(labels), splits=splits, notes=tuple(notes))


def refuse_unread_lists(root: Path) -> None:
    """Raises DataError where a list beside class folders is called after the training split, begins with clips and is
    of no known format: the folders need not be the classes."""
    if (root / "split.csv").is_file() or split_folders(root):
        return
    files = [path for path in _children(root) if path.suffix.lower() in (".txt", ".csv")]
    unread = [path for path in files if split_of(path.stem)[0] == "train" and _names_clips(path)]
    if unread:
        raise DataError(
            f"{unread[0]} is called after a list of training clips and names some, and is of no kind that is known "
            "here. Write a csv with the columns path,label, or lines that end in class numbers. Where the folders are "
            f"the classes all the same, choose --format {FORMAT}."
        )


def _names_clips(path: Path) -> bool:
    """Whether one of the first lines begins with the path of a clip."""
    first = [re.split(r"[\s,;|]", line, maxsplit=1)[0] for line in first_lines(path)]
    return any(name and not os.path.isabs(name) and is_clip(path.parent / name) for name in first)


def _strange_tables(root: Path) -> list[str]:
    """Tables beside the folders, of something else or with other columns than ours, and lists of a split."""
    files = [path for path in _children(root) if path.suffix.lower() in _LISTS and not is_table(path)]
    return [path.name for path in files if path.suffix.lower() == ".csv" or split_of(path.stem)[0]]


def refuse_inside(clips: ClipSet, out: Path, remedy: str) -> None:
    """Raises ConfigError where results at `out` would make class folders unreadable, since they lie among them.
    `remedy` says what else to do than to start m2a elsewhere."""
    root, place = clips.root.resolve(), out.resolve()
    if clips.format != FORMAT or (root / "split.csv").is_file() or place == root or not place.is_relative_to(root):
        return
    if not any(is_hidden(name) for name in place.relative_to(root).parts):
        raise ConfigError(
            f"{out} lies in the data set, where it would be taken for a class. Start m2a from another folder or "
            f"{remedy}."
        )


def split_folders(root: Path) -> dict[str, Path]:
    """`train`, `validation` and `test` to the folders that hold their class folders; empty where there is no train and
    something else beside them."""
    found: dict[str, Path] = {}
    for folder in _folders(root):
        name = SPLIT_NAMES.get(folder.name.lower())
        if name and _holds_class_folders(folder):
            if name in found:
                raise DataError(f"{found[name]} and {folder} are both the {name} split; merge them")
            found[name] = folder
    return found if "train" in found or len(found) == len(_folders(root)) else {}


def _holds_class_folders(folder: Path) -> bool:
    """Whether a folder in it holds clips, stray ones beside them or not; or it holds folders, and no clip yet."""
    folders = _folders(folder)
    if any(is_clip(path) for child in folders if not is_clip(child) for path in _children(child)):
        return True
    return bool(folders) and not any(map(is_clip, _children(folder)))


def _read_split_folders(root: Path, folders: dict[str, Path], notes: list[str]) -> dict[str, list[ClipFile]]:
    others = [folder.name for folder in _folders(root) if folder not in folders.values()]
    if others:
        raise DataError(
            f"{root} holds split folders ({', '.join(folder.name for folder in folders.values())}) and others: "
            f"{first_few(others)}. Move the others away, or into a split folder."
        )
    return {name: _read_classes(folder, root, notes) for name, folder in folders.items()}


def _read_classes(folder: Path, root: Path, notes: list[str]) -> list[ClipFile]:
    loose = [child.name for child in _children(folder) if child.is_file() and is_clip(child)]
    if loose:
        raise DataError(
            f"{folder} holds {count(len(loose), 'clip')} directly ({first_few(loose, 3)}). Put clips into class "
            f"folders, {folder.name}/<class>/{loose[0]}, or list them in {root / 'split.csv'} (columns "
            "path,label,split)."
        )
    clips: list[ClipFile] = []
    for class_folder in _folders(folder):
        paths = [child for child in _children(class_folder) if is_clip(child)]
        if not paths:
            raise DataError(f"the class folder {class_folder} holds no clips; {WHAT_A_CLIP_IS}")
        ignored = [child.name for child in _children(class_folder) if child.is_dir() and child not in paths]
        if ignored:
            what = "folders without .jpg frames, or with videos beside them"
            notes.append(f"{class_folder} holds {what}, left out: {first_few(ignored, 3)}")
        clips += _clips_of(class_folder, paths, root)
    if note := _twins(clips, folder):
        notes.append(note)
    return clips


def _clips_of(class_folder: Path, paths: list[Path], root: Path) -> list[ClipFile]:
    """The clips of a class. Those of one name are taken for one recording, in two formats or beside its frames, and
    are a group."""
    label, clips = class_folder.name, []
    times = Counter(map(_bare_name, paths))
    for path in paths:
        bare = _bare_name(path)
        twin = (class_folder / bare).relative_to(root).as_posix() if times[bare] > 1 else ""
        group = ucf_group(path.stem, label) or twin
        clips.append(ClipFile(id=path.relative_to(root).as_posix(), path=path, label=label, group=group))
    return clips


def _twins(clips: list[ClipFile], folder: Path) -> str:
    """A note where several clips of a class have one name."""
    named: dict[Path, list[str]] = defaultdict(list)
    for clip in clips:
        named[clip.path.parent / _bare_name(clip.path)].append(clip.path.relative_to(folder).as_posix())
    twins = [" and ".join(names) for names in named.values() if len(names) > 1]
    if not twins:
        return ""
    return (
        f"{folder} has {count(len(twins), 'recording')} more than once: {first_few(twins, 2)}. Each "
        "counts as a clip, and those of one name stay on one side of a held-out split; move one kind away to read each "
        "recording once"
    )


def _bare_name(path: Path) -> str:
    """The name of a recording: that of a folder of frames, and of a video without its suffix."""
    return path.stem if path.name.lower().endswith(VIDEO_SUFFIXES) else path.name


def validate_fraction(fraction: float) -> None:
    """Raises where the share to hold out is none."""
    if not 0 < fraction < 1:
        raise ConfigError(f"validation_fraction is {fraction}; it must lie between 0 and 1, for example 0.2")


def _children(folder: Path) -> list[Path]:
    visible = [name for name in names_in(folder) if not is_hidden(name)]
    return [folder / name for name in sorted(visible, key=natural_key)]


def _folders(folder: Path) -> list[Path]:
    return [child for child in _children(folder) if child.is_dir()]


def _two_levels(folder: Path) -> list[Path]:
    """What lies in a folder and in its subfolders: a class's clips, or a split's."""
    near = _children(folder)
    return [*near, *(grandchild for child in near if child.is_dir() for grandchild in _children(child))]
