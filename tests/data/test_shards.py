"""Shards: the same clips back, pixel for pixel; tar files as WebDataset wants them; what cannot work."""

from __future__ import annotations

import json
import resource
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from clip_files import brightness, cut, frames_of, write_frames, write_ssv1, write_video

from m2a.data import (
    BadClip,
    ClipDataset,
    ClipFile,
    ClipSet,
    Preprocessing,
    check_clips,
    leave_out,
    open_clip,
    read_clips,
)
from m2a.data.groups import hold_out
from m2a.data.parts import Part
from m2a.data.sharding import parse_size, write_shards
from m2a.errors import ConfigError, DataError, NotFoundError, UnreadableClipError

LABELS = ("Hold", "Wave")


def clip_of(path: Path, label: str, **more: Any) -> ClipFile:
    return ClipFile(id=f"{label}/{path.name}", path=path, label=label, **more)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    """Videos of several kinds, folders of frames and parts of both. Not to be changed."""
    root = tmp_path_factory.mktemp("set")
    videos = [write_video(root / f"v{k}.mp4", noise=True, num_frames=4 + k) for k in range(4)]
    other = write_video(root / "Other One.AVI", codec="mpeg4", noise=True, num_frames=6)
    turned = write_video(root / "turned.mov", rotation=90, bright_corner=True, num_frames=3)
    frames = [write_frames(root / f"frames.{k}", num_frames=3 + k) for k in range(3)]
    train = [clip_of(path, LABELS[k % 2], group=f"g{k}") for k, path in enumerate([*videos[:3], *frames[:2], other])]
    train.append(ClipFile(id="part", path=frames[2], label="Hold", window=(1, 3)))
    train.append(ClipFile(id="part of a video", path=videos[3], label="Wave", window=(2, 4)))
    validation = (clip_of(turned, "Hold"), clip_of(videos[3], "Wave"), clip_of(frames[2], "Wave"))
    return ClipSet(
        format="class-folders", root=root, labels=LABELS, splits={"train": tuple(train), "validation": validation}
    )


@pytest.fixture(scope="module")
def shards(clips: ClipSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In two shards or more a split. Not to be changed."""
    out = tmp_path_factory.mktemp("shards") / "out"
    write_shards(clips, out, shard_size=60_000)
    return out


@pytest.fixture
def own(shards: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(shards, tmp_path / "own")


def all_of(clips: ClipSet) -> list[ClipFile]:
    return [clip for members in clips.splits.values() for clip in members]


def without_path(clip: ClipFile) -> ClipFile:
    return replace(clip, path=Path())


def test_the_set_comes_back(clips: ClipSet, shards: Path) -> None:
    again = read_clips(shards)
    assert (again.format, again.root, again.labels, again.notes) == ("shards", shards, LABELS, ())
    assert list(again.splits) == list(clips.splits)
    for split, members in clips.splits.items():
        expected = [replace(clip, window=None) if clip.id == "part" else clip for clip in members]
        assert list(map(without_path, again.split(split))) == list(map(without_path, expected))
    assert len({clip.path for clip in all_of(again)}) == len(all_of(again))
    assert all(clip.path.parent.is_file() for clip in all_of(again))


def test_the_same_pixels(clips: ClipSet, shards: Path) -> None:
    for original, copied in zip(all_of(clips), all_of(read_clips(shards)), strict=True):
        for side in (None, 13):
            one = open_clip(original.path, window=original.window, short_side=side)
            other = open_clip(copied.path, window=copied.window, short_side=side)
            assert (other.num_frames, other.frame_rate) == (one.num_frames, one.frame_rate)
            assert other.path == copied.path
            assert torch.equal(other.read(range(one.num_frames)), one.read(range(one.num_frames)))


def test_the_same_samples(clips: ClipSet, shards: Path) -> None:
    for train in (True, False):
        one, other = (
            ClipDataset(
                members.split("train"), labels=LABELS, train=train, preprocessing=Preprocessing(num_frames=3, size=13)
            )
            for members in (clips, read_clips(shards))
        )
        for index in range(len(one)):
            assert torch.equal(one[index].clip, other[index].clip)


def test_the_tar_files(clips: ClipSet, shards: Path) -> None:
    """As WebDataset reads them: what stands before the first dot is the key, members of a key follow each other."""
    index = json.loads((shards / "shards.json").read_text())
    entries = {(entry["shard"], entry["key"]): entry for entry in index["clips"]}
    names = sorted(path.name for path in shards.iterdir())
    assert names[0] == "shards.json"
    assert {"train-000000.tar", "train-000001.tar", "validation-000000.tar"} < set(names)
    originals = {clip.id: clip for clip in all_of(clips)}
    seen: list[tuple[str, str]] = []
    for name in names[1:]:
        with tarfile.open(shards / name) as tar:
            members = tar.getmembers()
            assert [member.name for member in members] == sorted(member.name for member in members)
            for member in members:
                key, _, ending = member.name.partition(".")
                if (name, key) not in seen:
                    seen.append((name, key))
                assert seen[-1] == (name, key)
                entry = entries[name, key]
                content = tar.extractfile(member)
                assert content is not None
                if ending == "json":
                    fields = ("id", "label", "group", "window")
                    assert json.load(content) == {field: entry[field] for field in fields}
                elif entry["kind"] != "frames":
                    assert "." + ending == originals[entry["id"]].path.suffix.lower()
                    assert content.read() == originals[entry["id"]].path.read_bytes()
                    assert (member.offset_data, [member.size]) == (entry["offset"], entry["sizes"])
                else:
                    number = int(ending.removesuffix(".jpg"))
                    assert ending == f"{number:05d}.jpg"
                    assert member.size == entry["sizes"][number - 1]
                    assert number > 1 or member.offset_data == entry["offset"]
    assert sorted(seen) == sorted(entries)
    assert len({key for _, key in seen}) == len(seen)
    assert [entry["id"] for entry in index["clips"]] == [clip.id for clip in all_of(clips)]
    assert index["labels"] == list(LABELS)


def test_a_shard_holds_a_mix_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for label in ("a", "b"):
        for k in range(12):
            write_frames(root / label / str(k), num_frames=1, width=4, height=4)
    clips = read_clips(root)
    contents = []
    for name, workers, seed in (("one", 1, 0), ("other", 2, 0), ("seed", 1, 1)):
        write_shards(clips, tmp_path / name, shard_size=8_000, workers=workers, seed=seed)
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1] != contents[2]
    index = json.loads(contents[0]["shards.json"])
    first = {entry["label"] for entry in index["clips"] if entry["shard"] == "train-000000.tar"}
    assert first == {"a", "b"}
    sizes = [len(content) for name, content in contents[0].items() if name.endswith(".tar")]
    assert len(sizes) > 3
    assert max(sizes) <= 8_000 + 10_240  # tar files end in blocks of zeros


def test_a_split_layout_with_lists(tmp_path: Path) -> None:
    original = read_clips(write_ssv1(tmp_path / "ssv1"))
    write_shards(original, tmp_path / "out")
    again = read_clips(tmp_path / "out", format="shards")
    assert again.labels == original.labels
    assert [clip.id for clip in again.split("train")] == ["1", "2", "30"]
    assert frames_of(open_clip(again.split("train")[2].path).read([2, 0])) == [2, 0]
    assert brightness(0) == 20


def test_checking_skipping_and_naming(shards: Path, tmp_path: Path) -> None:
    clips = read_clips(shards)
    report = check_clips(clips, num_frames=2, workers=1, out=tmp_path / "check")
    assert not [finding for finding in report.findings if finding.severity == "error" and "copy" not in finding.kind]
    assert report.facts[clips.split("validation")[0].path].rotation == 90
    again = check_clips(clips, num_frames=2, workers=1, out=tmp_path / "check")
    assert again.num_reused == len(all_of(clips))
    gone = clips.split("train")[1]
    (tmp_path / "skip.txt").write_text(f"{gone.path.relative_to(shards).as_posix()}\nHold/v0.mp4\n")
    kept, left = leave_out(clips, tmp_path / "skip.txt")
    assert {entry.clip.id for entry in left["train"]} == {gone.id, "Hold/v0.mp4"}
    assert len(kept.split("train")) == len(clips.split("train")) - 2


def test_a_shard_that_is_cut_off(own: Path, tmp_path: Path) -> None:
    clips = read_clips(own)
    last = max(clips.split("validation"), key=lambda clip: clip.path.name)
    cut(last.path.parent, 0.05)
    with pytest.raises(UnreadableClipError, match=r"the shard validation-0+\d\.tar is cut off: it has \d+ bytes of at"):
        open_clip(last.path)
    dataset = ClipDataset(
        clips.split("validation"), labels=LABELS, train=False, preprocessing=Preprocessing(num_frames=2, size=13)
    )
    bad = next(sample for sample in map(dataset.__getitem__, range(len(dataset))) if isinstance(sample, BadClip))
    assert bad.path in {clip.path for clip in clips.split("validation")}
    findings = check_clips(clips, num_frames=2, workers=1).findings
    assert any(found.kind == "truncated" and found.path == str(last.path) for found in findings)


def test_a_shard_that_is_missing(own: Path) -> None:
    (own / "train-000000.tar").unlink()
    with pytest.raises(DataError, match=r"shards\.json names \d of 11 clips that are not on disk: "):
        read_clips(own)
    rest = read_clips(own, missing="skip")
    assert 0 < len(rest.split("train")) < 8
    assert "the shards train-000000.tar are missing" in rest.notes
    for shard in own.glob("train-*.tar"):
        shard.unlink()
    with pytest.raises(DataError, match="all shards of the train split are missing"):
        read_clips(own, missing="skip")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"shards\.json is damaged \(JSONDecodeError: .*copy it again, or write the shards anew"),
        ("{}", r"shards\.json is damaged \(KeyError: 'schema'\)"),
        ('{"schema": 1, "labels": [], "left_out": [], "clips": [{}]}', r"shards\.json is damaged \(KeyError"),
        ('{"schema": 9}', r"shards\.json has schema 9; this version of m2a reads 1\. Write the shards anew\."),
    ],
)
def test_an_index_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "shards.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_clips(tmp_path)


def test_paths_that_lead_nowhere(own: Path) -> None:
    with pytest.raises(UnreadableClipError, match="there is no such file or folder"):
        open_clip(own / "train-000000.tar" / "gone.mp4")
    clip = read_clips(own).split("train")[0].path
    (own / "shards.json").unlink()
    with pytest.raises(UnreadableClipError, match="there is no such file or folder"):
        open_clip(clip)
    with pytest.raises(NotFoundError, match=r"holds no shards\.json; the shards layout needs it"):
        read_clips(own, format="shards")


def with_a_bad_clip(clips: ClipSet, folder: Path) -> tuple[ClipSet, Path]:
    bad = cut(write_video(folder / "bad.mp4", noise=True), 0.5)
    train = (*clips.split("train"), clip_of(bad, "Hold"))
    return replace(clips, splits={**clips.splits, "train": train}), bad


@pytest.mark.parametrize("workers", [1, 2])
def test_a_clip_that_cannot_be_opened_stops_or_is_left_out(clips: ClipSet, tmp_path: Path, workers: int) -> None:
    broken, bad = with_a_bad_clip(clips, tmp_path)
    out = tmp_path / "out"
    with pytest.raises(
        DataError, match=r"bad\.mp4 cannot be opened: the file is cut off.* Nothing was written\. .*bad;"
    ):
        write_shards(broken, out, workers=workers)
    assert not out.exists()
    summary = write_shards(broken, out, skip_bad=True, workers=workers)
    assert list(summary.left_out) == [bad]
    assert summary.counts == {"train": 8, "validation": 3}
    (left,) = json.loads((out / "shards.json").read_text())["left_out"]
    assert (left["id"], left["path"]) == ("Hold/bad.mp4", str(bad))
    assert "cut off" in left["reason"]
    again = read_clips(out)
    assert again.notes == ("1 clip could not be opened when the shards were written",)
    assert len(again.split("train")) == 8


def test_what_is_held_out_is_held_out_of_shards_too(clips: ClipSet, tmp_path: Path) -> None:
    """And of shards that are only measured on nothing, as of the set itself."""
    members = tuple(sorted((*clips.split("train"), *clips.split("validation")), key=lambda clip: clip.id))
    several = tuple(replace(clip, id=f"{number}/{clip.id}") for number in range(5) for clip in members)
    note = "2 of 77 clips of the list are not on disk"
    write_shards(replace(clips, splits={"train": several}, notes=(note,)), tmp_path / "out")
    whole, trained = read_clips(tmp_path / "out", to_train=False), read_clips(tmp_path / "out")
    assert {name: len(found) for name, found in whole.splits.items()} == {"train": len(several)}
    kept, held = hold_out(several, fraction=0.2)
    assert [clip.id for clip in trained.split("train")] == [clip.id for clip in kept]
    assert [clip.id for clip in trained.split("validation")] == [clip.id for clip in held]
    assert whole.notes[0] == f"when the shards were written: {note}"


def test_a_full_disk_is_told_before_anything_is_written(
    clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(DataError, match=r"The shards need 0\.\d MB, and .*out has 1\.0 MB free\. Nothing was written"):
        write_shards(clips, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("new", [True, False])
def test_a_disk_that_becomes_full(clips: ClipSet, tmp_path: Path, new: bool) -> None:
    out = tmp_path / "out"
    if not new:
        out.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        with pytest.raises(DataError, match=r"The disk became full while .*\.tar was written \(File too large\)\. "):
            write_shards(clips, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert out.exists() != new
    assert new or not list(out.iterdir())


def test_what_cannot_work(clips: ClipSet, shards: Path, tmp_path: Path) -> None:
    for options in ({"shard_size": 0}, {"workers": -1}, {"seed": -1}):
        with pytest.raises(ConfigError, match=r"must be at least 1, workers=.* at least 0, seed=.* at least 0"):
            write_shards(clips, tmp_path / "out", **options)
    with pytest.raises(ConfigError, match="out is in shards already"):
        write_shards(read_clips(shards), tmp_path / "out")
    before = sorted(path.name for path in shards.iterdir())
    with pytest.raises(ConfigError, match=r"out is not empty \(shards\.json, train-000000\.tar, .*\); give a new"):
        write_shards(clips, shards)
    assert sorted(path.name for path in shards.iterdir()) == before


@pytest.mark.parametrize(
    ("text", "expected"), [("1GB", 10**9), ("500 mb", 5 * 10**8), ("1.5KiB", 1536), ("7", 7), ("64MiB", 2**26)]
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "GB", "1 parsec", "-1GB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a size; write it like 1GB, 500MB or 64MiB"):
        parse_size(text)


def test_a_part_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(100)))
    part = Part("part", tmp_path / "file", 20, 10)
    assert part.read_bytes() == bytes(range(20, 30))
    with part.open() as file:
        assert file.read(4) == bytes(range(20, 24))
        assert (file.seek(-2, 2), file.read(100), file.read(1)) == (8, b"\x1c\x1d", b"")
        assert (file.seek(1), file.seek(2, 1), file.tell()) == (1, 3, 3)
        assert (file.seek(50), file.read(3)) == (50, b"")
        with pytest.raises(OSError, match="in front of the start"):
            file.seek(-1)
