"""From a classifier to one file: made, written, run, and compared with the classifier before it gets its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from m2a.errors import ConfigError, ExportError, first_line
from m2a.export.formats import FORMATS, INPUT, METADATA_FORMAT, OUTPUT, Format, Ports
from m2a.models import VideoClassifier, for_inference
from m2a.models.device import kind_of_input
from m2a.models.groups import classifier_in
from m2a.models.inference import copied
from m2a.models.live import live_config
from m2a.models.modes import evaluating
from m2a.writing import replacing

_FAINT = 1e-6
_AGREES, _AGREES_ROUGHLY = 0.01, 0.2  # of the logarithm of a probability; the second of models of 16 bits


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written, and how near it is to the model."""

    file: Path
    size: int
    """Bytes."""
    clips: tuple[int | None, ...]
    """Shape of the input, uint8 (B, T, C, H, W); None is any number."""
    num_classes: int
    checked_with: str
    """What ran the file, and its version."""
    max_difference: float
    """Of the file's probabilities and the model's, on clips of noise."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"file": str(self.file)}


def export_model(model: VideoClassifier, file: str | Path, *, batch_size: int | None = None) -> Exported:
    """Writes a model to one file that runs without this library, with its labels in it, and checks that it does the
    same.

    What the file takes is what a decoder and a crop give, `clips`, uint8 (B, T, C, H, W) from 0 to 255, for which the
    normalisation is in the file; what it gives is `probabilities`, float32 (B, K). How clips are sampled and cropped,
    and the names of the classes, are in its metadata: JSON, in ONNX under the key `m2a`, in a program of torch.export
    in the extra file `m2a.json`. Batch norms are part of the convolutions (`m2a.models.for_inference`).

    Args:
        model: stays as it is, wherever it is; the file is made on a processor.
        file: its suffix says what is written: `.onnx` (needs the extra `m2a[onnx]`), or `.pt2`, which
            `torch.export.load` reads. A file of that name is replaced when the new one is whole and does the same.
        batch_size: clips that are given to it at once; without it, any number.

    Raises:
        ConfigError: another suffix, a folder, a batch size below 1, a package that is missing, or it is no
            VideoClassifier.
        ExportError: torch cannot make a program of the network, the file cannot hold it, or what it gives is not what
            the model gives.
    """
    file = Path(file)
    form = check_exportable(file, batch_size=batch_size)
    classifier_in(model, "export_model")
    device, _ = kind_of_input(model)
    with torch.autocast("cpu", enabled=False), torch.autocast(device.type, enabled=False):
        return _export(model, file, form, batch_size)


def check_exportable(file: Path, *, batch_size: int | None = None) -> Format:
    """What `file`'s suffix stands for. Raises ConfigError as `export_model` does, before there is a model."""
    if file.suffix.lower() not in FORMATS:
        raise ConfigError(f"The file's suffix says what is written: {' or '.join(FORMATS)}; got {str(file)!r}.")
    if file.is_dir():
        raise ConfigError(f"{file} is a folder; name a file to write.")
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1; got {batch_size}. Leave it out for any number.")
    form = FORMATS[file.suffix.lower()]
    form.check_installed()
    return form


def _export(model: VideoClassifier, file: Path, form: Format, batch_size: int | None) -> Exported:
    shape = (model.num_frames, len(model.preprocessing.mean), model.preprocessing.size, model.preprocessing.size)
    sizes = [2, 3] if batch_size is None else [batch_size]  # 1 and 0 are special to torch.export
    clips = [noise((size, *shape)) for size in sizes]
    with evaluating(model):
        expected = [model.predict_probabilities(pixels).cpu() for pixels in clips]
    num_classes = expected[0].shape[1]  # a head that was put there may not say
    check_labels(model, num_classes)
    program = _program(model, clips[0], any_batch=batch_size is None)
    with replacing(file) as (part,):
        about = metadata(model, _about((batch_size, *shape), num_classes))
        form.write(program, part, about, Ports(any_batch=batch_size is None))
        largest = check_same(form, lambda: _run(form, part, clips), expected, exact=is_exact(model))
    return Exported(
        file=file,
        size=file.stat().st_size,
        clips=(batch_size, *shape),
        num_classes=num_classes,
        checked_with=form.runner,
        max_difference=largest,
    )


class _Pixels(nn.Module):
    """`predict_probabilities`, of a model that takes 32 bits on a processor, as a network."""

    def __init__(self, model: VideoClassifier):
        super().__init__()
        self.model = model
        self.preprocessing = model.preprocessing

    def forward(self, clips: UInt8[Tensor, "B T C H W"]) -> Float[Tensor, "B K"]:
        return self.model(self.preprocessing.normalize(clips)).softmax(-1)


def is_exact(model: VideoClassifier) -> bool:
    """Whether it computes in 32 bits or more."""
    return kind_of_input(model)[1] in (torch.float32, torch.float64)


def _program(model: VideoClassifier, clips: Tensor, *, any_batch: bool) -> ExportedProgram:
    net = _Pixels(for_inference(copied(model).cpu().float())).eval().requires_grad_(False)  # not folded in 16 bits
    channels_first(net)
    shapes = ({0: Dim("batch", min=1)},) if any_batch else None
    try:
        return torch.export.export(net, (clips,), dynamic_shapes=shapes)
    except Exception as error:  # what torch.export raises is of many kinds
        fixed = " It may do for a fixed number of clips: batch_size=1 (--batch-size 1)." if any_batch else ""
        raise ExportError(f"torch.export cannot make a program of this network: {first_line(error)}.{fixed}") from error


def channels_first(net: nn.Module) -> None:
    """Lays weights out so; `for_inference` has them channels last, which is for running here."""
    for parameter in net.parameters():
        parameter.data = parameter.data.contiguous()


def check_labels(model: VideoClassifier, num_classes: int) -> None:
    """Raises ConfigError where there are not as many labels as scores."""
    if model.labels is not None and len(model.labels) != num_classes:
        raise ConfigError(
            f"model.labels has {len(model.labels)} names and the model gives {num_classes} scores. Set model.labels to "
            "as many names, or to None."
        )


def noise(shape: Sequence[int]) -> Tensor:
    """Pixels."""
    return torch.randint(0, 256, tuple(shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _about(shape: Sequence[int | None], num_classes: int) -> str:
    batch = "any number" if shape[0] is None else str(shape[0])
    kind = f"uint8 ({', '.join([batch, *map(str, shape[1:])])})"
    colours = ", RGB" if shape[2] == 3 else ""
    return (
        f"Written by m2a. {INPUT}: {kind}{colours}, 0 to 255, batch x time x channel x height x width, not "
        f"normalised. {OUTPUT}: float32 ({batch}, {num_classes})."
    )


def metadata(model: VideoClassifier, about: str) -> dict[str, Any]:
    """What one must know to use the file. The normalisation is not in it: it is in the network."""
    how = model.preprocessing
    return {
        "format": METADATA_FORMAT,
        "about": about,
        "library": f"m2a {version('m2a')}",
        "model": _made_of(model),
        "class_names": list(model.labels) if model.labels is not None else None,
        "clips": {
            "num_frames": how.num_frames,
            "sampling": how.sampling,
            "stride": how.stride,
            "short_side": how.short_side,
            "size": how.size,
            "interpolation": how.interpolation,
            "scales": list(how.scales),
        },
    }


def _made_of(model: VideoClassifier) -> dict[str, Any] | None:
    try:
        config = live_config(model)
    except ConfigError:  # put together by hand
        return None
    return {"backbone": config.backbone, "inflate": config.inflate, "mechanism": config.mechanism}


def _run(form: Format, file: Path, clips: Sequence[Tensor]) -> list[Tensor]:
    run = form.read(file).run
    return [run([pixels])[0] for pixels in clips]


@torch.no_grad()
def check_same(form: Format, run: Callable[[], Sequence[Tensor]], expected: Sequence[Tensor], *, exact: bool) -> float:
    """How far the probabilities that a file gives are off at most. Raises ExportError where that is not rounding, and
    where nothing runs the file."""
    try:
        found = run()
    except Exception as error:  # onnxruntime's own, of many kinds
        raise ExportError(
            f"{form.runner} does not run what was written: {first_line(error)}. It was not kept."
        ) from error
    ours, theirs = torch.cat(list(found)), torch.cat(list(expected))
    off = float(((ours + _FAINT).log() - (theirs + _FAINT).log()).abs().max())  # nan where there is one
    largest = float((ours - theirs).abs().max())
    if not off <= (_AGREES if exact else _AGREES_ROUGHLY):
        raise ExportError(
            f"What {form.runner} makes of the file is not what the model gives: probabilities are off by up to "
            f"{largest:.2g}. It was not kept."
        )
    return largest
