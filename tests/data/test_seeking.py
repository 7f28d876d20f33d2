"""Only what is wanted is decoded: from key frame to key frame, with the frames that decoding everything gives."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from m2a.data import open_clip
from m2a.data.picture_index import PictureIndex
from m2a.data.video import VideoReader
from m2a.errors import UnreadableClipError

CODECS = [("a.mp4", "libx264", {}), ("a.mp4", "libx264", {"bf": "3"}), ("a.webm", "libvpx-vp9", {}),
          ("a.mkv", "libx265", {}), ("a.avi", "mpeg4", {}), ("a.ts", "libx264", {}),
          ("a.avi", "libx264", {"bf": "3", "x264-params": "open-gop=1:b-adapt=0"})]  # fmt: skip


def write(path: Path, codec: str, options: dict[str, str], *, num_frames: int = 97, every: int = 11) -> Path:
    """Frames of noise that moves, a key frame every so many."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64 + num_frames, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options | {"g": str(every)})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(num_frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(noise[:, k : k + 64]), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(("name", "codec", "options"), CODECS)
@pytest.mark.parametrize(
    "wanted", [[96], [0, 96], [3, 40, 41, 42, 90], list(range(0, 97, 13)), [10, 11, 12, 21, 22, 23]], ids=str
)
def test_the_frames_are_those_of_decoding_everything(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], wanted: list[int]
) -> None:
    with open_clip(write(tmp_path / name, codec, options)) as clip:
        assert isinstance(clip, VideoReader)
        frames = clip.read(wanted)
        whole = clip.read(range(clip.num_frames))
        assert torch.equal(frames, whole[wanted])


def test_frames_that_a_cut_made_undecodable_are_not_counted(tmp_path: Path) -> None:
    """A cut at a key frame leaves frames behind it that come before it in time, and are made from what was cut off."""
    options = {"bf": "3", "x265-params": "keyint=11:scenecut=0:b-adapt=0:log-level=0"}
    whole = write(tmp_path / "whole.mkv", "libx265", options)
    path, keys = tmp_path / "cut.mkv", 0
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            keys += packet.is_keyframe
            if packet.size and keys > 2:
                packet.stream = stream
                target.mux(packet)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    with open_clip(whole) as original, open_clip(path) as clip:
        assert 0 < clip.num_frames < len(packets)
        frames = clip.read(range(clip.num_frames))
        assert torch.equal(frames, original.read(range(97 - clip.num_frames, 97)))
        for index in range(clip.num_frames):
            assert torch.equal(clip.read([index])[0], frames[index])


def test_what_lies_between_is_not_decoded(tmp_path: Path) -> None:
    """A file damaged in the middle gives the frames of its end, but not those of its middle."""
    path = write(tmp_path / "a.mp4", "libx264", {"bf": "0"})
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    expected = {}
    with open_clip(path) as clip:
        expected = dict(zip([2, 93], clip.read([2, 93]), strict=True))
    content = bytearray(path.read_bytes())
    for packet in packets[45:54]:  # between the key frames 44 and 55
        assert packet.pos is not None
        content[packet.pos + 4 : packet.pos + packet.size] = bytes(packet.size - 4)
    path.write_bytes(content)
    with open_clip(path) as clip:
        got = dict(zip([2, 93], clip.read([2, 93]), strict=True))
        assert all(torch.equal(got[index], expected[index]) for index in (2, 93))
        with pytest.raises(UnreadableClipError):
            clip.read(range(97))


def test_where_times_do_not_tell_the_order_nothing_is_skipped() -> None:
    """Times of decoding in a file whose frames are shown in another order, as an .avi gives them."""
    packets = [(number, number % 12 == 0) for number in range(60)]
    assert PictureIndex.of(packets, reorders=True) is None
    assert PictureIndex.of(packets) is not None
    assert PictureIndex.of([(0, True), (2, False), (1, False)], reorders=True) is not None


def test_jumping_ends_where_frames_do_not_follow_each_other(tmp_path: Path) -> None:
    """Even if the decoder only finds out on the way that frames are shown in another order."""
    with open_clip(write(tmp_path / "a.avi", "libx264", {"bf": "3"})) as clip:
        assert isinstance(clip, VideoReader)
        assert clip._places is None
        whole = clip.read(range(97))
        clip._places = PictureIndex.of([(number + 1, number % 11 == 0) for number in range(97)])
        for index in (13, 50, 96):
            assert torch.equal(clip.read([index])[0], whole[index])


def test_where_jumping_pays() -> None:
    packets = [(10 * number, number % 20 == 0) for number in range(60)]
    index = PictureIndex.of(packets)
    assert index is not None
    assert index.number(170) == 17
    assert index.number(171) is None
    assert index.number(None) is None
    assert index.jump(0, 19) is None  # there is none but the first
    assert index.jump(0, 20) == 200
    assert index.jump(0, 59) == 400
    assert index.jump(13, 25) is None  # it saves 7 frames
    assert index.jump(41, 59) is None  # it would be back
    assert index.pays([0, 5, 45])
    assert not index.pays([0, 15, 30])
    assert not index.pays([])


@pytest.mark.parametrize("packets", [[(0, True), (None, False)], [(0, True), (10, False), (10, False)]])
def test_files_whose_times_do_not_tell(packets: list[tuple[int | None, bool]]) -> None:
    assert PictureIndex.of(packets) is None
