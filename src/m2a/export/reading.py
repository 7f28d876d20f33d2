"""A file that `export_model` or `export_stream` wrote, run as it is where a model would predict."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from m2a.data.preprocessing import Preprocessing
from m2a.errors import CheckpointError, ClipShapeError, ConfigError, NotFoundError, first_line
from m2a.export.formats import FORMATS, METADATA_FORMAT, STREAM, Program
from m2a.models.streaming import begun_anew


class ExportedClassifier(nn.Module):
    """Takes a `VideoClassifier`'s place in `m2a.evaluation`: the file is run as it is, on a processor, in the precision
    that is in it. It has no weights to change and cannot be trained. `load_exported` makes it."""

    def __init__(self, file: Path, program: Program, metadata: Mapping[str, Any]):
        super().__init__()
        self.file = file
        self.made_of: Mapping[str, Any] = metadata["model"] or {}
        """Its `backbone`, whether that is inflated (`inflate`), and its `mechanism`; empty of one made by hand."""
        self.labels = None if metadata["class_names"] is None else tuple(metadata["class_names"])
        self.run_by = FORMATS[file.suffix.lower()].runner
        """Who runs the file, and its version."""
        self._run = program.run
        self._batch, *self._clip = program.takes
        self.preprocessing = _preprocessing(metadata["clips"], channels=self._clip[1] or 3)

    @property
    def num_frames(self) -> int:
        """T, which is fixed."""
        return self.preprocessing.num_frames

    def forward(self, clips_uint8_BTCHW: UInt8[Tensor, "B T C H W"]) -> Float[Tensor, "B K"]:
        return self.predict_probabilities(clips_uint8_BTCHW)

    @torch.no_grad()
    def predict_probabilities(self, clips_uint8_BTCHW: UInt8[Tensor, "B T C H W"]) -> Float[Tensor, "B K"]:
        """Probabilities of decoded clips, cropped by `preprocessing` but not normalised. A file of a fixed number of
        clips is run as often as it takes, the last time with the last clip repeated.

        Raises ClipShapeError for clips of another size or type than the file's, and where there are none.
        """
        clips = clips_uint8_BTCHW.cpu()
        if clips.ndim != 5 or not _agree(self._clip, clips.shape[1:]) or clips.dtype != torch.uint8 or not len(clips):
            raise ClipShapeError(
                f"{self.file} takes clips uint8 (B, {', '.join(map(str, self._clip))}), one or more; got "
                f"{str(clips.dtype).removeprefix('torch.')} {tuple(clips.shape)}. The number of frames and the size "
                "are fixed in an exported file."
            )
        if self._batch is None:
            return self._run([clips])[0].float()
        missing = -len(clips) % self._batch
        filled = torch.cat([clips, clips[-1:].expand(missing, *clips.shape[1:])])
        return torch.cat([self._run([part])[0] for part in filled.split(self._batch)])[: len(clips)].float()


def is_exported(path: str | Path) -> bool:
    """Whether a path is that of a file which `load_exported` would read, by its suffix, whether or not it is there."""
    path = Path(path)
    return path.suffix.lower() in FORMATS and not path.is_dir()


class StreamFile:
    """Takes the place of a `m2a.models.Stream`: one step of a stream, run as it is in the file, on a processor.
    `load_stream` makes it."""

    def __init__(self, file: Path, program: Program, metadata: Mapping[str, Any]):
        self.file = file
        self.labels = None if metadata["class_names"] is None else tuple(metadata["class_names"])
        self.run_by = FORMATS[file.suffix.lower()].runner
        """Who runs the file, and its version."""
        self._memory_shapes = [tuple(map(int, one["shape"])) for one in metadata["memory"]]
        self.num_streams = self._memory_shapes[0][0]
        """B, which is fixed."""
        self.preprocessing = _preprocessing(metadata["clips"], channels=3)
        self.num_frames = self.preprocessing.num_frames
        """T: how many of the last frames an answer is the mean of."""
        self._step = program.run
        self.reset()

    def reset(self, streams: Sequence[int] | None = None) -> None:
        """Begins anew: the next frame is the first of a stream.

        Args:
            streams: which of those side by side, from 0; the others go on. None: all.

        Raises ConfigError for a stream that is not there.
        """
        if streams is None:
            self._memory = [torch.zeros(shape) for shape in self._memory_shapes]
        else:
            self._memory = begun_anew(self._memory, streams)

    @torch.no_grad()
    def step(self, frames_uint8_BCHW: UInt8[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Probabilities after the next frame of each of B streams, decoded and cropped by `preprocessing`.

        Raises ClipShapeError for frames of another size, number or type than the file's.
        """
        frames, size = frames_uint8_BCHW.cpu(), self.preprocessing.size
        if frames.dtype != torch.uint8 or tuple(frames.shape) != (self.num_streams, 3, size, size):
            raise ClipShapeError(
                f"{self.file} takes a frame of each stream, uint8 {(self.num_streams, 3, size, size)}; got "
                f"{str(frames.dtype).removeprefix('torch.')} {tuple(frames.shape)}."
            )
        probabilities, *self._memory = self._step([frames.contiguous(), *self._memory])
        return probabilities


def load_exported(file: str | Path) -> ExportedClassifier:
    """Opens a file that `export_model` wrote, or one that another program made of it and that has kept its metadata,
    such as an ONNX file that was quantised.

    Open a `.pt2` file of a stranger no more than you would run a program of theirs: `torch.export.load` is not made for
    such files. Pickles in it that hold anything but tensors are refused, which is not all that one could do.

    Raises:
        NotFoundError: there is none.
        ConfigError: its suffix is neither `.onnx` nor `.pt2`, or a package that runs it is missing.
        CheckpointError: it is damaged, of a newer version, or has not the metadata that `export_model` writes.
        PermissionError: it may not be read.
    """
    file = Path(file)
    program, metadata = _read(file)
    if metadata.get("kind") == STREAM:
        raise CheckpointError(
            f"{file} is one step of a stream (m2a export --stream): it takes a frame and a memory, not clips. Give it "
            "to m2a predict --stream or m2a watch --stream, or export the model without --stream."
        )
    with _naming_damage(file):
        _check_fit(program, metadata)
        return ExportedClassifier(file, program, metadata)


def load_stream(file: str | Path) -> StreamFile:
    """Opens a file that `export_stream` wrote. For what is said of strangers' files, and what it raises, see
    `load_exported`; a file that takes clips is a CheckpointError."""
    file = Path(file)
    program, metadata = _read(file)
    if metadata.get("kind") != STREAM:
        raise CheckpointError(
            f"{file} takes clips, and a stream gives frames. Export the model with --stream, or leave --stream out."
        )
    with _naming_damage(file):
        return StreamFile(file, program, metadata)


def _read(file: Path) -> tuple[Program, dict[str, Any]]:
    """What is in a file, whatever it takes, and its metadata."""
    if file.suffix.lower() not in FORMATS:
        raise ConfigError(f"Exported files are called {' or '.join(f'NAME{kind}' for kind in FORMATS)}; got {file}.")
    if not file.is_file():
        raise NotFoundError(f"There is no file {file}. m2a export RUN --out {file} would write it.")
    form = FORMATS[file.suffix.lower()]
    form.check_installed(to_run=True)
    with file.open("rb"):  # else they say of a file that may not be read that it is damaged
        pass
    try:
        program = form.read(file)
    except Exception as error:  # of many kinds
        raise CheckpointError(f"{file} cannot be read by {form.runner}: {first_line(error)}.") from error
    if program.metadata is None:
        raise CheckpointError(
            f"{file} does not say what its classes are called and how clips become its input, as files of m2a export "
            "do. Export the model with m2a, or keep the metadata when a file is made of another."
        )
    with _naming_damage(file):
        metadata = json.loads(program.metadata)
        written = metadata.get("format", METADATA_FORMAT)
    if isinstance(written, int) and written > METADATA_FORMAT:
        raise CheckpointError(
            f"{file} was written by a newer m2a ({metadata.get('library')}): its metadata are of format {written}, "
            f"and this version reads up to {METADATA_FORMAT}. Update m2a, or export the model with this one."
        )
    return program, metadata


@contextmanager
def _naming_damage(file: Path) -> Iterator[None]:
    """Raises CheckpointError for what damaged metadata raise."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{file}: its metadata are damaged ({type(error).__name__}: {error}).") from error


def _check_fit(program: Program, metadata: Mapping[str, Any]) -> None:
    """Raises ValueError where the metadata are not of this program, and what damaged ones raise."""
    names, made_of, how = metadata["class_names"], metadata["model"], metadata["clips"]
    if not (names is None or isinstance(names, list)) or not (made_of is None or isinstance(made_of, dict)):
        raise TypeError("class_names are no list, or the model is no object")
    fixed = (None, how["num_frames"], None, how["size"], how["size"])
    if not _agree(program.takes, fixed):
        raise ValueError(f"they say clips {_told(fixed)}, but it takes {_told(program.takes)}")
    if names is not None and program.gives and not _agree(program.gives, (None, len(names))):
        raise ValueError(f"they name {len(names)} classes, but it gives {_told(program.gives)}")


def _agree(sizes: Sequence[int | None], others: Sequence[int | None]) -> bool:
    """Whether shapes are the same where both are fixed."""
    return len(sizes) == len(others) and all(
        None in pair or pair[0] == pair[1] for pair in zip(sizes, others, strict=True)
    )


def _told(sizes: Sequence[int | None]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in sizes)})" if sizes else "something else"


def _preprocessing(clips: Mapping[str, Any], *, channels: int) -> Preprocessing:
    """Without a normalisation, which is in the file."""
    how = dict(clips)
    return Preprocessing(resize=how.pop("short_side"), mean=(0.0,) * channels, std=(1.0,) * channels, **how)
