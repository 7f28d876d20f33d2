"""What predicts: a model, or a file that one was exported to."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import torch

from m2a.errors import ConfigError
from m2a.export import ExportedClassifier, StreamFile, is_exported, load_exported, load_stream
from m2a.models import Stream, VideoClassifier, load
from m2a.models.device import pick_device
from m2a.models.groups import classifier_in

Predictor: TypeAlias = VideoClassifier | ExportedClassifier
Streamer: TypeAlias = VideoClassifier | StreamFile
"""What answers a stream: a model that looks back alone, or a file that one step of it was exported to."""


def load_predictor(
    path: str | Path,
    *,
    image_weights: str | Path | None = None,
    device: str | torch.device | None = None,
    bf16: bool = False,
) -> Predictor:
    """What is at `path`, on its device: a file of `m2a.export.export_model`, else what `m2a.load` reads.

    Raises what `m2a.export.load_exported` and `m2a.load` raise, ConfigError for a device that is not there, and for
    what a file does not have: image weights, another device than a processor, bfloat16.
    """
    if not is_exported(path):
        place = pick_device(device)  # raises before anything is read
        return load(str(path), image_weights=image_weights).to(place)
    _refuse_for_file(Path(path), device, bf16, image_weights)
    return load_exported(path)


def load_streamer(
    path: str | Path, *, image_weights: str | Path | None = None, device: str | torch.device | None = None
) -> Streamer:
    """The same of what answers a stream: a file of `m2a.export.export_stream`, else what `m2a.load` reads."""
    if not is_exported(path):
        model = load_predictor(path, image_weights=image_weights, device=device)
        assert isinstance(model, VideoClassifier)
        return model
    _refuse_for_file(Path(path), device, False, image_weights)
    return load_stream(path)


def stream_of(model: Streamer | ExportedClassifier) -> Stream | StreamFile:
    """One stream of what answers them, at its beginning. Raises ConfigError for what cannot answer one, and for a file
    of several side by side."""
    if isinstance(model, ExportedClassifier):
        raise ConfigError(f"{model.file} takes clips, and a stream gives frames. Export the model with --stream.")
    if not isinstance(model, StreamFile):
        return Stream(model)
    if model.num_streams != 1:
        raise ConfigError(
            f"{model.file} answers {model.num_streams} streams side by side, and there is one. Export the model with "
            "--stream and without --batch-size."
        )
    model.reset()
    return model


def device_for(model: Predictor, name: str | torch.device | None, *, bf16: bool = False) -> torch.device:
    """Where it predicts: by default cuda where there is one, and a file on a processor. Raises ConfigError for a device
    that is not there, and of a file for another than that and for bfloat16."""
    if not isinstance(model, ExportedClassifier):
        return pick_device(name)
    _refuse_for_file(model.file, name, bf16)
    return torch.device("cpu")


def refuse_bf16_of_file(model: Predictor, bf16: bool) -> None:
    """Raises ConfigError for a file that is to compute in bfloat16."""
    if isinstance(model, ExportedClassifier):
        _refuse_for_file(model.file, None, bf16)


def _refuse_for_file(
    file: Path, device: str | torch.device | None, bf16: bool, image_weights: str | Path | None = None
) -> None:
    if image_weights is not None:
        raise ConfigError(f"{file} has its image weights in it; leave image_weights (--image-weights) out.")
    elsewhere = device is not None and str(device).partition(":")[0] != "cpu"
    if elsewhere or bf16:
        option = f"device={str(device)!r} (--device)" if elsewhere else "bf16 (--bf16)"
        raise ConfigError(
            f"{file} is run as it is, on a processor and in the precision that is in it; leave {option} out."
        )


def labels_of(model: Predictor | StreamFile) -> tuple[str, ...]:
    """The names of its classes. Raises ConfigError for a model without, and for what is none."""
    if not isinstance(model, ExportedClassifier | StreamFile):
        classifier_in(model, "predicting")
    if model.labels is not None:
        return model.labels
    if isinstance(model, ExportedClassifier | StreamFile):
        raise ConfigError(f"{model.file} has no labels. Create the model with labels=, and export it again.")
    raise ConfigError("This model has no labels, so its outputs have no names. Create it with labels=.")
