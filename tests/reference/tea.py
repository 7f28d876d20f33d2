"""TEA's motion excitation, equations 1 and 2 of its paper, frame by frame.

b_t = norm(conv_in z_t)
m_t = conv_next b_{t+1} - b_t          the last frame: zeros
y_t = norm(conv_out m_t)
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference.layers import Weights, batch_norm, convolve, inside


def tea(frames: list[Tensor], weights: Weights) -> list[Tensor]:
    """Frames (c, H, W) of one clip."""
    base = [batch_norm(convolve(frame, weights["conv_in.weight"]), inside(weights, "norm_in")) for frame in frames]
    out = []
    for t in range(len(frames)):
        if t + 1 < len(frames):
            motion = convolve(base[t + 1], weights["conv_next.weight"], per_channel=True) - base[t]
        else:
            motion = torch.zeros_like(base[t])
        out.append(batch_norm(convolve(motion, weights["conv_out.weight"]), inside(weights, "norm_out")))
    return out
