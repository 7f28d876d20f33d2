"""TSM: temporal shift module (Lin, Gan, Han, "TSM: Temporal Shift Module for Efficient Video Understanding", 2019).

    out_t[: C/8]        = x_{t+1}[: C/8]           one eighth of the channels comes from the next frame,
    out_t[C/8 : C/4]    = x_{t-1}[C/8 : C/4]       one eighth from the one before,
    out_t[C/4 :]        = x_t[C/4 :]               the rest stays; zeros come in at the clip's ends.

No parameters and no multiply-adds. Differs from the released code in: nothing but the shift being written without
assignment into slices, so that it exports and compiles.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from m2a.errors import SpecError
from m2a.mechanisms.catalogue import PartInfo, register_part
from m2a.mechanisms.gate import check_clip


class TemporalShift(nn.Module):
    """Shifts C // shift_div channels one frame back in time and as many one frame forward; (B, T, C, H, W) -> the same.
    Source: TSM, section 3, bi-directional shift.

    Raises SpecError when fewer than `shift_div` channels leave nothing to shift.
    """

    def __init__(self, channels: int, *, shift_div: int = 8):
        super().__init__()
        if not 2 <= shift_div <= channels:
            raise SpecError(
                f"tsm shifts channels // shift_div channels each way: with {channels} channels shift_div must lie in "
                f"2..{channels}, got {shift_div}."
            )
        self.channels = channels
        self.fold = channels // shift_div

    def forward(self, x_BTCHW: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B T C H W"]:
        check_clip(x_BTCHW, self.channels)
        channels_last = x_BTCHW.permute(0, 1, 3, 4, 2).is_contiguous()  # then the result is too
        x = x_BTCHW.permute(0, 1, 3, 4, 2) if channels_last else x_BTCHW
        axis = -1 if channels_last else 2
        ahead, behind, rest = x.split([self.fold, self.fold, self.channels - 2 * self.fold], dim=axis)
        blank = torch.zeros_like(ahead[:, :1])
        ahead = torch.cat([ahead[:, 1:], blank], dim=1)
        behind = torch.cat([blank, behind[:, :-1]], dim=1)
        shifted = torch.cat([ahead, behind, rest], dim=axis)
        return shifted.permute(0, 1, 4, 2, 3) if channels_last else shifted

    def extra_repr(self) -> str:
        return f"{self.channels}, fold={self.fold}"


def _build_shift(*, channels: int, shift_div: int = 8, **_: object) -> nn.Module:
    return TemporalShift(channels, shift_div=shift_div)


register_part(
    PartInfo(
        name="tsm",
        kind="whole",
        summary="Shifts an eighth of the channels one frame each way; free of parameters and multiply-adds.",
        paper="Lin, Gan, Han: TSM, section 3",
        build=_build_shift,
        options=frozenset({"shift_div"}),
    )
)
