"""`m2a train --pretrained RUN`: going on from a model that was trained, for other classes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from command import LABELS, Outcome, run_command, tiny

from m2a.errors import ConfigError
from m2a.insertion.insert import mechanisms_of
from m2a.models import create_model, load
from m2a.training import TrainConfig, options_of

Command = Callable[..., Outcome]
SHORT = ("--recipe", "quick", "--epochs", 1, "--batch-size", 4, "--workers", 0, "--device", "cpu")


@pytest.fixture(scope="module")
def source(video_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of which nothing is as it is by default. Not to be changed."""
    folder = tmp_path_factory.mktemp("source") / "run"
    flags = tiny(mechanism="m2a+tsm", num_frames=5, consensus="attention", init="identity")
    flags += ["--mechanism-options.boundary", "zero"]
    outcome = run_command("train", "--data", video_set, "--out", folder, *flags)
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def fewer(own_videos: Path) -> Path:
    """Videos of two classes of three."""
    for split in ("train", "validation"):
        shutil.rmtree(own_videos / split / LABELS[0])
    return own_videos


def test_what_it_was_built_with_is_the_default(m2a: Command, source: Path, fewer: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    outcome = m2a("train", "--data", fewer, "--out", out, "--pretrained", source, *SHORT, "--dropout", 0.1, "--json")
    assert outcome.code == 0, outcome.err
    told = f"starts from {source}, all but its last layer, which was for 3 classes, not the same as here, and is made"
    assert f"{told} anew for 2" in outcome.message
    before, after = (TrainConfig.load(folder / "config.yaml").to_dict() for folder in (source, out))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"data", "out", "pretrained", "dropout"}
    assert after["pretrained"] == str(source)
    config = json.loads((out / "model" / "config.json").read_text(encoding="utf-8"))
    assert (config["model"]["mechanism"], config["model"]["num_classes"]) == ("m2a+tsm", 2)


def test_flags_and_a_config_go_over_it(m2a: Command, source: Path, fewer: Path, tmp_path: Path) -> None:
    stored = {"pretrained": str(source), "num_frames": 3, "size": None, "backbone_options": {"drop_path_rate": 0.1}}
    (tmp_path / "some.yaml").write_text(yaml.safe_dump(stored), encoding="utf-8")
    flags = ("--data", fewer, "--config", tmp_path / "some.yaml", *SHORT)
    outcome = m2a("train", *flags, "--out", tmp_path / "run", "--mechanism", "m2a+tsm")
    assert outcome.code == 0, outcome.err
    config = TrainConfig.load(tmp_path / "run" / "config.yaml")
    assert (config.num_frames, config.size, config.mechanism) == (3, 32, "m2a+tsm")
    assert config.backbone_options == {"channels": [16, 16, 32, 32], "drop_path_rate": 0.1}
    assert config.mechanism_options == {"boundary": "zero"}
    outcome = m2a("train", *flags, "--out", tmp_path / "other", "--mechanism", "tsm", "--reduction", 4)
    assert outcome.code == 1
    there = "mechanism='m2a+tsm', mechanism_options={'boundary': 'zero'}, reduction=2"
    assert f"{source} has {there}, and the model that would start from it mechanism='tsm'," in outcome.message
    assert "mechanism_options={}, reduction=4. Weights go into a network that is built alike" in outcome.message
    assert not (tmp_path / "other").exists()


def test_it_goes_on_without_the_model_that_it_started_from(
    m2a: Command, source: Path, fewer: Path, tmp_path: Path
) -> None:
    gone, out = shutil.copytree(source, tmp_path / "gone"), tmp_path / "run"
    flags = ("--schedule", "constant", "--data", fewer, "--out", out)
    assert m2a("train", *flags, "--pretrained", gone, *SHORT).code == 0
    shutil.rmtree(gone)
    outcome = m2a("train", "--config", out / "config.yaml", "--resume", "--epochs", 2)
    assert outcome.code == 0, outcome.err
    assert TrainConfig.load(out / "config.yaml").pretrained == str(gone)


def test_clips_that_the_other_run_was_trained_on(m2a: Command, source: Path, video_set: Path, tmp_path: Path) -> None:
    """Its training clips are validated on, under other names; in its own set they are not."""
    outcome = m2a("train", "--data", video_set, "--out", tmp_path / "same", "--pretrained", source, *SHORT)
    assert outcome.code == 0, outcome.err
    assert "all of it: its 3 classes are the same" in outcome.message
    assert "knows their answers" not in outcome.message
    for name, other in (("train", "validation"), ("validation", "train")):
        (tmp_path / "others").mkdir(exist_ok=True)
        (tmp_path / "others" / name).symlink_to(video_set / other)
    outcome = m2a("train", "--data", tmp_path / "others", "--out", tmp_path / "run", "--pretrained", source, *SHORT)
    assert outcome.code == 0, outcome.err
    num = len(list((video_set / "train").glob("*/*.mp4")))
    told = f"the run in {source} was trained on {num} of the {num} clips to validate on, the first of them"
    assert told in outcome.message
    assert "a model that starts from it knows their answers" in outcome.message
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["num_trained_on"] == num
    assert "held-out" not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    again = m2a("evaluate", tmp_path / "run", "--out", tmp_path / "again")
    assert again.code == 0, again.err
    assert json.loads((tmp_path / "again" / "evaluation.json").read_text())["num_trained_on"] == num
    flags = ("train", "--data", tmp_path / "others", "--out", tmp_path / "chained", "--pretrained", tmp_path / "same")
    outcome = m2a(*flags, *SHORT)
    assert outcome.code == 0, outcome.err
    assert told in outcome.message  # the run before the one that it starts from
    flags = ("--data", video_set, "--split", "train", "--out", tmp_path / "measured", "--workers", 0)
    outcome = m2a("evaluate", tmp_path / "chained", *flags)
    assert outcome.code == 0, outcome.err
    told = f"its model started from that of {source}, which was trained on {num} of the clips that it is measured on"
    assert told in outcome.message


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("adapter", "is an adapter, which lacks the image network"),
        ("model/model.safetensors", "holds the weights of a whole video model. To start from that, give the folder"),
        ("checkpoints", "holds no config.json, so it is not a saved model"),
        ("nope", "There is no checkpoint"),
        ("checkpoints/best.ckpt", "holds the weights of a whole video model. To start from that, give the folder"),
    ],
)
def test_what_cannot_be_started_from(
    m2a: Command, source: Path, fewer: Path, tmp_path: Path, name: str, told: str
) -> None:
    run = shutil.copytree(source, tmp_path / "copy")
    (run / "adapter").mkdir()
    content = json.loads((run / "model" / "config.json").read_text(encoding="utf-8"))
    (run / "adapter" / "config.json").write_text(json.dumps({**content, "adapter": {}}), encoding="utf-8")
    outcome = m2a("train", "--data", fewer, "--out", tmp_path / "run", "--pretrained", run / name, *SHORT)
    assert outcome.code == 1
    assert told in outcome.message
    assert not (tmp_path / "run").exists()


def test_a_converted_model(m2a: Command, fewer: Path, tmp_path: Path) -> None:
    """Whose sites are named in its files, and which no option of training names."""
    model = create_model(
        "resnet10t", mechanism="tsm", num_classes=2, num_frames=3, size=32, where=r"layer[12]\.0\.conv2"
    )
    model.save_pretrained(tmp_path / "source")
    flags = ("--data", fewer, "--out", tmp_path / "run", "--pretrained", tmp_path / "source", "--schedule", "constant")
    outcome = m2a("train", *flags, *SHORT)
    assert outcome.code == 0, outcome.err
    assert "which was for 2 classes, which have no names, and is made anew for 2" in outcome.message
    assert model.insertion is not None
    for _ in range(2):
        trained = load(tmp_path / "run")
        assert [name for name, _ in mechanisms_of(trained.backbone)] == list(model.insertion.sites)
        shutil.rmtree(tmp_path / "source", ignore_errors=True)
        outcome = m2a("train", "--config", tmp_path / "run" / "config.yaml", "--resume", "--epochs", 2)
        assert outcome.code == 0, outcome.err


def test_in_python(source: Path, fewer: Path) -> None:
    options = options_of(source)
    assert (options["mechanism"], options["num_frames"], options["size"]) == ("m2a+tsm", 5, 32)
    config = TrainConfig.from_dict({**options, "data": fewer, "pretrained": source})
    assert (config.pretrained, config.consensus, config.reduction) == (str(source), "attention", 2)
    with pytest.raises(ConfigError, match="pretrained is empty"):
        TrainConfig(data=fewer, pretrained="")


def test_folders_called_as_the_words_are(
    m2a: Command, fewer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").mkdir()
    outcome = m2a("train", "--data", fewer, "--out", "run", *tiny())
    assert outcome.code == 0, outcome.err
    assert (
        "is a folder. Rows of the paper start from image weights"
        in m2a("paper", "run", "R18/none", "--data", "synthetic", "--scale", "tiny", "--pretrained", fewer).message
    )
