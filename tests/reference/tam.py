"""TAM, section 3 of its paper, frame by frame.

p_t        = mean of z_t over space
kernel_i   = softmax(W_2 relu(norm(W_1 p_i)))         three numbers for channel i, from its T means
importance = sigmoid(V_2 relu(norm(V_1 p)))           V_1: three taps over time
y_t        = sum_k kernel_k * (z * importance)_{t+k-1}
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference.layers import Weights, batch_norm, inside, sigmoid, softmax


def tam(frames: list[Tensor], weights: Weights) -> list[Tensor]:
    """Frames (c, H, W) of one clip."""
    channels, height, width = frames[0].shape
    means = [frame.sum((1, 2)) / (height * width) for frame in frames]  # T of (c,)
    kernels = [kernel(torch.stack([mean[i] for mean in means]), weights) for i in range(channels)]
    shares = importance(means, weights)
    scaled = [frame * share[:, None, None] for frame, share in zip(frames, shares, strict=True)]
    out = []
    for t in range(len(frames)):
        planes = []
        for i in range(channels):
            total = torch.zeros_like(frames[t][i])
            for k, source in enumerate((t - 1, t, t + 1)):
                if 0 <= source < len(frames):
                    total = total + kernels[i][k] * scaled[source][i]
            planes.append(total)
        out.append(torch.stack(planes))
    return out


def kernel(means_T: Tensor, weights: Weights) -> list[Tensor]:
    """The three taps of one channel."""
    first, second = weights["kernel_branch.0.weight"], weights["kernel_branch.3.weight"]
    hidden = torch.stack([(row * means_T).sum() for row in first])
    hidden = relu(batch_norm(hidden, inside(weights, "kernel_branch.1")))
    return softmax([(row * hidden).sum() for row in second])


def importance(means: list[Tensor], weights: Weights) -> list[Tensor]:
    """(c,) for each frame."""
    first, second = weights["importance_branch.0.weight"], weights["importance_branch.3.weight"]
    out = []
    for t in range(len(means)):
        rows = []
        for row in first:
            total = torch.zeros_like(means[0][0])
            for k, source in enumerate((t - 1, t, t + 1)):
                if 0 <= source < len(means):
                    total = total + (row[:, k] * means[source]).sum()
            rows.append(total)
        hidden = relu(batch_norm(torch.stack(rows), inside(weights, "importance_branch.1")))
        out.append(sigmoid(torch.stack([(row[:, 0] * hidden).sum() for row in second])))
    return out


def relu(x: Tensor) -> Tensor:
    return x * (x > 0)
