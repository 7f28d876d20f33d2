"""Where mechanisms go by default, how a report reads, and the clip length."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from toy_nets import TOYS, PlainNet, VolumeNet

from m2a.errors import ClipShapeError, ConfigError, NotInsertedError
from m2a.insertion import find_sites, get_num_frames, insert, remove, set_num_frames
from m2a.insertion.insert import insertions


def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name)


def test_resnet18_has_8_sites_in_front_of_each_branch() -> None:
    found = find_sites(on_meta("resnet18"), None, "before")
    assert [site.name for site in found.sites] == [f"layer{s}.{b}.conv1" for s in (1, 2, 3, 4) for b in (0, 1)]
    assert [site.channels for site in found.sites] == [64, 64, 64, 128, 128, 256, 256, 512]
    assert {site.layout.axes for site in found.sites} == {"NCHW"}
    assert found.skipped == {}


def test_mobilenetv2_has_10_sites_at_the_expanding_blocks_with_a_skip() -> None:
    found = find_sites(on_meta("mobilenetv2_100"), None, "before")
    assert len(found.sites) == 10
    assert all(site.name.endswith(".conv_pw") for site in found.sites)
    assert [site.channels for site in found.sites] == [24, 32, 32, 64, 64, 64, 96, 96, 160, 160]
    assert found.skipped == {}  # blocks without a skip are no residual ones


def test_a_network_with_a_long_stage_takes_every_second_block_as_released() -> None:
    found = find_sites(on_meta("resnet101"), None, "before")
    blocks = {1: 3, 2: 4, 3: 23, 4: 3}
    assert [site.name for site in found.sites] == [
        f"layer{stage}.{block}.conv1" for stage, number in blocks.items() for block in range(0, number, 2)
    ]
    assert list(found.skipped) == [
        f"layer{stage}.{block}.conv1" for stage, number in blocks.items() for block in range(1, number, 2)
    ]
    assert set(found.skipped.values()) == {"a stage has 23 blocks; every second one of each stage is taken"}


def test_the_length_of_clips_is_checked_at_each_tam() -> None:
    net = timm.create_model("resnet10t")
    insert(net.layer1, "m2a", num_frames=4, where=["0.conv1"])
    insert(net.layer2, "tam", num_frames=8, where=["0.conv1"])
    with pytest.raises(ConfigError, match=r"TAM at 'layer2\.0\.conv1' .* changed from 8 to 4"):
        set_num_frames(net, 4)
    set_num_frames(net, 8)
    assert net(torch.randn(8, 3, 32, 32)).shape[0] == 8


def test_resnet50_takes_every_block() -> None:
    found = find_sites(on_meta("resnet50"), None, "before")
    assert (len(found.sites), found.skipped) == (16, {})


def test_the_report_reads_as_a_sentence() -> None:
    net = timm.create_model("resnet18")
    assert str(insert(net, "m2a:m2a", num_frames=8)) == (
        'inserted "m2a" before 8 of 8 sites (layer1.0.conv1 ... layer4.1.conv1), 8 frames, +0.11 M parameters (+1.0%)'
    )
    net = TOYS["mobilenetv2_050"].build()
    assert str(insert(net, "tsm", num_frames=5, position="after")) == (
        'inserted "tsm" after 4 of 4 sites (blocks.2.1.conv_pw ... blocks.5.1.conv_pw), 5 frames, '
        "+0.00 M parameters (+0.0%)"
    )
    assert str(insert(PlainNet(), "m2a", where=["body.0"])).startswith(
        'inserted "m2a" before 1 of 1 sites (body.0), 8 '
    )


def test_names_are_taken_in_the_models_order_and_once() -> None:
    assert insert(PlainNet(), "m2a", where=["body.0", "stem.0", "body.0"]).sites == ["stem.0", "body.0"]
    assert insert(PlainNet(), "m2a", where=r".*\.0").sites == ["stem.0", "body.0"]


def test_names_may_come_one_by_one() -> None:
    net = TOYS["resnet18"].build()
    wanted = (name for name, _ in net.named_modules() if name.endswith("conv2"))
    sites = insert(net, "m2a", where=wanted).sites
    assert len(sites) > 1
    assert [kept.where for kept in insertions(net).values()] == [tuple(sites)] * len(sites)


def test_image_checkpoints_still_load() -> None:
    toy = TOYS["resnet18"]
    image, net = toy.build(seed=1), toy.build(seed=2)
    insert(net, "m2a", num_frames=3)
    missing, unexpected = net.load_state_dict(image.state_dict(), strict=False)
    assert unexpected == []
    assert len(missing) == 8 * 4
    assert all(".mechanism." in key for key in missing)
    remove(net)
    x = toy.input()
    assert torch.equal(net(x), image(x))


def test_mechanisms_take_the_layers_dtype_and_memory_format() -> None:
    net = TOYS["resnet18"].build().double().to(memory_format=torch.channels_last)
    insert(net, "m2a", num_frames=3)
    weights = {name: p for name, p in net.named_parameters() if name.endswith("mechanism.reduce.weight")}
    assert len(weights) == 8
    assert all(weight.dtype == torch.float64 for weight in weights.values())
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights.values())
    assert net(torch.randn(6, 3, 32, 32, dtype=torch.float64)).dtype == torch.float64


def test_at_a_block_and_at_a_layer_without_weights_it_takes_the_weights_dtype_too() -> None:
    net = TOYS["resnet18"].build().double()
    insert(net, "m2a", num_frames=3, where=["layer1.0", "maxpool"])
    assert all(p.dtype == torch.float64 for p in net.parameters())
    assert net(torch.randn(6, 3, 32, 32, dtype=torch.float64)).isfinite().all()


def test_frames_are_those_next_to_each_other() -> None:
    """A network of one convolution: the mechanism at it sees (B, T, ...) of the folded batch."""
    net = nn.Sequential(nn.Conv2d(8, 5, 1))
    insert(net, "tsm", num_frames=3, where=["0"])
    x = torch.randn(6, 8, 5, 7)
    shifted = net[0].mechanism(x.view(2, 3, 8, 5, 7)).view(6, 8, 5, 7)
    expected = nn.functional.conv2d(shifted, net[0].weight, net[0].bias)
    torch.testing.assert_close(net(x), expected)


def test_volumes_have_their_own_time_axis() -> None:
    net = VolumeNet().eval()
    insert(net, "tsm", num_frames=3, where=["second"], shift_div=11)
    x = torch.randn(2, 3, 5, 7, 11)
    features = net.norm(net.first(x)).relu()
    shifted = net.second.mechanism(features.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(shifted[:, 0, :-1], features[:, 0, 1:])
    expected = nn.functional.conv3d(shifted, net.second.weight, net.second.bias, padding=1).mean((2, 3, 4))
    torch.testing.assert_close(net(x), expected)


def test_behind_a_layer_its_output_is_mixed() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1))
    plain = net(x := torch.randn(6, 3, 5, 7))
    insert(net, "tsm", num_frames=3, where=["0"], position="after")
    torch.testing.assert_close(net(x), net[0].mechanism(plain.view(2, 3, 8, 5, 7)).view(6, 8, 5, 7))


def test_the_clip_length_can_change() -> None:
    net = TOYS["resnet18"].build()
    insert(net, "m2a", num_frames=3)
    x = torch.randn(10, 3, 32, 32)
    with pytest.raises(
        ClipShapeError,
        match=r"10 frames came to 'layer1\.0\.conv1', which is not a multiple of num_frames = 3\. Fold whole clips "
        r"into the batch, \(B \* 3, C, H, W\), or set the clip length with m2a\.set_num_frames\(model, T\)",
    ):
        net(x)
    set_num_frames(net, 5)
    assert get_num_frames(net) == 5
    together = net(x)
    torch.testing.assert_close(net(x[:5]), together[:5], rtol=0, atol=1e-5)
    set_num_frames(net, 2)
    assert float((net(x) - together).abs().max().detach()) > 0


def test_a_clip_length_that_cannot_be() -> None:
    net = TOYS["resnet18"].build()
    with pytest.raises(NotInsertedError, match=r"This ResNet carries no mechanism; call m2a\.insert first\."):
        set_num_frames(net, 3)
    assert get_num_frames(net) is None
    insert(net, "m2a", num_frames=3)
    for count in (1, 0, -2):
        with pytest.raises(ConfigError, match=rf"num_frames must be at least 2 to see motion; got {count}\."):
            set_num_frames(net, count)
    assert get_num_frames(net) == 3


def test_one_frame_count_for_all_sites_of_a_copy_too() -> None:
    import copy

    net = TOYS["resnet18"].build()
    insert(net, "m2a", num_frames=3)
    twin = copy.deepcopy(net)
    counts = {id(hook.__self__.frames) for m in twin.modules() for hook in m._forward_pre_hooks.values()}
    assert len(counts) == 1


def test_a_default_device_without_memory_is_not_that_of_the_network() -> None:
    net, x = TOYS["resnet10t"].build(), TOYS["resnet10t"].input()
    with torch.device("meta"):
        insert(net, "m2a", num_frames=3, reduction=2)
    assert net(x).isfinite().all()


@pytest.mark.usefixtures("as_users_run_it")
def test_a_whole_network_compiles_in_one_graph() -> None:
    net, x = TOYS["resnet10t"].build(), TOYS["resnet10t"].input()
    insert(net, "m2a+tsm", num_frames=3, reduction=2)
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), net(x), rtol=0, atol=1e-5)
    set_num_frames(net, 2)  # the graph is made anew, not reused
    torch.testing.assert_close(compiled(x), net(x), rtol=0, atol=1e-5)


def test_a_whole_network_exports() -> None:
    net, x = TOYS["resnet10t"].build(), TOYS["resnet10t"].input()
    insert(net, "m2a", num_frames=3, reduction=2)
    exported = torch.export.export(net, (x,)).module()
    torch.testing.assert_close(exported(x), net(x), rtol=0, atol=1e-5)
