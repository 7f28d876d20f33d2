"""Backbones of every origin: timm's, torchvision's, one's own; what their classifier is and what is left without."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import own_networks as own
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import nn

from m2a.errors import CheckpointError, ClipShapeError, ConfigError, WeightsUnavailableError, WrappedModelError
from m2a.insertion import insert, remove
from m2a.models import VideoClassifier, create_model, list_torchvision, load
from m2a.models.frame_features import find_classifier, without_classifier

OWN = {
    own.Residual: ("head", 11),
    own.Maps: ("", 11),
    own.MapsChannelsLast: ("", 11),
    own.NormedMapsChannelsLast: ("", 11),
    own.Tokens: ("", 11),
    own.Auxiliary: ("head", 11),
    own.InABag: ("head", 11),
    own.InADataclass: ("head", 11),
    own.Softened: ("head", 11),
    own.Convolved: ("head.1", 11),
    own.Deep: ("head.2", 17),
    own.Tied: ("head", 11),
}


def clips(batch: int = 2, frames: int = 3, size: int = 32) -> torch.Tensor:
    return torch.randn(batch, frames, 3, size, size)


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("consensus", ["avg", "attention"])
def test_a_network_of_ones_own(kind: type[own.Residual], consensus: Any) -> None:
    network = kind()
    classifier, features = OWN[kind]
    assert find_classifier(network) == classifier
    model = create_model(network, num_classes=5, num_frames=3, reduction=2, consensus=consensus, size=32).eval()
    assert model.backbone is network
    assert model.head.in_features == features
    assert len(model.insertion.sites) == (3 if kind is own.Tied else 4)
    assert model.insertion.sites[0] == "branches.0.0"
    assert model(clips()).shape == (2, 5)
    model.num_frames = 4
    assert model(clips(frames=4, size=24)).shape == (2, 5)
    model.train()(clips(frames=4)).square().sum().backward()
    assert all(p.grad is not None for n, p in model.backbone.named_parameters() if "head" not in n)


@pytest.mark.parametrize(
    "kind",
    [own.Residual, own.Maps, own.MapsChannelsLast, own.NormedMapsChannelsLast, own.Tokens, own.InABag],
)
def test_features_are_the_mean_over_maps_and_tokens(kind: type[own.Residual]) -> None:
    network = kind().eval()
    model = VideoClassifier(network, num_classes=5, num_frames=3).eval()
    x = clips()
    maps = network.features(x.flatten(0, 1))
    if kind is own.NormedMapsChannelsLast:
        maps = network(x.flatten(0, 1)).permute(0, 3, 1, 2)
    expected = maps.mean((2, 3)).view(2, 3, 11)
    torch.testing.assert_close(model.frame_features(x), expected)


@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("swin_tiny_patch4_window7_224", {"depths": (1, 1, 1, 1)}),  # maps with channels last
        ("resnet10t", {"channels": (8, 8, 16, 16)}),  # maps with channels first
        ("vit_tiny_patch16_224", {"depth": 1}),  # tokens
    ],
)
def test_a_backbone_of_timms_without_its_pooling(backbone: str, options: dict[str, Any]) -> None:
    network: Any = timm.create_model(backbone, global_pool="", **options)
    model = VideoClassifier(network, num_classes=5, num_frames=1).eval()
    assert model.head.in_features == network.num_features
    x = torch.randn(2, 1, 3, 224, 224)
    made = network.forward_features(x[:, 0])
    axes = [axis for axis in range(1, made.ndim) if made.shape[axis] != network.num_features]
    torch.testing.assert_close(model.frame_features(x)[:, 0], made.mean(axes))


@pytest.mark.parametrize("pretrained", [False, True])
def test_a_network_is_left_as_it_was_where_no_model_can_be_made_of_it(tmp_path: Path, pretrained: bool) -> None:
    network, others = own.Residual(), own.Residual()
    seen: list[int] = []
    hook = network.stem.register_forward_hook(lambda *_: seen.append(1))
    weights, spelled = {key: value.clone() for key, value in network.state_dict().items()}, str(network)
    torch.save(others.state_dict(), tmp_path / "image.pth")
    given: dict[str, Any] = {"pretrained": tmp_path / "image.pth"} if pretrained else {}
    with pytest.raises(ConfigError, match="2 labels were given for 5 classes"):
        create_model(network, num_classes=5, num_frames=3, reduction=2, labels=("a", "b"), **given)
    assert str(network) == spelled
    assert network.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())
    network(torch.randn(1, 3, 32, 32))
    hook.remove()
    network(torch.randn(1, 3, 32, 32))
    assert seen == [1]
    assert create_model(network, num_classes=5, num_frames=3, reduction=2)(clips()).shape == (2, 5)


def test_a_network_is_left_as_it_was_where_it_cannot_be_inflated_and_filled() -> None:
    network = timm.create_model("resnet10t", channels=(8, 8, 16, 16))
    spelled, kind = str(network), type(network)
    with pytest.raises(ConfigError, match="2 labels were given for 5 classes"):
        create_model(network, num_classes=5, num_frames=3, inflate=True, labels=("a", "b"))
    assert (str(network), type(network)) == (spelled, kind)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 1000)


def test_a_hidden_layer_is_not_taken_for_a_classifier() -> None:
    network = own.Deep()
    first = VideoClassifier(network, num_classes=5, num_frames=3)
    again = VideoClassifier(network, num_classes=7, num_frames=3)  # its classifier is off already
    assert first.head.in_features == again.head.in_features == 17
    assert isinstance(network.head[0], nn.Linear)


@pytest.mark.parametrize("kind", [own.Residual, own.Tied])
def test_it_is_saved_and_comes_back_around_the_same_network(tmp_path: Path, kind: type[own.Residual]) -> None:
    model = create_model(kind(), num_classes=5, num_frames=3, reduction=2, mechanism="m2a+tsm", shift_div=3).eval()
    model.save_pretrained(tmp_path)
    x = clips()
    with pytest.raises(ConfigError, match=r"network of its author's, a own_networks\.\w+, which its files"):
        load(tmp_path)
    again = load(tmp_path, backbone=kind())
    assert torch.equal(again(x), model(x))
    with pytest.raises(CheckpointError, match=r"does not fit this VideoClassifier"):
        load(tmp_path, backbone=own.Deep())


def test_a_backbone_by_name_is_not_given(tmp_path: Path) -> None:
    create_model("resnet10t", num_classes=5, backbone_options={"channels": (8, 8, 16, 16)}).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"has the backbone 'resnet10t', which is built from its name\."):
        load(tmp_path, backbone=own.Residual())
    with pytest.raises(ConfigError, match=r"is a whole model, which has its image weights; leave image_weights out\."):
        load(tmp_path, image_weights="any.pth")


def test_image_weights_go_into_a_network_of_ones_own(tmp_path: Path) -> None:
    trained = own.Residual(nn.Linear(11, 29))  # another number of classes
    safetensors.torch.save_file(trained.state_dict(), tmp_path / "image.safetensors")
    model = create_model(own.Residual(), num_classes=5, reduction=2, pretrained=tmp_path / "image.safetensors")
    assert torch.equal(model.backbone.stem.weight, trained.stem.weight)
    with pytest.raises(ConfigError, match=r"a Residual of your own, built already: backbone_options and pretrained=T"):
        create_model(own.Residual(), num_classes=5, pretrained=True)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(0, 1)),
            r"Sequential gives \(\d+, 222, 222\) for 5 images; a back",
        ),
        (nn.Linear(3, 5), r"Linear could not be run on images \(N, C, H, W\) to see what it gives: RuntimeError"),
    ],
)
def test_what_is_no_backbone(network: nn.Module, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VideoClassifier(network, num_classes=5)


class Video(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = own.Residual()

    def forward(self, clips_BTCHW: torch.Tensor) -> torch.Tensor:
        batch, frames, *_ = clips_BTCHW.shape
        return self.net(clips_BTCHW.flatten(0, 1)).unflatten(0, (batch, frames)).mean(1)


def test_a_video_model_needs_no_classifier_of_ours() -> None:
    with pytest.raises(ConfigError, match=r"Video takes clips \(N, T, C, H, W\) by itself, so it is a video model alr"):
        VideoClassifier(Video(), num_classes=5)


def test_a_backbone_that_gives_another_number_of_rows() -> None:
    network = own.Residual(nn.Identity())
    model = VideoClassifier(network, num_classes=5, num_frames=3).eval()
    network.head = nn.Flatten(0)
    with pytest.raises(ClipShapeError, match=r"The backbone gave \(66,\) for 6 images; it must give features \(6, F\)"):
        model(clips())


@pytest.mark.parametrize(
    ("name", "size", "features"),
    [
        ("resnet18", 32, 512),
        ("mobilenet_v3_small", 32, 1024),
        ("squeezenet1_1", 32, 512),
        ("convnext_tiny", 32, 768),
        ("regnet_y_400mf", 32, 440),
        ("shufflenet_v2_x0_5", 32, 1024),
        ("swin_t", 64, 768),
        ("googlenet", 64, 1024),
        ("r3d_18", 32, 512),
        ("vit_b_32", 64, 768),
    ],
)
def test_torchvisions_networks(tmp_path: Path, name: str, size: int, features: int) -> None:
    model = create_model(f"torchvision/{name}", num_classes=5, num_frames=3, size=size)
    assert model.head.in_features == features
    x = clips(size=size)
    if name == "vit_b_32":  # of 350 MB
        assert model.eval()(x).shape == (2, 5)
        return
    model.train()(x).square().sum().backward()
    model.eval().save_pretrained(tmp_path)
    assert torch.equal(load(tmp_path)(x), model(x))


def test_torchvisions_constants_and_weights(tmp_path: Path) -> None:
    image = torchvision.models.resnet18(num_classes=7)
    torch.save(image.state_dict(), tmp_path / "resnet18.pth")
    model = create_model("torchvision/resnet18", num_classes=5, pretrained=tmp_path / "resnet18.pth")
    assert torch.equal(model.backbone.layer4[1].conv2.weight, image.layer4[1].conv2.weight)
    assert model.preprocessing.mean == (0.485, 0.456, 0.406)
    assert create_model("torchvision/inception_v3", num_classes=5).preprocessing.size == 299
    assert create_model("torchvision/r3d_18", num_classes=5).preprocessing.mean == (0.43216, 0.394666, 0.37645)
    assert "torchvision/resnet18" in list_torchvision()
    assert len(list_torchvision()) >= 80


def test_names_that_torchvision_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"called 'resnet81'\. Near it: torchvision/resnet18"):
        create_model("torchvision/resnet81", num_classes=5)
    with pytest.raises(ConfigError, match=r"torchvision's 'resnet18' cannot be built with \{'depth': 3\}: "):
        create_model("torchvision/resnet18", num_classes=5, backbone_options={"depth": 3})

    def offline(*_: Any, **__: Any) -> nn.Module:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models, "get_model", offline)
    with pytest.raises(WeightsUnavailableError, match=r"The weights of 'torchvision/resnet18' are not in"):
        create_model("torchvision/resnet18", num_classes=5, pretrained=True)


@pytest.mark.parametrize("name", ["mobilenetv3_small_100", "vgg11", "ghostnet_050", "convnext_atto", "efficientnet_b0"])
def test_the_head_is_as_wide_as_what_timm_gives(name: str) -> None:
    with torch.device("meta"):
        network = timm.create_model(name)
    expected = timm.create_model(name, num_classes=0).eval()(torch.randn(1, 3, 64, 64)).shape[1]
    assert without_classifier(network).num_features == expected


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "cait_xxs24_224"])
def test_networks_built_for_one_size_are_built_for_the_clips(tmp_path: Path, name: str) -> None:
    options = {"depth": 4} if "swin" not in name else {"depths": (1, 1, 1, 1)}
    size = 96 if "swin" not in name else 64
    model = create_model(name, num_classes=5, num_frames=3, size=size, backbone_options=options).eval()
    x = clips(size=size)
    assert model(x).shape == (2, 5)
    model.save_pretrained(tmp_path)
    assert torch.equal(load(tmp_path)(x), model(x))


@pytest.mark.parametrize("name", ["mixer_s32_224", "botnet26t_256"])
def test_networks_that_do_not_say_that_they_are_built_for_one_size(tmp_path: Path, name: str) -> None:
    model = create_model(name, num_classes=5, num_frames=3, size=160).eval()
    x = clips(size=160, batch=1)
    assert model(x).shape == (1, 5)
    model.save_pretrained(tmp_path)
    assert torch.equal(load(tmp_path)(x), model(x))


@pytest.mark.parametrize(
    ("name", "size"), [("torchvision/vit_b_16", 100), ("vit_tiny_patch16_224", 8), ("torchvision/maxvit_t", 100)]
)
def test_a_size_that_a_network_does_not_take(name: str, size: int) -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match=rf"'{name}' does not take images of {size} x {size} p"):
        create_model(name, num_classes=3, num_frames=2, size=size)


@pytest.mark.usefixtures("as_users_run_it")
def test_the_number_of_frames_of_a_network_without_sites_is_a_number() -> None:
    model = create_model("resnet10t", mechanism="none", num_classes=3, num_frames=4, size=32)
    remove(model.backbone)
    for wrong in cast("list[Any]", [2.0, "4", None, 0]):
        with pytest.raises(ConfigError, match=rf"num_frames must be a whole number, at least 1; got {wrong!r}\."):
            model.num_frames = wrong
    assert model.num_frames == 4


def test_image_weights_are_read_at_their_own_size(tmp_path: Path) -> None:
    image = timm.create_model("vit_tiny_patch16_224", depth=4, num_classes=7)
    torch.save(image.state_dict(), tmp_path / "vit.pth")
    model = create_model(
        "vit_tiny_patch16_224", num_classes=5, size=96, pretrained=tmp_path / "vit.pth", backbone_options={"depth": 4}
    )
    assert model.backbone.pos_embed.shape == (1, 1 + 6 * 6, 192)
    assert torch.equal(model.backbone.patch_embed.proj.weight, image.patch_embed.proj.weight)
    assert model.preprocessing.size == 96
    built = timm.create_model("vit_tiny_patch16_224", depth=4, img_size=64)
    assert VideoClassifier(built, num_classes=5).preprocessing.size == 64  # not what its weights are for


@pytest.mark.usefixtures("as_users_run_it")
def test_a_compiled_network_is_refused_before_anything_is_changed() -> None:
    network = own.Residual()
    network.compile(backend="eager")
    with pytest.raises(WrappedModelError):
        create_model(network, num_classes=5)
    assert isinstance(network.head, nn.Linear)


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "vit_tiny_patch16_224", "own"])
def test_the_three_lines_of_the_readme(name: str) -> None:
    small = {
        "resnet10t": {"channels": (8, 8, 16, 16)},
        "convnext_atto": {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)},
        "vit_tiny_patch16_224": {"img_size": 32, "depth": 4, "embed_dim": 12},
    }
    net = own.Residual() if name == "own" else timm.create_model(name, **small[name])
    insert(net, "m2a", num_frames=3, reduction=2)
    model = VideoClassifier(net, num_classes=174)
    assert model(clips()).shape == (2, 174)
