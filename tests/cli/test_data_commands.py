"""Checking and describing a set on the command line, and training without the clips on a skip list."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from command import LABELS, Outcome, tiny

from m2a.data import read_clips
from m2a.errors import DataError

Command = Callable[..., Outcome]


@pytest.fixture
def damaged(own_videos: Path) -> tuple[Path, list[Path]]:
    """A set with one bad clip in each split."""
    bad = [next((own_videos / split).rglob("*.mp4")) for split in ("train", "validation")]
    for video in bad:
        video.write_bytes(video.read_bytes()[:700])
    return own_videos, bad


def test_a_sound_set(m2a: Command, frames_set: Path, tmp_path: Path) -> None:
    outcome = m2a("data", "check", frames_set, "--out", tmp_path / "check", "--workers", 1)
    assert outcome.code == 0, outcome.out
    assert "15 clips decoded to the last frame: 0 errors" in outcome.out
    assert all(label in outcome.out for label in LABELS)
    assert {path.name for path in (tmp_path / "check").iterdir()} == {"check.json", "check.jsonl", "skip.txt"}
    again = m2a("data", "check", frames_set, "--out", tmp_path / "check", "--quick")
    assert "15 clips are unchanged since an earlier check" in again.out
    assert "15 clips opened and counted" in again.out
    (tmp_path / "check" / "skip.txt").write_text("# mine\n")
    edited = m2a("data", "check", frames_set, "--out", tmp_path / "check", "--quick")
    assert "check.jsonl, skip-new.txt" in edited.out
    assert "skip.txt was edited since the last check and stays as it is" in edited.out
    assert (tmp_path / "check" / "skip.txt").read_text() == "# mine\n"


def test_check_then_train_and_evaluate_without_the_bad_clips(
    m2a: Command, damaged: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    data, bad = damaged
    checked = m2a("data", "check", data, "--out", tmp_path / "check", "--workers", 1)
    assert checked.code == 1
    assert "truncated" in checked.out
    skip_list = tmp_path / "check" / "skip.txt"
    assert f"--skip-list {skip_list}" in checked.out
    names = [line for line in skip_list.read_text().splitlines() if line and not line.startswith("#")]
    assert names == sorted(video.relative_to(data).as_posix() for video in bad)

    run = tmp_path / "run"
    trained = m2a("train", "--data", data, "--out", run, *tiny(skip_list=skip_list), "--json")
    assert trained.code == 0, trained.err
    assert json.loads(trained.out)["skipped"] == len(json.loads((run / "evaluation.json").read_text())["skipped"]) == 1
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "left out, since they could not be decoded or a skip list names them" in page
    assert f"{skip_list} leaves out 1 train, 1 validation clips" in trained.err
    assert "could not be decoded" not in trained.err
    assert yaml.safe_load((run / "config.yaml").read_text())["skip_list"] == str(skip_list)
    listed = skip_list.read_bytes()
    skip_list.write_text(f"{names[0]}\n")  # a run keeps its own copy
    (tmp_path / "copy.txt").write_bytes(listed)
    for folder, arguments in ((run, ()), (tmp_path / "e", ("--data", data, "--skip-list", tmp_path / "copy.txt"))):
        outcome = m2a("evaluate", run, *arguments, *(("--out", folder) if arguments else ()), "--workers", 0)
        assert outcome.code == 0, outcome.err
        assert "leaves out" in outcome.err
        evaluation = json.loads((folder / "evaluation.json").read_text())
        assert evaluation["num_clips"] == 5
        assert [entry["path"] for entry in evaluation["skipped"]] == [str(bad[1])]
        assert "truncated: the file is cut off" in evaluation["skipped"][0]["reason"]
    skip_list.unlink()
    resumed = m2a("train", "--data", data, "--out", run, *tiny(skip_list=run / "skip.txt", epochs=2), "--resume")
    assert "Resume with the same" in resumed.message  # its options are read, and its list is where it was
    assert (run / "skip.txt").read_bytes() == listed


def test_the_check_as_json(m2a: Command, damaged: tuple[Path, list[Path]], tmp_path: Path) -> None:
    outcome = m2a("data", "check", damaged[0], "--out", tmp_path / "check", "--workers", 1, "--json")
    assert outcome.code == 1
    content = json.loads(outcome.out)
    assert content == json.loads((tmp_path / "check" / "check.json").read_text())
    errors = [finding for finding in content["findings"] if finding["severity"] == "error"]
    assert sorted(finding["path"] for finding in errors) == sorted(str(video) for video in damaged[1])


def test_a_skip_list_with_a_clip_that_is_not_there(m2a: Command, video_set: Path, tmp_path: Path) -> None:
    skip_list = tmp_path / "skip.txt"
    skip_list.write_text("train/Holding something/999.mp4\n")
    outcome = m2a("train", "--data", video_set, "--out", tmp_path / "run", *tiny(skip_list=skip_list))
    assert outcome.code == 1
    assert f"{skip_list}:1: 'train/Holding something/999.mp4' is no clip of {video_set}" in outcome.message
    assert "nearest: 'train/Holding something/" in outcome.message
    assert not (tmp_path / "run").exists()
    missing = m2a("train", "--data", video_set, "--out", tmp_path / "run", *tiny(skip_list=tmp_path / "no.txt"))
    assert f"There is no skip list {tmp_path / 'no.txt'}" in missing.message


def test_a_skip_list_that_empties_a_class(m2a: Command, video_set: Path, tmp_path: Path) -> None:
    videos = (video_set / "train" / LABELS[0]).glob("*.mp4")
    listed = tmp_path / "skip.txt"
    listed.write_text("".join(f"{video.relative_to(video_set).as_posix()}\n" for video in videos))
    outcome = m2a("train", "--data", video_set, "--out", tmp_path / "run", *tiny(), "--skip-list", listed)
    assert outcome.code == 1
    assert f"{listed} leaves" in outcome.message
    assert f"{LABELS[0]} without a training clip" in outcome.message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("other", ["./a b.mp4", "x/../a b.mp4", "a b.mp4/"])
def test_a_clip_spelled_in_two_ways_is_listed_twice(tmp_path: Path, other: str) -> None:
    (tmp_path / "a b.mp4").touch()
    (tmp_path / "clips.csv").write_text(f"path,label,split\na b.mp4,up,train\n{other},up,validation\n")
    with pytest.raises(DataError, match=r"clip a b\.mp4 is listed already"):
        read_clips(tmp_path)


def test_stats(m2a: Command, video_set: Path, tmp_path: Path) -> None:
    page = tmp_path / "page" / "stats.html"
    outcome = m2a("data", "stats", video_set, "--out", page, "--sample", 4)
    assert outcome.code == 0, outcome.err
    assert "4 of 15 were opened" in outcome.out
    text = page.read_text(encoding="utf-8")
    assert all(label in text for label in LABELS)
    assert "4 of 15 clips were opened" in text
    assert text.count("<img ") == 3
    assert m2a("data", "stats", video_set, "--out", page, "--sample", 4).code == 0  # its own page it replaces
    notes = tmp_path / "notes.html"
    notes.write_text("my notes")
    refused = m2a("data", "stats", video_set, "--out", notes)
    assert refused.code == 1
    assert "notes.html is there already and was not written by m2a; nothing is overwritten" in refused.message
    assert notes.read_text() == "my notes"
    content = json.loads(m2a("data", "stats", video_set, "--json").out)
    assert content["measured"]["frames"] == {"least": 11, "median": 11, "most": 11}
    assert content["splits"] == {"train": 9, "validation": 6}


def test_sets_that_cannot_be_read(m2a: Command, tmp_path: Path) -> None:
    for verb in ("check", "stats"):
        outcome = m2a("data", verb, tmp_path / "nowhere")
        assert outcome.code == 1
        assert "nowhere does not exist" in outcome.message
