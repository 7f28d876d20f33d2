"""Models as one meets them: channels-last, tuples in and out, stochastic depth, fused and grouped convolutions, tied
weights, frozen parts, half precision."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import timm
import torch
from timm.utils import reparameterize_model
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from toy_nets import TOYS, ResidualNet, from_timm

from m2a.errors import SiteTypeError
from m2a.insertion import insert, remove


def test_channels_last_stays_and_computes_the_same() -> None:
    x = torch.randn(6, 3, 32, 32)
    torch.manual_seed(1)
    net = TOYS["resnet10t"].build()
    insert(net, "m2a", num_frames=3, reduction=2)
    expected = net(x)
    net.to(memory_format=torch.channels_last)
    seen: list[Tensor] = []
    net.layer2[0].conv1.mechanism.register_forward_hook(lambda _m, _a, out: seen.append(out))
    torch.testing.assert_close(net(x.to(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-5)
    assert seen[0].flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


def test_a_channels_last_model_gets_channels_last_mechanisms() -> None:
    net = TOYS["resnet10t"].build().to(memory_format=torch.channels_last)
    insert(net, "tea", num_frames=3, reduction=2)
    weight = net.layer2[0].conv1.mechanism.reduce.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


class Pair(NamedTuple):
    features: Tensor
    mask: Tensor


class Two(nn.Module):
    """Gives and takes more than one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, 5, 3, padding=1)
        self.kind: Any = tuple

    def forward(self, x: Tensor, scale: Tensor) -> Any:
        out = (x + self.conv(x) * scale, scale)
        return Pair(*out) if self.kind is Pair else self.kind(out)


class Tuples(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 1)
        self.blocks = nn.ModuleList(Two() for _ in range(4))
        self.listed = Listed()

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x, scale = self.stem(x), torch.ones(())
        for block in self.blocks:
            x, scale = block(x, scale)
        x = self.listed([x, x])
        return x.mean((2, 3)), {"maps": x}


class Listed(nn.Module):
    def forward(self, maps: list[Tensor]) -> Tensor:
        return maps[0] + 2 * maps[1]


def test_models_that_return_tuples() -> None:
    net = Tuples().eval()
    report = insert(net, "m2a", num_frames=3, reduction=2)
    assert report.sites == [f"blocks.{k}.conv" for k in range(4)]
    features, more = net(torch.randn(6, 3, 7, 5))
    assert features.shape == (6, 5)
    assert more["maps"].shape == (6, 5, 7, 5)


@pytest.mark.parametrize("kind", [tuple, list, Pair])
def test_a_site_behind_a_layer_that_returns_several_changes_the_first(kind: Any) -> None:
    net, x = Tuples().eval(), torch.randn(6, 3, 7, 5)
    net.blocks[1].kind = kind
    insert(net, "tsm", num_frames=3, where=["blocks.1"], position="after", shift_div=2)
    given: list[Any] = []
    net.blocks[1].register_forward_hook(lambda _m, _a, out: given.append(out))
    net(x)
    out = given[0]
    assert type(out) is kind
    assert out[0].shape == (6, 5, 7, 5)
    assert float(out[1]) == 1
    plain = net.blocks[0](net.stem(x), torch.ones(()))[0]
    plain = plain + net.blocks[1].conv(plain)
    expected = plain.clone()
    expected[:, 0:2] = torch.cat([plain[[1, 2]], 0 * plain[:1], plain[[4, 5]], 0 * plain[:1]])[:, 0:2]
    expected[:, 2:4] = torch.cat([0 * plain[:1], plain[[0, 1]], 0 * plain[:1], plain[[3, 4]]])[:, 2:4]
    torch.testing.assert_close(out[0], expected)


def test_a_layer_that_takes_a_list_of_maps_cannot_carry_one_in_front() -> None:
    with pytest.raises(SiteTypeError, match=r"'listed', a Listed, cannot carry .* goes through it alone"):
        insert(Tuples(), "m2a", where=["listed"])


def test_stochastic_depth() -> None:
    net = from_timm("resnet10t", channels=(8, 8, 16, 16), drop_path_rate=0.5, drop_rate=0.1)().train()
    insert(net, "m2a", num_frames=3, reduction=2)
    for _ in range(3):
        net.zero_grad()
        out = net(torch.randn(6, 3, 32, 32))
        out.square().sum().backward()
        assert out.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for n, p in net.named_parameters() if ".mechanism." in n)
    net.eval()
    x = torch.randn(6, 3, 32, 32)
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize("name", ["repvgg_a0", "fastvit_t8", "mobileone_s0", "repghostnet_050"])
def test_reparameterised_networks(name: str) -> None:
    net = reparameterize_model(timm.create_model(name, num_classes=5)).eval()
    x = torch.randn(4, 3, 64, 64)
    before = net(x)
    report = insert(net, "m2a", num_frames=2)
    assert len(report.sites) >= 4
    assert net(x).shape == (4, 5)
    torch.testing.assert_close(remove(net)(x), before)


def test_convolutions_with_their_norm_folded_in() -> None:
    net = TOYS["resnet18"].build()
    sites = insert(net, "m2a", num_frames=3, reduction=2).sites
    remove(net)
    for block in (block for stage in (net.layer1, net.layer2, net.layer3, net.layer4) for block in stage):
        block.conv1, block.bn1 = fuse_conv_bn_eval(block.conv1, block.bn1), nn.Identity()
    assert insert(net, "m2a", num_frames=3, reduction=2).sites == sites
    assert net(torch.randn(6, 3, 32, 32)).isfinite().all()


def test_grouped_first_convolutions() -> None:
    net = ResidualNet()
    for index in range(4):
        net.open[index] = nn.Conv2d(11, 22, 3, padding=1, groups=11)
        net.close[index] = nn.Conv2d(22, 11, 1)
    report = insert(net, "m2a", num_frames=3, reduction=2)
    assert report.sites == [f"open.{k}" for k in range(4)]
    assert report.channels == [11] * 4
    assert net(torch.randn(6, 3, 7, 5)).shape == (6, 5)


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
@pytest.mark.parametrize(
    ("name", "where"), [("resnet10t", r"layer\d\.0\.conv1"), ("vit_tiny_patch16_224", r"blocks\.\d\.norm1")]
)
def test_images_of_other_channels_than_three(name: str, where: str, channels: int) -> None:
    """timm's own description of the architecture goes on saying 3."""
    options = {"img_size": 32, "depth": 4} if name.startswith("vit") else {}
    net = timm.create_model(name, in_chans=channels, **options).eval()
    x = torch.randn(3, channels, 32, 32)
    plain = net(x)
    by_default = insert(net, "m2a", num_frames=3).sites
    assert net(x).shape == plain.shape
    remove(net)
    assert insert(net, "m2a", num_frames=3, where=where).sites == by_default


class Folding(ResidualNet):
    """Puts 2 x 2 pixels into channels in front of its first convolution, 12 of 3, as TResNet does with 4 x 4."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(12, 11, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.pixel_unshuffle(x, 2))


def test_a_stem_that_folds_pixels_into_channels() -> None:
    assert insert(Folding(), "m2a", num_frames=3, reduction=2).sites == [f"open.{k}" for k in range(4)]


def test_frozen_parts_stay_frozen_and_mechanisms_learn() -> None:
    net = TOYS["resnet10t"].build()
    net.requires_grad_(False)
    net.layer4.requires_grad_(True)
    before = {name: p.requires_grad for name, p in net.named_parameters()}
    insert(net, "m2a", num_frames=3, reduction=2)
    net(torch.randn(6, 3, 32, 32)).square().sum().backward()
    for name, parameter in net.named_parameters():
        trains = before.get(name, True)
        assert parameter.requires_grad == trains, name
        assert (parameter.grad is not None) == trains, name


def test_an_identity_in_a_branch_that_starts_at_zero_is_not_stuck() -> None:
    net = timm.create_model("resnet10t", num_classes=5, channels=(8, 8, 16, 16), zero_init_last=True).train()
    insert(net, "m2a", num_frames=3, reduction=2, init="identity")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, target = torch.randn(6, 3, 32, 32), torch.arange(6) % 5
    moving = []
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), target).backward()
        moving.append({name for name, p in net.layer2.named_parameters() if float(p.grad.norm()) > 0})
        optimizer.step()
    assert "0.bn2.weight" in moving[0]
    assert not any(".mechanism." in name for name in moving[0])
    assert "0.conv1.mechanism.expand.weight" in moving[1]
    assert "0.conv1.mechanism.reduce.weight" in moving[2]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    net = TOYS["resnet10t"].build().to(dtype)
    insert(net, "m2a+tsm", num_frames=3, reduction=2, init="identity")
    assert {p.dtype for p in net.parameters()} == {dtype}
    out = net(torch.randn(6, 3, 32, 32, dtype=dtype))
    assert out.dtype == dtype
    assert out.isfinite().all()


class Encoder(nn.Module):
    """Tokens of patches through torch's own encoder, or through an attention that is given keys and values by name."""

    def __init__(self, named: bool) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        options = {"dim_feedforward": 16, "dropout": 0.0, "batch_first": True}
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, **options) for _ in range(2))
        self.named, self.head = named, nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).mT
        for layer in self.layers:
            if self.named:
                tokens = layer.norm1(tokens + layer.self_attn(tokens, key=tokens, value=tokens)[0])
            else:
                tokens = layer(tokens)
        return self.head(tokens.mean(1))


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("mode", [False, True])
def test_keys_and_values_are_mixed_as_queries_are(named: bool, mode: bool) -> None:
    torch.manual_seed(1)
    net, x = Encoder(named).train(mode), torch.randn(6, 3, 12, 12)
    torch.manual_seed(1)
    expected = Encoder(named).train(mode)

    def shifted(layer: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> Any:
        tokens = args[0].unflatten(0, (2, 3)).clone()  # tsm, by hand: a channel each way
        one, other = tokens[..., 0].roll(-1, 1), tokens[..., 1].roll(1, 1)
        one[:, -1], other[:, 0] = 0, 0
        tokens = torch.cat([one[..., None], other[..., None], tokens[..., 2:]], -1).flatten(0, 1)
        return (tokens,) * len(args), {key: tokens if key in ("key", "value") else kwargs[key] for key in kwargs}

    for layer in expected.layers:
        layer.self_attn.register_forward_pre_hook(shifted, with_kwargs=True)
    report = insert(net, "tsm", num_frames=3)
    assert report.sites == ["layers.0.self_attn", "layers.1.self_attn"]
    torch.testing.assert_close(net(x), expected(x))


class ByKeyword(ResidualNet):
    """Calls its layers as networks of transformers do: `layer(hidden_states=x)`."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(input=x)
        for opening, closing in zip(self.open, self.close, strict=True):
            x = x + closing(input=opening(input=x).relu_())
        return self.head(self.norm(input=x).mean((2, 3)))


@pytest.mark.parametrize("position", ["before", "after"])
def test_layers_that_are_called_by_keyword(position: Any) -> None:
    torch.manual_seed(3)
    named, plain = ByKeyword(), ResidualNet()
    plain.load_state_dict(named.state_dict())
    reports = []
    for net in (named, plain):
        torch.manual_seed(5)
        reports.append(insert(net, "m2a", num_frames=3, reduction=2, position=position))
    assert reports[0] == reports[1]
    x = torch.randn(6, 3, 17, 19)
    scores = named(x)
    assert torch.equal(scores, plain(x))
    scores.sum().backward()
    plain(x).sum().backward()
    for gradient, expected in zip(named.parameters(), plain.parameters(), strict=True):
        assert torch.equal(gradient.grad, expected.grad)


def test_a_chain_of_layers_that_are_called_by_keyword() -> None:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 11, 3), nn.Conv2d(11, 5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(input=self.a(input=x))

    assert insert(Chain(), "tsm", num_frames=3).sites == ["b"]
