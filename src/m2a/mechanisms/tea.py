"""TEA's motion excitation (Li et al., "TEA: Temporal Excitation and Aggregation for Action Recognition", 2020, section
3.1, equations 1 to 3), as the motion inside M2A's gate.

    b_t = norm(conv_in(z_t))                    1x1 convolution
    m_t = conv_next(b_{t+1}) - b_t              3x3 convolution of each channel by itself; m_T = 0
    y_t = norm(conv_out(m_t))                   1x1 convolution

Differs from TEA in: the gate. TEA pools m over space, expands it to all channels and multiplies x by
1 + sigmoid(y) - 1/2; here, as in the released code of M2A, y keeps its places and goes through M2A's own 1x1
convolution and sigmoid, and works on C / 8 channels rather than on C / 16. TEA's second half, multiple temporal
aggregation, is a change of the backbone's blocks and not part of the comparison. From the released code: in nothing.

Shapes: B clips, T frames, N = B * T folded frames, c = C/R reduced channels.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from m2a.mechanisms.catalogue import PartInfo, Shorthand, register_part, register_shorthand


class MotionExcitation(nn.Module):
    """Each frame's successor, through a 3x3 convolution, minus the frame; between two 1x1 convolutions.
    (B, T, c, H, W) -> the same. The last frame, which has no successor, has zeros. Source: TEA, section 3.1."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv_in = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        self.norm_in = nn.BatchNorm2d(channels)
        self.conv_next = nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels, bias=False)
        self.conv_out = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        self.norm_out = nn.BatchNorm2d(channels)

    def forward(self, x_BTcHW: Float[Tensor, "B T c H W"]) -> Float[Tensor, "B T c H W"]:
        frames = x_BTcHW.shape[:2]
        base_NcHW = self.norm_in(self.conv_in(x_BTcHW.flatten(0, 1)))
        next_BTcHW = self.conv_next(base_NcHW).unflatten(0, frames)
        base_BTcHW = base_NcHW.unflatten(0, frames)
        steps_BTcHW = next_BTcHW[:, 1:] - base_BTcHW[:, :-1]
        motion_BTcHW = torch.cat([steps_BTcHW, torch.zeros_like(base_BTcHW[:, :1])], dim=1)
        return self.norm_out(self.conv_out(motion_BTcHW.flatten(0, 1))).unflatten(0, frames)


def _build(*, channels: int, **_: object) -> nn.Module:
    return MotionExcitation(channels)


register_part(
    PartInfo(
        name="tea",
        kind="motion",
        summary="TEA's motion excitation: the next frame, convolved, minus the frame.",
        paper="Li et al.: TEA, section 3.1",
        build=_build,
        sees_neighbours=True,
    )
)
register_shorthand(
    Shorthand(name="tea", motion="tea", attention="none", summary="TEA's motion excitation gates the features.")
)
