"""TDN's long-term difference module, section 3.3 of its paper, frame by frame and direction by direction.

b_t     = norm(conv_in z_t)
f_t     = conv_next b_{t+1} - b_t      r_t = conv_next b_{t-1} - b_t      zeros where there is no neighbour
half(d) = enlarge(norm(conv_half(mean of each 2 x 2)))
full(d) = norm(conv_full d)
g(d)    = sigmoid(norm(conv_out((d + half(d) + full(d)) / 3))) - 1/2
y       = (g(f) + g(r)) / 2

In the released code of M2A the backward direction had full(full(f)) in the place of full(r).
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference.layers import Weights, batch_norm, convolve, inside, sigmoid


def tdn(frames: list[Tensor], weights: Weights, *, released_backward: bool = False) -> list[Tensor]:
    """Frames (c, H, W) of one clip."""
    base = [batch_norm(convolve(frame, weights["conv_in.weight"]), inside(weights, "norm_in")) for frame in frames]
    out = []
    for t, frame in enumerate(base):
        differences = []
        for neighbour in (t + 1, t - 1):
            if 0 <= neighbour < len(base):
                moved = convolve(base[neighbour], weights["conv_next.weight"], per_channel=True)
                differences.append(moved - frame)
            else:
                differences.append(torch.zeros_like(frame))
        full_f = full(differences[0], weights)
        full_r = full(full_f if released_backward else differences[1], weights)
        both = excite(differences[0], full_f, weights) + excite(differences[1], full_r, weights)
        out.append(both / 2)
    return out


def full(difference: Tensor, weights: Weights) -> Tensor:
    return batch_norm(convolve(difference, weights["conv_full.weight"]), inside(weights, "norm_full"))


def excite(difference: Tensor, at_full: Tensor, weights: Weights) -> Tensor:
    """g of one direction at one frame."""
    _, height, width = difference.shape
    small = batch_norm(convolve(halved(difference), weights["conv_half.weight"]), inside(weights, "norm_half"))
    half = enlarged(small, height, width)
    mixed = convolve((difference + half + at_full) / 3, weights["conv_out.weight"])
    return sigmoid(batch_norm(mixed, inside(weights, "norm_out"))) - 0.5


def halved(frame: Tensor) -> Tensor:
    """Means of 2 x 2 pixels; an odd last row or column is left out, a single one kept."""
    _, height, width = frame.shape
    tall, wide = min(2, height), min(2, width)
    rows = []
    for y in range(height // tall):
        cells = []
        for x in range(width // wide):
            block = frame[:, y * tall : (y + 1) * tall, x * wide : (x + 1) * wide]
            cells.append(block.sum((1, 2)) / (tall * wide))
        rows.append(torch.stack(cells, dim=-1))
    return torch.stack(rows, dim=-2)


def enlarged(small: Tensor, height: int, width: int) -> Tensor:
    """Each pixel from the one that covers its place: pixel y of `height` is pixel floor(y * small / height)."""
    rows = [y * small.shape[1] // height for y in range(height)]
    columns = [x * small.shape[2] // width for x in range(width)]
    return torch.stack([torch.stack([small[:, y, x] for x in columns], dim=-1) for y in rows], dim=-2)
