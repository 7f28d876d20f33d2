"""The gate around a motion and an attention, with the rules of the released code for which parts it has.

z   = W_r x + b_r
y   = motion(z)                                  without an attention
y   = tam(z)                                     TAM without a motion
y   = patch attention, see patch.py
y   = attention(motion(norm(z))) + z             all others; norm over each frame
out = x + x * sigmoid(W_e y + b_e)

m2a-plus, which is not in the released code:

y   = attention(m) + m + e, m = motion(norm(z))  e[t] = W_time phi(t), phi_k(t) = cos(pi k (t + 1/2) / T), k = 1, 2, ...
out = x + 4 * x * (sigmoid(W_e y + b_e) - 1/2)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reference.layers import Weights, attend, convolve, inside, layer_norm, sigmoid
from reference.m2a import differences
from reference.patch import patch
from reference.tam import tam
from reference.tdn import tdn
from reference.tea import tea


def gate(x_BTCHW: Tensor, weights: Weights, *, motion: str, attention: str, boundary: str = "wrap") -> Tensor:
    """One cell of the grammar, motion:attention."""

    def moving(frames: list[Tensor]) -> list[Tensor]:
        own = inside(weights, "motion")
        return {
            "none": lambda: frames,
            "m2a": lambda: differences(frames, boundary),
            "tea": lambda: tea(frames, own),
            "tdn": lambda: tdn(frames, own),
        }[motion]()

    def temporal(z: list[Tensor]) -> list[Tensor]:
        if attention == "none":
            return moving(z)
        if attention == "tam" and motion == "none":
            return tam(z, inside(weights, "attention"))
        if attention.startswith("patch"):
            return patch(z, moving, int(attention.removeprefix("patch")))
        moved = moving([layer_norm(frame) for frame in z])
        mixed = tam(moved, inside(weights, "attention")) if attention == "tam" else attend(moved)
        if attention == "m2a-plus":
            time = weights["attention.time"]
            return [one + moved[t] + when(t, len(z), time) for t, one in enumerate(mixed)]
        return [one + frame for one, frame in zip(mixed, z, strict=True)]

    clips = []
    for clip in x_BTCHW:
        z = [one_by_one(frame, inside(weights, "reduce")) for frame in clip]
        opening = [sigmoid(one_by_one(frame, inside(weights, "expand"))) for frame in temporal(z)]
        if attention == "m2a-plus":
            opening = [4 * (opened - 0.5) for opened in opening]
        clips.append(torch.stack([frame + frame * opened for frame, opened in zip(clip, opening, strict=True)]))
    return torch.stack(clips)


def when(t: int, num_frames: int, time_cK: Tensor) -> Tensor:
    """The embedding of frame t's time."""
    terms = [time_cK[:, k - 1] * math.cos(math.pi * k * (t + 0.5) / num_frames) for k in range(1, time_cK.shape[1] + 1)]
    return torch.stack(terms).sum(0)[:, None, None]


def one_by_one(frame: Tensor, weights: Weights) -> Tensor:
    return convolve(frame, weights["weight"]) + weights["bias"][:, None, None]
