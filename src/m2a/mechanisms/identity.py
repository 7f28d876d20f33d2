"""Starting as the identity: any mechanism behind a learned scale that is zero at first.

    out = x + scale * (mechanism(x) - x)          scale: one number a channel, 0 at the start

An image network that is given such a mechanism computes, at the start of training, exactly what it computed without:
the scale has a gradient from the first step on, the mechanism's own weights from the second. The idea is SkipInit's and
ReZero's (De, Smith, 2020; Bachlechner et al., 2020) and, one number a channel, LayerScale's (Touvron et al.: "Going
deeper with Image Transformers", 2021). It is not in the M2A paper.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Init = Literal["paper", "identity"]


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
