"""Default sites across families of networks, and features that do not lie as (N, C, H, W)."""

from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch
import torchvision
from toy_nets import TOYS, ResidualNet

from m2a.errors import ClipShapeError
from m2a.insertion import find_sites, insert, remove
from m2a.insertion.layout import Layout, grid_of
from m2a.measurement import check_backbone

# backbone: number of sites, the first, its channels, axes
TIMM = {
    "resnet34": (16, "layer1.0.conv1", 64, "NCHW"),
    "resnetv2_50": (16, "stages.0.blocks.0.conv1", 64, "NCHW"),
    "regnetx_002": (13, "s1.b1.conv1.conv", 32, "NCHW"),
    "efficientnet_b0": (9, "blocks.1.1.conv_pw", 24, "NCHW"),
    "mobilenetv3_small_100": (6, "blocks.1.1.conv_pw", 24, "NCHW"),
    "convnext_tiny": (18, "stages.0.blocks.0.conv_dw", 96, "NCHW"),
    "densenet121": (31, "features.denseblock1.denselayer1.norm1", 64, "NCHW"),
    "vgg11": (8, "features.3", 64, "NCHW"),
    "nfnet_l0": (12, "stages.0.0.conv1", 128, "NCHW"),
    "dla34": (12, "level2.tree1.conv1", 32, "NCHW"),
    "repvgg_a0": (21, "stages.0.0.conv_kxk.conv", 48, "NCHW"),
    "vit_tiny_patch16_224": (12, "blocks.0.norm1", 192, "NLC+1"),
    "vit_small_patch14_reg4_dinov2": (12, "blocks.0.norm1", 384, "NLC+5"),
    "deit_tiny_distilled_patch16_224": (12, "blocks.0.norm1", 192, "NLC+2"),
    "vit_large_patch16_224": (12, "blocks.0.norm1", 1024, "NLC+1"),  # 24 blocks: every second
    "swin_tiny_patch4_window7_224": (12, "layers.0.blocks.0.norm1", 96, "NHWC"),
    "pvt_v2_b0": (8, "stages.0.blocks.0.norm1", 32, "NLC"),
    "mixer_s32_224": (8, "blocks.0.norm1", 512, "NLC"),
    "convmixer_768_32": (32, "blocks.0.0.fn.0", 768, "NCHW"),
    "cait_xxs24_224": (12, "blocks.0.norm1", 192, "NLC"),
}
TORCHVISION = {
    "resnet18": (8, "layer1.0.conv1", 64, "NCHW"),
    "mobilenet_v2": (10, "features.3.conv.0.0", 24, "NCHW"),
    "convnext_tiny": (18, "features.1.0.block.0", 96, "NCHW"),
    "vit_b_16": (12, "encoder.layers.encoder_layer_0.ln_1", 768, "NLC+1"),
    "swin_t": (12, "features.1.0.norm1", 96, "NHWC"),
    "densenet121": (31, "features.denseblock1.denselayer1.norm1", 64, "NCHW"),
    "vgg11": (7, "features.3", 64, "NCHW"),
}


@pytest.mark.parametrize("name", TIMM)
def test_sites_of_timms_families(name: str) -> None:
    with torch.device("meta"):
        net = timm.create_model(name)
    assert summary(net) == TIMM[name]


@pytest.mark.parametrize("name", TORCHVISION)
def test_sites_of_torchvisions_families(name: str) -> None:
    with torch.device("meta"):
        net = torchvision.models.get_model(name)
    assert summary(net) == TORCHVISION[name]


def summary(net: torch.nn.Module) -> tuple[int, str, int, str]:
    sites = find_sites(net).sites
    return len(sites), sites[0].name, sites[0].channels, str(sites[0].layout)


@pytest.mark.parametrize(
    "name",
    ["ghostnet_050", "hrnet_w18_small", "edgenext_xx_small", "fastvit_t8", "levit_128s", "mobilevit_xxs",
     "poolformer_s12", "xcit_nano_12_p16_224", "res2net50_26w_4s", "tf_efficientnetv2_b0", "mobilenetv4_conv_small"],
)  # fmt: skip
def test_it_goes_in_through_and_out_again(name: str) -> None:
    result = check_backbone(name, "m2a+tsm" if "vit" not in name else "m2a")
    assert result.works, result.reason
    assert result.sites >= 3


@pytest.mark.parametrize("name", ["repvgg_a0", "mobileone_s0", "mobileone_s1", "fastvit_t8"])
def test_a_skip_that_is_a_norm_is_no_branch(name: str) -> None:
    with torch.device("meta"):
        net = timm.create_model(name)
    assert not [site.name for site in find_sites(net).sites if "identity" in site.name]


@pytest.mark.parametrize("name", ["tiny_vit_5m_224", "efficientvit_m0"])
def test_windows_that_hold_a_whole_frame_in_small_images_alone(name: str) -> None:
    """Their sites are where clips are clips in images of any size."""
    net = timm.create_model(name).eval()
    insert(net, "tsm", num_frames=3)
    seen: list[torch.Size] = []
    for module in net.modules():
        if hasattr(module, "mechanism"):
            module.mechanism.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[:2]))
    with torch.no_grad():
        net(torch.randn(6, 3, 352, 352))
    assert len(seen) > 10
    assert set(seen) == {(2, 3)}


def test_what_does_not_work_is_told() -> None:
    result = check_backbone("resnet10t", "nothing")
    assert not result.works
    assert result.reason.startswith("insert: There is no mechanism called 'nothing'")


@pytest.mark.parametrize(("name", "prefix"), [("vit", 1), ("vit with registers", 5)])
def test_class_tokens_pass_by_and_the_others_are_a_map(name: str, prefix: int) -> None:
    net = TOYS[name].build()
    insert(net, "tsm", num_frames=3, shift_div=3)
    block, grid = net.blocks[1].norm1, net.patch_embed.grid_size
    x = torch.randn(6, prefix + grid[0] * grid[1], 12)
    seen = torch.nn.functional.layer_norm(
        torch.cat([x[:, :prefix], shifted(x[:, prefix:], grid)], 1), (12,), eps=block.eps
    )
    expected = seen * block.weight + block.bias
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(("name", "size"), [("vit_small_patch16_dinov3", 32), ("vit_small_patch14_reg4_dinov2", 28)])
def test_few_places_and_class_tokens_are_not_taken_for_more_places(name: str, size: int) -> None:
    """2 x 2 places and 5 tokens are 9, as 3 x 3 places would be."""
    net = timm.create_model(name, img_size=size, depth=2)
    assert summary(net)[3] == "NLC+5"
    insert(net, "m2a", num_frames=2)
    assert net.blocks[0].norm1.mechanism is not None


def shifted(tokens_NLC: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """A third of the channels from the next of 3 frames, a third from the one before."""
    clips = tokens_NLC.view(2, 3, *grid, 12)
    out = torch.zeros_like(clips)
    out[:, :-1, ..., :4] = clips[:, 1:, ..., :4]
    out[:, 1:, ..., 4:8] = clips[:, :-1, ..., 4:8]
    out[..., 8:] = clips[..., 8:]
    return out.view_as(tokens_NLC)


def test_maps_with_the_channels_last() -> None:
    net = TOYS["swin"].build()
    insert(net, "tsm", num_frames=3, shift_div=3)
    norm, x = net.layers[0].blocks[0].norm1, torch.randn(6, 28, 28, 12)
    expected = torch.nn.functional.layer_norm(shifted(x.flatten(1, 2), (28, 28)).view_as(x), (12,), eps=norm.eps)
    torch.testing.assert_close(norm(x), expected * norm.weight + norm.bias)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("m2a", r"9 tokens came to 'blocks\.0\.norm1'; they make no map of the shape 2 x 3"),
        ("m2a:patch4", r"A map of 3 x 3 came out of 'patch_embed', where it had the shape 2 x 3 when the mechanism"),
    ],
)
def test_images_of_another_size_but_the_same_shape(spec: str, message: str) -> None:
    net = timm.create_model(
        "vit_tiny_patch16_224", img_size=(32, 48), embed_dim=12, depth=4, num_heads=3, dynamic_img_size=True
    ).eval()
    insert(net, spec, num_frames=3, reduction=2)
    assert net(torch.randn(3, 3, 64, 96)).shape == (3, 1000)
    with pytest.raises(ClipShapeError, match=message):
        net(torch.randn(3, 3, 48, 48))


def small_vit(**options: object) -> torch.nn.Module:
    return timm.create_model("vit_tiny_patch16_224", img_size=64, embed_dim=12, depth=2, num_heads=3, **options).eval()


@pytest.mark.parametrize("spec", ["m2a:patch4", "tea", "m2a"])
def test_as_many_tokens_of_a_map_of_another_shape(spec: str) -> None:
    """4 x 4 were inserted, 2 x 8 come: only a mechanism that asks what is beside a token cares."""
    net, x = small_vit(), torch.randn(6, 3, 32, 128)
    insert(net, spec, num_frames=3, reduction=2)
    net.set_input_size(img_size=(32, 128))
    if spec == "m2a":
        assert net(x).shape == (6, 1000)
        return
    with pytest.raises(ClipShapeError, match=r"2 x 8 came out of 'patch_embed\.proj', .* shape 4 x 4 .*insert then"):
        net(x)
    with pytest.raises(ClipShapeError, match="2 x 8 came out of"):
        net.forward_features(x)
    remove(net)
    plain, state = net(x), net.state_dict()
    insert(net, spec, num_frames=3, reduction=2)  # as the message says
    assert not torch.equal(net(x), plain)
    remove(net)
    assert list(net.state_dict()) == list(state)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


@pytest.mark.usefixtures("as_users_run_it")
def test_images_of_another_shape_in_a_network_that_takes_any() -> None:
    net = small_vit(dynamic_img_size=True)
    insert(net, "m2a:patch4", num_frames=3, reduction=2)
    square, wide = torch.randn(6, 3, 128, 128), torch.randn(6, 3, 64, 256)
    expected = net(square)
    torch._dynamo.reset()
    copies = [
        pickle.loads(pickle.dumps(copy.deepcopy(net))),
        torch.compile(copy.deepcopy(net), backend="eager", fullgraph=True),
        torch.export.export(net, (square,)).module(),
    ]
    for other in copies:
        torch.testing.assert_close(other(square), expected)
    for other in (net, copies[0], torch.compile(net, backend="eager")):
        with torch.no_grad(), pytest.raises(ClipShapeError, match="A map of 4 x 16 came out of 'patch_embed'"):
            other(wide)


class Cut(torch.nn.Module):
    """Patches that are cut out of the image and never a map."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.unfold(x, 4, stride=4).mT


def test_tokens_that_come_from_no_map() -> None:
    net = torch.nn.Sequential(Cut(), torch.nn.Linear(48, 16), torch.nn.Linear(16, 16))
    insert(net, "tea", num_frames=3, reduction=2, where=["2"])
    side = find_sites(remove(net), ["2"]).sites[0].origin
    assert (side.module, side.position, side.size, side.grid) == ("0", "before", (224, 224), (56, 56))
    insert(net, "tea", num_frames=3, reduction=2, where=["2"])
    assert net(torch.randn(3, 3, 28, 28)).shape == (3, 49, 16)
    with pytest.raises(ClipShapeError, match=r"A map of 16 x 64 came into '0', where it had the shape 224 x 224"):
        net(torch.randn(3, 3, 16, 64))
    remove(net)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_grids() -> None:
    assert grid_of(196, (224, 224)) == (14, 14)
    assert grid_of(6, (32, 48)) == (2, 3)
    assert grid_of(197, (224, 224)) is None
    assert grid_of(9, (2, 3)) is None
    x = torch.randn(6, 7, 5)
    layout = Layout(axes="NLC", prefix=1, grid=(2, 3))
    assert torch.equal(layout.features(layout.clips(x, 3, "here"), x), x)


def test_a_layer_that_is_used_twice_has_its_mechanism_twice() -> None:
    net = ResidualNet()
    net.open[1] = net.open[0]  # tied weights
    report = insert(net, "m2a", num_frames=3, reduction=2)
    assert report.sites == ["open.0", "open.2", "open.3"]
    calls: list[int] = []
    net.open[0].mechanism.register_forward_hook(lambda *_: calls.append(1))
    net(torch.randn(3, 3, 7, 5))
    assert len(calls) == 2
    remove(net)
    assert net.open[1] is net.open[0]
