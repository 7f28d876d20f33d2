"""The same frames whatever decodes them, and JPEG frames that are decoded no larger than they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from clip_files import frames_of, write_video
from PIL import Image

from m2a.data import ClipDataset, ClipFile, Preprocessing, open_clip, read_clip
from m2a.data.torchcodec_video import TorchcodecReader, torchcodec_problem
from m2a.data.video import VideoReader
from m2a.errors import ConfigError, UnreadableClipError

with_torchcodec = pytest.mark.skipif(bool(torchcodec_problem()), reason=f"torchcodec: {torchcodec_problem()}")
CODECS = [
    ("a.mp4", "libx264", 0), ("a.mp4", "libx265", 0), ("a.webm", "libvpx-vp9", 0), ("a.avi", "mpeg4", 0),
    ("a.mp4", "libx264", 90), ("a.mp4", "libx264", 180),
]  # fmt: skip


@with_torchcodec
@pytest.mark.parametrize(("name", "codec", "rotation"), CODECS)
def test_torchcodec_gives_the_frames_that_pyav_gives(tmp_path: Path, name: str, codec: str, rotation: int) -> None:
    path = write_video(tmp_path / name, codec=codec, rotation=rotation, bright_corner=True, num_frames=23)
    wanted = [0, 2, 2, 11, 22]
    with open_clip(path) as one, open_clip(path, decoder="torchcodec") as other:
        assert isinstance(one, VideoReader)
        assert isinstance(other, TorchcodecReader)
        assert one.num_frames == other.num_frames == 23
        assert one.frame_rate == pytest.approx(other.frame_rate)
        ours, theirs = one.read(wanted), other.read(wanted)
        assert ours.shape == theirs.shape
        assert int((ours.int() - theirs.int()).abs().max()) <= 3
        streamed = dict(other.stream([3, 17]))
        torch.testing.assert_close(streamed[17].int(), other.read([17])[0].int())


@pytest.mark.parametrize("decoder", ["pyav", pytest.param("torchcodec", marks=with_torchcodec)])
@pytest.mark.parametrize("name", ["12:30.mp4", "concat:q.mp4", "file:q.mp4", "https:/q.mp4"])
def test_a_name_with_a_colon_is_no_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, decoder: Literal["pyav", "torchcodec"]
) -> None:
    """As one names a video in the folder that one is in."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    write_video(tmp_path / "a.mp4").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with open_clip(Path(name), decoder=decoder) as clip:
        assert frames_of(clip.read([3, 7])) == [3, 7]


@with_torchcodec
def test_a_damaged_file_is_named_by_torchcodec_too(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noise=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(UnreadableClipError, match="cut off"):
        read_clip(path, lambda total: [0], decoder="torchcodec")


def test_auto_is_torchcodec_where_it_decodes_and_else_pyav(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    with open_clip(path, decoder="auto") as clip:
        assert isinstance(clip, VideoReader if torchcodec_problem() else TorchcodecReader)
        assert frames_of(clip.read([3, 7])) == [3, 7]


@pytest.mark.skipif(not torchcodec_problem(), reason="torchcodec decodes here")
def test_torchcodec_that_cannot_decode_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    clip = ClipFile(id="a", path=tmp_path / "gone.mp4", label="x")
    with pytest.raises(ConfigError, match=r"decoder=torchcodec was asked for, but it cannot .* decoder=pyav"):
        ClipDataset([clip], labels=["x"], preprocessing=Preprocessing(), train=False, decoder="torchcodec")


@pytest.mark.usefixtures("as_users_run_it")
def test_a_decoder_that_there_is_none_of() -> None:
    with pytest.raises(ConfigError, match=r"decoder='decord' is not one of: pyav, torchcodec, auto"):
        ClipDataset([], labels=["x"], preprocessing=Preprocessing(), train=False, decoder="decord")


def write_gradient(folder: Path, width: int, height: int) -> Path:
    """A frame that is smooth, so that its size changes no colour."""
    folder.mkdir()
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    pixels = np.stack([across, down, 255 - across], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "00001.jpg", quality=95)
    return folder


@pytest.mark.parametrize(
    ("short_side", "expected"),
    [(None, (480, 640)), (241, (480, 640)), (240, (240, 320)), (60, (60, 80)), (7, (60, 80))],
)
def test_large_jpegs_are_decoded_at_a_fraction_of_their_size(
    tmp_path: Path, short_side: int | None, expected: tuple[int, int]
) -> None:
    folder = write_gradient(tmp_path / "clip", 640, 480)
    frame = read_clip(folder, lambda total: [0], short_side=short_side)
    assert tuple(frame.shape[-2:]) == expected


def test_a_smaller_decode_changes_what_a_model_sees_by_little(tmp_path: Path) -> None:
    folder = write_gradient(tmp_path / "clip", 640, 480)
    given = Preprocessing(num_frames=1, size=48)
    assert given.smallest_side == 73  # 48 / 0.66
    whole = given.test_transform(read_clip(folder, given.sample_test))
    small = given.test_transform(read_clip(folder, given.sample_test, short_side=given.smallest_side))
    assert int((whole.int() - small.int()).abs().max()) <= 4
    dataset = ClipDataset([ClipFile(id="a", path=folder, label="x")], labels=["x"], preprocessing=given, train=False)
    assert torch.equal(dataset[0].clip, small)
