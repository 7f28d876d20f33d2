"""What a layer behind a mechanism keeps for its backward pass: not the mechanism's result, which is made again."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad

from m2a.insertion import insert, remove, set_num_frames
from m2a.insertion.again import can_be_repeated, random_state
from m2a.measurement.memory import saved_bytes
from m2a.mechanisms import list_mechanisms


class Block(nn.Module):
    """relu(x + conv(relu(conv(x)))), of 8 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.conv2(self.conv1(x).relu())).relu()


def net() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), Block(), Block())


@pytest.mark.parametrize("spec", ["m2a", "m2a-motion", "tsm", "m2a+tsm"])
def test_a_mechanism_keeps_little(spec: str) -> None:
    """Of a shift nothing; of M2A a few maps of the reduced channels, an eighth of the features each (here 1 of 8)."""
    x = torch.randn(6, 3, 13, 11)
    plain, model = net(), net()
    insert(model, spec, num_frames=3, reduction=8)
    extra = saved_bytes(lambda: model(x).sum()) - saved_bytes(lambda: plain(x).sum())
    features = 6 * 8 * 11 * 9 * 4
    reduced = 0 if spec == "tsm" else 5 * features / 8
    assert extra <= 2 * (reduced + 500)


@pytest.mark.parametrize("spec", [name for name in list_mechanisms() if name != "none"])
@pytest.mark.parametrize("bf16", [False, True])
def test_gradients_are_those_of_keeping_it(spec: str, bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(6, 3, 13, 11)
    found = []
    for keep in (True, False):
        model = net()
        torch.manual_seed(5)
        insert(model, spec, num_frames=3, reduction=2)
        with monkeypatch.context() as patch, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            if keep:
                patch.setattr("m2a.insertion.fold.can_be_repeated", lambda *_: False)
            out = model(x)
        out.float().square().sum().backward()
        found.append([parameter.grad for parameter in model.parameters()] + list(model.buffers()))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_second_derivatives_go_through() -> None:
    model = net().double()
    insert(model, "m2a", num_frames=3, reduction=2)
    x = torch.randn(3, 3, 7, 5, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), x)
    step = 1e-6
    moved = (x + step * second / second.norm()).detach().requires_grad_()
    (other,) = torch.autograd.grad(model(moved).square().sum(), moved)
    slope = float(other.square().sum() - gradient.detach().square().sum()) / step
    assert slope == pytest.approx(float(second.norm()), rel=1e-3)


class Failing(nn.Conv2d):
    """A layer that cannot be run when it is told so."""

    fails = False

    def forward(self, x: Tensor) -> Tensor:
        if self.fails:
            raise RuntimeError("this layer fails")
        return super().forward(x)


def test_nothing_is_left_behind_by_a_layer_that_fails() -> None:
    model = net()
    model[2].conv1 = Failing(8, 8, 3, padding=1)
    insert(model, "m2a", num_frames=3, reduction=2)
    x = torch.randn(3, 3, 7, 5)
    model[2].conv1.fails = True
    with pytest.raises(RuntimeError, match="this layer fails"):
        model(x)
    assert torch._C._autograd._saved_tensors_hooks_is_enabled()
    assert torch._C._autograd._top_saved_tensors_default_hooks(False) is None
    model[2].conv1.fails = False
    model(x).sum().backward()


def test_a_hook_on_the_mechanism_sees_each_pass_once() -> None:
    model = net()
    insert(model, "m2a", num_frames=3, reduction=2)
    seen: list[tuple[int, ...]] = []
    model[2].conv1.mechanism.register_forward_hook(lambda module, args, output: seen.append(tuple(output.shape)))
    model(torch.randn(3, 3, 7, 5)).sum().backward()
    assert seen == [(1, 3, 8, 5, 3)]


def test_removing_takes_this_out_too_and_copies_have_their_own() -> None:
    model = net()
    insert(model, "m2a", num_frames=3, reduction=2)
    twin = copy.deepcopy(model)
    remove(model)
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._forward_pre_hooks_with_kwargs
        assert not module._forward_hooks_always_called
    twin(torch.randn(3, 3, 7, 5)).sum().backward()
    assert twin[2].conv1.mechanism.reduce.weight.grad is not None


def test_checkpointed_blocks() -> None:
    """torch's own checkpointing around a block that carries a mechanism."""
    x = torch.randn(6, 3, 13, 11)
    found = []
    for checkpointed in (False, True):
        model = net()
        torch.manual_seed(5)
        insert(model, "m2a", num_frames=3, reduction=2)
        features = model[1](model[0](x))
        for block in model[2:]:
            if checkpointed:
                features = torch.utils.checkpoint.checkpoint(block, features, use_reentrant=False)
            else:
                features = block(features)
        features.square().sum().backward()
        found.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


class Checkpointed(nn.Module):
    """A block, run again in the backward pass instead of being kept."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return torch.utils.checkpoint.checkpoint(self.block, x, use_reentrant=False)


@pytest.mark.parametrize("spec", ["m2a", "tsm"])
@pytest.mark.parametrize("where", [r"[23]\.block", r"[23]\.block\.conv1"])
def test_checkpointing_keeps_as_little_as_without_a_mechanism(spec: str, where: str) -> None:
    x = torch.randn(6, 3, 13, 11)
    kept = []
    for inserted in (False, True):
        model = net()
        model[2], model[3] = Checkpointed(model[2]), Checkpointed(model[3])
        if inserted:
            insert(model, spec, num_frames=3, reduction=2, where=where)
        kept.append(saved_bytes(lambda model=model: model(x).sum()))
    features = 6 * 8 * 11 * 9 * 4
    assert kept[1] - kept[0] < features / 8
    model(x).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_policy_of_others_keeps_the_tensors() -> None:
    """As `save_on_cpu` does, which a context of ours would keep from seeing what the layer keeps."""
    x, seen = torch.randn(6, 3, 13, 11), []
    for plain in (False, True):
        model = net()
        insert(model, "tsm", num_frames=3)
        packed: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, packed=packed: packed.append(tensor.numel()) or tensor, lambda kept: kept
        ):
            if plain:
                remove(model)
            model(x).sum().backward()
        seen.append(sorted(packed))
    assert seen[0] == seen[1]
    insert(model, "tsm", num_frames=3)
    with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
        model(x).sum().backward()


def test_what_is_inserted_under_inference_mode_can_be_trained() -> None:
    model = net()
    with torch.inference_mode():
        insert(model, "m2a", num_frames=3, reduction=2)
    model(torch.randn(3, 3, 7, 5)).sum().backward()
    assert model[2].conv1.mechanism.reduce.weight.grad is not None


class Fronted(nn.Module):
    """conv(act(x)), whose activation may work in place on what it is given."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.act, self.conv = act, nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.act(x))


@pytest.mark.parametrize("spec", ["m2a", "tsm"])
@pytest.mark.parametrize("where", ["1", "1.act"])
def test_a_site_that_changes_what_it_is_given_in_place(spec: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for again in (True, False):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Conv2d(3, 8, 3), Fronted(nn.ELU(inplace=True)), nn.Conv2d(8, 5, 1))
        insert(model, spec, num_frames=3, reduction=2, where=[where])
        with monkeypatch.context() as patch:
            if not again:
                patch.setattr("m2a.insertion.fold.can_be_repeated", lambda *_: False)
            model(torch.ones(3, 3, 7, 5).cumsum(-1)).square().sum().backward()
        found.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_features_that_are_changed_afterwards_are_no_longer_there_to_make_it_of() -> None:
    """As torch refuses it where it keeps a tensor itself."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 1))
    insert(model, "tsm", num_frames=3, where=["1"])
    features = model[0](torch.randn(3, 3, 7, 5))
    out = model[1](features)
    with torch.no_grad():
        features.zero_()
    with pytest.raises(RuntimeError, match="changed in place after it had used them"):
        out.sum().backward()


def test_weights_that_a_step_has_changed_before_the_backward_pass() -> None:
    """As torch refuses it where a layer keeps its input."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 1))
    insert(model, "m2a", num_frames=3, reduction=2, where=["1"])
    loss = model(torch.randn(3, 3, 7, 5)).square().sum()
    with torch.no_grad():
        model[1].mechanism.expand.bias.add_(1)
    with pytest.raises(RuntimeError, match="weights of a mechanism were changed in place"):
        torch.autograd.grad(loss, model[1].weight)


def test_an_interrupted_pass_leaves_nothing_that_changes_another_network() -> None:
    """Ctrl-C in a notebook: torch calls no hook that would end the context."""
    model, plain = net(), net()
    insert(model, "m2a", num_frames=3, reduction=2)
    x = torch.randn(3, 3, 7, 5)

    def gradients() -> list[Tensor]:
        plain.zero_grad()
        plain(x).square().sum().backward()
        return [parameter.grad.clone() for parameter in plain.parameters()]

    expected = gradients()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    handle = model[2].conv1.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        model(x)
    handle.remove()
    for _ in range(8):
        for one, other in zip(gradients(), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    model(x).sum().backward()
    assert torch._C._autograd._top_saved_tensors_default_hooks(False) is None


class Two(nn.Module):
    """A stem and the layer behind a mechanism."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 11, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.stem(x).relu()).mean((2, 3))


def gradients_of(disturb: str) -> list[Tensor]:
    """Of all weights of `Two`, which something happens to between its forward and its backward pass, or before both."""
    torch.manual_seed(0)
    net, x = Two(), torch.randn(12, 3, 7, 5)
    insert(net, "m2a", num_frames=4, where=["conv"])
    weights = dict(net.named_parameters())
    if disturb == "a hook on the mechanism":
        net.conv.mechanism.register_forward_hook(lambda _, __, out: 3 * out)
    if disturb == "a hook inside of the mechanism":
        passes: list[int] = []
        net.conv.mechanism.reduce.register_forward_hook(lambda _, __, out: passes.append(1) or len(passes) * out)
    if disturb == "random numbers":
        net.conv.mechanism = nn.Sequential(net.conv.mechanism, nn.Dropout(0.5))
    if disturb == "other weights for one pass":
        weights = {name: (p.detach() + 0.1 * torch.randn_like(p)).requires_grad_() for name, p in weights.items()}
    out = torch.func.functional_call(net, weights, (x,)) if disturb == "other weights for one pass" else net(x)
    if disturb == "another number of frames":
        set_num_frames(net, 2)
    if disturb == "the mechanism removed":
        remove(net)
    return list(torch.autograd.grad(out.pow(2).sum(), list(weights.values())))


@pytest.mark.parametrize(
    "disturb",
    [
        "a hook on the mechanism", "a hook inside of the mechanism", "random numbers", "other weights for one pass",
        "another number of frames", "the mechanism removed",
    ],
)  # fmt: skip
def test_what_is_made_again_is_what_the_pass_had(disturb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = gradients_of(disturb)
    monkeypatch.setattr("m2a.insertion.fold.can_be_repeated", lambda *_: False)
    for one, other in zip(found, gradients_of(disturb), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.trace.*")
@pytest.mark.parametrize("spec", ["m2a", "tsm"])
def test_a_traced_network_takes_larger_batches(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which the gate makes more tiles, and there would be as many as there were when it was traced."""
    monkeypatch.setattr("m2a.mechanisms.gating._TILE", 4 * 16 * 7 * 5)
    net, x = Two().eval(), torch.randn(12, 3, 7, 5)
    insert(net, spec, num_frames=4, where=["conv"])
    traced = torch.jit.trace(net, x[:4])
    torch.testing.assert_close(traced(x), net(x))
    graph = torch.fx.experimental.proxy_tensor.make_fx(net)(x)
    torch.testing.assert_close(graph(x), net(x))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")  # torch's own
@pytest.mark.parametrize("spec", [name for name in list_mechanisms() if name != "none"])
def test_functional_transforms(spec: str) -> None:
    """Gradients of each sample, and forward derivatives, as autograd has them."""
    torch.manual_seed(0)
    net, x = Two().double().eval(), torch.randn(2, 4, 3, 7, 5, dtype=torch.float64)
    insert(net, spec, num_frames=4, where=["conv"])
    weights = {name: parameter.detach() for name, parameter in net.named_parameters()}

    def loss(given: dict[str, Tensor], clip: Tensor) -> Tensor:
        return torch.func.functional_call(net, given, (clip,)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, x)
    for index, clip in enumerate(x):
        net.zero_grad()
        net(clip).square().sum().backward()
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(each[name][index], parameter.grad)
    with torch.no_grad():
        torch.testing.assert_close(torch.func.vmap(net)(x), torch.stack([net(clip) for clip in x]))
    clip, way = x[0], torch.randn_like(x[0])
    _, slope = torch.func.jvp(lambda one: net(one).square().sum(), (clip,), (way,))
    (gradient,) = torch.autograd.grad(net(clip.requires_grad_()).square().sum(), clip)
    torch.testing.assert_close(slope, (gradient * way).sum())
    torch.testing.assert_close(slope, forward_slope(net, clip.detach(), way))


def forward_slope(net: nn.Module, clip: Tensor, way: Tensor) -> Tensor:
    """The same forward derivative by torch's other way, without `torch.func`."""
    with forward_ad.dual_level():
        out = net(forward_ad.make_dual(clip, way)).square().sum()
        return forward_ad.unpack_dual(out).tangent


def test_apples_gpu_has_random_numbers_and_no_context_to_choose_it_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training on it ended in an AttributeError. Its tensors are there without it, a generator of the CPU stands in."""
    generator = torch.Generator().manual_seed(7)
    monkeypatch.setattr(torch.mps, "get_rng_state", generator.get_state)
    with FakeTensorMode():
        features = torch.empty(3, 8, 7, 5, device="mps")
    assert not hasattr(torch.mps, "device")
    assert can_be_repeated(nn.Conv2d(8, 8, 1), features)
    before, again = random_state(features), random_state(features)
    torch.rand(1, generator=generator)
    after = random_state(features)
    assert [torch.equal(*pair) for pair in zip(before, again, strict=True)] == [True, True]
    assert [torch.equal(*pair) for pair in zip(before, after, strict=True)] == [True, False]


def test_a_device_that_does_not_tell_its_random_state_keeps_the_result() -> None:
    """What a mechanism draws there could not be drawn again."""
    with FakeTensorMode():
        features = torch.empty(3, 8, 7, 5, device="vulkan")
    assert not can_be_repeated(nn.Conv2d(8, 8, 1), features)
