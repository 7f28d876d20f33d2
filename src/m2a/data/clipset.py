"""What a data set is: labelled clips on disk, in splits, under labels whose order gives the class index."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, NotFoundError
from ..wording import first_few

VIDEO_SUFFIXES = (
    ".mp4", ".avi", ".webm", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".gif",
    ".3gp", ".3g2", ".ts", ".mts", ".m2ts", ".flv", ".ogv", ".asf", ".vob",
)  # fmt: skip
FRAME_SUFFIXES = (".jpg", ".jpeg")
PICTURE_SUFFIXES = (*FRAME_SUFFIXES, ".png", ".bmp", ".webp", ".tif", ".tiff", ".heic", ".avif")
WHAT_A_CLIP_IS = f"a clip is a video file ({' '.join(VIDEO_SUFFIXES)}) or a folder of .jpg frames without a video"


@dataclass(frozen=True, kw_only=True)
class ClipFile:
    """One labelled clip on disk."""

    id: str
    """Unique in the set: `100218`, or `train/Holding something/12.mp4`."""
    path: Path
    """A video file, or a folder of JPEG frames."""
    label: str
    group: str = ""
    """What clips of one recording have in common (UCF101's g01, a subject); clips of a group belong into one split."""
    window: tuple[int, int] | None = None
    """Of a clip that is part of a longer recording: its first frame, from 0, and its number of frames."""

    @property
    def recording(self) -> str:
        """What it shares with other clips of one recording: its group, of a part of a longer one without a group the
        file; empty where neither is known."""
        return self.group or (str(self.path) if self.window is not None else "")


@dataclass(frozen=True, kw_only=True)
class ClipSet:
    """The clips of a data set, by split."""

    format: str
    """The layout's name: `something-something-v1`, `class-folders`, ...; `m2a.data.annotations.FORMATS` has them."""
    root: Path
    labels: tuple[str, ...]
    """Position is the class index."""
    splits: Mapping[str, tuple[ClipFile, ...]]
    """`train` and `validation`, and `test` where it is labelled."""
    notes: tuple[str, ...] = ()
    """What a user should be told about how the set was read."""

    def split(self, name: str) -> tuple[ClipFile, ...]:
        """The clips of one split, or of `all` of them; a `DataError` names the splits there are."""
        if name == "all":
            return tuple(clip for members in self.splits.values() for clip in members)
        if name not in self.splits:
            raise DataError(f"{self.root} has no {name!r} split; choose one of: {', '.join(self.splits)}, all")
        return self.splits[name]


_FLOW = re.compile(r"(?:flow[_-]?(?:[xyuv][_-]?)?|[xy][_-])\d+\.|\d+_[xy]\.", re.IGNORECASE)


def is_frame(name: str) -> bool:
    """Whether a file of this name is taken for a frame of a clip: a JPEG, and no optical flow (`flow_x_00001.jpg`)."""
    return name.lower().endswith(FRAME_SUFFIXES) and not name.startswith(".") and not is_flow(name)


def is_flow(name: str) -> bool:
    """Whether a file of this name is taken for optical flow, as data sets for two-stream networks hold it."""
    return _FLOW.match(name) is not None


def is_clip(path: Path) -> bool:
    """Whether a path is a video file, by its suffix, or a folder that holds JPEG frames directly. A folder that holds
    videos is none: the JPEG beside them is a cover."""
    if is_hidden(path.name):
        return False
    if not path.is_dir():
        return _is_video(path.name)
    names = names_in(path)
    return any(map(is_frame, names)) and not any(map(_is_video, names))


def _is_video(name: str) -> bool:
    return name.lower().endswith(VIDEO_SUFFIXES) and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of the data's: `.cache`, or a disk's own `lost+found`."""
    return name.startswith(".") or name == "lost+found"


def names_in(folder: Path) -> list[str]:
    """The names in a folder, hidden ones too; a `DataError` where it cannot be read."""
    try:
        return os.listdir(folder)
    except OSError as error:
        what = f"the folder {folder} cannot be read ({error.strerror})"
        raise DataError(f"{what}; change who may read it, or move it away") from error


def find_clips(path: Path) -> list[Path]:
    """The clips at a path: itself, if it is a video file or a folder of JPEG frames; else those in the folder and in
    its subfolders, in natural order, hidden ones left out. Raises NotFoundError where there is nothing, DataError for a
    folder without any, or one that cannot be read.
    """
    if not path.exists():
        raise NotFoundError(f"There is no video {path}. Give a video file, a folder of .jpg frames, or one of videos.")
    if path.is_file() or is_clip(path):
        check_one_clip(path)
        return [path]
    found = _clips_below(path, frozenset({path.resolve()}))
    if not found:
        raise DataError(f"{path}: there is no clip in this folder; {WHAT_A_CLIP_IS}.")
    return found


def check_one_clip(path: Path) -> None:
    """Raises DataError for a picture, in which nothing moves, and for a folder of videos, of which no one is meant: the
    JPEG beside them is a cover."""
    if path.is_file() and path.name.lower().endswith(PICTURE_SUFFIXES):
        raise DataError(f"{path} is a picture, and motion takes a video. Give a video, or a folder of .jpg frames.")
    if path.is_dir() and (videos := sorted(filter(_is_video, names_in(path)), key=natural_key)):
        raise DataError(f"{path} is a folder of videos ({first_few(videos, 3)}), not a clip. Name one of them.")


def _clips_below(folder: Path, above: frozenset[Path]) -> list[Path]:
    """`above` are the folders that it is in, itself among them: a link to one of them leads to nothing new."""
    clips = []
    for child in (folder / name for name in sorted(names_in(folder), key=natural_key) if not is_hidden(name)):
        if is_clip(child):
            clips.append(child)
        elif child.is_dir() and (place := child.resolve()) not in above:
            clips += _clips_below(child, above | {place})
    return clips


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which `2.jpg` comes before `10.jpg`, and ties are settled by the text."""
    parts = re.split(r"([0-9]+)", name)
    return (*((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts), (0, 0, name))
