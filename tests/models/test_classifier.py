"""`create_model` and `VideoClassifier`: shapes, consensus, clip length, labels and preprocessing."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import timm
import torch
from tiny import CHANNELS, VISIBLE, clips, tiny
from torch import nn

from m2a.data import Preprocessing
from m2a.errors import ClipShapeError, ConfigError, NoSitesError, SpecError, WeightsUnavailableError
from m2a.insertion import get_num_frames, insert, remove, set_num_frames
from m2a.measurement import count_macs
from m2a.mechanisms import list_mechanisms
from m2a.models import VideoClassifier, create_model, default_preprocessing, for_inference
from m2a.models.device import kind_of_input


@pytest.mark.parametrize("mechanism", [*list_mechanisms(), "m2a+tsm"])
def test_clips_in_scores_out(mechanism: str) -> None:
    model = tiny(mechanism=mechanism)
    assert model(clips()).shape == (2, 5)
    assert (model.num_classes, model.num_frames, get_num_frames(model.backbone)) == (5, 3, 3)
    assert model.insertion.mechanism == mechanism
    assert len(model.insertion.sites) == 4


def test_the_consensus_is_the_mean_over_frames() -> None:
    model, x = tiny(), clips()
    frames = model.frame_scores(x)
    assert frames.shape == (2, 3, 5)
    torch.testing.assert_close(model(x), (frames[:, 0] + frames[:, 1] + frames[:, 2]) / 3)


def test_frames_of_the_baseline_are_judged_one_by_one() -> None:
    model, x = tiny(mechanism="none"), clips()
    torch.testing.assert_close(model.frame_scores(x), model.head(model.backbone(x.flatten(0, 1))).view(2, 3, 5))
    torch.testing.assert_close(model(x.flip(1)), model(x), rtol=0, atol=1e-5)
    assert float((tiny()(x.flip(1)) - tiny()(x)).abs().max().detach()) > 1e-3


def test_clips_of_a_batch_do_not_see_each_other() -> None:
    model, x = tiny(), clips()
    torch.testing.assert_close(model(x)[:1], model(x[:1]), rtol=0, atol=1e-5)


def test_the_head_starts_as_tsn_starts_it() -> None:
    model = create_model("resnet10t", num_classes=500, backbone_options=CHANNELS, reduction=2, dropout=0.3)
    assert model.dropout.p == 0.3
    assert float(model.head.weight.detach().std()) == pytest.approx(0.001, rel=0.1)
    assert float(model.head.bias.detach().abs().max()) == 0


def test_how_many_classes_a_head_of_ones_own_has() -> None:
    model = tiny()
    model.head = nn.Linear(16, 7)
    assert model.num_classes == 7
    model.head = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    with pytest.raises(
        ConfigError, match=r"head is a Sequential, which does not say how many scores .* Set model\.labels"
    ):
        _ = model.num_classes
    model.labels = ("a", "b", "c")
    assert model.num_classes == 3
    model.head.out_features = 4
    assert model.num_classes == 4


@pytest.mark.usefixtures("as_users_run_it")
def test_clips_of_another_length_are_refused_until_it_is_set() -> None:
    model = tiny()
    with pytest.raises(
        ClipShapeError,
        match=r"This model takes clips of 3 frames, \(B, 3, 3, H, W\); got \(2, 7, 3, 32, 32\)\. For another length "
        r"set model\.num_frames = 7; if the axes are \(B, 3, T, H, W\), call \.transpose\(1, 2\)\.",
    ):
        model(clips(7))
    model.num_frames = 7
    assert (model.num_frames, get_num_frames(model.backbone)) == (7, 7)
    assert model(clips(7)).shape == (2, 5)
    with pytest.raises(ClipShapeError, match=r"Clips are \(B, T, 3, H, W\); got \(6, 3, 32, 32\)\."):
        model(torch.randn(6, 3, 32, 32))
    with pytest.raises(ConfigError, match=r"num_frames must be at least 2 to see motion; got 1\."):
        model.num_frames = 1
    assert model.num_frames == 7


@pytest.mark.parametrize("part", ["model", "backbone"])
def test_the_sites_and_the_model_change_together(part: str) -> None:
    """Else a batch of two clips would run as one, or a clip as several."""
    model, expected = tiny(), tiny()
    expected.num_frames = 6
    set_num_frames(model if part == "model" else model.backbone, 6)
    assert (model.num_frames, model.preprocessing.num_frames, get_num_frames(model.backbone)) == (6, 6, 6)
    x = clips(6)
    assert torch.equal(model(x), expected(x))
    twin = copy.deepcopy(model)
    twin.num_frames = 3
    assert (model.num_frames, get_num_frames(model.backbone), twin(clips()).shape) == (6, 6, (2, 5))


@pytest.mark.usefixtures("as_users_run_it")
def test_sites_of_another_number_of_frames_are_refused_until_it_is_set() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    insert(net, "m2a", num_frames=16, where=["1"])
    model, x = VideoClassifier(net, 5).eval(), clips(16)
    remove(model)
    insert(model.backbone, "tsm", where=["1"])
    with pytest.raises(
        ConfigError,
        match=r"takes clips of 16 frames, but mechanisms in its backbone were inserted for 8, and would cut or mix "
        r"clips\. Set model\.num_frames = 16 \(or the number that you want\), which sets it at every site\.",
    ):
        model(x)
    set_num_frames(model, 16)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), model(x))


def test_a_classifier_put_together_by_hand() -> None:
    net = timm.create_model("resnet10t", **CHANNELS)
    insert(net, "m2a", num_frames=3, reduction=2)
    rng = torch.get_rng_state()
    net.reset_classifier(0)
    torch.set_rng_state(rng)
    model = VideoClassifier(net, num_classes=5).eval()
    assert model.num_frames == 3  # as insert was told
    assert model.preprocessing.num_frames == 3
    assert model(clips()).shape == (2, 5)
    assert VideoClassifier(timm.create_model("resnet10t", **CHANNELS), 5).num_frames == 8


@pytest.mark.parametrize("num_frames", [0, -1])
def test_clips_have_frames(num_frames: int) -> None:
    net = timm.create_model("resnet10t", **CHANNELS)
    structure = repr(net)
    with pytest.raises(ConfigError, match=rf"num_frames must be at least 1; got {num_frames}\. Leave it out for the"):
        VideoClassifier(net, 5, num_frames=num_frames)
    assert repr(net) == structure


def test_clips_of_one_frame_need_no_mechanism() -> None:
    with pytest.raises(
        ConfigError, match=r"at least 2 to see motion; got 1\. For clips of one frame .*num_frames=1\)\."
    ):
        tiny(mechanism="none", num_frames=1)
    model = VideoClassifier(timm.create_model("resnet10t", **CHANNELS), 5, num_frames=1).eval()
    assert model(clips(1)).shape == (2, 5)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("labels", [{"b": 1, "a": 0}, "ab", [1, 2], ["a", "a"], ["a", None]])
def test_labels_that_are_set_later_are_looked_at_too(labels: Any) -> None:
    model = create_model("test_resnet", mechanism="none", num_classes=2, labels=["a", "b"], size=32)
    with pytest.raises(ConfigError, match=r"^labels "):
        model.labels = labels
    assert model.labels == ("a", "b")
    model.labels = ["x", "y"]
    assert model.labels == ("x", "y")
    assert copy.deepcopy(model).labels == ("x", "y")


def test_labels_of_a_model_that_was_pickled_when_they_were_a_plain_attribute() -> None:
    model = create_model("test_resnet", mechanism="none", num_classes=2, labels=["a", "b"], size=32)
    vars(model)["labels"] = vars(model).pop("_labels")
    assert model.labels == ("a", "b")


def test_labels_and_classes_must_be_as_many() -> None:
    assert tiny(labels=("a", "b", "c", "d", "e")).labels == ("a", "b", "c", "d", "e")
    assert tiny(labels=[np.str_(name) for name in "abcde"]).labels == ("a", "b", "c", "d", "e")
    assert tiny().labels is None
    with pytest.raises(ConfigError, match=r"2 labels were given for 5 classes; they must be as many\."):
        tiny(labels=("a", "b"))
    with pytest.raises(ConfigError, match=r"num_classes must be at least 1; got 0\."):
        tiny(num_classes=0)


@pytest.mark.parametrize(
    ("backbone", "mean", "std", "size"),
    [
        ("resnet10t", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 176),
        ("resnetv2_18", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 224),
    ],
)
def test_pixels_are_normalised_as_the_backbone_was_trained(backbone: str, mean: Any, std: Any, size: int) -> None:
    net = timm.create_model(backbone, channels=(16, 16, 32, 32))
    given = default_preprocessing(net, num_frames=3)
    assert (given.mean, given.std, given.size, given.num_frames) == (mean, std, size, 3)
    assert default_preprocessing(net, num_frames=3, size=64).size == 64
    where = r"stages\.\d\.blocks\.\d\.conv1" if backbone == "resnetv2_18" else None
    model = create_model(
        backbone, num_classes=5, num_frames=3, backbone_options={"channels": (16, 16, 32, 32)}, where=where, size=32
    )
    assert (model.preprocessing.mean, model.preprocessing.size) == (mean, 32)


def test_a_network_that_says_nothing_gets_imagenets_constants() -> None:
    assert default_preprocessing(nn.Identity(), num_frames=7) == Preprocessing(num_frames=7)


def test_probabilities_of_decoded_clips() -> None:
    model = tiny()
    pixels = torch.randint(0, 256, (2, 3, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(v)[:, None, None] for v in (model.preprocessing.mean, model.preprocessing.std))
    expected = model((pixels / 255 - mean) / std).softmax(-1)
    got = model.predict_probabilities(pixels)
    torch.testing.assert_close(got, expected.detach(), rtol=0, atol=1e-5)
    assert not got.requires_grad
    torch.testing.assert_close(got.sum(1), torch.ones(2))
    model.train()
    statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
    assert torch.equal(model.predict_probabilities(pixels), got), "a model that is being trained predicts as evaluated"
    assert model.training
    assert all(torch.equal(buffer, statistics[name]) for name, buffer in model.named_buffers())


def test_pixels_in_floating_point_are_refused() -> None:
    """Those of 0 to 255 would be taken for 0 to 1, and give an answer that is certain and wrong."""
    with pytest.raises(ClipShapeError, match=r"takes pixels as uint8, 0 to 255; got torch\.float32\. Convert them"):
        tiny().predict_probabilities(torch.full((2, 3, 3, 32, 32), 255.0))


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_frames_of_other_channels_than_three(channels: int) -> None:
    """Each gets the mean of the colours' constants; clips of three are refused, as videos are."""
    model = tiny(backbone_options=VISIBLE | {"in_chans": channels})
    assert model.preprocessing.mean == pytest.approx([0.449] * channels)
    assert model.preprocessing.std == pytest.approx([0.226] * channels)
    pixels = torch.randint(0, 256, (2, 3, channels, 32, 32), dtype=torch.uint8)
    expected = model((pixels / 255 - 0.449) / 0.226).softmax(-1)
    torch.testing.assert_close(model.predict_probabilities(pixels), expected.detach(), rtol=0, atol=1e-4)
    torch.testing.assert_close(for_inference(model).predict_probabilities(pixels), expected.detach(), rtol=0, atol=1e-4)
    assert count_macs(model, num_frames=3, size=32) > count_macs(model.backbone, num_frames=3, size=32) > 0
    with pytest.raises(ConfigError, match=rf"Frames of 3 channels cannot .* are of {channels}\. Videos .* set model"):
        model.predict_probabilities(torch.zeros(2, 3, 3, 32, 32, dtype=torch.uint8))


def test_frames_of_other_channels_are_not_spread_over_three() -> None:
    with pytest.raises(ConfigError, match=r"Frames of 1 channels cannot be normalised .* which are of 3\."):
        tiny().predict_probabilities(torch.zeros(2, 3, 1, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (
            ConfigError,
            {"backbone": "resnet81"},
            r"timm has no model called 'resnet81'\. Near it: .*resnet18.*\. timm\.list",
        ),
        (ConfigError, {"backbone": "%&/"}, r"timm has no model called '%&/'\. timm\.list_models\(\) has them all; t"),
        (SpecError, {"mechanism": "m2b"}, r"There is no mechanism called 'm2b'"),
        (NoSitesError, {"where": "nothing"}, r"found nothing: it matches no module"),
        (ConfigError, {"num_frames": 1}, r"num_frames must be at least 2"),
        (ConfigError, {"size": 0}, r"size must be at least 1 pixel; got 0\."),
        (ConfigError, {"dropout": 2.0}, r"dropout must lie in 0 to 1; got 2\.0\."),
        (ConfigError, {"labels": ("a", "b", "c", "d", "a")}, r"labels has 'a' more than once"),
        (ConfigError, {"labels": "abcde"}, r"labels must be a list of names, .* got the text 'abcde'"),
        (ConfigError, {"labels": range(5)}, r"labels must be names; got 0, of type int"),
        (ConfigError, {"labels": dict.fromkeys("badce", 0)}, r"got a dict\. Of a dict name -> id give sorted\(d, key"),
        (ConfigError, {"labels": set("abcde")}, r"labels must be a list of names, in the order of .*; got a set\."),
        (ConfigError, {"num_classes": "5"}, r"num_classes must be a whole number; got '5'"),
        (ConfigError, {"labels": 5}, r"labels must be a list of names, one for each class; got 5\."),
        (ConfigError, {"num_classes": None}, r"num_classes must be a whole number; got None\."),
        (ConfigError, {"num_frames": 3.0}, r"num_frames must be a whole number; got 3\.0"),
        (ConfigError, {"num_frames": "3"}, r"num_frames must be a whole number; got '3'"),
        (ConfigError, {"reduction": 2.5}, r"reduction must be a whole number; got 2\.5"),
        (ConfigError, {"size": (32, 32)}, r"size must be a whole number; got \(32, 32\)"),
        (ConfigError, {"dropout": None}, r"dropout must be a number; got None\."),
        (ConfigError, {"freeze_backbone": "no"}, r"freeze_backbone must be True or False; got 'no'\."),
        (ConfigError, {"pretrained": None}, r"pretrained must be True, False, or the path of a file; got None\."),
        (ConfigError, {"backbone": None}, r"backbone must be the name of a model, or a network; got None\."),
        (ConfigError, {"backbone_options": [1]}, r"backbone_options must be a dict; got \[1\]\."),
        (ConfigError, {"where": 5}, r"where must be a regular expression, or a list of names; got 5\."),
        (SpecError, {"mechanism": None}, r'A mechanism is named by text, "m2a" say; got None\.'),
        (ConfigError, {"backbone_options": {"features_only": True}}, r"several outputs, of which the first is read"),
        (
            ConfigError,
            {"backbone": "eca_halonext26ts", "size": 160, "backbone_options": {}},
            r"not take .* for 256 x 256",
        ),
        (ConfigError, {"backbone": "hf-hub:a b/c"}, r"timm cannot make 'hf-hub:a b/c' \(HFValidationError"),
        (ConfigError, {"backbone": "foo:bar"}, r"timm cannot make 'foo:bar'"),
        (ConfigError, {"position": "behind"}, r"position must be \"before\" or \"after\""),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_models_that_cannot_be(kind: type[Exception], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(kind, match=message):
        tiny(**changes)


def test_weights_without_a_network_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> nn.Module:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        WeightsUnavailableError,
        match=r"The weights of 'resnet18' are not in the local cache and could not be downloaded \(ConnectionError\)\. "
        r"Without a connection: give an image checkpoint, --pretrained FILE or pretrained=path \(\.safetensors or "
        r"\.pth\), or start from random weights, --pretrained none or pretrained=False\.",
    ) as caught:
        create_model("resnet18", num_classes=5, pretrained=True)
    assert isinstance(caught.value, OSError)


def test_a_model_that_timm_has_no_weights_for() -> None:
    name = next(name for name in timm.list_models("resnet*") if not timm.is_model_pretrained(name))
    with pytest.raises(ConfigError, match=rf"timm cannot give weights for '{name}': "):
        create_model(name, num_classes=5, pretrained=True)


@pytest.mark.usefixtures("as_users_run_it")
def test_it_is_exported_for_batches_of_any_size() -> None:
    model = tiny().eval()
    exported = torch.export.export(model, (clips(),), dynamic_shapes=({0: torch.export.Dim("B")},)).module()
    more = clips().repeat(3, 1, 1, 1, 1)[:5]
    torch.testing.assert_close(exported(more), model(more), rtol=0, atol=1e-5)


class Scores(nn.Module):
    """A linear layer whose weight is a method, as of those that torch has quantised."""

    def __init__(self, linear: nn.Linear, kept: bool) -> None:
        super().__init__()
        self.kept = linear if kept else None
        self.rows = (linear.weight.detach(), linear.bias.detach())

    def weight(self) -> torch.Tensor:
        return self.rows[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, *self.rows)


@pytest.mark.parametrize("kept", [False, True])
def test_a_linear_layer_of_another_kind(kept: bool) -> None:
    model = tiny().double()
    pixels = torch.randint(256, (2, 3, 3, 32, 32), dtype=torch.uint8)
    expected = model.predict_probabilities(pixels)
    model.head = Scores(model.head, kept)
    assert torch.equal(model.predict_probabilities(pixels), expected)
    assert kind_of_input(model) == (torch.device("cpu"), torch.float64)
    assert kind_of_input(nn.Identity()) == (torch.device("cpu"), torch.float32)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_a_model_that_torch_has_quantised() -> None:
    model = tiny()
    pixels = torch.randint(256, (2, 3, 3, 32, 32), dtype=torch.uint8)
    small = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    torch.testing.assert_close(
        small.predict_probabilities(pixels), model.predict_probabilities(pixels), rtol=0, atol=0.2
    )
