"""Where scores come out of a model: those of several views become one, and each is a finite number.

Shapes: B clips, V views of each, T frames, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from m2a.errors import DivergedError
from m2a.evaluation.predictor import Predictor
from m2a.export import ExportedClassifier, StreamFile
from m2a.models.device import kind_of_input


def clips_at_once(batch_size: int, num_views: int) -> int:
    """How many clips make up a batch of so many views; a size below 1 is left to what refuses it."""
    return max(1, batch_size // num_views) if batch_size > 0 else batch_size


def predict_views(
    model: Predictor, clips: UInt8[Tensor, "B *V T 3 S S"], names: Sequence[str], *, at_once: int = 16
) -> Float[Tensor, "B K"]:
    """Probabilities of decoded clips, on the processor; where there are several views of each, their mean. Of views,
    `at_once` go through the model together: 30 of each clip of a batch would take tens of gigabytes.

    Raises DivergedError where some are no numbers, with the first clip's name.
    """
    if clips.ndim == 5:
        said = model.predict_probabilities(clips)
    else:
        parts = [model.predict_probabilities(part) for part in clips.flatten(0, 1).split(at_once)]
        said = torch.cat(parts).unflatten(0, clips.shape[:2]).mean(1)
    return checked(said.cpu(), names, model)  # there: on a GPU looking would mean waiting for it once more


def checked(
    probabilities: Float[Tensor, "B K"], names: Sequence[str], model: Predictor | StreamFile
) -> Float[Tensor, "B K"]:
    """The same. Raises DivergedError where some are no numbers: the first of K would be taken for the likeliest."""
    fine = probabilities.isfinite().all(1)
    if fine.all():
        return probabilities
    first = names[fine.tolist().index(False)]
    raise DivergedError(f"The model's scores of {first} are nan or infinite, so they name no class. {_ways_out(model)}")


def _ways_out(model: Predictor | StreamFile) -> str:
    if isinstance(model, ExportedClassifier | StreamFile):
        return "Export the model anew, or predict with the model itself."
    tensors = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    lost = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if lost:
        return (
            f"Such numbers are in {len(lost)} of its {len(tensors)} weights, the first of them {lost[0]}. Take another "
            "checkpoint, or train the model again with a lower --lr."
        )
    device, dtype = kind_of_input(model)
    low = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else dtype
    return (
        f"Its weights are finite; what it computes from them, in {str(low).removeprefix('torch.')}, gets too large. "
        "Compute in float32 (model.float(), and no --bf16), or take another checkpoint."
    )
