from __future__ import annotations

import contextlib
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clip_files import brightness, cut, frames_of, write_frames, write_jpeg, write_video
from PIL import Image

from m2a.data import find_clips, open_clip, read_clip
from m2a.data.frame_folder import FrameFolder
from m2a.data.matroska import segment_end
from m2a.errors import DataError, UnreadableClipError


def first_frames(total: int) -> list[int]:
    return list(range(min(total, 8)))


@pytest.mark.parametrize("indices", [[0], [19], [0, 1, 2], [3, 3, 17, 5], [19, 0, 7, 7, 11]])
def test_the_frames_read_are_the_ones_asked_for(grey_video: Path, indices: list[int]) -> None:
    with open_clip(grey_video) as clip:
        assert clip.num_frames == 20
        pixels = clip.read(indices)
    assert pixels.shape == (len(indices), 3, 48, 64)
    assert pixels.dtype == torch.uint8
    assert frames_of(pixels) == indices


def test_reading_twice_gives_the_same(grey_video: Path) -> None:
    with open_clip(grey_video) as clip:
        assert torch.equal(clip.read([5, 6]), clip.read([5, 6]))


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mkv", "libx264"),
        ("a.mp4", "libx265"),
        ("a.mov", "libx265"),
        ("a.webm", "libvpx-vp9"),
        ("b.webm", "libvpx"),
        ("a.avi", "mpeg4"),
        ("a.gif", "gif"),
        ("a.3gp", "mpeg4"),
        ("a.3g2", "libx264"),
        ("a.ts", "libx264"),
        ("a.MTS", "libx264"),
        ("a.m2ts", "libx264"),
        ("a.flv", "libx264"),
        ("a.ogv", "libvpx"),
        ("a.asf", "mpeg4"),
        ("a.vob", "mpeg2video"),
    ],
)
def test_other_formats_are_exact_too(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, codec=codec, num_frames=11)
    assert find_clips(tmp_path) == [path]
    with open_clip(path) as clip:
        assert clip.num_frames == 11
        assert clip.read([10, 2]).shape == (2, 3, 48, 64)
        if codec != "gif":  # whose palette has few greys
            assert frames_of(clip.read([10, 2, 2, 7])) == [10, 2, 2, 7]


def test_odd_sizes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "odd.mp4", width=37, height=53, num_frames=5)
    assert read_clip(path, first_frames).shape == (5, 3, 53, 37)


@pytest.mark.parametrize(("degrees", "corner"), [(90, "bottom left"), (-90, "top right"), (180, "bottom right")])
def test_the_rotation_a_phone_wrote_is_applied(tmp_path: Path, degrees: int, corner: str) -> None:
    path = write_video(tmp_path / "phone.mp4", rotation=degrees, bright_corner=True, num_frames=2)
    frame = read_clip(path, first_frames)[0].float().mean(dim=0)
    assert frame.shape == ((48, 64) if degrees == 180 else (64, 48))
    height, width = frame.shape
    means = {
        f"{v} {h}": float(frame[y : y + height // 2, x : x + width // 2].mean())
        for v, y in (("top", 0), ("bottom", height // 2))
        for h, x in (("left", 0), ("right", width // 2))
    }
    assert max(means, key=lambda place: means[place]) == corner


def test_frames_are_sorted_by_number(tmp_path: Path) -> None:
    for k in (2, 10, 1):
        write_jpeg(tmp_path / f"img_{k}.jpg", grey=brightness(k))
    (tmp_path / "notes.txt").write_text("not a frame")
    assert frames_of(read_clip(tmp_path, first_frames)) == [1, 2, 10]


def test_only_the_frames_wanted_are_read(tmp_path: Path) -> None:
    write_frames(tmp_path, num_frames=5)
    cut(tmp_path / "00002.jpg", 0.5)
    assert frames_of(read_clip(tmp_path, lambda total: [0, 4, 4])) == [0, 4, 4]


def test_both_kinds_lie_in_memory_as_rows_of_pixels(tmp_path: Path, grey_video: Path) -> None:
    for clip in (read_clip(grey_video, first_frames), read_clip(write_frames(tmp_path / "f"), first_frames)):
        assert clip.is_contiguous(memory_format=torch.channels_last)


def cut_between_frames(path: Path, *, frames: int) -> Path:
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: places[frames]])
    return path


def damaged(folder: Path, kind: str) -> Path:
    """A file or folder that cannot be read, by the kind of damage."""
    folder.mkdir(exist_ok=True)
    path = folder / "clip.mp4"
    if kind == "no index":
        return cut(write_video(path, noise=True), 0.6)
    if kind == "index first":
        return cut(write_video(path, noise=True, options={"movflags": "faststart"}), 0.6)
    if kind == "webm":
        return cut(write_video(folder / "clip.webm", codec="libvpx-vp9", noise=True), 0.4)
    if kind == "avi":
        return cut(write_video(folder / "clip.avi", codec="mpeg4", noise=True), 0.6)
    if kind == "flv":
        return cut_between_frames(write_video(folder / "clip.flv", noise=True), frames=11)
    if kind == "gif":
        return cut(write_video(folder / "clip.gif", codec="gif", noise=True), 0.5)
    if kind == "text":
        path.write_text("hello " * 100)
    if kind == "empty file":
        path.touch()
    if kind == "missing":
        return folder / "nothing.mp4"
    if kind == "empty folder":
        path.mkdir()
    if kind in ("jpeg cut", "jpeg cut early", "jpeg text", "jpeg empty", "sizes"):
        write_frames(path, num_frames=5)
        frame = path / "00003.jpg"
        if kind.startswith("jpeg cut"):
            cut(frame, 0.3 if kind.endswith("early") else 0.95)
        elif kind == "sizes":
            write_jpeg(frame, grey=0, width=41)
        else:
            frame.write_text("hello" if kind == "jpeg text" else "")
    return path


DAMAGES = {
    "no index": r"clip\.mp4: the file is cut off: its index, which is written last, is missing; copy or download it",
    "index first": r"clip\.mp4: the file is cut off: only \d+ of 20 frames are in it",
    "webm": r"clip\.webm: the file is cut off: it ends after 0\.\d+ of 0\.80 seconds, with \d+ frames",
    "flv": r"clip\.flv: the file is cut off: it ends after 0\.\d+ of 0\.\d+ seconds, with 11 frames",
    "gif": r"clip\.gif: the file is cut off: only \d+ frames are in it",
    "avi": r"clip\.avi: the file is cut off: only \d+ of 20 frames are in it",
    "text": r"clip\.mp4: this is not a video, or its start is damaged \(it begins with b'hello hello '\)",
    "empty file": r"clip\.mp4: the file is empty \(0 bytes\)",
    "missing": r"nothing\.mp4: there is no such file or folder",
    "empty folder": r"clip\.mp4: there is no \.jpg file in the folder",
    "jpeg cut": r"clip\.mp4: the frame 00003\.jpg is cut off",
    "jpeg cut early": r"clip\.mp4: the frame 00003\.jpg is cut off",
    "jpeg text": r"clip\.mp4: the frame 00003\.jpg is not a JPEG image",
    "jpeg empty": r"clip\.mp4: the frame 00003\.jpg is empty \(0 bytes\)",
    "sizes": r"its frames differ in size \(37x53 at frame 0, 41x53 at frame 2\); all must have the same",
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_clip_says_what_is_wrong(tmp_path: Path, kind: str) -> None:
    path = damaged(tmp_path, kind)
    with pytest.raises(UnreadableClipError, match=DAMAGES[kind]) as caught:
        read_clip(path, first_frames)
    assert caught.value.path == path
    assert "\n" not in caught.value.reason
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.path, again.reason) == (path, caught.value.reason)


@pytest.mark.parametrize("behind", [b"", b"\n", b"\r\n", bytes(7)])
def test_what_stands_behind_the_end_of_a_gif_does_not_matter(tmp_path: Path, behind: bytes) -> None:
    path = write_video(tmp_path / "a.gif", codec="gif")
    path.write_bytes(path.read_bytes() + behind)
    assert open_clip(path).num_frames == 20


def test_a_whole_flv(tmp_path: Path) -> None:
    assert open_clip(write_video(tmp_path / "a.flv")).num_frames == 20


@pytest.mark.parametrize("share", [0.91, 0.99])
@pytest.mark.parametrize(("name", "codec"), [("a.webm", "libvpx-vp9"), ("a.mkv", "libx264")])
def test_a_matroska_file_that_lacks_a_little(tmp_path: Path, name: str, codec: str, share: float) -> None:
    """Its times alone do not tell: a tenth of a second may lack behind the last frame."""
    path = write_video(tmp_path / name, codec=codec, noise=True)
    size = path.stat().st_size
    assert segment_end(path) == size
    cut(path, share)
    with pytest.raises(UnreadableClipError, match=rf"cut off: {int(share * size)} of {size} bytes are there, with \d+"):
        open_clip(path)


def test_a_matroska_file_that_does_not_say_where_it_ends(tmp_path: Path) -> None:
    """A recording that is sent while it is made."""
    path = write_video(tmp_path / "a.webm", codec="libvpx-vp9", options={"live": "1"})
    assert segment_end(path) is None
    assert open_clip(path).num_frames == 20


@pytest.mark.parametrize("content", [b"", b"\x1a", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x80\x00", b"RIFF" * 9])
def test_what_is_no_matroska_file_has_no_such_end(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.webm").write_bytes(content)
    assert segment_end(tmp_path / "a.webm") is None


def test_damage_inside_a_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", noise=True)
    content = bytearray(path.read_bytes())
    third = len(content) // 3  # as many bytes out as in, whatever the length: nothing after them may move
    start = content.index(b"mdat") + 4 + third
    content[start : start + third] = bytes(third)
    path.write_bytes(content)
    with pytest.raises(UnreadableClipError, match=r"of 20 frames|is damaged"):
        read_clip(path, lambda total: [total - 1])


def test_a_file_with_sound_alone(tmp_path: Path) -> None:
    import av
    import numpy as np

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 2048), dtype=np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        for packet in (*stream.encode(sound), *stream.encode()):
            container.mux(packet)
    with pytest.raises(UnreadableClipError, match="no picture in the file, only: audio"):
        open_clip(path)


@pytest.mark.parametrize("indices", [[], [-1], [0, 20]])
def test_frames_outside_the_clip(grey_video: Path, indices: list[int]) -> None:
    expected = re.escape(f"frames {indices} were asked of {grey_video}, which has 20 frames; ask for at least one")
    with open_clip(grey_video) as clip, pytest.raises(DataError, match=expected):
        clip.read(indices)


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for kind in ("no index", "index first", "text"):
        with contextlib.suppress(UnreadableClipError):
            read_clip(damaged(tmp_path / kind, kind), first_frames)
    assert capfd.readouterr() == ("", "")


def test_a_frame_that_disappears(tmp_path: Path) -> None:
    write_frames(tmp_path, num_frames=3)
    clip = open_clip(tmp_path)
    (tmp_path / "00002.jpg").unlink()
    with pytest.raises(UnreadableClipError, match=r"the frame 00002\.jpg has disappeared"):
        clip.read([1])


def test_grey_jpegs_become_three_channels(tmp_path: Path) -> None:
    Image.new("L", (11, 7), color=brightness(3)).save(tmp_path / "1.jpg")
    clip = read_clip(tmp_path, first_frames)
    assert clip.shape == (1, 3, 7, 11)
    assert frames_of(clip) == [3]


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("short_side", [None, 17])
def test_jpegs_have_the_pixels_that_pillow_decodes(tmp_path: Path, subsampling: str, short_side: int | None) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1.jpg", quality=80, subsampling=subsampling)
    with Image.open(tmp_path / "1.jpg") as image:
        if short_side is not None:
            image.draft("RGB", (26, 18))
        expected = np.array(image.convert("RGB"))
    with FrameFolder(tmp_path, short_side=short_side) as clip:
        frame = clip.read([0])[0]
    assert frame.shape[1:] == ((37, 53) if short_side is None else (19, 27))
    assert np.array_equal(frame.permute(1, 2, 0).numpy(), expected)


def test_jpegs_of_four_inks_are_read(tmp_path: Path) -> None:
    image = Image.new("CMYK", (53, 37), (0, 200, 100, 20))
    image.save(tmp_path / "1.jpg", quality=95)
    with FrameFolder(tmp_path) as clip:
        frame = clip.read([0])[0]
    with Image.open(tmp_path / "1.jpg") as opened:
        expected = np.array(opened.convert("RGB"))
    difference = np.abs(frame.permute(1, 2, 0).numpy().astype(int) - expected)
    assert difference.max() <= 1  # the conversion to RGB is rounded otherwise


def test_a_jpeg_with_stray_bytes_is_read(tmp_path: Path) -> None:
    """Bytes between segments, which some cameras write, damage no picture."""
    write_jpeg(tmp_path / "1.jpg", grey=brightness(3))
    content = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "2.jpg").write_bytes(content[:20] + b"\0\0\0" + content[20:])
    with FrameFolder(tmp_path) as clip:
        assert torch.equal(*clip.read([0, 1]))


def test_a_part_of_a_frame(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "clip", num_frames=3)
    with FrameFolder(folder) as clip:
        whole = clip.read([2, 0])
        part = clip.read([2, 0], crop=lambda height, width: (5, 7, height - 11, width - 13))
    assert torch.equal(part, whole[..., 5:-6, 7:-6])


def with_zeros(frame: Path) -> None:
    """As a disk leaves a file whose end was not written."""
    content = frame.read_bytes()
    frame.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


def with_a_wrong_sector(frame: Path) -> None:
    content = frame.read_bytes()
    frame.write_bytes(content[:900] + b"\xfe" * 512 + content[1412:])


def noisy(frame: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (53, 37, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(frame, quality=90)
    return frame


@pytest.mark.parametrize("damage", [with_zeros, with_a_wrong_sector])
def test_a_frame_that_is_damaged_is_not_shown_as_it_is(damage: Callable[[Path], None], tmp_path: Path) -> None:
    """Pillow says nothing of what libjpeg warns of, and makes the rest of the picture grey."""
    folder = write_frames(tmp_path / "clip", num_frames=3)
    damage(noisy(folder / "00002.jpg"))
    with pytest.raises(UnreadableClipError, match=r"the frame 00002\.jpg is (?:cut off or )?damaged"):
        read_clip(folder, lambda total: [1])


@pytest.mark.parametrize("end", [b"", b"\0" * 20 + b"\xff\xd9"])
def test_a_frame_that_lacks_its_end_mark_alone_or_has_a_few_bytes_more_is_whole(end: bytes, tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "clip", num_frames=3)
    expected = read_clip(folder, lambda total: [1])
    frame = folder / "00002.jpg"
    frame.write_bytes(frame.read_bytes()[:-2] + end)
    assert torch.equal(read_clip(folder, lambda total: [1]), expected)


def test_an_avi_that_is_cut_between_frames_is_cut_off(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", codec="mpeg4", noise=True)
    whole = open_clip(path)
    cut_between_frames(path, frames=11)
    with pytest.raises(UnreadableClipError, match=r"cut off: .* of .* bytes are there, with 11 frames"):
        open_clip(path)
    assert whole.num_frames == 20


def test_an_avi_without_its_index_or_with_a_wrong_length_is_whole(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", codec="mpeg4", noise=True)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"idx1")])
    assert open_clip(path).num_frames == 20
    path.write_bytes(content[:4] + (len(content) + 2048).to_bytes(4, "little") + content[8:])
    assert open_clip(path).num_frames == 20


def test_a_progressive_frame_that_is_cut_off_is_found(tmp_path: Path) -> None:
    """Wherever: a cut may fall between two of its scans."""
    folder = write_frames(tmp_path / "clip", num_frames=3)
    frame = folder / "00002.jpg"
    Image.open(noisy(frame)).save(frame, progressive=True)
    content = frame.read_bytes()
    for end in range(700, len(content) - 2, 7):
        frame.write_bytes(content[:end])
        with pytest.raises(UnreadableClipError):
            read_clip(folder, lambda total: [1])
