"""The copy of a model that is made for predicting: the same scores, without the batch norms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import VISIBLE
from torch import Tensor, nn
from torch.nn.utils import prune

import m2a
from m2a.models import VideoClassifier, create_model, for_inference

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def stirred(model: VideoClassifier) -> VideoClassifier:
    """With statistics and weights of batch norms that change something."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, _NORMS) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    nn.init.normal_(model.head.weight)
    return model.eval()


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, _NORMS) for module in model.modules())


def scores(model: nn.Module, *, bf16: bool = False) -> Tensor:
    clips = torch.randn(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return model(clips).float()


def assert_near(found: Tensor, expected: Tensor, share: float) -> None:
    assert (found - expected).abs().max() < share * expected.abs().max()


@pytest.mark.parametrize(
    ("backbone", "mechanism", "options", "left"),
    [
        ("resnet10t", "m2a", {"backbone_options": VISIBLE}, 0),
        ("resnet10t", "tea", {"backbone_options": VISIBLE}, 0),
        ("resnet10t", "tsm", {"backbone_options": VISIBLE, "inflate": True}, 0),
        ("mobilenetv2_035", "m2a", {}, 0),
        ("torchvision/mobilenet_v3_small", "m2a", {}, 0),
        ("resnetv2_18", "none", {}, 9),  # the first norm of a block reads what the shortcut reads
        ("convnext_atto", "none", {}, 0),  # has none
    ],
)
def test_scores_stay(backbone: str, mechanism: str, options: dict[str, Any], left: int) -> None:
    made: dict[str, Any] = {"mechanism": mechanism, "num_classes": 5, "num_frames": 3, "size": 32} | options
    model = stirred(create_model(backbone, **made))
    before, expected = norms(model), scores(model)
    copy = for_inference(model.train())
    assert (norms(copy), norms(model)) == (left, before)
    assert not copy.training
    assert model.training  # the model itself is left alone
    assert_near(scores(copy), expected, 1e-4)
    assert torch.equal(scores(model.eval()), expected)


@pytest.mark.parametrize("made_inside", [False, True])
def test_in_inference_mode(made_inside: bool) -> None:
    with torch.inference_mode(made_inside):
        model = stirred(create_model("resnet10t", num_classes=5, num_frames=3, size=32, backbone_options=VISIBLE))
    with torch.inference_mode():
        copy = for_inference(model)
        assert_near(scores(copy), scores(model), 1e-4)
    assert norms(copy) == 0
    assert_near(scores(copy), scores(model), 1e-4)
    assert not any(tensor.is_inference() for tensor in copy.state_dict().values())


def test_in_bfloat16() -> None:
    model = stirred(create_model("resnet10t", num_classes=5, num_frames=3, size=32, backbone_options=VISIBLE))
    copy = for_inference(model, bf16=True)
    assert copy.backbone.layer1[0].conv1.weight.dtype == torch.bfloat16
    assert copy.backbone.layer1[0].conv1.get_submodule("mechanism").reduce.weight.dtype == torch.float32
    exact = scores(model)
    assert_near(scores(copy, bf16=True), exact, 0.05)
    assert not torch.equal(scores(copy, bf16=True), exact)


class Odd(nn.Module):
    """Batch norms that may be folded, and others that may not."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.good = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)
        self.twice, self.behind_both = nn.Conv2d(5, 5, 1), nn.BatchNorm2d(5)
        self.forked, self.one_of_two = nn.Conv2d(5, 5, 1), nn.BatchNorm2d(5)
        self.changed, self.behind_change = nn.Conv2d(5, 5, 1), nn.BatchNorm2d(5)
        self.still, self.of_the_batch = nn.Conv2d(5, 5, 1), nn.BatchNorm2d(5, track_running_stats=False)
        self.last, self.by_keyword = nn.Conv2d(5, 5, 1), nn.BatchNorm2d(5)
        self.clipped = nn.ReLU(inplace=True)
        self.fc = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.good(self.stem(x))
        x = self.behind_both(self.twice(x)) + self.twice(x)
        y = self.forked(x)
        x = self.one_of_two(y) - y
        x = self.behind_change(self.clipped(self.changed(x)))
        x = self.of_the_batch(self.still(x)).relu()
        return self.fc(self.by_keyword(input=self.last(x)).mean((2, 3)))


def test_only_a_norm_that_alone_reads_a_convolution_is_folded() -> None:
    model = stirred(VideoClassifier(Odd(), 4, num_frames=3))
    model.preprocessing = m2a.models.default_preprocessing(model.backbone, num_frames=3, size=32)
    copy = for_inference(model)
    assert isinstance(copy.backbone.good, nn.Identity)
    assert norms(copy) == norms(model) - 1
    assert_near(scores(copy), scores(model), 1e-4)


class WithoutGradients(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.fc(self.bn(self.conv(x)).mean((2, 3)))


def test_a_network_that_runs_without_gradients_is_left_as_it_is() -> None:
    """What reads what is told by gradients."""
    model = stirred(VideoClassifier(WithoutGradients(), 4, num_frames=3))
    model.preprocessing = m2a.models.default_preprocessing(model.backbone, num_frames=3, size=32)
    copy = for_inference(model)
    assert norms(copy) == norms(model) == 1
    assert_near(scores(copy), scores(model), 1e-4)


class LooksTwice(nn.Module):
    """Takes a convolution's output, or its weights, where the autograd graph does not show it."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where
        self.conv, self.norm, self.fc = nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        made = self.conv(x)
        seen = {"output": made.detach(), "weight": self.conv.weight.mean((1, 2, 3))[None, :, None, None]}[self.where]
        return self.fc((self.norm(made) * seen).mean((2, 3)))


@pytest.mark.parametrize("where", ["output", "weight"])
def test_nothing_is_folded_that_changes_scores(where: str) -> None:
    model = stirred(VideoClassifier(LooksTwice(where), 4, num_frames=3))
    model.preprocessing = m2a.models.default_preprocessing(model.backbone, num_frames=3, size=32)
    copy = for_inference(model)
    assert norms(copy) == norms(model)
    assert_near(scores(copy), scores(model), 1e-4)


def test_pruned_layers_stay() -> None:
    model = stirred(create_model("resnet10t", num_classes=5, num_frames=3, size=32, backbone_options=VISIBLE))
    prune.l1_unstructured(model.backbone.layer1[0].conv1, "weight", amount=0.5)
    expected = scores(model)
    copy = for_inference(model)
    assert norms(copy) == 1
    assert_near(scores(copy), expected, 1e-4)
    assert torch.equal(scores(model), expected)


def test_what_a_mechanism_puts_between_stays_between() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16)
            self.fc = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.norm(self.conv(x)).mean((2, 3)))

    backbone = Two()
    m2a.insert(backbone, "m2a", num_frames=3, where=["conv"], position="after")
    model = stirred(VideoClassifier(backbone, 4, num_frames=3))
    model.preprocessing = m2a.models.default_preprocessing(backbone, num_frames=3, size=32)
    assert norms(for_inference(model)) == 1
    assert_near(scores(for_inference(model)), scores(model), 1e-4)


def test_weights_are_laid_out_channels_last() -> None:
    model = stirred(create_model("resnet10t", num_classes=5, num_frames=3, size=32, backbone_options=VISIBLE))
    last = torch.channels_last
    assert for_inference(model).backbone.layer1[0].conv1.weight.is_contiguous(memory_format=last)
    assert not model.backbone.layer1[0].conv1.weight.is_contiguous(memory_format=last)
