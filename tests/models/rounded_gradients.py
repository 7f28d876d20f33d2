"""How far gradients in bfloat16 are from those of 32 bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def error_of(conv: nn.Module, x: Tensor) -> float:
    """Of a convolution's weights, as a share of the gradient; nan where a place was never written: memory that has been
    in use shows it."""
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        used = [torch.full((1 << size,), torch.nan) for size in range(4, 21)]
        used += [torch.full((1 << size,), torch.nan, dtype=torch.bfloat16) for size in range(4, 19)]
        del used
        conv.zero_grad()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            out = conv(x)
        out.float().square().mean().backward()
        gradients.append(conv.get_parameter("weight").grad)
    exact, rounded = gradients
    assert exact is not None
    assert rounded is not None
    return float((rounded - exact).norm() / exact.norm())
