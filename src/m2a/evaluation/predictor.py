"""What predicts: a model, or a file that one was exported to."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import torch

from m2a.errors import ConfigError
from m2a.export import ExportedClassifier, is_exported, load_exported
from m2a.models import VideoClassifier, load
from m2a.models.device import pick_device
from m2a.models.groups import classifier_in

Predictor: TypeAlias = VideoClassifier | ExportedClassifier


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
    if image_weights is not None:
        raise ConfigError(f"{path} has its image weights in it; leave image_weights (--image-weights) out.")
    _refuse_for_file(Path(path), device, bf16)
    return load_exported(path)


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


def _refuse_for_file(file: Path, device: str | torch.device | None, bf16: bool) -> None:
    elsewhere = device is not None and str(device).partition(":")[0] != "cpu"
    if elsewhere or bf16:
        option = f"device={str(device)!r} (--device)" if elsewhere else "bf16 (--bf16)"
        raise ConfigError(
            f"{file} is run as it is, on a processor and in the precision that is in it; leave {option} out."
        )


def labels_of(model: Predictor) -> tuple[str, ...]:
    """The names of its classes. Raises ConfigError for a model without, and for what is none."""
    if not isinstance(model, ExportedClassifier):
        classifier_in(model, "predicting")
    if model.labels is not None:
        return model.labels
    if isinstance(model, ExportedClassifier):
        raise ConfigError(f"{model.file} has no labels. Create the model with labels=, and export it again.")
    raise ConfigError("This model has no labels, so its outputs have no names. Create it with labels=.")
