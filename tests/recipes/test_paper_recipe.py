"""Every recipe at every scale: a valid config, a model that can be built, and what counts as a change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from m2a.errors import ConfigError
from m2a.mechanisms import parse_spec
from m2a.models import create_model
from m2a.recipes import SCALES, TABLES, changes_of, list_recipes, paper_recipe
from m2a.recipes.costs import RowCost, measure_costs
from m2a.recipes.paper import brief
from m2a.recipes.rows import find_row, find_rows
from m2a.recipes.scales import RANDOM_BACKBONES, Scale
from m2a.reporting.seeds import _NO_MATTER
from m2a.training.config import NO_MATTER

DISTINCT = sorted(
    {(row.network.backbone, row.network.inflate, str(parse_spec(row.mechanism))) for row in find_rows(list(TABLES))}
)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_of_every_scale_is_a_valid_config(name: str, scale: str) -> None:
    config = paper_recipe(name, data="clips", scale=scale)
    row = find_row(name)
    assert (config.backbone, config.inflate, config.mechanism) == (
        row.network.backbone,
        row.network.inflate,
        row.mechanism,
    )
    assert parse_spec(config.mechanism)
    assert changes_of(config, name, scale) == {}
    assert "boundary" not in config.mechanism_options


def test_the_papers_settings() -> None:
    config = paper_recipe("I/m2a", data="clips")
    assert config.to_dict() == config.to_dict() | {
        "data": "clips", "pretrained": "imagenet", "num_frames": 8, "size": 224, "reduction": 8, "dropout": 0.5,
        "epochs": 30, "batch_size": 32, "accumulate": 4, "optimizer": "sgd", "momentum": 0.9, "lr": 0.02,
        "schedule": "step", "milestones": [20], "weight_decay": 5e-4, "decay_all": True, "clip_gradient": 20.0,
        "flip": False, "scales": [1.0, 0.875, 0.75, 0.66], "label_smoothing": 0.0, "precision": "32",
        "mechanism_options": {}, "backbone_options": {},
    }  # fmt: skip


@pytest.mark.parametrize(("backbone", "inflate", "mechanism"), DISTINCT)
def test_every_distinct_model_can_be_built(backbone: str, inflate: bool, mechanism: str) -> None:
    options = RANDOM_BACKBONES.get(backbone, {})
    with torch.device("meta"):
        model = create_model(
            backbone, mechanism=mechanism, inflate=inflate, num_classes=6, size=32, backbone_options=options
        )
        assert model(torch.empty(2, 8, 3, 32, 32)).shape == (2, 6)


def test_changes_go_over_the_recipe_and_are_told() -> None:
    config = paper_recipe(
        "I/m2a", data="a", scale="small", epochs=2, out=Path("b"), device="cpu", workers=0, seed=3, resume=True,
        mechanism_options={"boundary": "zero"}, backbone_options={"drop_path_rate": 0.1}, precision="32",
    )  # fmt: skip
    assert config.backbone_options == {"zero_init_last": False, "drop_path_rate": 0.1}
    changes = changes_of(config, "I/m2a", "small")
    assert changes == {
        "epochs": 2,
        "mechanism_options": {"boundary": "zero"},
        "backbone_options": {"zero_init_last": False, "drop_path_rate": 0.1},
        "precision": "32",
    }
    assert brief(changes) == (
        "backbone_options.drop_path_rate=0.1, backbone_options.zero_init_last=False, epochs=2, "
        "mechanism_options.boundary=zero, precision=32"
    )


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("pretrained", ["none", "imagenet", "w.pth"])
def test_weights_are_no_change_of_a_recipe(scale: str, pretrained: str) -> None:
    config = paper_recipe("I/m2a", data="a", scale=scale, pretrained=pretrained)
    assert config.pretrained == pretrained
    assert changes_of(config, "I/m2a", scale) == {}
    assert config.backbone_options == ({"zero_init_last": False} if pretrained == "none" else {})


def test_image_weights_are_trained_at_a_rate_that_does_not_destroy_them() -> None:
    scratch, imagenet = (
        paper_recipe("I/m2a", data="a", scale="small", pretrained=pretrained) for pretrained in ("none", "imagenet")
    )
    assert (scratch.lr, scratch.lr_mechanism, scratch.lr_head) == (1e-3, 1.0, 1.0)
    assert (imagenet.lr, imagenet.lr_mechanism, imagenet.lr_head) == (1e-4, 10.0, 10.0)
    apart = ("lr", "lr_mechanism", "lr_head", "epochs", "scales", "train_clips_per_class", "pretrained")
    changes = {option: getattr(imagenet, option) for option in apart}
    assert scratch.with_changes(backbone_options={}, **changes) == imagenet
    assert scratch.train_clips_per_class == 200
    assert imagenet.train_clips_per_class == 50


def test_the_scale_small() -> None:
    config = paper_recipe("I/m2a", data="a", scale="small")
    assert (config.size, config.num_frames, config.optimizer, config.schedule) == (64, 8, "adamw", "one-cycle")
    assert (config.precision, config.batch_size, config.pretrained) == ("bf16-mixed", 8, "none")
    assert config.train_clips_per_class is not None
    assert config.validation_clips_per_class is not None


@pytest.mark.parametrize("changes", [{"mechanism": "tsm"}, {"backbone": "resnet50"}, {"inflate": True}])
def test_what_makes_a_row_cannot_be_changed(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=rf"{next(iter(changes))} cannot be changed in a row of the paper.*I/m2a is"):
        paper_recipe("I/m2a", data="clips", **changes)


def test_bad_scales_and_options() -> None:
    with pytest.raises(ConfigError, match=r"no scale 'smal'\. Did you mean 'small'"):
        paper_recipe("I/m2a", data="clips", scale="smal")
    with pytest.raises(ConfigError, match="no option epoch"):
        paper_recipe("I/m2a", data="clips", epoch=3)
    with pytest.raises(ConfigError, match="epochs must be at least 1"):
        paper_recipe("I/m2a", data="clips", epochs=0)


@pytest.mark.parametrize("scale", SCALES.values(), ids=lambda scale: scale.name)
def test_drawn_sets_have_enough_clips_of_every_label(scale: Scale) -> None:
    labels = len(scale.drawing.get("classes") or range(34))
    assert scale.drawing["num_train"] % labels == scale.drawing["num_validation"] % labels == 0
    assert scale.drawing["num_frames"] >= 8
    assert scale.drawing["size"] >= (scale.options.get("size") or 0)


def test_costs_agree_with_the_released_code() -> None:
    """The figures are in tests/measurement; here, that one model has one cost, and the judgement."""
    attention, same = measure_costs(find_rows(["I/m2a-attention", "VI/none:m2a"]))
    assert (attention.macs, attention.parameters) == (same.macs, same.parameters)
    assert attention.agrees
    assert attention.content()["released"]["gmacs"] == 14.7296
    row = find_row("I/m2a")
    assert RowCost(row=row, macs=14_744_000_000, parameters=11_377_000).agrees
    assert not RowCost(row=row, macs=14_745_000_000, parameters=11_377_000).agrees
    assert not RowCost(row=row, macs=14_729_600_000, parameters=11_400_000).agrees


def test_how_it_is_computed_is_no_change_of_a_recipe() -> None:
    changed = paper_recipe("I/m2a", data="x", cache="ram", compile=True, workers=3, lr=0.5)
    assert changes_of(changed, "I/m2a", "paper") == {"lr": 0.5}
    assert set(_NO_MATTER) == {"seed", "out", "resume", *NO_MATTER}, "runs of several seeds differ in the same"
