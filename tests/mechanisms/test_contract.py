"""What every mechanism keeps to, whoever adds it: the suite runs over the catalogue, and over stacks and cells."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from m2a.errors import ClipShapeError
from m2a.mechanisms import Gate, create_mechanism, list_mechanisms
from m2a.mechanisms.catalogue import Kind, parts
from m2a.mechanisms.spec import Cell, Whole, parse_spec

CELLS = [f"{motion}:{attention}" for motion in parts("motion") for attention in parts("attention")]
SPECS = [*list_mechanisms(), *(cell for cell in CELLS if cell != "none:none"), "m2a+tsm", "tsm+tea:tam"]
BOUND = [spec for spec in SPECS if "tam" in spec or spec == "tanet"]
every_spec = pytest.mark.parametrize("spec", SPECS)


def build(spec: str, *, channels: int = 17, seed: int = 0, reduction: int = 3, num_frames: int = 3) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mechanism = create_mechanism(spec, channels=channels, num_frames=num_frames, reduction=reduction).eval()
        open_gates(mechanism)
        return mechanism


def open_gates(mechanism: nn.Module) -> None:
    """Moves what starts as the identity off it: there it would be any other identity's equal."""
    for gate in mechanism.modules():
        if isinstance(gate, Gate) and not gate.expand.weight.any():
            nn.init.normal_(gate.expand.weight, std=0.1)


def clip(*shape: int) -> Tensor:
    return torch.randn(shape or (2, 3, 17, 5, 7))


def has_weights(spec: str) -> bool:
    return any(True for _ in build(spec, channels=16).parameters())


@every_spec
@pytest.mark.parametrize(
    "shape", [(1, 2, 8, 1, 1), (2, 3, 17, 5, 7), (3, 7, 11, 2, 13), (1, 19, 8, 3, 3), (2, 1, 8, 5, 7), (1, 2, 8, 16, 8)]
)
def test_shape_is_kept_whatever_the_clip(spec: str, shape: tuple[int, ...]) -> None:
    mechanism = build(spec, channels=shape[2], num_frames=shape[1])
    out = mechanism(clip(*shape))
    assert out.shape == shape
    assert out.isfinite().all()


@every_spec
@pytest.mark.usefixtures("as_users_run_it")
def test_another_length_than_it_was_built_for(spec: str) -> None:
    mechanism, x = build(spec, num_frames=3), clip(2, 5, 17, 5, 7)
    if spec not in BOUND:
        assert mechanism(x).shape == x.shape
        return
    with pytest.raises(ClipShapeError, match=r"built for T = 3, got 5 in \(2, 5, .*Build it anew with num_frames=5"):
        mechanism(x)


def test_the_catalogue_says_what_is_bound_to_a_length() -> None:
    for spec in SPECS:
        layers = parse_spec(spec).layers
        infos = [parts(kind).get(name) for layer in layers for kind, name in names_of(layer)]
        assert any(info.fixes_num_frames for info in infos if info) == (spec in BOUND), spec


def names_of(layer: Cell | Whole) -> list[tuple[Kind, str]]:
    if isinstance(layer, Whole):
        return [("whole", layer.name)]
    return [("motion", layer.motion), ("attention", layer.attention)]


@every_spec
def test_fewer_channels_than_the_reduction(spec: str) -> None:
    assert build(spec, channels=8, reduction=64)(clip(2, 3, 8, 5, 7)).shape == (2, 3, 8, 5, 7)


@every_spec
def test_no_clips_at_all(spec: str) -> None:
    assert build(spec)(clip(0, 3, 17, 5, 7)).shape == (0, 3, 17, 5, 7)


@every_spec
def test_every_weight_and_the_input_have_a_gradient(spec: str) -> None:
    mechanism, x = build(spec), clip().requires_grad_()
    (mechanism(x) * torch.randn(x.shape)).sum().backward()
    for name, tensor in [("input", x), *mechanism.named_parameters()]:
        assert tensor.grad is not None, name
        assert tensor.grad.isfinite().all(), name
        assert tensor.grad.abs().max() > 0, name


@every_spec
def test_many_backward_passes_at_once(spec: str) -> None:
    """As `torch.autograd.functional.jacobian(vectorize=True)` asks for them."""
    mechanism, x = build(spec).double(), clip(1, 3, 17, 7, 5).double().requires_grad_()
    leaves = [x, *mechanism.parameters()]
    out = mechanism(x)
    given = torch.randn(2, *out.shape, dtype=out.dtype)
    together = torch.autograd.grad(out, leaves, given, is_grads_batched=True, retain_graph=True)
    singly = [torch.autograd.grad(out, leaves, one, retain_graph=True) for one in given]
    for got, *apart in zip(together, *singly, strict=True):
        torch.testing.assert_close(got, torch.stack(apart))


@every_spec
def test_clips_of_a_batch_do_not_see_each_other(spec: str) -> None:
    mechanism, x = build(spec), clip()
    other = x.clone()
    other[1] = torch.randn_like(other[1])
    torch.testing.assert_close(mechanism(other)[0], mechanism(x)[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(mechanism(x[:1])[0], mechanism(x)[0], rtol=0, atol=1e-6)


@every_spec
def test_frames_do_see_each_other(spec: str) -> None:
    mechanism, x = build(spec), clip()
    other = x.clone()
    other[:, 1] = torch.randn_like(other[:, 1])
    assert torch.equal(mechanism(other)[:, 0], mechanism(x)[:, 0]) == (spec == "none")


@every_spec
def test_it_is_deterministic_and_leaves_its_input_and_itself_alone(spec: str) -> None:
    mechanism, x = build(spec), clip()
    before, state = x.clone(), copy.deepcopy(mechanism.state_dict())
    first = mechanism(x)
    assert torch.equal(mechanism(x), first)
    assert torch.equal(x, before)
    for name, value in mechanism.state_dict().items():
        assert torch.equal(value, state[name]), name


@every_spec
def test_training_mode_is_evaluation_mode_but_for_batch_norms(spec: str) -> None:
    mechanism, x = build(spec), clip()
    norms = [module for module in mechanism.modules() if isinstance(module, _BatchNorm)]
    evaluated = mechanism(x)
    trained = mechanism.train()(x)
    assert torch.equal(trained, evaluated) == (not norms)
    for norm in norms:
        assert norm.num_batches_tracked
        assert norm.running_mean is not None
        assert norm.running_mean.abs().max() > 0


@every_spec
def test_channels_last_goes_through(spec: str) -> None:
    mechanism, x = build(spec), clip()
    plain = mechanism(x)
    last = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (2, 3))
    out = mechanism.to(memory_format=torch.channels_last)(last)
    assert plain.is_contiguous()
    assert out.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, plain, rtol=0, atol=1e-5)


@every_spec
def test_bfloat16_autocast_stays_close(spec: str) -> None:
    """bfloat16 keeps 8 bits. Here x < 5 and the gate adds x times something rounded a few times: 0.1 is 2% of it."""
    mechanism, x = build(spec), clip()
    with torch.autocast("cpu", torch.bfloat16):
        out = mechanism(x)
    assert out.dtype == x.dtype
    assert float((out - mechanism(x)).detach().abs().max()) < 0.1


@every_spec
def test_bfloat16_weights_and_features(spec: str) -> None:
    mechanism, x = build(spec), clip()
    expected = mechanism(x)
    out = mechanism.bfloat16()(x.bfloat16())
    assert out.dtype == torch.bfloat16
    assert float((out.float() - expected).detach().abs().max()) < 0.15


@every_spec
def test_weights_make_the_mechanism(spec: str) -> None:
    one, other, x = build(spec, seed=0), build(spec, seed=1), clip()
    assert torch.equal(one(x), other(x)) != has_weights(spec)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(x), other(x))


@every_spec
def test_copies(spec: str) -> None:
    mechanism, x = build(spec), clip()
    expected = mechanism(x)
    deep, pickled = copy.deepcopy(mechanism), pickle.loads(pickle.dumps(mechanism))
    for parameter in mechanism.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(deep(x), expected)
    assert torch.equal(pickled(x), expected)


@pytest.mark.parametrize("spec", [*list_mechanisms(), "none:patch4", "none:patch8", "m2a+tsm"])  # each part once
@pytest.mark.usefixtures("as_users_run_it")
def test_it_compiles_in_one_graph(spec: str) -> None:
    mechanism, x = build(spec), clip()
    torch._dynamo.reset()
    compiled = torch.compile(mechanism, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), mechanism(x), rtol=0, atol=1e-6)


@every_spec
def test_it_exports(spec: str) -> None:
    mechanism, x = build(spec), clip()
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(mechanism, (x,), dynamic_shapes=({0: batch},))
    for clips in (x, clip(5, 3, 17, 5, 7)):
        torch.testing.assert_close(exported.module()(clips), mechanism(clips), rtol=0, atol=1e-6)


@every_spec
@pytest.mark.usefixtures("as_users_run_it")
def test_clips_it_cannot_take(spec: str) -> None:
    if spec == "none":
        return  # it does nothing, to anything
    mechanism = build(spec)
    with pytest.raises(
        ClipShapeError, match=r"takes clips of features \(B, T, C, H, W\); got 4 dimensions, \(6, 17, 5"
    ):
        mechanism(clip(6, 17, 5, 7))
    with pytest.raises(
        ClipShapeError, match=r"built for 17 channels; got 11 in \(2, 3, 11, 5, 7\)\. The layout is \(B"
    ):
        mechanism(clip(2, 3, 11, 5, 7))
    with pytest.raises(ClipShapeError, match=r"A clip has at least one frame; got T = 0 in \(2, 0, 17, 5, 7\)"):
        mechanism(clip(2, 0, 17, 5, 7))
