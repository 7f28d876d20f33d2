"""Shards and the cache on the command line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Outcome, tiny

Command = Callable[..., Outcome]


@pytest.fixture
def one_bad(own_videos: Path) -> tuple[Path, Path]:
    """A set with a bad training clip."""
    bad = next((own_videos / "train").rglob("*.mp4"))
    bad.write_bytes(bad.read_bytes()[:700])
    return own_videos, bad


def predictions(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_shard_train_and_evaluate(m2a: Command, video_set: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    made = m2a("data", "shard", video_set, out, "--shard-size", "50KB", "--workers", 2)
    assert made.code == 0, made.err
    assert f"{out}: 9 train, 6 validation clips in " in made.out
    assert f"Next: m2a train --data {out}" in made.out
    ran = m2a("train", "--data", out, "--out", tmp_path / "run", *tiny())
    assert ran.code == 0, ran.err
    assert f"{out}: shards, 3 classes, 9 train, 6 validation clips" in ran.message
    assert predictions(tmp_path / "run") == predictions(trained)
    reported = m2a("report", tmp_path / "run")
    assert (reported.code, "are gone" in reported.message) == (0, False)
    assert "<img" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    heated = m2a("report", tmp_path / "run", "--heat")
    assert (heated.code, "are gone" in heated.message) == (0, False), heated.err
    assert "finds what speaks for" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    measured = m2a("evaluate", trained / "model", "--data", out, "--out", tmp_path / "e", "--workers", 0)
    assert measured.code == 0, measured.err
    assert predictions(tmp_path / "e") == predictions(trained)
    described = m2a("data", "stats", out, "--json")
    assert json.loads(described.out)["measured"]["frames"] == {"least": 11, "median": 11, "most": 11}
    checked = m2a("data", "check", out, "--out", tmp_path / "check", "--workers", 1, "--num-frames", 2)
    assert checked.code == 0, checked.out
    assert "15 clips decoded to the last frame: 0 errors" in checked.out
    for shard in out.glob("validation-*.tar"):
        shard.write_bytes(shard.read_bytes()[:600])
    assert "6 of the 6 clips that `m2a` was tested on are gone" in m2a("report", tmp_path / "run").message


def test_a_bad_clip(m2a: Command, one_bad: tuple[Path, Path], tmp_path: Path) -> None:
    data, bad = one_bad
    stopped = m2a("data", "shard", data, tmp_path / "out")
    assert stopped.code == 1
    assert f"{bad} cannot be opened: the file is cut off" in stopped.message
    assert "leave such clips out with --skip-bad" in stopped.message
    assert not (tmp_path / "out").exists()
    made = m2a("data", "shard", data, tmp_path / "out", "--skip-bad")
    assert made.code == 0, made.err
    assert "1 clip could not be opened, left out:" in made.out
    assert str(bad) in made.out
    again = m2a("data", "shard", data, tmp_path / "json", "--skip-bad", "--json")
    content = json.loads(again.out)
    assert content["counts"] == {"train": 8, "validation": 6}
    assert [left["path"] for left in content["left_out"]] == [str(bad)]
    assert all((tmp_path / "json" / name).is_file() for name in content["shards"])


def test_shards_that_cannot_be_written(m2a: Command, video_set: Path, tmp_path: Path) -> None:
    size = m2a("data", "shard", video_set, tmp_path / "out", "--shard-size", "much")
    assert (size.code, "'much' is not a size; write it like 1GB" in size.message) == (1, True)
    full = m2a("data", "shard", video_set, video_set)
    assert (full.code, "give a new folder for the shards" in full.message) == (1, True)


def test_a_cache(m2a: Command, video_set: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for run, held in (("one", 0), ("two", 15)):
        ran = m2a("train", "--data", video_set, "--out", tmp_path / run, *tiny(cache="disk", cache_folder=cache))
        assert ran.code == 0, ran.err
        assert f"cache of decoded clips: {cache}, {held} clips, " in ran.err
    assert predictions(tmp_path / "one") == predictions(tmp_path / "two")


def test_a_cache_that_cannot_be(m2a: Command, video_set: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = tiny(cache="disk", cache_folder=tmp_path / "file" / "cache")
    ran = m2a("train", "--data", video_set, "--out", tmp_path / "run", *options)
    assert ran.code == 1
    assert "cannot be written (Not a directory). Use a smaller --size" in ran.message
    assert not (tmp_path / "run").exists()
    both = m2a("train", "--data", video_set, "--out", tmp_path / "run", *tiny(cache="ram", cache_folder="here"))
    assert (both.code, "cache_folder is for cache=disk, and cache is ram" in both.message) == (1, True)
