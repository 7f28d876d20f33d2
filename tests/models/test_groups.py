"""Parameter groups: every trained parameter once, in its part, with the decay it should have."""

from __future__ import annotations

import pytest
import timm
import torch
from tiny import tiny
from torch import nn

from m2a.errors import ConfigError
from m2a.models import VideoClassifier, create_model, parameter_groups

VIT = {"img_size": 32, "depth": 4, "embed_dim": 12}


@pytest.mark.parametrize("backbone", ["resnet10t", "convnext_atto", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("mechanism", ["none", "m2a", "tam"])
def test_each_parameter_is_in_one_group(backbone: str, mechanism: str) -> None:
    model = create_model(backbone, num_classes=5, num_frames=3, mechanism=mechanism, consensus="attention")
    groups = parameter_groups(model, lr=0.1, weight_decay=0.01, lr_scales={"backbone": 0.5, "head": 3})
    names = {id(p): name for name, p in model.named_parameters()}
    seen = [names[id(p)] for group in groups for p in group["params"]]
    assert sorted(seen) == sorted(names.values())
    assert len({group["name"] for group in groups}) == len(groups) == (6 if mechanism != "none" else 4)
    for group in groups:
        part = group["name"].removesuffix(" (no decay)")
        assert group["lr"] == pytest.approx({"mechanism": 0.1, "backbone": 0.05, "head": 0.3}[part])
        assert group["weight_decay"] == (0.0 if group["name"].endswith("(no decay)") else 0.01)
        for parameter in group["params"]:
            name = names[id(parameter)]
            assert (".mechanism." in name) == (part == "mechanism")
            assert name.startswith(("head.", "consensus.")) == (part == "head")
    torch.optim.AdamW(groups).step()


def test_biases_norms_and_position_embeddings_do_not_decay() -> None:
    model = create_model("vit_tiny_patch16_224", num_classes=5, backbone_options=VIT)
    still = [p for g in parameter_groups(model, lr=1.0, weight_decay=1.0) if not g["weight_decay"] for p in g["params"]]
    names = {name for name, p in model.named_parameters() if any(p is other for other in still)}
    expected = {name for name, p in model.named_parameters() if p.ndim == 1}
    assert names == expected | {"backbone.pos_embed", "backbone.cls_token"}
    everything = parameter_groups(model, lr=1.0, weight_decay=1.0, decay_all=True)
    assert {group["weight_decay"] for group in everything} == {1}


@pytest.mark.parametrize(
    ("backbone", "names"),
    [
        ("torchvision/vit_b_16", {"class_token", "encoder.pos_embedding"}),
        ("torchvision/swin_t", {f"features.{stage}.{block}.attn.relative_position_bias_table"
                                for stage, blocks in {1: 2, 3: 2, 5: 6, 7: 2}.items() for block in range(blocks)}),
    ],
)  # fmt: skip
def test_nor_do_torchvisions_tokens_and_tables(backbone: str, names: set[str]) -> None:
    with torch.device("meta"):
        model = create_model(backbone, num_classes=5)
    groups = parameter_groups(model, lr=1.0, weight_decay=1.0)
    still = {id(parameter) for group in groups if not group["weight_decay"] for parameter in group["params"]}
    several = {name for name, parameter in model.named_parameters() if parameter.ndim > 1 and id(parameter) in still}
    assert several == {f"backbone.{name}" for name in names}


@pytest.mark.parametrize("part", ["model", "backbone"])
def test_a_compiled_model_has_the_same_groups(part: str) -> None:
    model = create_model("vit_tiny_patch16_224", num_classes=5, backbone_options=VIT)
    options = {"lr": 1.0, "weight_decay": 1.0, "lr_scales": {"backbone": 0.1, "mechanism": 10.0}}
    expected = parameter_groups(model, **options)
    if part == "backbone":
        model.backbone = torch.compile(model.backbone)
    groups = parameter_groups(torch.compile(model) if part == "model" else model, **options)
    for group, other in zip(groups, expected, strict=True):
        assert (group["name"], group["lr"], group["weight_decay"]) == (
            other["name"],
            other["lr"],
            other["weight_decay"],
        )
        assert all(one is two for one, two in zip(group["params"], other["params"], strict=True))


def test_other_models_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"takes a VideoClassifier, .* got a ResNet\. Give the model inside: of DataParallel or"
    ):
        parameter_groups(timm.create_model("resnet10t"), lr=1.0)


def test_a_norm_over_several_axes_does_not_decay() -> None:
    net = timm.create_model("resnet10t", channels=(8, 8, 16, 16))
    net.layer4.append(nn.LayerNorm((1, 1)))
    model = VideoClassifier(net, num_classes=5)
    decaying = [p for g in parameter_groups(model, lr=1.0, weight_decay=1.0) if g["weight_decay"] for p in g["params"]]
    assert not any(p is net.layer4[1].weight for p in decaying)


def test_frozen_parameters_are_left_out() -> None:
    groups = parameter_groups(tiny(freeze_backbone=True), lr=1.0)
    assert {group["name"].split()[0] for group in groups} == {"mechanism", "head"}
    model = tiny()
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match=r"Every parameter of the model is frozen, so there is nothing to train\."):
        parameter_groups(model, lr=1.0)
    with pytest.raises(ConfigError, match=r"lr_scales has neck; the parts are mechanism, backbone, head\."):
        parameter_groups(tiny(), lr=1.0, lr_scales={"neck": 2.0})
