"""Layers written out: loops over channels and offsets, one frame at a time. Only sums, products, exp and sqrt."""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-5

Weights = dict[str, Tensor]


def inside(weights: Weights, name: str) -> Weights:
    """The weights below `name`."""
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def softmax(scores: list[Tensor]) -> list[Tensor]:
    """Of numbers, or of tensors element by element."""
    highest = torch.stack([score.detach() for score in scores]).max()  # a constant: it cancels
    powers = [torch.exp(score - highest) for score in scores]
    return [power / sum(powers) for power in powers]


def convolve(frame_CHW: Tensor, weight_OIkk: Tensor, *, per_channel: bool = False) -> Tensor:
    """A convolution with an odd kernel that keeps the size; zeros outside."""
    _, height, width = frame_CHW.shape
    reach = weight_OIkk.shape[-1] // 2
    planes = []
    for o in range(weight_OIkk.shape[0]):
        total = torch.zeros_like(frame_CHW[0])
        for i in range(weight_OIkk.shape[1]):
            source = frame_CHW[o if per_channel else i]
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    tap = weight_OIkk[o, i, dy + reach, dx + reach]
                    total = total + tap * moved(source, dy, dx, height, width)
        planes.append(total)
    return torch.stack(planes)


def moved(plane_HW: Tensor, dy: int, dx: int, height: int, width: int) -> Tensor:
    """The plane whose pixel (y, x) is the given one's (y + dy, x + dx), zeros from outside."""
    bordered = plane_HW.new_zeros(height + 2 * abs(dy), width + 2 * abs(dx))
    bordered[abs(dy) : abs(dy) + height, abs(dx) : abs(dx) + width] = plane_HW
    return bordered[abs(dy) + dy : abs(dy) + dy + height, abs(dx) + dx : abs(dx) + dx + width]


def batch_norm(x_C: Tensor, weights: Weights) -> Tensor:
    """With the stored statistics; channels first, whatever follows."""
    channels = []
    for c in range(x_C.shape[0]):
        scaled = (x_C[c] - weights["running_mean"][c]) / torch.sqrt(weights["running_var"][c] + EPS)
        channels.append(scaled * weights["weight"][c] + weights["bias"][c])
    return torch.stack(channels)


def layer_norm(token: Tensor) -> Tensor:
    """Mean 0 and variance 1 over all of a token's numbers; no weights."""
    centred = token - token.sum() / token.numel()
    return centred / torch.sqrt((centred * centred).sum() / token.numel() + EPS)


def attend(tokens: list[Tensor]) -> list[Tensor]:
    """Softmax attention: query, key and value are the token's numbers."""
    root = tokens[0].numel() ** 0.5
    out = []
    for query in tokens:
        shares = softmax([(query * key).sum() / root for key in tokens])
        mixed = torch.zeros_like(query)
        for share, value in zip(shares, tokens, strict=True):
            mixed = mixed + share * value
        out.append(mixed)
    return out
