"""The mechanisms against literal transcriptions of the equations: output and all gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from m2a.mechanisms import create_mechanism
from reference.m2a import m2a as reference_m2a
from reference.tsm import tsm as reference_tsm

HALVES = {"m2a": {}, "m2a-motion": {"attention": False}, "m2a-attention": {"motion": False}}
CASES = [
    ("m2a", "wrap"),
    ("m2a", "zero"),
    ("m2a-motion", "wrap"),
    ("m2a-motion", "zero"),
    ("m2a-attention", None),
    ("m2a", "replicate"),
    ("m2a-motion", "replicate"),
    ("tsm", None),
    ("m2a+tsm", "wrap"),
    ("m2a+tsm", "zero"),
]
every_case = pytest.mark.parametrize(("spec", "boundary"), CASES)
INPUTS: dict[str, Callable[[], Tensor]] = {
    "prime sizes": lambda: torch.randn(2, 3, 17, 5, 7, dtype=torch.float64),
    "two frames": lambda: torch.randn(2, 2, 16, 5, 3, dtype=torch.float64),
    "one pixel": lambda: torch.randn(2, 3, 16, 1, 1, dtype=torch.float64),
    "transposed": lambda: torch.randn(2, 17, 3, 5, 7, dtype=torch.float64).transpose(1, 2),
    "strided": lambda: torch.randn(2, 3, 17, 5, 14, dtype=torch.float64)[..., ::2],
    "channels last": lambda: torch.randn(2, 3, 5, 7, 17, dtype=torch.float64).permute(0, 1, 4, 2, 3),
}


def build(spec: str, boundary: str | None, channels: int, reduction: int = 3, **options: str) -> nn.Module:
    options |= {"boundary": boundary} if boundary else {}
    return create_mechanism(spec, channels=channels, num_frames=3, reduction=reduction, **options).double()


def reference(spec: str, boundary: str | None, x: Tensor, weights: dict[str, Tensor], **options: str) -> Tensor:
    for layer in spec.split("+"):
        if layer == "tsm":
            x = reference_tsm(x)
        else:
            own = {name.removeprefix("0.").replace(".", "_"): weight for name, weight in weights.items()}
            x = reference_m2a(x, **own, **HALVES[layer], boundary=boundary or "wrap", **options)
    return x


def assert_agrees(
    spec: str, boundary: str | None, x: Tensor, mechanism: nn.Module, tolerance: float = 1e-10, **options: str
) -> None:
    """Both sides see the same numbers as leaves of their own; a random cotangent makes the gradients tell apart."""
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in mechanism.named_parameters()}
    theirs, ours = x.detach().clone().requires_grad_(), x.detach().requires_grad_()
    expected, got = reference(spec, boundary, theirs, weights, **options), mechanism(ours)
    cotangent = torch.randn(x.shape, dtype=x.dtype)
    expected_gradients = torch.autograd.grad((expected * cotangent).sum(), [theirs, *weights.values()])
    gradients = torch.autograd.grad((got * cotangent).sum(), [ours, *mechanism.parameters()])
    for name, one, other in zip(
        ["output", "input", *weights], [got, *gradients], [expected, *expected_gradients], strict=True
    ):
        scale = other.detach().abs().max().clamp(min=1)
        assert float((one - other).detach().abs().max() / scale) < tolerance, name


@pytest.mark.parametrize("name", ["prime sizes", "channels last"])
@pytest.mark.parametrize(
    ("spec", "boundary"), [("m2a", "replicate"), ("m2a", "zero"), ("m2a-motion", "replicate"), ("m2a-attention", None)]
)
def test_looking_back_alone(spec: str, boundary: str | None, name: str) -> None:
    x = INPUTS[name]()
    back = {"direction": "unidirectional"}
    assert_agrees(spec, boundary, x, build(spec, boundary, x.shape[2], **back), **back)
    if boundary == "replicate":
        assert "boundary='replicate', direction='unidirectional'" in repr(build(spec, None, x.shape[2], **back))


@pytest.mark.parametrize("spec", ["m2a", "m2a-attention"])
@pytest.mark.parametrize("inner_skip", ["none", "learned"])
def test_another_inner_skip(spec: str, inner_skip: str) -> None:
    boundary = "zero" if spec == "m2a" else None
    x = INPUTS["prime sizes"]()
    mechanism = build(spec, boundary, 17, inner_skip=inner_skip)
    assert_agrees(spec, boundary, x, mechanism, inner_skip=inner_skip)
    without = build(spec, boundary, 17, inner_skip="none")
    without.load_state_dict(mechanism.state_dict(), strict=False)
    assert torch.equal(mechanism(x), without(x))  # the learned weights start at zero
    if inner_skip == "learned":
        torch.nn.init.normal_(mechanism.attention.skip_weight)
        assert_agrees(spec, boundary, x, mechanism, inner_skip=inner_skip)


def test_another_inner_skip_around_another_motion() -> None:
    """The shell that is not one T x T matrix takes the same option: its gate hears a_t, or a_t + s z_t."""
    z = torch.randn(2, 3, 5, 7, 5, dtype=torch.float64)
    added, none, learned = (
        create_mechanism("tea:m2a", channels=17, num_frames=3, reduction=3, inner_skip=kind).double()
        for kind in ("add", "none", "learned")
    )
    for other in (none, learned):
        other.load_state_dict(added.state_dict(), strict=False)
    torch.testing.assert_close(none.temporal(z) + z, added.temporal(z))
    assert torch.equal(learned.temporal(z), none.temporal(z))
    torch.nn.init.ones_(learned.attention.skip_weight)
    assert torch.equal(learned.temporal(z), added.temporal(z))


@every_case
@pytest.mark.parametrize("name", INPUTS)
def test_it_is_the_papers_equation(spec: str, boundary: str | None, name: str) -> None:
    x = INPUTS[name]()
    assert_agrees(spec, boundary, x, build(spec, boundary, x.shape[2]))


@pytest.mark.parametrize("name", INPUTS)
def test_a_shift_that_replicates_the_clips_ends(name: str) -> None:
    x = INPUTS[name]()
    mechanism = build("tsm", None, x.shape[2], padding_mode="replicate")
    expected, got = reference_tsm(x, padding_mode="replicate"), mechanism(x)
    assert torch.equal(got, expected)
    assert not torch.equal(got, reference_tsm(x))
    assert repr(mechanism) == f"TemporalShift({x.shape[2]}, fold={x.shape[2] // 8}, padding_mode='replicate')"


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("padding_mode", ["zeros", "replicate"])
def test_a_shift_from_the_past_alone(name: str, padding_mode: str) -> None:
    x = INPUTS[name]()
    mechanism = build("tsm", None, x.shape[2], padding_mode=padding_mode, direction="unidirectional")
    theirs, ours = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected, got = reference_tsm(theirs, padding_mode=padding_mode, online=True), mechanism(ours)
    assert torch.equal(got, expected)
    g = torch.randn_like(x)
    assert torch.equal(*(torch.autograd.grad(out, leaf, g)[0] for out, leaf in ((expected, theirs), (got, ours))))
    later = x.clone()
    later[:, -1] += 1
    assert torch.equal(mechanism(later)[:, :-1], got[:, :-1])  # what comes later changes nothing
    assert "direction='unidirectional'" in repr(mechanism)


def test_a_shift_that_trains_for_streams() -> None:
    x = torch.randn(7, 3, 17, 2, 5)
    theirs, ours = x.clone().requires_grad_(), x.clone().requires_grad_()
    mechanism = build("tsm", None, 17, padding_mode="stream", direction="unidirectional")
    assert torch.equal(mechanism.eval()(x), reference_tsm(x, online=True))
    rows = []
    for number, clip in enumerate(theirs):
        after = theirs[(number + 1) % len(x)][-1:].detach()
        before = (torch.zeros_like(after), after, clip[:1])[number % 3]
        rows.append(reference_tsm(torch.cat([before, clip])[None], online=True)[0, 1:])
    expected, got = torch.stack(rows), mechanism.train()(ours)
    assert torch.equal(got, expected)
    g = torch.randn_like(x)
    assert torch.equal(*(torch.autograd.grad(out, leaf, g)[0] for out, leaf in ((expected, theirs), (got, ours))))
    alone = mechanism(x[:1])
    assert torch.equal(alone, reference_tsm(x[:1], online=True))
    last = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    assert torch.equal(mechanism(last), got)


@pytest.mark.parametrize(("spec", "boundary"), CASES[:7])
def test_the_default_reduction(spec: str, boundary: str | None) -> None:
    assert_agrees(spec, boundary, INPUTS["prime sizes"](), build(spec, boundary, 17, reduction=8))


@every_case
def test_frames_without_variance(spec: str, boundary: str | None) -> None:
    """All that is left for the norm to divide by is epsilon, which magnifies differences of rounding."""
    mechanism = build(spec, boundary, 16)
    x = torch.randn(2, 3, 1, 1, 1, dtype=torch.float64).expand(2, 3, 16, 5, 7)
    with torch.no_grad():
        for name, weight in mechanism.named_parameters():
            if "reduce.weight" in name:
                weight.copy_(weight[:1].expand_as(weight))  # every channel the same: z_t is constant over (c, H, W)
            elif "reduce.bias" in name:
                weight.fill_(0.3)
    assert_agrees(spec, boundary, x, mechanism, tolerance=1e-8)


@every_case
def test_a_mean_much_larger_than_the_deviation(spec: str, boundary: str | None) -> None:
    """z = 1e4 + about 1: four of sixteen digits go, so 1e-8. The expanding rows sum to zero, lest gates saturate."""
    mechanism = build(spec, boundary, 16)
    shift_mean(mechanism, 1e4)
    assert_agrees(spec, boundary, INPUTS["two frames"](), mechanism, tolerance=1e-8)


@pytest.mark.parametrize(("spec", "boundary"), CASES[:7])
def test_a_mean_much_larger_than_the_deviation_in_single_precision(spec: str, boundary: str | None) -> None:
    """z itself is then rounded to 1e-3; nothing may be lost on top of that order (a gate computed from uncentred
    moments would be off by its whole range)."""
    mechanism = build(spec, boundary, 16)
    shift_mean(mechanism, 1e4)
    mechanism.float()
    x = INPUTS["two frames"]().float()
    weights = {name: weight.detach().double() for name, weight in mechanism.named_parameters()}
    expected = reference(spec, boundary, x.double(), weights)
    assert float((mechanism(x).double() - expected).detach().abs().max()) < 5e-3


def shift_mean(mechanism: nn.Module, mean: float) -> None:
    with torch.no_grad():
        for name, weight in mechanism.named_parameters():
            if "reduce.bias" in name:
                weight.fill_(mean)
            elif "expand.weight" in name:
                weight.sub_(weight.mean(1, keepdim=True))


def test_numbers_worked_out_by_hand() -> None:
    """One channel, one pixel, weights 1 and biases 0: z = x, and the motion of (1, 3) is (2, -2), or (2, -3)."""
    x = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1, 1)
    for boundary, motions in (("wrap", (2.0, -2.0)), ("zero", (2.0, -3.0))):
        mechanism = create_mechanism("m2a-motion", channels=1, boundary=boundary)
        with torch.no_grad():
            for name, weight in mechanism.named_parameters():
                weight.fill_(1.0 if "weight" in name else 0.0)
        expected = x.flatten() * (1 + torch.tensor(motions).sigmoid())
        torch.testing.assert_close(mechanism(x).flatten(), expected)


def test_a_shift_worked_out_by_hand() -> None:
    """Four channels and shift_div 4: channel 0 comes from the next frame, channel 1 from the one before."""
    x = torch.arange(1.0, 13.0).view(1, 3, 4, 1, 1)
    expected = [[5, 0, 3, 4], [9, 2, 7, 8], [0, 6, 11, 12]]
    assert create_mechanism("tsm", channels=4, shift_div=4)(x).view(3, 4).tolist() == expected
