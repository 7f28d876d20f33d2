"""The cache of decoded clips: the same frames and crops, what makes a clip be decoded anew, and full disks."""

from __future__ import annotations

import ast
import errno
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from clip_files import cut, write_frames, write_video
from PIL import Image

from full_disk import files_of_at_most
from m2a.data import BadClip, ClipDataset, ClipFile, Preprocessing, Sample, make_loader, open_clip
from m2a.data import cache as cache_module
from m2a.data.cache import CachedClip, ClipCache, free_space
from m2a.errors import CacheError

SMALL = Preprocessing(num_frames=3, size=13)
LABELS = ("a", "b")


def cached_files(cache: ClipCache) -> list[Path]:
    return sorted(cache.folder.rglob("*.npy"))


def everything_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def smooth(width: int, height: int, k: int) -> Any:
    """A picture without edges."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / width * 4 + k / 5), np.cos(y / height * 5), np.sin((x / width + y / height) * 3)]
    return np.stack([127 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)


def smooth_frames(folder: Path, *, width: int = 200, height: int = 120, num_frames: int = 5) -> Path:
    folder.mkdir(parents=True)
    for k in range(num_frames):
        Image.fromarray(smooth(width, height, k)).save(folder / f"{k + 1:05d}.jpg", quality=95)
    return folder


def clip_of(path: Path, label: str = "a") -> ClipFile:
    return ClipFile(id=path.name, path=path, label=label)


def dataset_of(*paths: Path, cache: ClipCache | None = None, **options: Any) -> ClipDataset:
    defaults: dict[str, Any] = {"labels": LABELS, "preprocessing": SMALL, "train": True}
    return ClipDataset([clip_of(path) for path in paths], cache=cache, **(defaults | options))


@pytest.fixture
def cache(tmp_path: Path) -> ClipCache:
    return ClipCache(tmp_path / "cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips. Not to be changed."""
    folder = tmp_path_factory.mktemp("clips")
    write_video(folder / "noise.mp4", noise=True, num_frames=7)
    write_frames(folder / "frames", num_frames=6)
    smooth_frames(folder / "smooth")
    cut(write_video(folder / "bad.mp4", noise=True), 0.6)
    return folder


@pytest.mark.parametrize("name", ["noise.mp4", "frames"])
def test_frames_that_are_small_enough_come_back_as_they_are(cache: ClipCache, folder: Path, name: str) -> None:
    plain = open_clip(folder / name)
    for again in range(2):
        with cache.open(folder / name, short_side=53) as clip:
            assert isinstance(clip, CachedClip)
            assert (clip.num_frames, clip.path) == (plain.num_frames, folder / name)
            assert torch.equal(clip.read([4, 1, 1, 0]), plain.read([4, 1, 1, 0])), again
    (file,) = cached_files(cache)
    frames = np.load(file)
    assert frames.dtype == np.uint8
    assert torch.equal(torch.from_numpy(frames).permute(0, 3, 1, 2), plain.read(range(plain.num_frames)))


def test_larger_frames_are_scaled_down_once(cache: ClipCache, folder: Path) -> None:
    cache.open(folder / "smooth", short_side=30)
    assert np.load(cached_files(cache)[0]).shape == (5, 30, 50, 3)


def test_a_window_is_a_clip_of_its_own(cache: ClipCache, folder: Path) -> None:
    plain = open_clip(folder / "noise.mp4")
    part = cache.open(folder / "noise.mp4", window=(2, 3))
    assert part.num_frames == 3
    assert torch.equal(part.read([0, 2]), plain.read([2, 4]))
    assert cache.open(folder / "noise.mp4").num_frames == 7
    assert len(cached_files(cache)) == 2


@pytest.mark.parametrize("train", [True, False])
def test_crops_differ_little_from_those_of_the_full_frames(cache: ClipCache, folder: Path, train: bool) -> None:
    """On a picture without edges: the mean by less than 2 of 255, no pixel by more than 12."""
    given = Preprocessing(num_frames=3, size=48)
    plain = dataset_of(folder / "smooth", train=train, preprocessing=given)
    cached = dataset_of(folder / "smooth", train=train, preprocessing=given, cache=cache)
    for epoch in range(6):
        plain.set_epoch(epoch)
        cached.set_epoch(epoch)
        one, other = (dataset.collate([dataset[0]]).clips for dataset in (plain, cached))
        difference = (one.float() - other.float()).abs()
        assert float(difference.mean()) < 2
        assert float(difference.max()) <= 12
    assert np.load(cached_files(cache)[0]).shape[1] == given.smallest_side < 120


def test_small_clips_train_on_the_same_crops_exactly(cache: ClipCache, folder: Path) -> None:
    large = Preprocessing(num_frames=3, size=64)
    for train in (True, False):
        plain, cached = (
            dataset_of(folder / "noise.mp4", train=train, preprocessing=large, cache=use) for use in (None, cache)
        )
        one, other = plain[0], cached[0]
        assert isinstance(one, Sample)
        assert isinstance(other, Sample)
        assert torch.equal(one.clip, other.clip)


def test_only_the_first_time_is_the_clip_decoded(
    cache: ClipCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.open(folder / "noise.mp4")

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(av, "open", refuse)
    assert ClipCache(cache.folder).open(folder / "noise.mp4").read([3]).shape == (1, 3, 48, 64)


def test_a_changed_clip_is_decoded_anew(cache: ClipCache, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", num_frames=4)
    frames = write_frames(tmp_path / "frames", num_frames=4)
    for path in (video, frames):
        assert cache.open(path).num_frames == 4
    write_video(video, num_frames=5)
    write_frames(frames, num_frames=5)
    for path in (video, frames):
        assert cache.open(path).num_frames == 5
    before = os.stat(frames / "00002.jpg")
    os.utime(frames / "00002.jpg", ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    cache.open(frames)
    assert len(cached_files(cache)) == 5


def test_another_size_is_another_file(cache: ClipCache, folder: Path) -> None:
    cache.open(folder / "smooth", short_side=30)
    assert cache.open(folder / "smooth", short_side=20).read([0]).shape[-2:] == (20, 33)
    assert cache.open(folder / "smooth", short_side=30).read([0]).shape[-2:] == (30, 50)


def cut_off(content: bytes) -> bytes:
    return content[:-7]


def too_long(content: bytes) -> bytes:
    return content + b"x"


def empty(_: bytes) -> bytes:
    return b""


def no_array(content: bytes) -> bytes:
    return b"x" * len(content)


@pytest.mark.parametrize("damage", [cut_off, too_long, empty, no_array])
def test_a_file_that_is_not_whole_is_written_anew(cache: ClipCache, folder: Path, damage: Any) -> None:
    cache.open(folder / "frames")
    (file,) = cached_files(cache)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert cache.open(folder / "frames").read([5]).shape == (1, 3, 53, 37)
    assert file.read_bytes() == whole


def test_clips_that_cannot_be_read_are_not_kept_and_are_named_as_without(cache: ClipCache, folder: Path) -> None:
    names = ("bad.mp4", "gone.mp4")
    plain, cached = (dataset_of(*(folder / name for name in names), cache=use) for use in (None, cache))
    for index in range(2):
        assert isinstance(cached[index], BadClip)
        assert cached[index] == plain[index] == cached[index]
    assert everything_in(cache.folder) == []


def test_damage_in_a_frame_that_is_not_wanted_changes_nothing(cache: ClipCache, tmp_path: Path) -> None:
    frames = write_frames(tmp_path / "frames", num_frames=3)
    (frames / "00003.jpg").write_bytes(b"no jpeg")
    for _ in range(2):
        assert torch.equal(cache.open(frames).read([0, 1]), open_clip(frames).read([0, 1]))
    assert everything_in(cache.folder) == []


def test_two_at_once_write_the_same(cache: ClipCache, folder: Path) -> None:
    expected = open_clip(folder / "noise.mp4").read(range(7))
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(lambda: cache.open(folder / "noise.mp4").read(range(7))) for _ in range(8)]
    assert all(torch.equal(future.result(), expected) for future in found)
    assert everything_in(cache.folder) == cached_files(cache)
    assert len(cached_files(cache)) == 1


def test_no_file_is_read_with_pythons_parser(cache: ClipCache, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object, **__: object) -> None:
        raise SystemError("AST constructor recursion depth mismatch (before=51, after=47)")

    expected = cache.open(folder / "noise.mp4").read(range(7))
    with monkeypatch.context() as patched:
        patched.setattr(ast, "parse", busy)  # as Python 3.11's does at times while another thread parses
        found = cache.open(folder / "noise.mp4").read(range(7))
    assert torch.equal(found, expected)


def test_workers_share_it(cache: ClipCache, folder: Path) -> None:
    paths = [folder / name for name in ("noise.mp4", "frames", "smooth", "bad.mp4")] * 2
    batches = []
    for workers in (0, 2):
        loader = make_loader(dataset_of(*paths, cache=cache), batch_size=2, shuffle=False, workers=workers, seed=0)
        batches.append(list(loader))
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one.clips, other.clips)
        assert one.bad == other.bad
    assert len(cached_files(cache)) == 3


def test_what_it_holds_and_what_is_left_behind(cache: ClipCache, folder: Path) -> None:
    clips = [clip_of(folder / name) for name in ("noise.mp4", "frames")]
    assert cache.prepare(clips, decoder="pyav", short_side=None).num_clips == 0
    cache.open(folder / "noise.mp4")
    (kept,) = cached_files(cache)
    left, running = (cache.folder / "00" / f"{name}.part" for name in ("left", "running"))
    left.parent.mkdir(exist_ok=True)
    for file in (left, running):
        file.touch()
    os.utime(left, (0, 0))
    for suffix in ("npy", "part"):  # to a look at it, as a file that another run has just renamed
        (left.parent / f"gone.{suffix}").symlink_to("nowhere")
    held = cache.prepare(clips, decoder="pyav", short_side=None)
    assert (held.num_clips, held.num_bytes) == (1, kept.stat().st_size)
    assert not left.exists()
    assert running.exists()


def test_too_little_space_is_told_before_anything_is_written(tmp_path: Path, folder: Path) -> None:
    needed = 7 * 48 * 64 * 3
    clips = [clip_of(folder / "noise.mp4")] * 100
    message = (
        r"needs about 6\.5 MB more in .*cache, where 6\.5 MB may be used\. Nothing was written\. "
        r"Use a smaller --size, .*--cache disk --cache-folder FOLDER, or no cache with --cache none\."
    )
    cache = ClipCache(tmp_path / "cache", free=lambda _: 100 * needed - 1)
    with pytest.raises(CacheError, match=message):
        cache.prepare(clips, decoder="pyav", short_side=None)
    assert everything_in(cache.folder) == []
    ClipCache(tmp_path / "cache", free=lambda _: 100 * needed).prepare(clips, decoder="pyav", short_side=None)
    cache.open(folder / "noise.mp4")  # what is there already needs no more
    ClipCache(tmp_path / "cache", free=lambda _: 0).prepare(clips, decoder="pyav", short_side=None)


def test_space_that_runs_out_stops_before_the_clip_that_does_not_fit(tmp_path: Path, folder: Path) -> None:
    room = iter([10**9, 100])
    cache = ClipCache(tmp_path / "cache", free=lambda _: next(room))
    dataset = dataset_of(folder / "noise.mp4", folder / "frames", cache=cache)
    assert isinstance(dataset[0], Sample)
    with pytest.raises(CacheError, match=r"needs 0\.\d MB for the next clip, and 0\.0 MB may be used there\."):
        _ = dataset[1]
    assert everything_in(cache.folder) == cached_files(cache)
    assert len(cached_files(cache)) == 1


def test_a_disk_that_becomes_full_leaves_nothing_half_written(cache: ClipCache, folder: Path) -> None:
    with (
        files_of_at_most(30_000),
        pytest.raises(CacheError, match=r"is full \(File too large\)\. The clips that are in it stay\. Use a smaller"),
    ):
        cache.open(folder / "noise.mp4")
    assert everything_in(cache.folder) == []


def test_no_space_left(cache: ClipCache, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(out: io.BufferedWriter, *_: Any) -> None:
        out.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache_module, "_write", full)
    with pytest.raises(CacheError, match=r"is full \(No space left on device\)"):
        cache.open(folder / "noise.mp4")
    assert everything_in(cache.folder) == []


def nothing_free(_: Path) -> int:
    return 0


@pytest.mark.parametrize("workers", [0, 2])
def test_a_full_cache_ends_reading_with_one_message(tmp_path: Path, folder: Path, workers: int) -> None:
    cache = ClipCache(tmp_path / "cache", free=nothing_free)
    dataset = dataset_of(folder / "noise.mp4", folder / "frames", cache=cache)
    loader = make_loader(dataset, batch_size=1, shuffle=False, workers=workers, seed=0)
    with pytest.raises(CacheError) as caught:
        list(loader)
    assert "for the next clip" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match=r"The cache in .*file.cache cannot be written \(Not a directory\)\. Use"):
        ClipCache(tmp_path / "file" / "cache")


def test_some_space_is_kept_free(tmp_path: Path) -> None:
    import shutil

    assert free_space(tmp_path) < shutil.disk_usage(tmp_path).free
