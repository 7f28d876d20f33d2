"""The mechanisms that M2A is compared with, against literal transcriptions: output and all gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from m2a.mechanisms import Gate, create_mechanism
from m2a.mechanisms.catalogue import parts
from m2a.mechanisms.m2a_plus import cosines
from reference.gate import gate
from reference.tam import tam
from reference.tdn import tdn

CELLS = [
    (motion, attention)
    for motion in parts("motion")
    for attention in parts("attention")
    if (motion, attention) != ("none", "none")
]
every_cell = pytest.mark.parametrize(("motion", "attention"), CELLS, ids=[":".join(cell) for cell in CELLS])


def build(spec: str, channels: int, num_frames: int, reduction: int = 3, **options: str | float) -> nn.Module:
    """In double precision, with statistics that a batch norm could have after training."""
    mechanism = create_mechanism(
        spec, channels=channels, num_frames=num_frames, reduction=reduction, **options
    ).double()
    for module in mechanism.modules():
        if isinstance(module, Gate) and not module.expand.weight.any():  # it starts as the identity
            nn.init.normal_(module.expand.weight)
        if isinstance(module, _BatchNorm):
            for tensor in (module.running_mean, module.weight, module.bias):
                assert tensor is not None
                nn.init.normal_(tensor)
            assert module.running_var is not None
            nn.init.uniform_(module.running_var, 0.5, 2)
    return mechanism.eval()


def assert_agrees(x: Tensor, mechanism: nn.Module, motion: str, attention: str, boundary: str = "wrap") -> None:
    """Both sides see the same numbers as leaves of their own; a random cotangent makes the gradients tell apart."""
    buffers = dict(mechanism.named_buffers())
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in mechanism.named_parameters()}
    theirs, ours = x.detach().clone().requires_grad_(), x.detach().clone().requires_grad_()
    expected = gate(theirs, weights | buffers, motion=motion, attention=attention, boundary=boundary)
    got = mechanism(ours)
    cotangent = torch.randn(x.shape, dtype=x.dtype)
    expected_gradients = torch.autograd.grad((expected * cotangent).sum(), [theirs, *weights.values()])
    gradients = torch.autograd.grad((got * cotangent).sum(), [ours, *mechanism.parameters()])
    names = ["output", "input", *weights]
    for name, one, other in zip(names, [got, *gradients], [expected, *expected_gradients], strict=True):
        scale = other.detach().abs().max().clamp(min=1)
        assert float((one - other).detach().abs().max() / scale) < 1e-10, name


@every_cell
@pytest.mark.parametrize("shape", [(2, 3, 7, 5, 2), (1, 2, 6, 1, 3)], ids=["prime sizes", "a single row"])
def test_every_cell_is_its_equations(motion: str, attention: str, shape: tuple[int, ...]) -> None:
    """The patches do not divide these maps, so that their cells are the attention over all pixels."""
    x = torch.randn(shape, dtype=torch.float64)
    assert_agrees(x, build(f"{motion}:{attention}", shape[2], shape[1]), motion, attention)


@pytest.mark.parametrize("num_frames", [1, 2, 11])
def test_m2a_plus_at_other_lengths_than_it_was_built_for(num_frames: int) -> None:
    """Fewer and more frames than cosines."""
    x = torch.randn(2, num_frames, 7, 5, 3, dtype=torch.float64)
    assert_agrees(x, build("m2a-plus", 7, 3), "m2a", "m2a-plus")


@pytest.mark.parametrize("num_frames", [3, 16, 61])
def test_the_basis_of_time_is_exact_but_for_rounding(num_frames: int) -> None:
    """Computed in bfloat16 it was off by 0.07. In 32 bits it is what it was when weights were saved."""
    place_T = (torch.arange(num_frames, dtype=torch.float32) + 0.5) / num_frames
    before = torch.cos(math.pi * torch.arange(1, 9, dtype=torch.float32)[:, None] * place_T)
    told = {"device": torch.device("cpu")}
    assert torch.equal(cosines(num_frames, dtype=torch.float32, **told), before)
    exact = cosines(num_frames, dtype=torch.float64, **told)
    torch.testing.assert_close(before.double(), exact, rtol=0, atol=3e-6)
    for dtype in (torch.bfloat16, torch.float16):
        rounded = cosines(num_frames, dtype=dtype, **told)
        assert rounded.dtype == dtype
        assert float((rounded - exact).abs().max()) <= torch.finfo(dtype).eps / 2


def test_m2a_plus_without_what_it_adds() -> None:
    """What is left is m2a without its inner skip, less half of the features."""
    x = torch.randn(2, 3, 7, 5, 3, dtype=torch.float64)
    plain, mechanism = (
        build("m2a", 7, 3, inner_skip="none"),
        build("m2a-plus", 7, 3, time_embedding=False, residual=False, span=1.0),
    )
    mechanism.load_state_dict(plain.state_dict())
    torch.testing.assert_close(mechanism(x), plain(x) - x / 2)


@pytest.mark.parametrize("motion", parts("motion"))
@pytest.mark.parametrize(
    ("attention", "height", "width"), [("patch4", 4, 12), ("patch4", 8, 4), ("patch8", 8, 8), ("patch8", 4, 3)]
)
def test_patches(motion: str, attention: str, height: int, width: int) -> None:
    """Maps that the patch divides, in both directions, and one that is smaller than the patch."""
    x = torch.randn(1, 3, 5, height, width, dtype=torch.float64)
    assert_agrees(x, build(f"{motion}:{attention}", 5, 3), motion, attention)


@pytest.mark.parametrize("attention", ["none", "tam", "patch4"])
def test_the_released_codes_boundary(attention: str) -> None:
    x = torch.randn(1, 3, 5, 4, 4, dtype=torch.float64)
    assert_agrees(x, build(f"m2a:{attention}", 5, 3, boundary="zero"), "m2a", attention, "zero")


def test_where_patches_do_not_fit_motion_is_to_the_next_frame_and_not_to_the_next_pixel() -> None:
    """Frames that are all the same have no motion, so nothing of one pixel reaches another; what the released code did
    there, the difference to the next pixel, is not zero."""
    mechanism = build("m2a:patch4", 8, 3)
    x = torch.randn(1, 1, 8, 5, 7, dtype=torch.float64).repeat(1, 3, 1, 1, 1)
    other = x.clone()
    other[..., 4, 6] += 1
    changed = (mechanism(other) - mechanism(x)).abs().amax((0, 1, 2)) > 1e-12
    assert changed.nonzero().tolist() == [[4, 6]]


def test_tdns_backward_direction_as_in_the_released_code() -> None:
    mechanism = build("tdn", 6, 3, released_backward=True)
    assert isinstance(mechanism, Gate)
    frames = torch.randn(3, 2, 5, 3, dtype=torch.float64)
    weights = dict(mechanism.motion.named_parameters()) | dict(mechanism.motion.named_buffers())
    expected = torch.stack(tdn(list(frames), weights, released_backward=True))
    torch.testing.assert_close(mechanism.motion(frames[None])[0], expected, rtol=0, atol=1e-12)
    assert not torch.allclose(expected, torch.stack(tdn(list(frames), weights)))


@pytest.mark.parametrize(("channels", "beta"), [(7, 4), (3, 4), (5, 1)])
def test_tam_by_itself(channels: int, beta: int) -> None:
    mechanism = build("tanet", channels, 3, beta=beta)
    x = torch.randn(2, 3, channels, 5, 3, dtype=torch.float64)
    weights = dict(mechanism.named_parameters()) | dict(mechanism.named_buffers())
    expected = torch.stack([torch.stack(tam(list(clip), weights)) for clip in x])
    torch.testing.assert_close(mechanism(x), expected, rtol=0, atol=1e-12)
