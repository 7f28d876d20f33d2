"""Whole models: create, save, load."""

from pathlib import Path

from m2a.models.classifier import VideoClassifier as VideoClassifier
from m2a.models.classifier import default_preprocessing as default_preprocessing
from m2a.models.config import ModelConfig as ModelConfig
from m2a.models.create import create_model as create_model
from m2a.models.inflation import inflate as inflate
from m2a.models.inflation import is_inflated as is_inflated
from m2a.models.weights import load_image_weights as load_image_weights
from m2a.models.weights import read_state_dict as read_state_dict

__all__ = [
    "ModelConfig",
    "VideoClassifier",
    "create_model",
    "default_preprocessing",
    "inflate",
    "is_inflated",
    "load",
    "load_image_weights",
    "read_state_dict",
]


def load(path_or_hub_name: str | Path) -> VideoClassifier:
    """A saved `VideoClassifier`, labels and preprocessing included, in evaluation mode.

    Args:
        path_or_hub_name: a folder that `save_pretrained` or `m2a train` wrote, or a model on the Hugging Face hub.

    Raises:
        NotFoundError, WeightsUnavailableError, CheckpointError: see `m2a.models.saving.load`.
    """
    from m2a.models import saving

    return saving.load(str(path_or_hub_name), VideoClassifier)
