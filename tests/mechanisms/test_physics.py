"""What a mechanism must make of motion, of none, and of time running backwards."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from m2a.mechanisms import (
    FrameAttention,
    FrameDifference,
    Gate,
    MotionAttention,
    create_mechanism,
    list_mechanisms,
)
from m2a.mechanisms.create import options_of


def build(spec: str, **options: object) -> nn.Module:
    mechanism = create_mechanism(spec, channels=16, num_frames=5, reduction=3, **options).eval()
    with torch.no_grad():
        for weight in mechanism.parameters():
            weight.copy_(torch.randn_like(weight))  # large enough for gates to open and close
    return mechanism


def test_without_motion_the_motion_gate_depends_on_its_bias_alone() -> None:
    mechanism = build("m2a-motion")
    assert isinstance(mechanism, Gate)
    x = torch.randn(2, 1, 16, 5, 7).expand(2, 5, 16, 5, 7)
    gate = mechanism(x) / x - 1
    torch.testing.assert_close(gate, mechanism.expand.bias.sigmoid()[:, None, None].expand_as(x), rtol=1e-3, atol=1e-3)


def test_where_nothing_moves_the_motion_gate_depends_on_its_bias_alone() -> None:
    """One dot moves over a still background: pixels it never touches are gated as if there were no motion."""
    mechanism = build("m2a-motion")
    x = torch.randn(1, 1, 16, 1, 7).repeat(1, 5, 1, 1, 1)
    for t in range(5):
        x[:, t, :, :, t] += 3.0
    still = mechanism.expand.bias.sigmoid()[:, None, None]
    out = mechanism(x)
    torch.testing.assert_close(out[..., 5:], (x * (1 + still))[..., 5:])
    assert float((out - x * (1 + still))[..., :5].abs().amax(dim=(0, 1, 2, 3)).min().detach()) > 0.1


@pytest.mark.parametrize("boundary", ["wrap", "zero", "replicate"])
def test_the_last_frames_successor(boundary: str) -> None:
    x = torch.randn(2, 3, 5, 7, 11)
    motion = FrameDifference(boundary=boundary)(x)
    torch.testing.assert_close(motion[:, :-1], x[:, 1:] - x[:, :-1])
    last = {"wrap": x[:, 0] - x[:, -1], "zero": -x[:, -1], "replicate": torch.zeros_like(x[:, 0])}
    torch.testing.assert_close(motion[:, -1], last[boundary])
    matrix = FrameDifference(boundary=boundary).matrix(3, device=x.device, dtype=x.dtype)
    torch.testing.assert_close(torch.einsum("ts,bschw->btchw", matrix, x), motion)


@pytest.mark.parametrize("boundary", ["zero", "replicate"])
def test_the_first_frames_predecessor(boundary: str) -> None:
    x = torch.randn(2, 3, 5, 7, 11)
    difference = FrameDifference(boundary=boundary, direction="unidirectional")
    motion = difference(x)
    torch.testing.assert_close(motion[:, 1:], x[:, 1:] - x[:, :-1])
    torch.testing.assert_close(motion[:, 0], {"zero": x[:, 0], "replicate": torch.zeros_like(x[:, 0])}[boundary])
    matrix = difference.matrix(3, device=x.device, dtype=x.dtype)
    torch.testing.assert_close(torch.einsum("ts,bschw->btchw", matrix, x), motion)


def looks_back(spec: str) -> dict[str, object]:
    return {"direction": "unidirectional"} | ({"time_embedding": False} if "plus" in spec else {})


TAKE_A_DIRECTION = [name for name in list_mechanisms() if "direction" in options_of(name)]


@pytest.mark.parametrize("spec", [*TAKE_A_DIRECTION, "m2a+tsm", "none:m2a-plus"])
def test_those_that_look_back_alone_are_as_they_are_without_later_frames(spec: str) -> None:
    mechanism = build(spec, **looks_back(spec)).double()
    x = torch.randn(2, 1, 16, 5, 7).double() + 0.3 * torch.randn(2, 5, 16, 5, 7).double()  # frames alike are mixed
    whole = mechanism(x)
    for count in range(1, 5):
        torch.testing.assert_close(mechanism(x[:, :count]), whole[:, :count], rtol=0, atol=1e-12)
    assert float((mechanism(x[:, 3:])[:, 0] - whole[:, 3]).abs().max().detach()) > 1e-3  # nor without those before
    both = build(spec).double()
    assert float((both(x)[:, :2] - both(x[:, :2])).abs().max().detach()) > 1e-3


def test_all_of_the_catalogue_that_can_look_back_alone() -> None:
    assert TAKE_A_DIRECTION == ["tsm", "m2a", "m2a-motion", "m2a-attention", "m2a-plus"]


def test_wrapped_motion_sums_to_zero() -> None:
    motion = FrameDifference()(torch.randn(2, 7, 5, 3, 2))
    torch.testing.assert_close(motion.sum(1), torch.zeros(2, 5, 3, 2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("spec", ["m2a", "m2a-motion", "tsm", "m2a+tsm", "m2a:patch4", "tea", "tam", "tanet"])
@pytest.mark.parametrize("boundary", ["wrap", "zero", "replicate"])
def test_they_know_which_way_time_runs(spec: str, boundary: str) -> None:
    mechanism = build(spec, **({"boundary": boundary} if "m2a" in spec else {}))
    x = torch.randn(2, 5, 16, 5, 7)
    assert float((mechanism(x.flip(1)).flip(1) - mechanism(x)).abs().max().detach()) > 0.1


@pytest.mark.parametrize("spec", ["tdn", "tdn:m2a"])
def test_tdn_does_not_as_it_averages_both_directions_with_the_same_weights(spec: str) -> None:
    """A backbone that averages frames cannot tell a clip from its reverse with it, unlike the released code's."""
    x = torch.randn(2, 5, 16, 5, 7, dtype=torch.float64)
    mechanism, released = build(spec).double(), build(spec, released_backward=True).double()
    torch.testing.assert_close(mechanism(x.flip(1)).flip(1), mechanism(x), rtol=0, atol=1e-12)
    assert float((released(x.flip(1)).flip(1) - released(x)).abs().max().detach()) > 0.1


@pytest.mark.parametrize("spec", ["m2a-attention", "none", "none:patch4"])
def test_these_do_not_and_commute_with_any_order(spec: str) -> None:
    mechanism, x = build(spec).double(), torch.randn(2, 5, 16, 5, 7, dtype=torch.float64)
    for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        torch.testing.assert_close(mechanism(x[:, order]), mechanism(x)[:, order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("spec", ["m2a", "m2a-motion"])
def test_wrapped_motion_commutes_with_turning_the_clip_round(spec: str) -> None:
    x = torch.randn(2, 5, 16, 5, 7, dtype=torch.float64)
    wrap, zero = build(spec).double(), build(spec, boundary="zero").double()
    torch.testing.assert_close(wrap(x.roll(2, 1)), wrap(x).roll(2, 1), rtol=0, atol=1e-12)
    assert float((zero(x.roll(2, 1)) - zero(x).roll(2, 1)).abs().max().detach()) > 0.1


def test_the_matrix_shortcut_is_the_gate_step_by_step() -> None:
    """`Gate` puts the motion and the attention modules one after the other; `MotionAttention` must equal it."""
    shortcut = build("m2a")
    assert isinstance(shortcut, MotionAttention)
    gate = Gate(16, motion=FrameDifference(), attention=FrameAttention(channels=5), reduction=3)
    gate.load_state_dict(shortcut.state_dict())
    x = torch.randn(2, 5, 16, 5, 7)
    torch.testing.assert_close(shortcut(x), gate(x), rtol=0, atol=1e-4)


def test_attention_over_equal_frames_gives_them_back() -> None:
    x = torch.randn(2, 1, 5, 3, 7).expand(2, 4, 5, 3, 7)
    torch.testing.assert_close(FrameAttention(channels=x.shape[2])(x), x.contiguous())


def test_the_gate_at_most_doubles_and_keeps_signs() -> None:
    x = torch.randn(2, 5, 16, 5, 7)
    ratio = build("m2a")(x) / x
    assert float(ratio.min().detach()) >= 1 - 1e-5
    assert float(ratio.max().detach()) <= 2 + 1e-5
