"""`m2a explain`: what it prints, draws and refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from command import LABELS, Outcome, tiny
from PIL import Image

from m2a.models import load
from m2a.workflows.explain import explain_video

Command = Callable[..., Outcome]


def check_message(outcome: Outcome, *parts: object) -> None:
    assert outcome.code == 1, outcome.err + outcome.out
    assert "Traceback" not in outcome.err
    for part in parts:
        assert str(part) in outcome.message, f"{part!r} is not in: {outcome.message}"


@pytest.fixture(scope="module")
def video(video_set: Path) -> Path:
    return next((video_set / "validation" / LABELS[0]).iterdir())


@pytest.fixture(scope="module")
def plain(m2a: Command, frames_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a mechanism, on folders of frames."""
    folder = tmp_path_factory.mktemp("runs") / "plain"
    outcome = m2a("train", "--data", frames_set, "--out", folder, *tiny(mechanism="none"))
    assert outcome.code == 0, outcome.err
    return folder


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_two_models_in_one_picture(m2a: Command, trained: Path, plain: Path, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "seen.png"
    outcome = m2a("explain", video, "--model", plain, "--model", trained / "model", "--out", out, "--sites", "all")
    assert outcome.code == 0, outcome.err
    assert f"It shows: {LABELS[0]}" in outcome.out  # by its folder
    assert "none: it carries no mechanism" in outcome.out
    assert {path.name for path in out.parent.iterdir()} == {"seen.png", "seen-sites.png"}
    picture = pixels(out)
    assert picture.shape[1] > 1000
    assert picture.std() > 20
    colourful = np.ptp(picture.astype(int), axis=2) > 60  # heat: frames under it are grey
    assert colourful[picture.shape[0] // 2 :].mean() > 0.005
    assert pixels(out.parent / "seen-sites.png").std() > 20


def test_how_much_is_drawn(m2a: Command, trained: Path, video: Path, tmp_path: Path) -> None:
    widths = {}
    for frames in ("1", "5", "all"):
        out = tmp_path / f"{frames}.png"
        assert m2a("explain", video, "--model", trained / "model", "--out", out, "--frames", frames).code == 0
        widths[frames] = pixels(out).shape[1]
    assert widths["1"] < widths["5"] < widths["all"]


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_the_whole_clip_moves(m2a: Command, trained: Path, video: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"clip{suffix}"
    outcome = m2a("explain", video, "--model", trained / "model", "--out", out)
    assert outcome.code == 0, outcome.err
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    with av.open(str(out)) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    assert len(frames) == 11  # every frame of the clip, not the eight that the model saw
    assert all(np.abs(one - other).mean() > 0.1 for one, other in pairwise(frames))


def test_sites_beside_an_animation(m2a: Command, trained: Path, video: Path, tmp_path: Path) -> None:
    outcome = m2a("explain", video, "--model", trained / "model", "--out", tmp_path / "clip.gif", "--sites", "all")
    assert outcome.code == 0, outcome.err
    assert {path.name for path in tmp_path.iterdir()} == {"clip.gif", "clip-sites.png"}
    assert f"wrote {tmp_path / 'clip-sites.png'}" in outcome.out


def test_a_picture_and_an_animation(m2a: Command, trained: Path, video: Path, tmp_path: Path) -> None:
    flags = ("--out", tmp_path / "a.png", "--animation", tmp_path / "b.gif")
    assert m2a("explain", video, "--model", trained / "model", *flags).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.gif"}


def test_json(m2a: Command, trained: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = m2a("explain", video, "--model", trained / "model", "--sites", "all", "--json", "--label", LABELS[2])
    assert outcome.code == 0, outcome.err
    content = json.loads(outcome.out)
    assert content["truth"] == LABELS[0]
    (model,) = content["models"]
    assert model["label"] == LABELS[2]
    assert model["layer"] == "layer2"
    assert model["right"] == (model["top"][0]["label"] == LABELS[0])
    assert len(model["frames"]) == 8
    assert len(model["sites"]) == 4
    assert np.allclose(np.sum(model["sites"][0]["attention"], axis=1), 1, atol=1e-5)
    assert content["pictures"] == []
    assert list(tmp_path.iterdir()) == []  # no picture was asked for


def test_the_truth_is_what_is_known(m2a: Command, plain: Path, frames_set: Path, tmp_path: Path) -> None:
    lines = (frames_set / "something-something-v1-validation.csv").read_text().splitlines()
    number, label = lines[0].split(";")
    clip = frames_set / "20bn-something-something-v1" / number
    known = json.loads(m2a("explain", clip, "--model", plain, "--json").out)
    assert known["truth"] == label  # by the run's own data
    other = clip.with_name(lines[1].split(";")[0])
    away = other.rename(tmp_path / "away")
    try:
        assert json.loads(m2a("explain", clip, "--model", plain, "--json").out)["truth"] == label
    finally:
        away.rename(other)
    moved = clip.rename(tmp_path / number)
    try:
        unknown = json.loads(m2a("explain", moved, "--model", plain, "--json").out)
        told = json.loads(m2a("explain", moved, "--model", plain, "--json", "--truth", LABELS[1]).out)
    finally:
        moved.rename(clip)
    assert unknown["truth"] is None
    assert unknown["models"][0]["right"] is None
    assert told["truth"] == LABELS[1]


@pytest.mark.parametrize("content", ["accelerator: gpu\n", "[1, 2\n", ""])
def test_a_config_of_something_else_beside_a_model(
    m2a: Command, trained: Path, video: Path, tmp_path: Path, content: str
) -> None:
    """It says nothing of what the video shows; the model is explained all the same."""
    shutil.copytree(trained / "model", tmp_path / "model")
    (tmp_path / "config.yaml").write_text(content)
    shutil.copyfile(video, tmp_path / "clip.mp4")
    outcome = m2a("explain", tmp_path / "clip.mp4", "--model", tmp_path / "model", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["truth"] is None


def test_the_usual_picture_is_drawn_again(
    m2a: Command, trained: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        outcome = m2a("explain", video, "--model", trained / "model")
        assert outcome.code == 0, outcome.err
        assert "wrote explain.png" in outcome.out
    assert [path.name for path in tmp_path.iterdir()] == ["explain.png"]


def test_nothing_of_the_users_is_written_over(m2a: Command, trained: Path, video: Path, tmp_path: Path) -> None:
    holiday = tmp_path / "holiday.png"
    Image.new("RGB", (4, 4)).save(holiday)
    before = holiday.read_bytes()
    base = ("explain", video, "--model", trained / "model", "--out")
    check_message(m2a(*base, holiday), holiday, "was not written by m2a", "Name another file with --out")
    (tmp_path / "new-sites.png").write_bytes(before)
    check_message(m2a(*base, tmp_path / "new.png", "--sites", "all"), "new-sites.png", "was not written by m2a")
    assert holiday.read_bytes() == before
    assert not (tmp_path / "new.png").exists()
    (tmp_path / "folder.png").mkdir()
    check_message(m2a(*base, tmp_path / "folder.png"), "folder.png is a folder")


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (
            ("--label", "Moving something upp"),
            ("has no label 'Moving something upp'", "Near it: 'Moving something up'"),
        ),
        (("--truth", "Moving something upp"), ("is no label of", "Near it: 'Moving something up'")),
        (("--layer", "layer22"), ("has no layer 'layer22'", "Near it: 'layer2'", "Its stages: layer1 (1/4)")),
        (("--sites", "layer2.conv1"), ("has no site 'layer2.conv1'", "'layer2.0.conv1'", "--sites all shows all 4")),
        (("--frames", "0"), ("--frames is a number from 1, or all; got '0'",)),
        (("--frames", "some"), ("--frames is a number from 1, or all; got 'some'",)),
        (
            ("--frames", "3", "--out", "a.gif"),
            ("--frames is for a picture, and a.gif shows every frame. Leave it out",),
        ),
        (("--frames", "3", "--json"), ("--frames is for a picture, and no picture is drawn.", "--out (.png)")),
        (("--out", "seen.jpg"), ("A picture is a .png; got seen.jpg", "--animation")),
        (("--animation", "seen.avi"), ("An animation is a .gif or .mp4; got seen.avi",)),
    ],
)
def test_what_is_refused(
    m2a: Command,
    trained: Path,
    video: Path,
    flags: tuple[str, ...],
    parts: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    check_message(m2a("explain", video, "--model", trained / "model", *flags), *parts)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_somebody_else_is_named_with_the_option_that_was_given(
    m2a: Command, trained: Path, video: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.mp4").write_text("mine")
    outcome = m2a("explain", video, "--model", trained / "model", "--out", tmp_path / "mine.mp4")
    check_message(outcome, "Name another file with --out.")


def test_a_model_without_a_label_for_the_truth_is_neither_right_nor_wrong(
    trained: Path, video: Path, tmp_path: Path
) -> None:
    model = load(trained / "model")
    model.labels = ("one", "two", "three")
    model.save_pretrained(tmp_path / "other")
    found = explain_video(video, [str(trained / "model"), str(tmp_path / "other")])
    assert found.truth == LABELS[0]
    first, other = found.by
    assert first.right is not None
    assert other.right is None


def test_a_video_that_is_not_there(m2a: Command, trained: Path, tmp_path: Path) -> None:
    check_message(m2a("explain", tmp_path / "gone.mp4", "--model", trained / "model"), "There is no video", "gone.mp4")
