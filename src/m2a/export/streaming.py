"""A classifier of streams as one file. It is one step: from a frame and the memory of those before it to probabilities
and the memory for the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.export import ExportedProgram

from m2a.data.preprocessing import Preprocessing
from m2a.errors import ConfigError, ExportError, first_line
from m2a.export.export import channels_first, check_exportable, check_labels, check_same, is_exact, metadata, noise
from m2a.export.formats import OUTPUT, STREAM, Format, Ports
from m2a.models import Stream, VideoClassifier
from m2a.models.consensus import AverageConsensus
from m2a.models.device import kind_of_input
from m2a.models.groups import classifier_in
from m2a.models.inference import copied
from m2a.models.streaming import StreamNetwork
from m2a.writing import replacing

FRAMES, MEMORY = "frames", "memory"
_MORE_THAN_A_CLIP = 2  # frames of the check, besides those of a clip


@dataclass(frozen=True, kw_only=True)
class ExportedStream:
    """What was written, and how near it is to the model."""

    file: Path
    size: int
    """Bytes."""
    frames: tuple[int, ...]
    """Shape of `frames`, uint8 (B, C, H, W)."""
    memory: dict[str, tuple[int, ...]]
    """Shapes of what a step takes from the one before, by name, float32, in order. Zeros begin a stream."""
    num_classes: int
    checked_with: str
    """What ran the file, and its version."""
    max_difference: float
    """Of the file's probabilities and those of `m2a.models.Stream`, on a stream of noise longer than a clip."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"file": str(self.file)}


def export_stream(model: VideoClassifier, file: str | Path, *, batch_size: int = 1) -> ExportedStream:
    """Writes one step of `m2a.models.Stream` to a file that runs without this library, and checks it.

    What it takes is `frames`, uint8 (B, C, H, W) from 0 to 255, the next frame of each of B streams as decoded and
    cropped, and what the step before gave: `memory_0`, `memory_1`, ..., float32, zeros for the first frame of a stream.
    What it gives is `probabilities`, float32 (B, K), and `next_memory_0`, ..., in the same order. The first axis of all
    is B: zeros in one row of each memory begin that stream anew. Labels and the shapes of the memory are in the
    metadata, as in files of `export_model`.

    Args:
        model: stays as it is; see `m2a.models.Stream` for which will do.
        file: its suffix says what is written, as for `export_model`. One of that name is replaced when the new one is
            whole and does the same.
        batch_size: B, which is fixed.

    Raises:
        ConfigError: as `export_model` and `m2a.models.Stream` do, and a model whose consensus over frames is not the
            mean.
        ExportError: as `export_model`.
    """
    file = Path(file)
    form = check_exportable(file, batch_size=batch_size)
    model = classifier_in(model, "export_stream")
    device, _ = kind_of_input(model)
    with torch.autocast("cpu", enabled=False), torch.autocast(device.type, enabled=False):
        return _export(model, file, form, batch_size)


def _export(model: VideoClassifier, file: Path, form: Format, batch_size: int) -> ExportedStream:
    how = model.preprocessing
    stream = noise((how.num_frames + _MORE_THAN_A_CLIP, batch_size, len(how.mean), how.size, how.size))
    step = Stream(model)
    expected = [step.step(frames).cpu() for frames in stream]
    num_classes = expected[0].shape[1]
    check_labels(model, num_classes)
    _check_fits_a_file(model)
    net = _Step(StreamNetwork(copied(model).cpu().float()), how).eval()
    channels_first(net)
    memory = net.first_memory(stream[0], num_classes)
    names = [f"{MEMORY}_{i}" for i in range(len(memory))]
    program = _program(net, (stream[0], *memory))
    shapes = {name: tuple(tensor.shape) for name, tensor in zip(names, memory, strict=True)}
    with replacing(file) as (part,):
        about = metadata(model, _about(stream.shape[1:], num_classes, len(names)))
        about |= {"kind": STREAM, MEMORY: [{"name": name, "shape": list(shape)} for name, shape in shapes.items()]}
        ports = Ports(inputs=(FRAMES, *names), outputs=(OUTPUT, *(f"next_{name}" for name in names)))
        form.write(program, part, about, ports)
        largest = check_same(form, lambda: _run(form, part, stream, memory), expected, exact=is_exact(model))
    return ExportedStream(
        file=file,
        size=file.stat().st_size,
        frames=tuple(stream.shape[1:]),
        memory=shapes,
        num_classes=num_classes,
        checked_with=form.runner,
        max_difference=largest,
    )


class _Step(nn.Module):
    """A step as a network. In front of what its network keeps, its memory has the scores of the last T frames,
    (B, T, K)."""

    def __init__(self, network: StreamNetwork, preprocessing: Preprocessing):
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing

    def forward(
        self, frames: UInt8[Tensor, "B C H W"], last_BTK: Tensor, *memory: Tensor
    ) -> tuple[Float[Tensor, "B K"] | Tensor, ...]:
        scores_BK, _, count_B, *kept = self.network(self.preprocessing.normalize(frames), *memory)
        last_BTK = torch.cat([last_BTK[:, 1:], scores_BK[:, None]], dim=1)
        probabilities_BK = (last_BTK.sum(1) / count_B[:, None]).softmax(-1)
        return probabilities_BK, last_BTK, count_B, *kept

    @torch.no_grad()
    def first_memory(self, frames: Tensor, num_classes: int) -> list[Tensor]:
        """Zeros."""
        _, _, *kept = self.network(self.preprocessing.normalize(frames))
        last_BTK = torch.zeros(len(frames), self.preprocessing.num_frames, num_classes)
        return [last_BTK, *(torch.zeros(tensor.shape) for tensor in kept)]


def _check_fits_a_file(model: VideoClassifier) -> None:
    """Raises ConfigError for what `Stream` can do and a step alone cannot."""
    if type(model.consensus) is not AverageConsensus:
        raise ConfigError(
            "A stream in a file answers with the mean of the last frames' scores, and the consensus of this model is "
            "another. Train with consensus='avg', or take m2a.Stream in Python."
        )


def _program(net: _Step, example: tuple[Tensor, ...]) -> ExportedProgram:
    try:
        return torch.export.export(net, example)
    except Exception as error:  # what torch.export raises is of many kinds
        raise ExportError(f"torch.export cannot make a program of this network: {first_line(error)}.") from error


def _run(form: Format, file: Path, stream: Tensor, memory: Sequence[Tensor]) -> list[Tensor]:
    step, found = form.read(file).run, []
    for frames in stream:
        probabilities, *memory = step([frames, *memory])
        found.append(probabilities)
    return found


def _about(shape: Sequence[int], num_classes: int, memories: int) -> str:
    colours = ", RGB" if shape[1] == 3 else ""
    return (
        f"Written by m2a: one step of a stream. {FRAMES}: uint8 ({', '.join(map(str, shape))}){colours}, 0 to 255, "
        f"stream x channel x height x width, not normalised: the next frame of each stream. {MEMORY}_0 ... "
        f"{MEMORY}_{memories - 1}: float32, what the step before gave as next_{MEMORY}_0 ...; zeros for the first "
        f"frame of a stream. {OUTPUT}: float32 ({shape[0]}, {num_classes})."
    )
