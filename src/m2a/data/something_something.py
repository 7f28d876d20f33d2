"""Something-Something V1 and Jester as they are distributed: a folder of frames per clip, and `;`-separated lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, NotFoundError
from .clipset import ClipFile, ClipSet
from .listing import read_lines, unknown_label, without_labels
from .reading import Reading, ReadOptions

SPLITS = ("train", "validation")  # the test list carries no labels


@dataclass(frozen=True, kw_only=True)
class FramesWithLists:
    """How one of these sets calls its things."""

    format: str
    frames_folder: str
    prefix: str

    def csv_path(self, folder: Path, name: str) -> Path:
        """Where the list of `labels`, `train` or `validation` clips lies."""
        return folder / f"{self.prefix}-{name}.csv"

    def find_home(self, root: Path) -> Path | None:
        """The folder with the lists: `root`, or its parent where `root` is the frames' folder; None where neither."""
        for folder in (root, root.absolute().parent) if root.name == self.frames_folder else (root,):
            if any(self.csv_path(folder, name).exists() for name in ("labels", *SPLITS)):
                return folder
        return None

    def detect(self, root: Path) -> str | None:
        """What was found of it."""
        if self.find_home(root):
            return f"{self.prefix}-*.csv"
        return self.frames_folder if (root / self.frames_folder).is_dir() else None

    def read(self, root: Path, options: ReadOptions) -> ClipSet:
        """Reads the lists and checks that every clip they name has a folder."""
        home = self.find_home(root) or root
        self._check_files(home)
        reading = Reading(format=self.format, root=home, options=options)
        labels = _read_labels(self.csv_path(home, "labels"))
        for split in SPLITS:
            self._read_split(split, labels, reading)
            reading.check_disk(self.csv_path(home, split), split)
        test = self.csv_path(home, "test")
        if test.is_file():
            count = sum(1 for _ in read_lines(test))
            reading.notes.append(without_labels(test, count))
        return reading.finish(tuple(labels))

    def _check_files(self, home: Path) -> None:
        for name in ("labels", *SPLITS):
            if not self.csv_path(home, name).is_file():
                raise NotFoundError(
                    f"{self.csv_path(home, name)} is missing: the {self.format} layout needs the labels, train and "
                    f"validation csv beside the folder {self.frames_folder}. Copy it there from the data set's "
                    "annotation download."
                )
        if not (home / self.frames_folder).is_dir():
            raise NotFoundError(
                f"{home / self.frames_folder} is missing: the {self.format} layout needs one folder of JPEG frames "
                f"per clip in it. Unpack the data set's archive in {home}."
            )

    def _read_split(self, split: str, labels: dict[str, int], reading: Reading) -> None:
        path, frames = self.csv_path(reading.root, split), reading.root / self.frames_folder
        for number, line in read_lines(path):
            where = f"{path}:{number}"
            clip_id, semicolon, label = (part.strip() for part in line.partition(";"))
            if not semicolon or not clip_id or not label:
                raise DataError(f"{where}: expected `id;label`, for example `100218;Holding something`; got {line!r}")
            if label not in labels:
                raise DataError(f"{where}: {unknown_label(label, labels, self.csv_path(path.parent, 'labels'))}")
            reading.add(split, ClipFile(id=clip_id, path=frames / clip_id, label=label), where)


V1 = FramesWithLists(
    format="something-something-v1",
    frames_folder="20bn-something-something-v1",
    prefix="something-something-v1",
)
JESTER = FramesWithLists(format="jester", frames_folder="20bn-jester-v1", prefix="jester-v1")


def _read_labels(path: Path) -> dict[str, int]:
    labels: dict[str, int] = {}
    for number, label in read_lines(path):
        if label in labels:
            raise DataError(f"{path}:{number}: the label {label!r} is there twice; each may appear once")
        labels[label] = len(labels)
    if len(labels) < 2:
        raise DataError(f"{path} holds {len(labels)} labels; at least 2 are needed, one a line")
    return labels
