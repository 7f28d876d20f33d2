"""From a folder to the labelled clips in it, whatever its layout."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigError, DataError, NotFoundError
from .class_folders import FORMAT as CLASS_FOLDERS
from .class_folders import read_class_folders
from .clipset import WHAT_A_CLIP_IS, first_few, is_clip
from .clipset import ClipFile as ClipFile
from .clipset import ClipSet as ClipSet
from .something_something import FORMAT as SOMETHING_SOMETHING
from .something_something import FRAMES_FOLDER, find_home, read_something_something

FORMATS = (SOMETHING_SOMETHING, CLASS_FOLDERS)
_LAYOUTS = f"""The layouts are:
  <class>/clip.mp4, <class>/<clip>/00001.jpg       folders are classes; a split.csv (path,label,split) may divide them
  train/<class>/clip.mp4, validation/<class>/...   the same, divided by folders; test/ may be there too
  {FRAMES_FOLDER}/<id>/00001.jpg   with {SOMETHING_SOMETHING}-labels.csv, -train.csv, -validation.csv"""


def read_clips(
    root: str | Path,
    *,
    format: str = "auto",  # noqa: A002 - the word users look for
    validation_fraction: float = 0.2,
    missing: str = "error",
) -> ClipSet:
    """The labelled clips under `root`.

    `format` is `something-something-v1`, `class-folders`, or `auto` to tell by what is there. `validation_fraction`
    of each class is held out where class folders come without a validation split; `ClipSet.notes` says so. `missing`
    is what to do about clips that a list names and the disk lacks: `error`, or `skip` them with a note.

    Raises `NotFoundError` where a folder or list is missing, and `DataError` where what is there cannot be used.
    """
    root = Path(root)
    _validate_choices(format, missing)
    if not root.exists():
        raise NotFoundError(f"{root} does not exist; give the folder that holds the data set")
    if not root.is_dir():
        raise DataError(f"{root} is a file; give the folder that holds the data set")
    chosen = _detect(root) if format == "auto" else format
    if chosen == SOMETHING_SOMETHING:
        return read_something_something(root, missing=missing)
    return read_class_folders(root, validation_fraction=validation_fraction, missing=missing)


def _detect(root: Path) -> str:
    if find_home(root) or (root / FRAMES_FOLDER).is_dir():
        return SOMETHING_SOMETHING
    if (root / "split.csv").is_file():
        return CLASS_FOLDERS
    children = sorted(child for child in root.iterdir() if not child.name.startswith("."))
    if not children:
        raise DataError(f"{root} is empty; there is no clip in it.\n{_LAYOUTS}")
    loose = [child.name for child in children if child.is_file() and is_clip(child)]
    folders = [child for child in children if child.is_dir()]
    if loose or any(is_clip(path) for folder in folders for path in _two_levels(folder)):
        return CLASS_FOLDERS
    raise DataError(
        f"{root} has no layout known here. Looked for {SOMETHING_SOMETHING}-*.csv, split.csv and clips in class "
        f"folders ({WHAT_A_CLIP_IS}); found {first_few([child.name for child in children])}.\n{_LAYOUTS}"
    )


def _two_levels(folder: Path) -> list[Path]:
    """What lies in a folder and in its subfolders: a class's clips, or a split's."""
    near = [child for child in folder.iterdir() if not child.name.startswith(".")]
    return [*near, *(grandchild for child in near if child.is_dir() for grandchild in child.iterdir())]


def _validate_choices(layout: str, missing: str) -> None:
    if layout not in ("auto", *FORMATS):
        raise ConfigError(f"format={layout!r} is not one of: auto, {', '.join(FORMATS)}")
    if missing not in ("error", "skip"):
        raise ConfigError(f"missing={missing!r} is not one of: error, skip")
