"""TDN's long-term temporal difference module (Wang, Tong, Ji, Wu, "TDN: Temporal Difference Networks for Efficient
Action Recognition", 2021, section 3.3), as the motion inside M2A's gate.

    b_t = norm(conv_in(z_t))                                1x1 convolution
    f_t = conv_next(b_{t+1}) - b_t,  f_T = 0                forward: 3x3 convolution of each channel by itself
    r_t = conv_next(b_{t-1}) - b_t,  r_1 = 0                backward

    for d = f and d = r:
    half(d) = enlarge(norm(conv_half(average_2x2(d))))      3x3 convolution at half the resolution
    full(d) = norm(conv_full(d))                            3x3 convolution
    g(d)    = sigmoid(norm(conv_out((d + half(d) + full(d)) / 3))) - 1/2

    y = (g(f) + g(r)) / 2

Differs from TDN in: the gate (TDN multiplies x by 1 + y; here, as in the released code of M2A, y goes through M2A's own
1x1 convolution and sigmoid) and the reduction (8 rather than 16). From the released code of M2A in: the backward
direction. There, as in one version of TDN's code, full(full(f)) stood in the place of full(r); here, as in TDN's paper
and the corrected version of its code, each direction sees its own difference. `released_backward=True` is for weights
trained the other way.

Mind that both directions share their weights and are averaged, so that a reversed clip gives the reversed result:
without the short-term part of TDN, a network that averages frames cannot tell a motion from its reverse by this module.

Odd heights and widths: averaging over 2x2 leaves the last row or column out; a single row or column is not averaged.

Shapes: B clips, T frames, N = B * T folded frames, c = C/R reduced channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from m2a.mechanisms.catalogue import PartInfo, Shorthand, register_part, register_shorthand


class TemporalDifference(nn.Module):
    """Differences to the next and to the previous frame, each at two resolutions, as an attention in -1/2 to 1/2.
    (B, T, c, H, W) -> the same. Source: TDN, section 3.3.

    Args:
        channels: c.
        released_backward: the backward direction as in the released code of M2A.
    """

    def __init__(self, channels: int, *, released_backward: bool = False):
        super().__init__()
        self.released_backward = released_backward
        self.conv_in = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        self.norm_in = nn.BatchNorm2d(channels)
        self.conv_next = nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels, bias=False)
        self.conv_half = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.norm_half = nn.BatchNorm2d(channels)
        self.conv_full = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.norm_full = nn.BatchNorm2d(channels)
        self.conv_out = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        self.norm_out = nn.BatchNorm2d(channels)

    def forward(self, x_BTcHW: Float[Tensor, "B T c H W"]) -> Float[Tensor, "B T c H W"]:
        frames = x_BTcHW.shape[:2]
        base_NcHW = self.norm_in(self.conv_in(x_BTcHW.flatten(0, 1)))
        moved_BTcHW = self.conv_next(base_NcHW).unflatten(0, frames)
        base_BTcHW = base_NcHW.unflatten(0, frames)
        blank_B1cHW = torch.zeros_like(base_BTcHW[:, :1])
        forward_BTcHW = torch.cat([moved_BTcHW[:, 1:] - base_BTcHW[:, :-1], blank_B1cHW], dim=1)
        backward_BTcHW = torch.cat([blank_B1cHW, moved_BTcHW[:, :-1] - base_BTcHW[:, 1:]], dim=1)
        f_NcHW, r_NcHW = forward_BTcHW.flatten(0, 1), backward_BTcHW.flatten(0, 1)
        full_f_NcHW = self.full(f_NcHW)
        full_r_NcHW = self.full(full_f_NcHW if self.released_backward else r_NcHW)
        both_NcHW = self.excite(f_NcHW, full_f_NcHW) + self.excite(r_NcHW, full_r_NcHW)
        return (both_NcHW / 2).unflatten(0, frames)

    def full(self, difference_NcHW: Float[Tensor, "N c H W"]) -> Float[Tensor, "N c H W"]:
        return self.norm_full(self.conv_full(difference_NcHW))

    def excite(
        self, difference_NcHW: Float[Tensor, "N c H W"], full_NcHW: Float[Tensor, "N c H W"]
    ) -> Float[Tensor, "N c H W"]:
        """g: one direction's difference at two resolutions, between -1/2 and 1/2."""
        height, width = difference_NcHW.shape[2:]
        small_Nchw = F.avg_pool2d(difference_NcHW, (min(2, height), min(2, width)))
        half_NcHW = F.interpolate(self.norm_half(self.conv_half(small_Nchw)), (height, width))
        return self.norm_out(self.conv_out((difference_NcHW + half_NcHW + full_NcHW) / 3)).sigmoid() - 0.5

    def extra_repr(self) -> str:
        return "released_backward=True" if self.released_backward else ""


def _build(*, channels: int, released_backward: bool = False, **_: object) -> nn.Module:
    return TemporalDifference(channels, released_backward=released_backward)


register_part(
    PartInfo(
        name="tdn",
        kind="motion",
        summary="TDN's long-term differences: to the next and previous frame, at two resolutions.",
        paper="Wang et al.: TDN, section 3.3",
        build=_build,
        options=frozenset({"released_backward"}),
        sees_neighbours=True,
    )
)
register_shorthand(
    Shorthand(name="tdn", motion="tdn", attention="none", summary="TDN's long-term differences gate the features.")
)
