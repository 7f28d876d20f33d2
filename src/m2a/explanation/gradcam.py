"""Grad-CAM of a clip (Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", 2017, section 3), by captum.

    w_tc    = mean over h, w of d score / d A_tchw
    heat_t  = relu(sum_c w_tc A_tc)

A are the maps that a layer gives, score is the clip's score of a class before the softmax, after the consensus over
frames. Each frame has weights of its own. Pooling the gradient over time too (one w_c for the clip, as in 3D networks)
would be another reading of the paper, which says no more than "Grad-CAM at the second stage". With weights of its own
each frame of a network without a mechanism gets the heat that image Grad-CAM gives it; with a mechanism, a frame whose
motion speaks for the class and one whose motion speaks against it do not cancel.

Shapes: N = T frames of one clip, S frames that are left at the layer, C channels, h, w of the maps, H, W of the frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from m2a.errors import ConfigError
from m2a.explanation.stages import Stage


class Tap(nn.Identity):
    """Stands behind a layer while it is looked at: everything the layer gives goes through it as maps of frames,
    (S, C, h, w), whatever their layout in the network."""

    def __init__(self, stage: Stage):
        super().__init__()
        self.stage = stage
        self.maps: Tensor | None = None

    def hook(self, layer: nn.Module, args: Any, output: Any) -> Any:
        """A forward hook of the layer. Of several outputs the first is taken, of several passes the first."""
        if self.maps is not None:
            return None
        features: Tensor = output if isinstance(output, Tensor) else output[0]
        clips = self.stage.layout.clips(features, self.stage.num_frames, self.stage.name)
        self.maps = clips.flatten(0, 1).float().detach().requires_grad_()
        tapped = self(self.maps).to(features.dtype).unflatten(0, clips.shape[:2])
        changed = self.stage.layout.features(tapped, features)
        if isinstance(output, Tensor):
            return changed
        rest = (changed, *output[1:])
        return type(output)(*rest) if hasattr(output, "_fields") else type(output)(rest)


def grad_cam(
    layer: nn.Module, stage: Stage, score: Callable[[Tensor], Tensor], clips: Tensor
) -> Float[Tensor, "S h w"]:
    """The heat of one clip at a layer, not scaled.

    Args:
        score: runs the network on `clips` and gives the score to explain, (1,).

    Raises ConfigError when the score does not depend on the layer's maps.
    """
    from captum.attr import LayerGradCam  # takes a second to import

    tap = Tap(stage)
    handle = layer.register_forward_hook(tap.hook)
    try:
        unused = {
            "allow_unused": True,
            "materialize_grads": True,
        }  # where the score does not depend on the layer: zeros
        heat = LayerGradCam(score, tap).attribute(clips, grad_kwargs=unused)
    finally:
        handle.remove()
    if not heat.any() and tap.maps is not None and tap.maps.any():
        raise ConfigError(
            f"The score does not depend on the maps that {stage.name!r} gives: what comes after takes other features "
            "(a class token, say), or weights in it are zero, as a new network's may be. Choose an earlier layer."
        )
    return heat[:, 0].detach().relu()


def on_frames(heat: Float[Tensor, "S h w"], num_frames: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """(T, H, W) in 0 to 1: enlarged bilinearly, linearly in time where it was strided, and divided by the largest value
    of the clip."""
    if len(heat) == num_frames:
        large = F.interpolate(heat[:, None], size, mode="bilinear")[:, 0]
    else:
        large = F.interpolate(heat[None, None], (num_frames, *size), mode="trilinear")[0, 0]
    large = large / large.max().clamp_min(torch.finfo(large.dtype).tiny)
    return np.ascontiguousarray(large.cpu().numpy(), dtype=np.float32)
