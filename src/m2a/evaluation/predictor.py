"""What predicts: a model, or a file that one was exported to."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import torch

from m2a.errors import ConfigError
from m2a.export import ExportedClassifier, is_exported, load_exported
from m2a.models import VideoClassifier, load
from m2a.models.device import pick_device

Predictor: TypeAlias = VideoClassifier | ExportedClassifier


def load_predictor(path: str | Path, *, image_weights: str | Path | None = None) -> Predictor:
    """What is at `path`: a file of `m2a.export.export_model`, else what `m2a.load` reads.

    Raises what `m2a.export.load_exported` and `m2a.load` raise, and ConfigError for image weights beside a file.
    """
    if not is_exported(path):
        return load(str(path), image_weights=image_weights)
    if image_weights is not None:
        raise ConfigError(f"{path} has its image weights in it; leave image_weights (--image-weights) out.")
    return load_exported(path)


def device_for(model: Predictor, name: str | torch.device | None) -> torch.device:
    """Where it predicts: by default cuda where there is one, and a file on a processor. Raises ConfigError for a device
    that is not there, and of a file for another than that."""
    if not isinstance(model, ExportedClassifier):
        return pick_device(name)
    if name is not None and str(name).partition(":")[0] != "cpu":
        raise ConfigError(f"{_as_it_is(model)}; leave device={str(name)!r} (--device) out.")
    return torch.device("cpu")


def refuse_bf16_of_file(model: Predictor, bf16: bool) -> None:
    """Raises ConfigError for a file that is to compute in bfloat16."""
    if bf16 and isinstance(model, ExportedClassifier):
        raise ConfigError(f"{_as_it_is(model)}; leave bf16 (--bf16) out.")


def _as_it_is(model: ExportedClassifier) -> str:
    return f"{model.file} is run as it is, on a processor and in the precision that is in it"
