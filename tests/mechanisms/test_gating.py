"""The gate in tiles with its own derivative, against the plain operations and autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import prune

from m2a.mechanisms import FrameDifference, create_mechanism, gating
from m2a.mechanisms.gating import gate, plain_gate
from m2a.mechanisms.tsm import Moves, _Shift, plain_shift

FORMATS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x.contiguous(),
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "every second row": lambda x: torch.cat([x, x], dim=2)[:, :, ::2],
}


def inputs(dtype: torch.dtype = torch.float64, frames: int = 7) -> tuple[Tensor, Tensor, nn.Conv2d]:
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(frames, channels, 5, 3, generator=generator, dtype=dtype) for channels in (11, 2))
    return x.requires_grad_(), y.requires_grad_(), nn.Conv2d(2, 11, 1).to(dtype)


def plain(x: Tensor, y: Tensor, expand: nn.Conv2d, centre: float, span: float = 1.0) -> Tensor:
    return x + span * x * (expand(y).sigmoid() - centre)


def gradients(out: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view_as(out)
    return torch.autograd.grad((out * weights).sum(), of)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("tile", [1, 500, 2**21])
@pytest.mark.parametrize(("centre", "span"), [(0.0, 1.0), (0.5, 1.0), (0.5, 4.0)])
def test_value_and_gradients(
    layout: str, tile: int, centre: float, span: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gating, "_TILE", tile)
    x, y, expand = inputs()
    laid = FORMATS[layout](x), FORMATS[layout](y)
    out, expected = gate(*laid, expand, centre=centre, span=span), plain(*laid, expand, centre, span)
    torch.testing.assert_close(plain_gate(laid[0], expand(laid[1]), centre, span), expected)
    torch.testing.assert_close(out, expected)
    assert expand.bias is not None
    leaves = (x, y, expand.weight, expand.bias)
    for got, wanted in zip(gradients(out, *leaves), gradients(expected, *leaves), strict=True):
        torch.testing.assert_close(got, wanted)


def test_numerically_also_the_second_derivative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gating, "_TILE", 300)
    x, y, expand = inputs(frames=3)

    def run(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return gating._Gating.apply(x, y, weight, bias, 0.5, 4.0)

    given = (x, y, expand.weight, expand.bias)
    assert torch.autograd.gradcheck(run, given)
    assert torch.autograd.gradgradcheck(run, given)


@pytest.mark.parametrize("frozen", ["nothing", "x", "y", "weight"])
@pytest.mark.parametrize(("centre", "span"), [(0.0, 1.0), (0.5, 4.0)])
@pytest.mark.parametrize("again", [False, True])
def test_many_gradients_at_once(frozen: str, centre: float, span: float, again: bool) -> None:
    """`is_grads_batched` and `vmap` over the backward pass, against one pass after the other."""
    x, y, expand = inputs()
    assert expand.bias is not None
    leaves = {"x": x, "y": y, "weight": expand.weight, "bias": expand.bias}
    live = [leaf.requires_grad_(name != frozen) for name, leaf in leaves.items() if name != frozen]
    if frozen != "nothing":
        leaves[frozen].requires_grad_(False)
    out = gate(x, y, expand, centre=centre, span=span)
    given = torch.randn(3, *out.shape, dtype=out.dtype)
    singly = [torch.autograd.grad(out, live, one, retain_graph=True) for one in given]
    batched = torch.autograd.grad(out, live, given, is_grads_batched=True, retain_graph=True, create_graph=again)
    mapped = torch.vmap(lambda one: torch.autograd.grad(out, live, one, retain_graph=True, create_graph=again))(given)
    for *parts, one, other in zip(*singly, batched, mapped, strict=True):
        torch.testing.assert_close(one, torch.stack(parts))
        torch.testing.assert_close(other, torch.stack(parts))


@pytest.mark.parametrize("frozen", ["x", "y", "weight", "all but x"])
def test_what_needs_no_gradient_gets_none(frozen: str) -> None:
    x, y, expand = inputs()
    assert expand.bias is not None
    leaves = {"x": x, "y": y, "weight": expand.weight, "bias": expand.bias}
    for name, leaf in leaves.items():
        leaf.requires_grad_(name == "x" if frozen == "all but x" else name != frozen)
    live = [leaf for leaf in leaves.values() if leaf.requires_grad]
    for got, wanted in zip(
        gradients(gate(x, y, expand), *live), gradients(plain(x, y, expand, 0.0), *live), strict=True
    ):
        torch.testing.assert_close(got, wanted)


def test_without_a_bias_and_without_frames() -> None:
    x, y, _ = inputs()
    expand = nn.Conv2d(2, 11, 1, bias=False).double()
    torch.testing.assert_close(gate(x, y, expand), plain(x, y, expand, 0.0))
    assert gate(x[:0], y[:0], expand).shape == (0, 11, 5, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_under_autocast(dtype: torch.dtype) -> None:
    """Features as they come, the convolution and the gate in bfloat16, forward and backward: as plain operations do."""
    x, y, expand = inputs(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out, expected = gate(x.to(dtype), y, expand), plain(x.to(dtype), y, expand, 0.0)
    assert out.dtype == expected.dtype == dtype
    torch.testing.assert_close(out, expected)
    for got, wanted in zip(gradients(out, x, y, expand.weight), gradients(expected, x, y, expand.weight), strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, wanted, rtol=2e-2, atol=2e-2)


def kept(run: Callable[[], Tensor]) -> int:
    """Bytes that autograd keeps for the backward pass of a tensor."""
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run()
    del out
    return sum(found.values())


def test_the_gate_is_not_kept() -> None:
    x, y, expand = inputs()
    assert expand.bias is not None
    given = sum(t.untyped_storage().nbytes() for t in (x, y, expand.weight, expand.bias))
    assert kept(lambda: gate(x, y, expand)) == given
    without_bias = given - expand.bias.untyped_storage().nbytes()  # a convolution keeps none
    assert kept(lambda: plain_gate(x, expand(y))) == without_bias + x.untyped_storage().nbytes()


@pytest.mark.parametrize("case", ["frames alike", "large mean", "two frames", "not contiguous"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_hard_input_as_the_literal_equations_have_it(case: str, dtype: torch.dtype) -> None:
    """Values and gradients of the whole mechanism, fast against literal, which is computed in float64."""
    mechanism = create_mechanism("m2a", channels=16)
    x = torch.randn(2, 2 if case == "two frames" else 5, 16, 7, 3)
    if case == "frames alike":
        x = x[:, :1].expand_as(x).contiguous()
    elif case == "large mean":
        x = x + 1000
    elif case == "not contiguous":
        x = x.transpose(0, 1).contiguous().transpose(0, 1)[..., ::2, :]
    x = x.to(dtype)
    results: list[tuple[Tensor, Tensor]] = []
    for run, leaf in ((mechanism, x.clone()), (_literal(mechanism), x.double())):
        leaf.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16 and run is mechanism):
            out = run(leaf)
        (gradient,) = torch.autograd.grad(out.double().square().mean(), leaf)
        results.append((out.detach().double(), gradient.double()))
    bound = 2e-5 if dtype == torch.float32 else 3e-2
    for got, wanted in zip(*results, strict=True):
        assert float((got - wanted).abs().max() / wanted.abs().max()) < bound


def _literal(mechanism: Any) -> Callable[[Tensor], Tensor]:
    """The equations as they stand in the header of m2a.py, in float64."""
    weights = {name: value.detach().double() for name, value in mechanism.state_dict().items()}

    def run(x: Tensor) -> Tensor:
        frames = x.flatten(0, 1)
        z = torch.conv2d(frames, weights["reduce.weight"], weights["reduce.bias"]).unflatten(0, x.shape[:2])
        normed = torch.nn.functional.layer_norm(z, z.shape[2:])
        tokens = (normed.roll(-1, dims=1) - normed).flatten(2)
        attention = (tokens @ tokens.mT / tokens.shape[-1] ** 0.5).softmax(-1)
        y = (attention @ tokens).view_as(z) + z
        gate_ = torch.conv2d(y.flatten(0, 1), weights["expand.weight"], weights["expand.bias"]).sigmoid()
        return (frames + frames * gate_).unflatten(0, x.shape[:2])

    return run


@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
@pytest.mark.parametrize("frames", [1, 2, 7])
@pytest.mark.parametrize("moves", [((0, 2, 1), (2, 4, -1)), ((0, 2, -1),)])
def test_the_shift_in_place_is_the_plain_one(layout: str, frames: int, moves: Moves) -> None:
    x = torch.randn(2 * frames, 5, 3, 2, dtype=torch.float64)
    clip = FORMATS[layout](x).unflatten(0, (2, frames)).requires_grad_()
    out, expected = _Shift.apply(clip, moves), plain_shift(clip, moves)
    assert torch.equal(out, expected)
    assert out.is_contiguous() == expected.is_contiguous() or frames == 1
    assert out.flatten(0, 1).is_contiguous(memory_format=torch.channels_last) == (layout == "channels last")
    assert torch.equal(gradients(out, clip)[0], gradients(expected, clip)[0])
    assert torch.autograd.gradgradcheck(lambda x: _Shift.apply(x, moves), clip)


@pytest.mark.parametrize("name", ["m2a", "m2a-plus"])
@pytest.mark.usefixtures("as_users_run_it")
def test_compiling_asks_nothing_that_a_compiler_cannot_see_through(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler of torch 2.11 does not know `is_autocast_available`, and broke the graph there at every site: on a
    GPU the compiled network with M2A took twice as long as the bare one."""
    opaque = torch._dynamo.disable(torch.amp.is_autocast_available)
    monkeypatch.setattr(torch.amp, "is_autocast_available", opaque)
    mechanism = create_mechanism(name, channels=17, num_frames=5)
    x = torch.randn(2, 5, 17, 3, 3, generator=torch.Generator().manual_seed(1))
    torch._dynamo.reset()
    compiled = torch.compile(mechanism, fullgraph=True, backend="eager")
    for enabled in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            torch.testing.assert_close(compiled(x), mechanism(x), rtol=0, atol=0.05 if enabled else 1e-6)


def test_a_gate_that_is_watched_is_called() -> None:
    """Pruning and weight norms of the older kind make the weights in a hook; yours may want to see what comes out."""
    mechanism = create_mechanism("m2a", channels=11, num_frames=3, reduction=2)
    seen: list[tuple[int, ...]] = []
    mechanism.expand.register_forward_hook(lambda module, args, out: seen.append(tuple(out.shape)))
    prune.l1_unstructured(mechanism.expand, "weight", amount=1)  # of 55 weights
    optimizer = torch.optim.SGD(mechanism.parameters(), lr=0.1)
    for _ in range(2):
        mechanism(torch.ones(1, 3, 11, 5, 7).cumsum(-1)).sum().backward()
        optimizer.step()
    assert seen == [(3, 11, 5, 7)] * 2
    assert mechanism.expand.weight_orig.grad is not None


def test_parts_that_were_replaced_are_called() -> None:
    """A `forward` of its own, as some libraries hook, and another motion."""
    mechanism, x = create_mechanism("m2a", channels=11, num_frames=3, reduction=2), torch.randn(1, 3, 11, 5, 7)
    expected = mechanism(x)
    plain, calls = mechanism.expand.forward, []
    mechanism.expand.forward = lambda y: calls.append(tuple(y.shape)) or plain(y)
    torch.testing.assert_close(mechanism(x), expected)
    assert calls == [(3, 5, 5, 7)]

    class Backwards(FrameDifference):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return -super().forward(z)

    mechanism.motion, z = Backwards(), torch.randn(1, 3, 5, 5, 7)
    normed = torch.nn.functional.layer_norm(z, z.shape[2:])
    torch.testing.assert_close(mechanism.temporal(z), mechanism.attention(-FrameDifference()(normed)) + z)


def test_gradients_of_weights_are_summed_over_tiles_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 each of 301 tiles would be rounded to 8 bits of what is there already."""
    x, y, expand = inputs(torch.float32, frames=301)
    (exact,) = gradients(plain(x, y, expand, 0.0), expand.weight)
    monkeypatch.setattr(gating, "_TILE", 1)
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = gradients(gate(x, y, expand), expand.weight)
    assert float((found - exact).norm() / exact.norm()) < 0.004


def test_attention_behind_other_motions_does_not_overflow_in_half_precision() -> None:
    """The scores of D = 100,352 numbers (layer1 of a ResNet-50 at 224 pixels) are beyond 65,504."""
    mechanism = create_mechanism("tea:m2a", channels=256, num_frames=2).train()
    x = torch.randn(1, 2, 256, 56, 56)
    with torch.no_grad(), torch.autocast("cpu", torch.float16):
        half = mechanism(x)
    assert half.isfinite().all()
    with torch.no_grad():
        torch.testing.assert_close(half.float(), mechanism(x), rtol=0.02, atol=0.02)


def test_a_mode_that_computes_nothing_leaves_nothing_behind() -> None:
    mechanism, x = create_mechanism("m2a", channels=11, num_frames=13, reduction=2), torch.randn(1, 13, 11, 5, 3)
    with FakeTensorMode(allow_non_fake_inputs=True):
        mechanism(torch.empty(1, 13, 11, 5, 3))
    assert mechanism(x).isfinite().all()
