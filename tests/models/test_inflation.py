"""Inflated ResNets: a still clip gives the image network's features, the paper's Table III comes out, and mechanisms,
files and copies work as in 2D."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
import torch.nn.functional as F
from rounded_gradients import error_of
from tiny import VISIBLE, clips, tiny
from torch import Tensor, nn

from m2a.errors import ClipShapeError, ConfigError, NoSitesError, SiteTypeError
from m2a.insertion import find_sites, get_num_frames, insert, remove
from m2a.measurement import count_macs
from m2a.mechanisms import list_mechanisms
from m2a.models import VideoClassifier, create_model, inflate, is_inflated, load
from m2a.models.inflation import PerFrame, TimePool
from m2a.models.layout import to_channels_last

NETS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet18": ("resnet18", {}),
    "bottleneck": ("resnet26", {}),
    "deep stem, average shortcuts": ("resnet26d", {}),
    "tiered stem": ("resnet10t", {}),
    "squeeze and excitation": ("resnet10t", {"block_args": {"attn_layer": "se"}}),
    "efficient channel attention": ("resnet10t", {"block_args": {"attn_layer": "eca"}}),
    "blur pooling": ("resnetblur18", {"layers": (1, 1, 1, 1)}),
    "group norm": ("resnet10t", {"norm_layer": "groupnorm1"}),
    "dilated": ("resnet10t", {"output_stride": 16}),
    "stem without pooling": ("resnet10t", {"replace_stem_pool": True}),
    "drop block": ("resnet10t", {"drop_block_rate": 0.1, "drop_path_rate": 0.1}),
    "res2net": ("res2net50_26w_4s", {"layers": (1, 1, 1, 1)}),
    "selective kernels": ("skresnet18", {"layers": (1, 1, 1, 1)}),
}
every_net = pytest.mark.parametrize("kind", NETS)


def image_network(kind: str, seed: int = 0, **changes: Any) -> nn.Module:
    """One of NETS, small, in evaluation mode, with batch norm statistics that are not the first ones."""
    name, options = NETS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = timm.create_model(name, **({"num_classes": 5} | VISIBLE | options | changes)).eval()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.1)
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        return net


def inflated(kind: str, **changes: Any) -> Any:
    return inflate(image_network(kind, **changes))


def snapshot(net: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in net.state_dict().items()}


# What inflation is


@every_net
@torch.no_grad()
def test_a_still_clip_gives_the_image_networks_features_away_from_its_ends(kind: str) -> None:
    """Which frames are away from the ends is found by marking both ends with NaN, which goes wherever they are seen."""
    image = image_network(kind).double()
    net = inflate(copy.deepcopy(image))
    frame = torch.randn(1, 3, 29, 31, dtype=torch.float64)
    length = 127 if kind == "resnet18" else 67
    marked = torch.zeros(1, 3, length, 17, 19, dtype=torch.float64)
    marked[:, :, [0, -1]] = torch.nan
    inside = ~net.forward_features(marked).isnan().any(dim=(0, 1, 3, 4))
    clip = frame[:, :, None].expand(-1, -1, length, -1, -1)
    features, expected = net.forward_features(clip), image.forward_features(frame)
    pooled = net.global_pool.frames(features)
    assert inside.sum() >= 1
    assert not inside[0]
    torch.testing.assert_close(features[:, :, inside], expected[:, :, None].expand(-1, -1, inside.sum(), -1, -1))
    expected_pooled = image.forward_head(expected, pre_logits=True)
    torch.testing.assert_close(pooled[:, inside], expected_pooled[:, None].expand(-1, inside.sum(), -1))
    for end in (0, -1):
        if kind == "group norm":
            continue  # at the ends a still clip's features are smaller, and these norms undo that
        assert float((features[:, :, end] - expected).abs().max()) > 0.1
        assert float((pooled[:, end] - expected_pooled).abs().max()) > 0.01


@pytest.mark.parametrize("length", [1, 2, 7, 8])
def test_a_convolution_against_loops_over_time(length: int) -> None:
    image = image_network("bottleneck")
    kernel = image.layer2[0].conv2.weight.detach().clone()  # 3x3, in a stage, stride 2
    conv = inflate(image).layer2[0].conv2
    x = torch.randn(2, 8, length, 11, 13)
    frames = []
    for t in range(0, length, 2):
        out = torch.zeros(2, 8, 6, 7)
        for step in (-1, 0, 1):
            if 0 <= t + step < length:
                out += F.conv2d(x[:, :, t + step], kernel / 3, stride=2, padding=1)
        frames.append(out)
    torch.testing.assert_close(conv(x), torch.stack(frames, dim=2), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kernel", "padding"), [(2, 0), (3, 1)])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 8])
def test_averages_over_time_count_only_frames_that_are_there(kernel: int, padding: int, length: int) -> None:
    x = torch.randn(2, 3, length, 5, 7)
    out = TimePool(nn.AvgPool2d(kernel, 2, padding=padding))(x)
    first = range(-padding, length - padding, 2)
    expected = [x[:, :, max(t, 0) : t + kernel].mean(2) for t in first]
    torch.testing.assert_close(out, torch.stack(expected, dim=2))
    assert out.shape[2] == -(-length // 2)


def test_the_layers_of_the_papers_resnet18() -> None:
    net = inflate(timm.create_model("resnet18"))
    geometry = {
        name: (layer.kernel_size, layer.stride, layer.padding)
        for name, layer in net.named_modules()
        if isinstance(layer, nn.Conv3d | nn.MaxPool3d)
    }
    assert geometry["conv1"] == ((3, 7, 7), (1, 2, 2), (1, 3, 3))
    assert geometry["maxpool"] == ((1, 3, 3), (1, 2, 2), (0, 1, 1))
    for stage in (1, 2, 3, 4):
        first = 1 if stage == 1 else 2
        assert geometry[f"layer{stage}.0.conv1"] == ((3, 3, 3), (first,) * 3, (1, 1, 1))
        for name in ("0.conv2", "1.conv1", "1.conv2"):
            assert geometry[f"layer{stage}.{name}"] == ((3, 3, 3), (1, 1, 1), (1, 1, 1))
        if stage > 1:
            assert geometry[f"layer{stage}.0.downsample.0"] == ((1, 1, 1), (2, 2, 2), (0, 0, 0))
    assert len(geometry) == 21
    assert not any(isinstance(layer, nn.Conv2d | nn.BatchNorm2d | PerFrame) for layer in net.modules())


@cache
def _layer(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # so that who asks first draws the clips that others draw
        return inflate(timm.create_model("resnet18")).get_submodule(name)


def layer_of_resnet18(name: str) -> Any:
    return copy.deepcopy(_layer(name))


@pytest.mark.parametrize("length", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_in_bfloat16(length: int, stride: int) -> None:
    """They are those of 32 bits, but for rounding. torch's own have places that were never written where three frames
    of a kernel meet two of a clip, on CPUs that compute in bfloat16; memory that has been in use shows it."""
    conv = layer_of_resnet18("layer3.0.conv1" if stride == 2 else "layer3.1.conv1")
    x = torch.randn(4, conv.in_channels, length, 8, 8)
    assert error_of(conv, x) < 0.02  # not nan either


THIN = """
import timm, torch
from rounded_gradients import error_of

from m2a.models import inflate

conv = inflate(timm.create_model("resnet18", channels=(16, 16, 16, 16))).layer3[0].conv1
for shape in ((3, 1, 1), (8, 1, 1), (5, 1, 2), (5, 3, 1), (5, 5, 2), (8, 2, 5), (2, 3, 2)):
    assert error_of(conv, torch.randn(2, 16, *shape)) < 0.02, shape
"""


def test_gradients_in_bfloat16_of_maps_of_a_single_row_or_column() -> None:
    """In a process of its own: torch's own gradient writes where it must not, and ends it."""
    subprocess.run([sys.executable, "-c", THIN], check=True, cwd=Path(__file__).parent)


@pytest.mark.parametrize("size", [(3, 1, 1), (2, 1, 5), (5, 3, 2), (2, 7, 5), (5, 7, 1), (5, 7, 5)])
@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("grad", [True, False])
def test_features_in_bfloat16(size: tuple[int, int, int], autocast: bool, grad: bool) -> None:
    """They are those of 32 bits, but for rounding; torch's own are NaN on some CPUs."""
    conv = layer_of_resnet18("layer3.0.conv1")
    x = torch.randn(2, conv.in_channels, *size)
    exact = conv(x)
    if not autocast:
        conv, x = conv.bfloat16(), x.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), torch.set_grad_enabled(grad):
        rounded = conv(x)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize(
    ("mechanism", "gmacs"), [("none", 22.4725), ("m2a-attention", 22.6019), ("m2a-motion", 22.5913), ("m2a", 22.6019)]
)
def test_the_papers_multiply_adds(mechanism: str, gmacs: float) -> None:
    """Table III, counted on the released code."""
    model = create_model("resnet18", inflate=True, mechanism=mechanism, num_classes=174)
    assert count_macs(model) / 1e9 == pytest.approx(gmacs, rel=1e-3)
    if mechanism == "none":
        assert count_macs(model.backbone) == count_macs(model) - 512 * 174


@every_net
def test_time_is_strided_where_space_is(kind: str) -> None:
    net = inflated(kind)
    lengths: dict[str, int] = {}
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        net.get_submodule(stage).register_forward_hook(
            lambda *args, stage=stage: lengths.update({stage: args[2].shape[2]})
        )
    halves = [0, 1, 2, 2 if kind == "dilated" else 3]
    for length in (8, 7, 2, 1):
        assert net(torch.randn(2, 3, length, 37, 41)).shape == (2, 5)
        assert list(lengths.values()) == [-(-length // 2**half) for half in halves]


@every_net
def test_kernels_are_divided_and_the_rest_is_bitwise_as_it_was(kind: str) -> None:
    image = image_network(kind)
    net = inflate(copy.deepcopy(image))
    before, after = image.state_dict(), net.state_dict()
    assert list(after) == list(before)
    modules = dict(net.named_modules())
    assert {name for name, _ in image.named_modules() if not name.startswith("global_pool")} <= set(modules)
    divided = 0
    for key, value in before.items():
        if after[key].ndim == 5:
            depth = 3 if value.shape[-1] > 1 else 1
            assert after[key].shape == (*value.shape[:2], depth, *value.shape[2:]), key
            for k in range(depth):
                assert torch.equal(after[key][:, :, k], value / depth), key
            divided += depth == 3
        else:
            assert torch.equal(after[key], value), key
    assert divided >= 4
    for name, layer in image.named_modules():
        if type(layer) is nn.BatchNorm2d and not any(isinstance(modules[o], PerFrame) for o in _owners(name)):
            twin = modules[name]
            assert type(twin) is nn.BatchNorm3d
            assert (twin.eps, twin.momentum, twin.affine) == (layer.eps, layer.momentum, layer.affine)


def _owners(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


@pytest.mark.parametrize("kind", ["deep stem, average shortcuts", "squeeze and excitation", "blur pooling"])
def test_it_keeps_dtype_modes_freezing_and_the_random_state(kind: str) -> None:
    net = image_network(kind).to(torch.bfloat16).train()
    net.layer2.eval()
    net.layer1.requires_grad_(False)
    modes = {name: module.training for name, module in net.named_modules()}
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    norms = {name: p for name, p in net.named_parameters() if p.ndim < 4}
    rng = torch.get_rng_state()
    assert inflate(net) is net
    assert torch.equal(torch.get_rng_state(), rng)
    now = {name: module.training for name, module in net.named_modules()}
    assert {name: now[name] for name in modes if name in now} == {n: mode for n, mode in modes.items() if n in now}
    assert {name for name, p in net.named_parameters() if not p.requires_grad} == frozen
    assert {p.dtype for p in net.parameters()} == {torch.bfloat16}
    assert all(p is norms[name] for name, p in net.named_parameters() if name in norms)
    assert net(torch.randn(2, 3, 3, 32, 32, dtype=torch.bfloat16)).isfinite().all()


def test_layers_without_a_3d_twin_run_frame_by_frame() -> None:
    net, image = inflated("squeeze and excitation"), image_network("squeeze and excitation")
    x = torch.randn(2, 8, 5, 7, 11)
    expected = torch.stack([image.layer1[0].se(x[:, :, t]) for t in range(5)], dim=2)
    torch.testing.assert_close(net.layer1[0].se(x), expected)
    net, image = inflated("blur pooling"), image_network("blur pooling")
    assert (net.layer2[0].aa.frame_stride, net.maxpool[1].frame_stride) == (2, 1)
    expected = torch.stack([image.layer2[0].aa(x[:, :, t]) for t in (0, 2, 4)], dim=2)
    torch.testing.assert_close(net.layer2[0].aa(x), expected)
    assert type(net.layer2[0].aa).__name__ == "PerFrameBlurPool2d"
    assert isinstance(net.layer2[0].aa, type(image.layer2[0].aa))


@pytest.mark.parametrize("pool", ["avg", "max", "avgmax", "catavgmax"])
def test_frames_are_pooled_and_averaged(pool: str) -> None:
    net = inflated("tiered stem", global_pool=pool)
    x = torch.randn(2, 3, 11, 37, 41)
    features = net.forward_features(x)
    one_by_one = [timm.layers.SelectAdaptivePool2d(pool_type=pool, flatten=True)(features[:, :, t]) for t in (0, 1)]
    frames = torch.stack(one_by_one, dim=1)
    torch.testing.assert_close(net.frame_features(x), frames)
    torch.testing.assert_close(net(x), net.fc(frames.mean(1)))
    if pool == "avg":
        torch.testing.assert_close(net.forward_head(features, pre_logits=True), features.mean((2, 3, 4)))
    net.reset_classifier(7)
    assert net(x).shape == (2, 7)
    net.reset_classifier(0)
    torch.testing.assert_close(net(x), frames.mean(1))
    net.reset_classifier(0, "")
    torch.testing.assert_close(net(x), features)


# In a video classifier


@pytest.mark.parametrize("num_frames", [8, 7, 2])
def test_scores_are_the_mean_over_the_frames_that_are_left(num_frames: int) -> None:
    model = tiny(inflate=True, num_frames=num_frames)
    assert is_inflated(model.backbone)
    assert model.config.inflate
    x = clips(num_frames)
    frames = model.frame_scores(x)
    assert frames.shape == (2, -(-num_frames // 8), 5)
    torch.testing.assert_close(model(x), frames.mean(1))
    features = model.backbone.forward_features(x.transpose(1, 2))
    torch.testing.assert_close(model(x), model.head(features.mean((2, 3, 4))))
    torch.testing.assert_close(model(x)[:1], model(x[:1]), rtol=0, atol=1e-5)


def compiled(net: nn.Module) -> Any:
    return torch.compile(net, backend="eager")


class PassesOn(nn.Module):
    """As DataParallel and DistributedDataParallel do."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module, self.calls = module, 0

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.module(*args, **kwargs)


class Images(nn.Module):
    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Any:
        return self.module(x)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("wraps", [compiled, nn.DataParallel, PassesOn, lambda net: compiled(PassesOn(net))])
def test_what_is_wrapped_gives_the_frames_that_are_left_too(wraps: Callable[[nn.Module], nn.Module]) -> None:
    model, x = tiny(inflate=True, num_frames=17, consensus="attention"), clips(17)
    nn.init.normal_(model.consensus.weight)
    frames, expected = model.frame_scores(x), model(x)
    assert frames.shape == (2, 3, 5)
    assert not torch.allclose(expected, frames.mean(1))
    torch._dynamo.reset()
    model.backbone = wraps(model.backbone)
    torch.testing.assert_close(model.frame_scores(x), frames)
    torch.testing.assert_close(model(x), expected)
    if isinstance(model.backbone, PassesOn):
        assert model.backbone.calls == 2
    whole = torch.compile(model, backend="eager")
    torch.testing.assert_close(whole(x), expected)


@pytest.mark.parametrize("other", [Images, lambda net: image_network("deep stem, average shortcuts")])
def test_a_backbone_that_no_more_gives_frames_is_refused(other: Callable[[nn.Module], nn.Module]) -> None:
    model, x = tiny(inflate=True, num_frames=9, mechanism="none"), clips(9)
    model.backbone = other(model.backbone)
    message = r"was made around an inflated ResNet.* a (Images|ResNet) now.* compile the whole model .*model\.compile\("
    with pytest.raises(ConfigError, match=message):
        model(x)


@pytest.mark.usefixtures("as_users_run_it")
def test_the_clip_length_is_set_as_in_2d() -> None:
    model = tiny(inflate=True)
    with pytest.raises(ClipShapeError, match=r"This model takes clips of 3 frames"):
        model(clips(17))
    model.num_frames = 17
    assert get_num_frames(model.backbone) == 17
    assert model.frame_scores(clips(17)).shape == (2, 3, 5)


def test_time_has_a_direction_even_without_a_mechanism() -> None:
    model, x = tiny(inflate=True, mechanism="none"), clips(8)
    model.num_frames = 8
    assert float((model(x.flip(1)) - model(x)).detach().abs().max()) > 1e-3


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_image_weights_are_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    image = timm.create_model("resnet10t", num_classes=11, **VISIBLE)
    state, path = image.state_dict(), tmp_path / f"image.{suffix}"
    torch.save(state, path) if suffix == "pth" else safetensors.torch.save_file(state, path)
    from_file = tiny(inflate=True, mechanism="none", pretrained=path)
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *_, pretrained, **__: copy.deepcopy(image) if pretrained else 1)
    from_timm = tiny(inflate=True, mechanism="none", pretrained=True)
    monkeypatch.setattr(timm, "create_model", create)
    expected = inflate(image).state_dict()
    for model in (from_file, from_timm):
        for key, value in model.backbone.state_dict().items():
            assert torch.equal(value, expected[key]), key


@pytest.mark.parametrize(
    "changes", [{}, {"mechanism": "none"}, {"mechanism": "tsm+m2a"}, {"position": "after"}], ids=str
)
def test_a_round_trip(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = tiny(inflate=True, **changes)
    model.num_frames = 11
    model.save_pretrained(tmp_path)
    again, x = load(tmp_path), clips(11)
    assert torch.equal(again(x), model(x))
    assert again.config.inflate
    assert repr(again) == repr(model)


def test_models_saved_in_2d_stay_2d(tmp_path: Path) -> None:
    tiny().save_pretrained(tmp_path)
    assert not is_inflated(load(tmp_path).backbone)


# With mechanisms


@pytest.mark.parametrize("spec", [*list_mechanisms(), "m2a+tsm"])
@pytest.mark.parametrize("num_frames", [8, 3])
def test_every_mechanism_goes_in_trains_and_comes_out(spec: str, num_frames: int) -> None:
    """Also where one frame is left."""
    net = inflated("tiered stem")
    x = torch.randn(2, 3, num_frames, 41, 37)
    state, expected, structure = snapshot(net), net(x), repr(net)
    report = insert(net, spec, num_frames=num_frames, reduction=2)
    assert report.sites == [f"layer{stage}.0.conv1" for stage in (1, 2, 3, 4)]
    assert torch.equal(net(x), expected) == (spec in ("none", "m2a-plus"))  # m2a-plus starts as the identity
    net.train()(x).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    remove(net.eval())
    net.load_state_dict(state)  # training has moved the statistics
    assert repr(net) == structure
    assert torch.equal(net(x), expected)


@every_net
def test_all_weights_are_trained(kind: str) -> None:
    net = inflated(kind).train()
    (net(torch.randn(2, 3, 9, 67, 71)) * torch.randn(2, 5)).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@every_net
@pytest.mark.parametrize(
    "twin_of", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"]
)
def test_copies_are_independent(kind: str, twin_of: Callable[[nn.Module], nn.Module]) -> None:
    net, x = inflated(kind), torch.randn(2, 3, 5, 37, 41)
    if kind not in ("res2net", "selective kernels"):  # whose blocks no preset knows
        insert(net, "m2a", num_frames=5, reduction=2)
    expected = net(x)
    twin = twin_of(net)
    assert repr(twin) == repr(net)
    assert [type(module) for module in twin.modules()] == [type(module) for module in net.modules()]
    assert torch.equal(twin(x), expected)
    for parameter in twin.parameters():
        nn.init.constant_(parameter, 3.0)
    assert torch.equal(net(x), expected)
    assert not torch.equal(twin(x), expected)
    twin.reset_classifier(0)
    assert twin(x).shape == (2, twin.num_features)


@pytest.mark.parametrize(
    ("position", "num_frames", "expected"),
    [
        ("before", 8, [8, 8, 8, 4, 4, 2, 2, 1]),
        ("before", 7, [7, 7, 7, 4, 4, 2, 2, 1]),
        ("before", 2, [2, 2, 2, 1, 1, 1, 1, 1]),
        ("after", 8, [8, 8, 4, 4, 2, 2, 1, 1]),
    ],
)
def test_how_many_frames_come_to_each_site(position: Any, num_frames: int, expected: list[int]) -> None:
    net = inflated("resnet18").train()
    calls: list[nn.Module] = []
    for module in net.modules():
        module.register_forward_hook(lambda module, *_: calls.append(module))
    state, rng = snapshot(net), torch.get_rng_state()
    sites = find_sites(net, None, position, num_frames=num_frames).sites
    assert [site.num_frames for site in sites] == expected
    assert calls == []  # nothing of the user's was run
    assert net.training
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    seen: list[int] = []
    insert(net, "tsm", num_frames=num_frames, position=position)
    for site in sites:
        site.layer.mechanism.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
    net(torch.randn(2, 3, num_frames, 32, 32))
    assert seen == expected


def test_a_mechanism_that_is_bound_to_its_frames_is_built_for_those_that_come() -> None:
    net = inflated("resnet18")
    insert(net, "tam", num_frames=8)
    sites = [net.get_submodule(f"layer{stage}.{block}.conv1.mechanism") for stage in (1, 2, 3, 4) for block in (0, 1)]
    assert [site.attention.num_frames for site in sites] == [8, 8, 8, 4, 4, 2, 2, 1]
    assert net(torch.randn(2, 3, 8, 32, 32)).isfinite().all()


def test_where_a_network_cannot_be_followed_its_sites_are_named_and_its_own_length_is_taken() -> None:
    class Unusual(nn.Module):
        """Takes two clips."""

        def __init__(self) -> None:
            super().__init__()
            self.net = inflated("tiered stem")

        def forward(self, one: Tensor, other: Tensor) -> Tensor:
            return self.net(one) - self.net(other)

    net = Unusual()
    with pytest.raises(NoSitesError, match=r"Unusual could not be followed from its input to its output \(TypeError: "):
        insert(net, "m2a", num_frames=7, reduction=2)
    report = insert(net, "m2a", num_frames=7, reduction=2, where=r"net\.layer\d\.0\.conv1")
    assert len(report.sites) == 4
    assert net(torch.randn(1, 3, 7, 32, 32), torch.randn(1, 3, 7, 32, 32)).shape == (1, 5)


def test_a_classifiers_axes_are_found_too_and_2d_networks_have_one_length() -> None:
    model = VideoClassifier(inflated("tiered stem"), 5, num_frames=7)
    assert [site.num_frames for site in find_sites(model, num_frames=7).sites] == [7, 7, 4, 2]
    net = image_network("tiered stem")
    assert [site.num_frames for site in find_sites(net, num_frames=7).sites] == [7, 7, 7, 7]
    model = VideoClassifier(net, 5, num_frames=7)
    assert [site.layout.axes for site in find_sites(model, num_frames=7).sites] == ["NCHW"] * 4


def test_a_site_at_a_norm_that_runs_frame_by_frame_gets_clips() -> None:
    net, x = inflated("selective kernels"), torch.randn(2, 3, 5, 37, 41)
    seen: list[torch.Size] = []
    insert(net, "m2a", num_frames=5, reduction=2, where=["layer2.0.conv2.bn"])
    net.layer2[0].conv2.bn.mechanism.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    assert net(x).isfinite().all()
    assert seen == [(2, 3, 8, 5, 6)]
    with pytest.raises(
        SiteTypeError,
        match=r"'layer1\.0\.se\.fc1', a Conv2d, cannot carry a mechanism: what goes through it is .*, no batch of fr",
    ):
        insert(inflated("squeeze and excitation"), "m2a", num_frames=5, where=["layer1.0.se.fc1"])


# Memory, compilation, timm's catalogue, refusals


@pytest.mark.parametrize("mechanism", ["none", "m2a", "m2a+tsm"])
def test_channels_last_changes_nothing_but_the_layout(mechanism: str) -> None:
    model, x = tiny(inflate=True, mechanism=mechanism), clips()
    expected = model(x)
    to_channels_last(model)
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for name, parameter in model.named_parameters():
        if parameter.ndim in layouts:
            assert parameter.is_contiguous(memory_format=layouts[parameter.ndim]), name
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-4)
    if mechanism != "none":
        remove(model.backbone)
        insert(model.backbone, mechanism, num_frames=3, reduction=2)
        weight = model.backbone.layer1[0].conv1.mechanism
        weight = (weight[0] if mechanism == "m2a+tsm" else weight).expand.weight
        assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.usefixtures("as_users_run_it")
def test_it_compiles_in_one_graph_and_exports() -> None:
    net, x = inflated("blur pooling"), torch.randn(2, 3, 5, 37, 41)
    insert(net, "m2a", num_frames=5, reduction=2)
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), net(x), rtol=0, atol=1e-5)
    exported = torch.export.export(net, (x,)).module()
    torch.testing.assert_close(exported(x), net(x), rtol=0, atol=1e-5)


SAMPLE = [
    "resnet18", "resnet34d", "resnet50", "resnet50_gn", "resnet50d", "resnetaa50", "resnetblur50", "resnetrs50",
    "resnext50_32x4d", "wide_resnet50_2", "seresnet50t", "ecaresnet50t", "ecaresnet50d_pruned",
    "res2net50d", "res2next50", "skresnet34",
]  # fmt: skip


@pytest.mark.parametrize("name", SAMPLE)
def test_timms_resnets(name: str) -> None:
    with torch.device("meta"):
        net = timm.create_model(name, num_classes=5)
        keys = list(net.state_dict())
        inflate(net)
        assert list(net.state_dict()) == keys
        assert net(torch.empty(2, 3, 7, 224, 224)).shape == (2, 5)
        assert net.frame_features(torch.empty(2, 3, 9, 64, 64)).shape == (2, 2, net.num_features)


def standardised() -> nn.Module:
    net = image_network("tiered stem")
    net.layer2[0].conv1 = timm.layers.StdConv2d(8, 8, 3, stride=2, padding=1)
    return net


def with_mechanisms() -> nn.Module:
    net = image_network("tiered stem")
    insert(net, "m2a", num_frames=3, reduction=2)
    return net


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: timm.create_model("mobilenetv2_050"), r"Only timm's ResNets can be .*EfficientNet\. Take one"),
        (lambda: timm.create_model("resnetv2_18"), r"Only timm's ResNets .* got a timm\.models\.resnetv2\.ResNetV2\."),
        (lambda: tiny(mechanism="none"), r"got a m2a\.models\.classifier\.VideoClassifier\."),
        (lambda: nn.Conv2d(3, 5, 1), r"got a torch\.nn\.modules\.conv\.Conv2d\."),
        (lambda: inflated("tiered stem"), r"inflated already, and takes \(B, 3, T, H, W\)\. Inflate it once\."),
        (with_mechanisms, r"carries mechanisms, .* Inflate first and insert afterwards; m2a\.remove\(network\) takes"),
        (standardised, r"'layer2\.0\.conv1' is a StdConv2d with padding=\(1, 1\); only a plain nn\.Conv2d, padded"),
        (lambda: timm.create_model("resnest14d"), r"'layer1\.0' is a ResNestBottleneck; ResNets of these blocks can"),
    ],
)
def test_networks_that_cannot_be_inflated(make: Callable[[], nn.Module], message: str) -> None:
    net = make()
    state, structure = snapshot(net), repr(net)
    with pytest.raises(ConfigError, match=message):
        inflate(net)
    assert repr(net) == structure
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())


def test_a_backbone_that_cannot_be_inflated() -> None:
    with pytest.raises(ConfigError, match=r"Only timm's ResNets can be inflated .*EfficientNet"):
        create_model("mobilenetv2_050", inflate=True, num_classes=5)
    assert not is_inflated(nn.Identity())
