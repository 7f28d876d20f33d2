"""The options of a run: through YAML and back, and what each wrong value is told."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml

from m2a.data import readers, sampling
from m2a.errors import ConfigError, NotFoundError
from m2a.mechanisms import identity
from m2a.models import consensus
from m2a.training import config as options
from m2a.training.config import RECIPES, TrainConfig, read_options, without_effect
from m2a.training.fitting import _few_clips, _few_steps

DATA = Path("somewhere/somethings")


def test_the_defaults_are_the_papers_recipe() -> None:
    config = TrainConfig(data=DATA)
    assert (config.optimizer, config.lr, config.momentum, config.weight_decay) == ("sgd", 0.02, 0.9, 5e-4)
    assert (config.epochs, config.batch_size, config.accumulate, config.milestones) == (30, 32, 4, (20,))
    assert (config.backbone, config.mechanism, config.num_frames, config.reduction) == ("resnet18", "m2a", 8, 8)
    assert TrainConfig(data=DATA, **RECIPES["paper"]) == config


@pytest.mark.parametrize(
    ("name", "home"),
    [("Consensus", consensus), ("Init", identity), ("Sampling", sampling), ("Decoder", readers)],
)
def test_choices_are_those_of_what_takes_them(name: str, home: Any) -> None:
    """They are written again in the options, which import nothing heavy."""
    assert get_args(getattr(options, name)) == get_args(getattr(home, name))


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_build(name: str, tmp_path: Path) -> None:
    config = TrainConfig(data=DATA, **RECIPES[name])
    config.save(tmp_path / "config.yaml")
    assert TrainConfig.load(tmp_path / "config.yaml") == config


def test_through_yaml_and_back(tmp_path: Path) -> None:
    config = TrainConfig(
        data=DATA,
        out=tmp_path / "run",
        mechanism="m2a+tsm",
        mechanism_options={"boundary": "zero", "shift_div": 4},
        backbone_options={"channels": [8, 8, 16, 16], "zero_init_last": False},
        milestones=(3, 5),
        scales=(1.0, 0.5),
        size=32,
        schedule="constant",
        workers=0,
    )
    config.save(tmp_path / "config.yaml")
    assert TrainConfig.load(tmp_path / "config.yaml") == config
    assert TrainConfig.load(tmp_path / "config.yaml", lr=0.5) == config.with_changes(lr=0.5)
    plain = yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))
    assert plain == config.to_dict()
    assert list(plain) == [field.name for field in fields(TrainConfig)]
    assert plain["data"] == "somewhere/somethings"


def test_options_given_as_text_become_values() -> None:
    config = TrainConfig(data=DATA, mechanism_options={"shift_div": "4", "boundary": "zero"})
    assert config.mechanism_options == {"shift_div": 4, "boundary": "zero"}
    assert TrainConfig(data=DATA, backbone_options={"channels": "[8, 16]"}).backbone_options == {"channels": [8, 16]}
    assert TrainConfig(data=DATA, backbone_options={"eps": "1e-6", "one": "e1"}).backbone_options == {
        "eps": 1e-6, "one": "e1"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "folder"),
    [
        ({}, "runs/somethings-resnet18-m2a"),
        ({"mechanism": "m2a:none+tsm"}, "runs/somethings-resnet18-m2a-none-tsm"),
        ({"out": Path("here")}, "here"),
        ({"backbone": "torchvision/resnet18"}, "runs/somethings-torchvision-resnet18-m2a"),
    ],
)
def test_the_runs_folder(changes: dict[str, Any], folder: str) -> None:
    assert TrainConfig(data=DATA, **changes).run_folder == Path(folder)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, r"epochs must be at least 1; got 0\."),
        ({"batch_size": 0}, r"batch_size must be at least 1; got 0\."),
        ({"accumulate": -1}, r"accumulate must be at least 1; got -1\."),
        ({"train_clips_per_class": 0}, r"train_clips_per_class must be at least 1; got 0\. Leave it out to take all"),
        ({"num_frames": 1}, r"num_frames must be at least 2; got 1\."),
        ({"reduction": 0}, r"reduction must be at least 1; got 0\."),
        ({"seed": -1}, r"seed must be at least 0; got -1\."),
        ({"seed": 2**33}, r"seed must be at most 4294967295 \(2 \*\* 32 - 1\); got 8589934592\."),
        ({"lr": 0.0}, r"lr must be above 0; got 0\.0\."),
        ({"lr_head": 0.0}, r"lr_head must be above 0; got 0\.0\.$"),
        ({"lr_backbone": 0.0}, r"lr_backbone must be above 0; .* leave the image network as it is, use freeze_back"),
        ({"consensus": "max"}, r"consensus must be one of avg, attention; got 'max'\."),
        ({"init": "zero"}, r"init must be one of paper, identity; got 'zero'\."),
        ({"dropout": 1.0}, r"dropout must lie in 0 to 1 \(1 excluded\); got 1\.0\."),
        ({"warmup": -0.1}, r"warmup must lie in 0 to 1 \(1 excluded\); got -0\.1\."),
        ({"label_smoothing": 2.0}, r"label_smoothing must lie in 0 to 1 \(1 excluded\); got 2\.0\."),
        ({"momentum": 1.5}, r"momentum must lie in 0 to 1 \(1 excluded\); got 1\.5\."),
        ({"weight_decay": -1}, r"weight_decay must be at least 0; got -1\."),
        ({"clip_gradient": -1}, r"clip_gradient must be at least 0; got -1\."),
        ({"clip_gradient": float("nan")}, r"clip_gradient must be at least 0; got nan\."),
        ({"lr": float("nan")}, r"lr must be above 0; got nan\."),
        ({"optimizer": "adam"}, r"optimizer must be one of sgd, adamw; got 'adam'\."),
        ({"schedule": "cosine"}, r"schedule must be one of step, one-cycle, constant; got 'cosine'\."),
        ({"precision": "64"}, r"precision must be one of 32, bf16-mixed, 16-mixed; got '64'\."),
        ({"format": "ssv2"}, r"format must be one of auto, something-something-v1, .*, class-folders; got 'ssv2'\."),
        ({"device": "cuda:1"}, r"device must be one of auto, cpu, gpu, cuda, mps; got 'cuda:1'\."),
        ({"workers": -1}, r"workers must be at least 0; got -1\. Leave it out to have as many as fit\."),
        ({"lr": float("inf")}, r"lr must be finite; got inf\."),
        ({"mixup": float("inf")}, r"mixup must be finite; got inf\."),
        ({"milestones": (5, 3)}, r"milestones must be epochs from 1 in rising order; got \[5, 3\]\."),
        ({"milestones": (3, 3)}, r"milestones must be epochs from 1 in rising order; got \[3, 3\]\."),
        ({"milestones": (-3, 3)}, r"milestones must be epochs from 1 in rising order; got \[-3, 3\]\."),
    ],
    ids=str,
)
def test_values_that_cannot_work(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(data=DATA, **changes)
    with pytest.raises(ConfigError, match=message):
        TrainConfig(data=DATA).with_changes(**changes)
    TrainConfig(data=DATA).save(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match=message):
        TrainConfig.load(tmp_path / "config.yaml", **changes)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("data: 2024", r"data must be a path; got 2024\. Write it in quotes: data: '2024'\."),
        ("backbone: 18", r"backbone must be text; got 18\. Write it in quotes: backbone: '18'\."),
        ("epochs: ten", r"epochs must be a whole number; got 'ten'\."),
        ("epochs: 2.5", r"epochs must be a whole number; got 2\.5\."),
        ("lr: high", r"lr must be a number; got 'high'\."),
        ("flip: 1", r"flip must be true or false; got 1\."),
        ("milestones: 20", r"milestones must be a list; got 20\."),
        ("milestones: [5, x]", r"milestones must be a whole number; got 'x'\."),
        ("mechanism_options: zero", r"mechanism_options must be a mapping; got 'zero'\."),
        ("dropout: null", r"dropout must be a number; got None\."),
    ],
)
def test_yaml_of_another_type(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"data: set\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        TrainConfig.load(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 2.5}, r"epochs must be a whole number; got 2\.5\."),
        ({"seed": "one"}, r"seed must be a whole number; got 'one'\."),
        ({"lr": "high"}, r"lr must be a number; got 'high'\."),
        ({"milestones": 5}, r"milestones must be a list; got 5\."),
        ({"mechanism_options": None}, r"mechanism_options must be a mapping; got None\."),
        ({"data": None}, r"data must be a path; got None\."),
    ],
)
def test_from_python_types_are_checked_too(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**{"data": DATA, **changes})
    with pytest.raises(ConfigError, match=message):
        TrainConfig(data=DATA).with_changes(**changes)


def test_from_python_what_is_close_enough_becomes_it() -> None:
    given: dict[str, Any] = {"data": "a", "out": "b", "milestones": [np.int32(2)], "momentum": 0}
    given |= {"epochs": np.int64(3), "lr": np.float32(0.5)}
    config = TrainConfig(**given)
    assert (config.data, config.out, config.milestones) == (Path("a"), Path("b"), (2,))
    assert [type(value) for value in (config.epochs, config.lr, config.momentum)] == [int, float, float]


def test_yaml_that_is_close_enough(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data: set\nlr: 1e-4\nprecision: 32\ndropout: 0\nworkers: null\n")
    config = TrainConfig.load(tmp_path / "config.yaml")
    assert (config.lr, config.precision, config.dropout, config.workers) == (1e-4, "32", 0, None)


def test_options_that_there_are_none_of(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no option epoch, lrr\. The options are data, out, .*resume\."):
        TrainConfig.from_dict({"data": "x", "epoch": 3, "lrr": 1})
    with pytest.raises(ConfigError, match=r"There is no option 1\. The options"):
        TrainConfig.from_dict({"data": "x", 1: 3})
    with pytest.raises(ConfigError, match=r"The option data is missing: the folder of the data set\."):
        TrainConfig.from_dict({"epochs": 3})


def test_files_that_hold_no_options(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"There is no config file .*gone\.yaml\."):
        TrainConfig.load(tmp_path / "gone.yaml")
    path = tmp_path / "config.yaml"
    for content, message in [
        (b"a: [1", r"config\.yaml is not YAML: "),
        (b"\xff\xfe\x00", r"config\.yaml is not YAML: "),
        (b"- a\n- b\n", r"config\.yaml should hold options, one 'name: value' a line; got list\."),
        (b"", r"config\.yaml should hold options, one 'name: value' a line; got NoneType\."),
    ]:
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=message):
            read_options(path)


def test_options_that_change_nothing_are_named() -> None:
    config = TrainConfig(data=Path("clips"), optimizer="adamw", schedule="one-cycle", momentum=0.5, milestones=(3,))
    assert without_effect(config) == [
        "milestones has no effect with schedule=one-cycle",
        "momentum has no effect with optimizer=adamw",
    ]
    assert without_effect(TrainConfig(data=Path("clips"), schedule="constant", warmup=0.1)) == [
        "warmup has no effect with schedule=constant"
    ]
    # a baseline has the options of the run that it stands beside
    still = {"mechanism": "none", "init": "identity", "reduction": 4, "freeze_backbone": True, "lr_backbone": 0.1}
    alone = {"batch_size": 1, "mixup": 0.2, "schedule": "constant"}
    assert without_effect(TrainConfig(data=Path("clips"), **still, **alone)) == [
        "lr_backbone has no effect with freeze_backbone=true",
        "mixup has no effect with batch_size=1: it mixes the clips of a batch",
    ]
    assert without_effect(TrainConfig(data=Path("clips"))) == []
    (short,) = without_effect(TrainConfig(data=Path("clips"), epochs=20))
    assert short.startswith(
        "the learning rate is never lowered: of its milestones (20) none comes before the end of 20"
    )
    with pytest.raises(ConfigError, match=r"stride is for sampling=dense, and sampling is segments"):
        TrainConfig(data=Path("clips"), stride=3)


@pytest.mark.parametrize(("clips", "told"), [(28, "1 step an epoch, 30 in all: one takes 4 batches of 32"), (1300, "")])
def test_a_recipe_for_large_sets_says_when_a_set_is_small(clips: int, told: str) -> None:
    config = TrainConfig(data=Path("clips"))
    assert " ".join(_few_steps(config, clips)).startswith(f"the optimiser makes {told}" if told else "")
    assert bool(_few_steps(config, clips)) == bool(told)
    assert _few_steps(config.with_changes(**RECIPES["quick"]), clips) == []


def test_batches_too_small_to_train_for_streams_are_told() -> None:
    config = TrainConfig(data=Path("clips"), mechanism="tsm", batch_size=2)
    assert _few_clips(config) == []
    config = config.with_changes(mechanism_options={"direction": "unidirectional", "padding_mode": "stream"})
    assert "by turns of three, and batches have 2 clips" in _few_clips(config)[0]
    assert _few_clips(config.with_changes(batch_size=3)) == []
