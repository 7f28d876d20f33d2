"""What holds wherever a mechanism is inserted: the catalogue crossed with toy networks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from toy_nets import TOYS, Toy

from m2a.errors import AlreadyInsertedError, ConfigError, NotInsertedError
from m2a.insertion import InsertionReport, get_num_frames, insert, remove, set_num_frames
from m2a.mechanisms import list_mechanisms

SPECS = [*list_mechanisms(), "m2a+tsm"]
FEW = [
    "none",
    "m2a",
    "tea",
    "tam",
    "m2a+tsm",
]  # with and without weights, 3x3 kernels, bound to T, a stack
CASES = [(toy, spec) for toy in TOYS.values() for spec in (SPECS if toy.every_mechanism else FEW)]
IDS = [f"{spec}-{name}" for name, toy in TOYS.items() for spec in (SPECS if toy.every_mechanism else FEW)]
pytestmark = pytest.mark.parametrize(("toy", "spec"), CASES, ids=IDS)


WITHOUT_WEIGHTS = ("none", "tsm")
BOUND_TO_ITS_LENGTH = ("tam", "tanet")


def place(toy: Toy, net: nn.Module, spec: str, **changes: object) -> InsertionReport:
    options = {"num_frames": 3, "where": toy.where, "reduction": 2} | toy.options | changes
    if "tsm" in spec:
        options["shift_div"] = 3
    return insert(net, spec, **options)


def snapshot(net: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in net.state_dict().items()}


def assert_same(state: dict[str, Tensor], net: nn.Module) -> None:
    now = net.state_dict()
    assert list(now) == list(state)
    for key, value in state.items():
        assert torch.equal(now[key], value), key


def test_it_reports_its_sites_and_runs(toy: Toy, spec: str) -> None:
    net = toy.build()
    before = sum(p.numel() for p in net.parameters())
    report = place(toy, net, spec)
    assert report.sites == toy.sites
    assert report.channels == toy.channels
    assert (report.mechanism, report.num_frames, report.position) == (spec, 3, "before")
    assert report.parameters_before == before
    assert report.parameters_before + report.parameters_added == sum(p.numel() for p in net.parameters())
    assert (report.parameters_added > 0) == (spec not in WITHOUT_WEIGHTS)
    assert get_num_frames(net) == 3
    out = net(toy.input())
    assert out.shape[0] == toy.shape[0]
    assert out.isfinite().all()


def test_it_touches_nothing_else(toy: Toy, spec: str) -> None:
    net = toy.build().train()
    next(m for m in net.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d | nn.LayerNorm)).eval()
    state, modes = snapshot(net), {name: module.training for name, module in net.named_modules()}
    addresses = {name: p.data_ptr() for name, p in net.named_parameters()}
    rng = torch.get_rng_state()
    place(toy, net, spec)
    assert torch.equal(torch.get_rng_state(), rng)
    now = net.state_dict()
    assert [key for key in now if ".mechanism." not in key] == list(state)
    assert all(torch.equal(now[key], value) for key, value in state.items())
    assert {name: p.data_ptr() for name, p in net.named_parameters() if ".mechanism." not in name} == addresses
    assert {name: m.training for name, m in net.named_modules() if "mechanism" not in name} == modes
    for name, module in net.named_modules():
        if name.endswith(".mechanism"):
            assert module.training == modes[name.removesuffix(".mechanism")]
    assert sum(".mechanism." in key for key in now) == len(now) - len(state)


def test_remove_gives_the_original_back(toy: Toy, spec: str) -> None:
    net, x = toy.build(), toy.input()
    state, structure, expected = snapshot(net), repr(net), net(x)
    place(toy, net, spec)
    assert torch.equal(net(x), expected) == (spec in ("none", "m2a-plus"))  # m2a-plus starts as the identity
    assert remove(net) is net
    assert_same(state, net)
    assert repr(net) == structure
    assert torch.equal(net(x), expected)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.modules())
    assert get_num_frames(net) is None
    with pytest.raises(NotInsertedError, match=r"carries no mechanism; there is nothing to remove\."):
        remove(net)
    assert place(toy, net, spec).sites == toy.sites  # and again
    assert net(x).isfinite().all()


def test_a_second_insertion_is_refused_and_its_advice_helps(toy: Toy, spec: str) -> None:
    net = toy.build()
    place(toy, net, spec)
    state = snapshot(net)
    count = len(toy.sites)
    with pytest.raises(
        AlreadyInsertedError, match=rf"mechanism at {count} sites already \('{toy.sites[0]}', \.\.\.\)\. Call"
    ):
        place(toy, net, "tsm")
    assert_same(state, net)
    remove(net)
    assert place(toy, net, "tsm").sites == toy.sites


def test_copies_are_independent(toy: Toy, spec: str) -> None:
    net, x = toy.build(), toy.input()
    place(toy, net, spec)
    expected = net(x)
    twin = copy.deepcopy(net)
    assert torch.equal(twin(x), expected)
    for name, parameter in twin.named_parameters():
        if ".mechanism." in name:
            nn.init.constant_(parameter, 3.0)
    if spec in BOUND_TO_ITS_LENGTH:
        with pytest.raises(
            ConfigError, match=r"The TAM at '.*' has the number of frames .* changed from 3 to 2\. Build"
        ):
            set_num_frames(twin, 2)
        set_num_frames(twin, 3)
    else:
        set_num_frames(twin, 2)
        assert (get_num_frames(net), get_num_frames(twin)) == (3, 2)
    assert torch.equal(net(x), expected)
    if spec not in WITHOUT_WEIGHTS:
        assert not torch.equal(twin(x), expected)
    remove(twin)
    assert torch.equal(net(x), expected)


def test_behind_the_layer(toy: Toy, spec: str) -> None:
    net, x = toy.build(), toy.input()
    layers = dict(net.named_modules())
    outs = [channels_out(layers[site]) for site in toy.sites]
    report = place(toy, net, spec, position="after")
    assert report.position == "after"
    assert report.sites == toy.sites
    assert report.channels == outs
    assert net(x).isfinite().all()
    remove(net)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.modules())


def channels_out(layer: nn.Module) -> int:
    match layer:
        case nn.Conv2d() | nn.Conv3d():
            return layer.out_channels
        case nn.LayerNorm():
            return layer.normalized_shape[0]
    return layer.num_features


def test_seeds_make_the_mechanisms(toy: Toy, spec: str) -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        net = toy.build()
        place(toy, net, spec)
        states.append([value for key, value in net.state_dict().items() if ".mechanism." in key])
    assert all(torch.equal(a, b) for a, b in zip(states[0], states[1], strict=True))
    if spec not in WITHOUT_WEIGHTS:
        assert not all(torch.equal(a, b) for a, b in zip(states[0], states[2], strict=True))


def test_training_reaches_the_mechanisms(toy: Toy, spec: str) -> None:
    net = toy.build().train()
    place(toy, net, spec)
    (net(toy.input()) ** 2).sum().backward()
    missing = [name for name, p in net.named_parameters() if ".mechanism." in name and p.grad is None]
    assert missing == []


def test_it_can_start_as_the_network_was(toy: Toy, spec: str) -> None:
    net, x = toy.build(), toy.input()
    state, expected = snapshot(net), net(x)
    place(toy, net, spec, init="identity")
    torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-6)  # a convolution may see another memory format
    assert all(torch.equal(net.state_dict()[key], value) for key, value in state.items())
    for name, parameter in net.named_parameters():
        if ".mechanism." in name:
            nn.init.constant_(parameter, 0.5)
    assert torch.equal(net(x), expected) == (spec == "none")
