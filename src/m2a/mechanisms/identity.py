"""Starting as the identity: an image network that is given a mechanism computes, at the start of training, exactly
what it computed without. It is not in the M2A paper.

A gate does it by itself (`Gate.start_as_identity`). What has no gate, such as a shift, stands behind a learned scale:

    out = x + scale * (mechanism(x) - x)          scale: one number a channel, 0 at the start

The scale has a gradient from the first step on, the mechanism's own weights from the second (SkipInit, De and Smith,
2020; ReZero, Bachlechner et al., 2020; one number a channel: LayerScale, Touvron et al., 2021).
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from m2a.mechanisms.gate import Gate

Init = Literal["paper", "identity"]


def start_as_identity(mechanism: nn.Module, channels: int) -> nn.Module:
    """The mechanism, or what takes its place, as an exact identity that can be trained."""
    if isinstance(mechanism, Gate):
        mechanism.start_as_identity()
        return mechanism
    return mechanism if isinstance(mechanism, nn.Identity) else IdentityStart(mechanism, channels)


class IdentityStart(nn.Module):
    """Blends a mechanism in, (B, T, C, H, W) -> the same.

    Args:
        mechanism: takes and returns (B, T, C, H, W).
        channels: C.
    """

    def __init__(self, mechanism: nn.Module, channels: int):
        super().__init__()
        self.inner = mechanism
        self.scale = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BTCHW: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B T C H W"]:
        changed_BTCHW = self.inner(x_BTCHW).to(x_BTCHW.dtype)
        return torch.lerp(x_BTCHW, changed_BTCHW, self.scale.to(x_BTCHW.dtype)[:, None, None])
