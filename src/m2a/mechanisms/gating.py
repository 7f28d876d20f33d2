"""The gate's last step, x + span * x * (sigmoid(expand(y)) - centre), without keeping the gate.

It is all memory traffic: the gate is as large as the features, and written, read and kept for the backward pass it
costs more than the two convolutions. So

- it is made tile by tile of frames, small enough to stay in a core's cache, into one tile of memory that is used again
  (new memory costs a page fault every 4 KiB, which took longer than the arithmetic);
- the backward pass makes it again from y, which has an eighth of its channels: nothing is kept but x, which the layer
  in front keeps anyway, and y.

Where a graph is traced (`torch.compile`, `torch.export`, `torch.jit.trace`) the plain operations are used, which
compilers fuse and which fit other batches. Both are the same function: `tests/mechanisms/test_gating.py`.

Shapes: N = B * T frames, C channels, c reduced ones, H, W. Any memory format.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import get_proxy_mode

_functorch: Any = torch._C._functorch  # the stubs know some of its functions
_TILE = 4 * 2**20  # bytes of the gate that are made at once on a CPU, which its caches hold


def gate(
    x_NCHW: Float[Tensor, "N C H W"],
    y_NcHW: Float[Tensor, "N c H W"],
    expand: nn.Conv2d,
    *,
    centre: float = 0.0,
    span: float = 1.0,
) -> Float[Tensor, "N C H W"]:
    """`x + span * x * (sigmoid(expand(y)) - centre)`, in the type of x; `expand` is a 1x1 convolution from c to C."""
    device_type = x_NCHW.device.type
    if _is_watched(expand) or is_traced() or not torch.amp.is_autocast_available(device_type):
        return plain_gate(x_NCHW, expand(y_NcHW), centre, span)
    if not torch.is_autocast_enabled(device_type):
        return _gate(x_NCHW, y_NcHW, expand.weight, expand.bias, centre, span)
    dtype = torch.get_autocast_dtype(device_type)
    y, weight = y_NcHW.to(dtype), expand.weight.to(dtype)
    bias = None if expand.bias is None else expand.bias.to(dtype)
    with torch.autocast(device_type, enabled=False):
        return _gate(x_NCHW, y, weight, bias, centre, span)


def is_traced() -> bool:
    """Whether operations are recorded, to be run on other batches, by `torch.compile`, `torch.export`, `make_fx` or
    `torch.jit.trace`; or transformed, by `torch.func` or in a `dual_level` of forward derivatives, which take no
    autograd functions like ours."""
    if torch.compiler.is_compiling() or torch._C._is_tracing() or get_proxy_mode() is not None:
        return True
    return _functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def _is_watched(expand: nn.Conv2d) -> bool:
    """Whether calling it does more than its weights say: hooks of pruning or of yours, a layer put in its place."""
    return type(expand) is not nn.Conv2d or bool(
        "forward" in vars(expand)  # replaced, as some libraries hook
        or expand._forward_pre_hooks
        or expand._forward_hooks
        or expand._backward_pre_hooks
        or expand._backward_hooks
    )


def plain_gate(
    x_NCHW: Float[Tensor, "N C H W"], logits_NCHW: Float[Tensor, "N C H W"], centre: float = 0.0, span: float = 1.0
) -> Float[Tensor, "N C H W"]:
    """The same of logits that are there: what `gate` is in one line."""
    gate_NCHW = logits_NCHW.sigmoid()
    if centre:
        gate_NCHW = gate_NCHW - centre
    return torch.addcmul(x_NCHW, x_NCHW, gate_NCHW.to(x_NCHW.dtype), value=span)


def _gate(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None, centre: float, span: float) -> Tensor:
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, y, weight, bias)):
        return _Gating.apply(x, y, weight, bias, centre, span)
    return _in_tiles(x, y, weight, bias, centre, span)


def _in_tiles(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None, centre: float, span: float) -> Tensor:
    out = torch.empty_like(x)
    for rows in _tiles(x):
        s = _sigmoid(y[rows], weight, bias)
        if centre:
            s.sub_(centre)
        tile = x[rows]
        torch.addcmul(tile, tile, s.to(x.dtype), value=span, out=out[rows])
    return out


class _Gating(torch.autograd.Function):
    """Derivatives, with s the sigmoid and g the gradient of the result:

        dx = g * (1 + span * (s - centre))      dlogits = span * g * x * s * (1 - s)

    and those of the convolution."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None, centre: float, span: float
    ) -> Tensor:
        ctx.save_for_backward(x, y, weight, bias)
        ctx.centre, ctx.span = centre, span
        return _in_tiles(x, y, weight, bias, centre, span)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():  # derivatives of derivatives are asked for
            return _by_autograd(ctx, g)
        if _is_batched(g):
            return _of_many(ctx, g)
        need_x, need_y, need_weight, need_bias, *_ = ctx.needs_input_grad
        dx, dy = (torch.empty_like(t) if need else None for t, need in ((x, need_x), (y, need_y)))
        dweight, dbias = (  # sums over tiles, which bfloat16 would round one after the other
            torch.zeros_like(t, dtype=torch.promote_types(t.dtype, torch.float32)) if need else None
            for t, need in ((weight, need_weight), (bias, need_bias))
        )
        with torch.autocast(x.device.type, enabled=False):  # also where the caller's is on
            for rows in _tiles(x):
                s = _sigmoid(y[rows], weight, bias)
                if need_y or need_weight or need_bias:
                    dgate = torch.mul(g[rows], x[rows])
                    if ctx.span != 1:
                        dgate.mul_(ctx.span)
                    dlogits = torch.ops.aten.sigmoid_backward(dgate.to(s.dtype), s)
                    wanted = [need_y, need_weight, need_bias]
                    parts = torch.ops.aten.convolution_backward(
                        dlogits, y[rows], weight, [len(weight)], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, wanted
                    )
                    for whole, part in ((dweight, parts[1]), (dbias, parts[2])):
                        if whole is not None:
                            whole += part
                    if dy is not None:
                        dy[rows] = parts[0]
                if dx is not None:
                    opened = (s.sub_(ctx.centre) if ctx.centre else s).to(x.dtype)
                    torch.addcmul(g[rows], g[rows], opened, value=ctx.span, out=dx[rows])
        dweight, dbias = (
            None if whole is None else whole.to(t.dtype) for whole, t in ((dweight, weight), (dbias, bias))
        )
        return dx, dy, dweight, dbias, None, None


def _is_batched(g: Tensor) -> bool:
    """Whether it stands for several, under `vmap`. Compilers of backward passes do not know the question."""
    if torch.compiler.is_compiling():
        return False
    return _functorch.is_legacy_batchedtensor(g) or _functorch.is_batchedtensor(g)


def _of_many(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    """The derivatives for several gradients at once, `is_grads_batched`, which no tensor of ours can be written with in
    place."""
    x, y, weight, bias = ctx.saved_tensors
    need_x, *needs, _, _ = ctx.needs_input_grad
    with torch.autocast(x.device.type, enabled=False):
        s = _sigmoid(y, weight, bias)
        found: tuple[Tensor | None, ...] = (None, None, None)
        if any(needs):
            dlogits = torch.ops.aten.sigmoid_backward((ctx.span * g * x).to(s.dtype), s)
            found = torch.ops.aten.convolution_backward(
                dlogits, y, weight, [len(weight)], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, needs
            )
        dx = torch.addcmul(g, g, (s - ctx.centre).to(x.dtype), value=ctx.span) if need_x else None
    return dx, *(part if need else None for part, need in zip(found, needs, strict=True)), None, None


def _by_autograd(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    """The derivatives as differentiable functions, of aliases of the inputs: y is itself a function of x."""
    inputs: list[Any] = [None if t is None else t.view_as(t) for t in ctx.saved_tensors]
    x, y, weight, bias = inputs
    out = plain_gate(x, F.conv2d(y, weight, bias), ctx.centre, ctx.span)
    needed = [t for t, need in zip(inputs, ctx.needs_input_grad, strict=False) if need]
    found = iter(torch.autograd.grad(out, needed, g, create_graph=True))
    return tuple(next(found) if need else None for need in ctx.needs_input_grad)


def _sigmoid(y: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(y, weight, bias).sigmoid_()


def _tiles(x: Tensor) -> list[slice]:
    """Slices of frames; all of them at once where there is no cache to stay in."""
    frames = len(x)
    if x.device.type != "cpu" or frames == 0:
        return [slice(None)]
    each = max(1, _TILE * frames // max(1, x.numel() * x.element_size()))
    return [slice(start, start + each) for start in range(0, frames, each)]
