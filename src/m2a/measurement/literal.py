"""M2A's equations with one torch operation after the other, as one would write them down: what the library's own
`m2a` is measured against, and the same numbers.

    z_t = W_r x_t + b_r                         1x1 convolution, C -> C/R
    n_t = layer_norm(z_t)                       over each frame's (c, H, W), no weights
    m_t = n_{t+1} - n_t                         the last frame's successor: see `FrameDifference`
    a   = softmax(m m' / sqrt(D)) m             attention over the T frames, D = c * H * W
    y   = a + z
    out = x + x * sigmoid(W_e y + b_e)          1x1 convolution, C/R -> C

Source: Gebotys, Wong, Clausi, "M2A: Motion Aware Attention for Accurate Video Action Recognition", section III. Every
step makes a new tensor in torch's default layout. (`tests/reference/m2a.py`, in loops, is the oracle of both.)

Shapes: B clips, T frames, N = B * T folded frames, C channels, c = C/R reduced channels, D = c * H * W.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from m2a.errors import ConfigError
from m2a.mechanisms.gate import Gate
from m2a.mechanisms.m2a import Boundary, FrameAttention, FrameDifference


class LiteralM2A(nn.Module):
    """`m2a` step by step, (B, T, C, H, W) -> the same in the default layout.

    Args:
        reduce, expand: the 1x1 convolutions C -> c and c -> C.
        boundary: the last frame's successor.
    """

    def __init__(self, reduce: nn.Conv2d, expand: nn.Conv2d, *, boundary: Boundary = "wrap"):
        super().__init__()
        self.reduce = reduce
        self.expand = expand
        self.difference = FrameDifference(boundary=boundary)

    def forward(self, x_BTCHW: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B T C H W"]:
        frames = x_BTCHW.shape[:2]
        x_NCHW = x_BTCHW.flatten(0, 1).contiguous()
        z_BTcHW = self.reduce(x_NCHW).contiguous().unflatten(0, frames)
        n_BTcHW = F.layer_norm(z_BTcHW, z_BTcHW.shape[2:])
        m_BTcHW = self.difference(n_BTcHW)
        m_BTD = m_BTcHW.flatten(2)
        scores_BTT = m_BTD @ m_BTD.mT / m_BTD.shape[-1] ** 0.5
        a_BTcHW = (scores_BTT.softmax(-1) @ m_BTD).view_as(z_BTcHW)
        y_BTcHW = a_BTcHW + z_BTcHW
        gate_NCHW = self.expand(y_BTcHW.flatten(0, 1)).contiguous().sigmoid()
        return (x_NCHW + x_NCHW * gate_NCHW).unflatten(0, frames)


def make_literal(model: nn.Module) -> int:
    """Puts the literal mechanism in the place of each `m2a` in `model`, with the same weights; gives their number.

    Raises ConfigError when there is none, or one that starts as the identity, whose equation is another.
    """
    found = [
        (layer, name, part)
        for layer in model.modules()
        for name, part in layer.named_children()
        if isinstance(part, Gate) and isinstance(part.attention, FrameAttention)
    ]
    if not found:
        raise ConfigError(f'This {type(model).__name__} carries no "m2a"; insert it first.')
    for layer, name, part in found:
        assert isinstance(part.attention, FrameAttention)
        skip = part.attention.inner_skip
        looks_back = part.attention.direction == "unidirectional"
        if not isinstance(part.motion, FrameDifference) or part.centre or skip != "add" or looks_back:
            raise ConfigError(
                'Only "m2a" itself, with init="paper", the inner skip and both directions, has a literal version; the '
                f"mechanism here is another ({type(part.motion).__name__}, centre {part.centre}, inner skip {skip}, "
                f"{part.attention.direction})."
            )
        layer.add_module(name, LiteralM2A(part.reduce, part.expand, boundary=part.motion.boundary))
    return len(found)
