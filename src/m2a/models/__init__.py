"""Whole models: create, save, load."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from m2a.errors import ConfigError
from m2a.models.backbones import list_torchvision as list_torchvision
from m2a.models.classifier import VideoClassifier as VideoClassifier
from m2a.models.classifier import default_preprocessing as default_preprocessing
from m2a.models.config import ModelConfig as ModelConfig
from m2a.models.create import create_model as create_model
from m2a.models.groups import parameter_groups as parameter_groups
from m2a.models.inference import for_inference as for_inference
from m2a.models.inflation import inflate as inflate
from m2a.models.inflation import is_inflated as is_inflated
from m2a.models.streaming import Stream as Stream
from m2a.models.weights import load_image_weights as load_image_weights
from m2a.models.weights import read_state_dict as read_state_dict

__all__ = [
    "ModelConfig",
    "Stream",
    "VideoClassifier",
    "create_model",
    "default_preprocessing",
    "for_inference",
    "inflate",
    "is_inflated",
    "list_torchvision",
    "load",
    "load_image_weights",
    "load_several",
    "parameter_groups",
    "read_state_dict",
]


def load(
    path_or_hub_name: str | Path, *, backbone: nn.Module | None = None, image_weights: str | Path | None = None
) -> VideoClassifier:
    """A saved `VideoClassifier`, labels and preprocessing included, in evaluation mode.

    Args:
        path_or_hub_name: a folder that `save_pretrained`, `save_adapter` or `m2a train` wrote, or a model on the
            Hugging Face hub.
        backbone: for a model around a network of your own: that network, built as it was for `create_model`. Changed in
            place; on an error it is as it was.
        image_weights: for an adapter: the image checkpoint it was trained beside, when it is not where it was.

    Raises:
        NotFoundError, WeightsUnavailableError, CheckpointError, ConfigError: see `m2a.models.saving.load`.
    """
    from m2a.models import saving

    return saving.load(str(path_or_hub_name), backbone=backbone, image_weights=image_weights)


def load_several(names: Sequence[str | Path], *, image_weights: str | Path | None = None) -> list[VideoClassifier]:
    """`load` of each; `image_weights` are for those that are adapters. Raises ConfigError where none is."""
    from m2a.models import saving

    adapters = [image_weights is not None and saving.is_adapter(str(name)) for name in names]
    if image_weights is not None and not any(adapters):
        raise ConfigError(
            f"image_weights are for adapters, and {', '.join(map(str, names))} {'is' if len(names) == 1 else 'are'} "
            "whole; leave them out."
        )
    return [load(name, image_weights=image_weights if one else None) for name, one in zip(names, adapters, strict=True)]
