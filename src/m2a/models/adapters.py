"""Training a mechanism beside an image network that stays as it is, and keeping only what was trained.

An adapter is `adapter.safetensors`, the mechanisms, the consensus and the linear layer, beside a `config.json` as of a
whole model with the image network's fingerprint in it: an adapter is only put onto the weights it was trained with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.constants import CONFIG_NAME
from torch import Tensor, nn

from m2a.errors import CheckpointError, ConfigError
from m2a.insertion.insert import belongs_to_mechanism, mechanisms_of
from m2a.models.weights import load_whole
from m2a.writing import put_all

if TYPE_CHECKING:
    from m2a.models.classifier import VideoClassifier

ADAPTER = "adapter.safetensors"


def freeze(model: VideoClassifier) -> None:
    """Takes the gradient from the backbone's own parameters, and puts its own modules into evaluation mode."""
    for parameter in _parameters_itself(model.backbone):
        parameter.requires_grad_(False)
    keep_still(model, model.training)


def _parameters_itself(backbone: nn.Module) -> list[nn.Parameter]:
    of_mechanism = belongs_to_mechanism(backbone)
    return [parameter for name, parameter in backbone.named_parameters() if not of_mechanism(name)]


def keep_still(model: VideoClassifier, mode: bool) -> None:
    """The backbone in evaluation mode, its mechanisms in `mode`."""
    model.backbone.eval()
    for _, mechanism in mechanisms_of(model.backbone):
        mechanism.train(mode)


def save(model: VideoClassifier, folder: Path) -> None:
    """See `VideoClassifier.save_adapter`."""
    from m2a.models import saving  # it imports this module

    if not model.backbone_frozen or any(parameter.requires_grad for parameter in _parameters_itself(model.backbone)):
        raise ConfigError(
            "The backbone of this model is not frozen, so an adapter alone would not give the model back. Make it with "
            "freeze_backbone=True, or save the whole model with save_pretrained."
        )
    saving.check_rebuilt(model)
    adapter = {"image_network": fingerprint(model.backbone)}
    config = saving.config_of({**saving.describe(model), "adapter": adapter})
    put_all({folder / ADAPTER: saving.tensors_of(adapter_state(model)), folder / CONFIG_NAME: config})


def load(model: VideoClassifier, content: Mapping[str, Any], state: Mapping[str, Tensor], source: Path) -> None:
    """Puts an adapter's tensors into a model on image weights, which are rounded to half precision where the adapter is
    of a model in it. Raises CheckpointError when those are not the ones it was trained with, or the tensors do not
    fit."""
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    if not _is_of(model.backbone, content["adapter"]["image_network"], dtype):
        raise CheckpointError(
            f"{source} was trained beside other image weights than these (by their SHA-256), and would be wrong here. "
            "Give the file it was trained with as image_weights=, on the command line --image-weights."
        )
    expected = adapter_state(model)
    missing = {key: value for key, value in model.state_dict().items() if key not in expected}
    load_whole(model, {**missing, **state}, source)


def adapter_state(model: VideoClassifier) -> dict[str, Tensor]:
    """The tensors of an adapter."""
    state, of_mechanism = model.state_dict(), belongs_to_mechanism(model)
    return {key: value for key, value in state.items() if not key.startswith("backbone.") or of_mechanism(key)}


def _is_of(backbone: nn.Module, expected: str, dtype: torch.dtype) -> bool:
    """Whether an image network has the fingerprint `expected`, as it is, or once its values are rounded to `dtype`, and
    rounds them then."""
    if fingerprint(backbone) == expected:
        return True
    if fingerprint(backbone, dtype) != expected:
        return False
    of_mechanism = belongs_to_mechanism(backbone)
    for name, tensor in backbone.state_dict().items():
        if tensor.is_floating_point() and not of_mechanism(name):
            tensor.copy_(tensor.to(dtype))
    return True


def fingerprint(backbone: nn.Module, dtype: torch.dtype | None = None) -> str:
    """SHA-256 of the image network's names, shapes and values, mechanisms and counters left out: wherever it lies and
    in whichever memory format; with `dtype`, as it were in that precision."""
    digest, of_mechanism = hashlib.sha256(), belongs_to_mechanism(backbone)
    for name, tensor in sorted(backbone.state_dict().items()):
        if of_mechanism(name) or name.endswith("num_batches_tracked"):  # older files have no counters
            continue
        tensor = tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
