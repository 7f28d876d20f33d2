"""What a run that goes on takes from itself, whatever is asked: the image weights that it began with, and the clips
that it left out."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tiny_runs import image_weights, options, silent

from m2a.data import ClipSet, read_clips
from m2a.data.synthetic import synthesize
from m2a.errors import ConfigError, NotFoundError
from m2a.models import load
from m2a.training import TrainConfig, fit
from m2a.workflows.run import train


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    root = tmp_path_factory.mktemp("set") / "frames"
    synthesize(root, classes=2, num_train=5, num_validation=2, size=24, num_frames=5, workers=1, progress=False)
    return read_clips(root)


def test_the_image_weights_are_those_that_it_began_with(clips: ClipSet, tmp_path: Path) -> None:
    """What is recorded, and the adapter that is saved, are of them; neither file is read again."""
    began, other = (image_weights(tmp_path / name) for name in ("began", "other"))
    config = options(clips, tmp_path / "run", epochs=1, freeze_backbone=True, pretrained=str(began))
    fit(config, clips, console=silent())
    other.unlink()
    out = io.StringIO()
    changes: dict[str, Any] = {"resume": True, "epochs": 2}
    model = train(config.with_changes(pretrained=str(other), **changes), console=Console(file=out, width=1000)).model
    assert out.getvalue().count(f"began with pretrained = {began}, not {other}; it stays so") == 1
    assert TrainConfig.load(tmp_path / "run" / "config.yaml") == config.with_changes(epochs=2)
    assert model.config is not None
    assert model.config.pretrained == str(began)
    x = torch.randn(1, 3, 3, 32, 32)
    torch.testing.assert_close(load(tmp_path / "run" / "adapter")(x), model(x))


def test_clips_stay_normalised_as_for_the_model_that_it_started_from(clips: ClipSet, tmp_path: Path) -> None:
    """Which may be gone by then."""
    config = options(clips, tmp_path / "first", epochs=1)
    model = fit(config, clips, console=silent()).model
    model.preprocessing = replace(model.preprocessing, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    model.save_pretrained(tmp_path / "source")
    out = io.StringIO()
    changes: dict[str, Any] = {"out": tmp_path / "run", "pretrained": str(tmp_path / "source"), "lr": 1e-12}
    began = fit(config.with_changes(**changes), clips, console=Console(file=out, width=1000)).model
    assert f"starts from {tmp_path / 'source'}, all of it: its 2 classes are the same" in out.getvalue()
    x = torch.randn(1, 3, 3, 32, 32)
    torch.testing.assert_close(began(x), model(x), rtol=0, atol=0.1)  # batch norms have seen more
    (tmp_path / "source").rename(tmp_path / "gone")
    went_on = fit(config.with_changes(**changes, resume=True, epochs=2), clips, console=silent()).model
    assert began.preprocessing == went_on.preprocessing == model.preprocessing


def test_its_probes_are_measured_again(clips: ClipSet, tmp_path: Path) -> None:
    """Where it has some: an evaluation without them would take them away."""

    def probed() -> bool:
        return "probes" in json.loads((tmp_path / "run" / "evaluation.json").read_text(encoding="utf-8"))

    config = options(clips, tmp_path / "run", epochs=1)
    train(config, console=silent())
    assert not probed()
    train(config.with_changes(resume=True), probes=True, console=silent())
    assert probed()
    train(config.with_changes(resume=True), console=silent())
    assert probed()


def test_clips_that_it_left_out_stay_left_out(clips: ClipSet, tmp_path: Path) -> None:
    """Also when its list was changed or deleted since, or is not named again."""
    bad, also = (clip.id for clip in clips.split("train")[:2])
    listed, run = tmp_path / "skip.txt", tmp_path / "run"
    listed.write_text(f"# truncated\n{bad}\n")
    config = options(clips, run, epochs=1, skip_list=listed, validation_clips_per_class=1)
    train(config, console=silent())
    kept = (run / "skip.txt").read_bytes()
    listed.write_text(f"{bad}\n{also}\n")
    before = (run / "config.yaml").read_bytes()
    with pytest.raises(ConfigError, match=r"skip\.txt is not the skip list that the run in .*run was trained with"):
        fit(config.with_changes(resume=True, epochs=2), clips, console=silent())
    with pytest.raises(NotFoundError, match=r"There is no skip list .*gone\.txt\. Resume with the run's own: --skip-"):
        fit(config.with_changes(resume=True, epochs=2, skip_list=tmp_path / "gone.txt"), clips, console=silent())
    assert (run / "config.yaml").read_bytes() == before
    listed.unlink()
    for epochs, asked in ((2, listed), (3, None)):
        out = io.StringIO()
        again = config.with_changes(resume=True, epochs=epochs, skip_list=asked)
        result = train(again, console=Console(file=out, width=1000))
        assert f"{run / 'skip.txt'} leaves out 1 train, 0 validation clips" in out.getvalue()
        assert result.num_train == 4
    assert (run / "skip.txt").read_bytes() == kept
