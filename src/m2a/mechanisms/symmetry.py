"""What of the order of frames a mechanism cannot see.

A mechanism f commutes with a permutation P of the frames where f(P x) = P f(x) for every clip x. In a network that
treats frames alike otherwise and averages them at its end, such an f gives x and P x the same scores, however it is
trained: of two actions that are each other's reverse, a mechanism that commutes with the reversal names half of the
clips at most.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from m2a.mechanisms.create import create_mechanism

TimeSymmetry = Literal["permutation", "reversal", "none"]

_FRAMES = 5
_PERMUTATION = [2, 0, 4, 1, 3]
_LARGEST_ERROR = 1e-9  # of float64, far above what rounding does and far below what an order that counts does


def time_symmetry(spec: str, **options: Any) -> TimeSymmetry:
    """Which orders of frames a mechanism cannot tell apart: "permutation", it commutes with any order; "reversal", with
    running backwards alone; "none", it sees the order of frames.

    It is tried, not looked up: a small mechanism with random weights and a random clip, in float64.

    Args:
        spec: of the mechanism, as for `create_mechanism`, which also raises for it.
        options: of the mechanism, such as `released_backward=True`.

    >>> time_symmetry("tdn"), time_symmetry("tdn+tsm")
    ('reversal', 'none')
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)  # and not those of GPUs
        mechanism = create_mechanism(spec, channels=16, num_frames=_FRAMES, **options).double().eval()
        for weight in mechanism.parameters():
            weight.copy_(torch.randn_like(weight))  # some start at zero, as if there were no mechanism
        clip = torch.randn(1, _FRAMES, 16, 5, 7, dtype=torch.float64)
        out = mechanism(clip)

        def commutes(order: list[int]) -> bool:
            difference: Tensor = mechanism(clip[:, order]) - out[:, order]
            return bool(difference.abs().max() < _LARGEST_ERROR * out.abs().max())

        if not commutes(list(reversed(range(_FRAMES)))):
            return "none"
        return "permutation" if commutes(_PERMUTATION) else "reversal"
