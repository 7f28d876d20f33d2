"""Data as people have it: neighbours, spellings, quotes, damage, covers and clips that vanish."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
from clip_files import write_jpeg, write_video
from layouts import Written, csv, csv_pair, hmdb51, mmaction2_videos, ucf101, write_text

from m2a.app.limits import Limits
from m2a.data import check_clips, open_clip, read_clips
from m2a.data.checking import duplicates
from m2a.data.skip_list import leave_out
from m2a.data.synthetic import synthesize
from m2a.errors import DataError, UnreadableClipError


def class_folders(root: Path, *labels: str, clips: int = 6) -> Path:
    """Copies of one video."""
    for label in labels or ("open", "close"):
        (root / label).mkdir(parents=True)
        for k in range(clips):
            (root / label / f"{k}.mp4").write_bytes(one_video())
    return root


@cache
def one_video() -> bytes:
    with TemporaryDirectory() as folder:
        return write_video(Path(folder) / "clip.mp4", num_frames=3, width=32, height=24).read_bytes()


def test_lists_of_another_set_beside_a_folder_are_not_its_own(tmp_path: Path) -> None:
    ucf101(tmp_path)
    mine = class_folders(tmp_path / "my-clips")
    found = read_clips(mine)
    assert (found.format, found.root, found.labels) == ("class-folders", mine, ("close", "open"))
    assert read_clips(tmp_path / "UCF-101").format == "ucf101"


def test_a_cover_does_not_make_a_class_a_clip(tmp_path: Path) -> None:
    """Else the lists above would be looked at, which are of frames in another folder."""
    mine = class_folders(tmp_path / "mine")
    for label in ("open", "close"):
        write_jpeg(mine / label / "cover.jpg", grey=9)
    for k in range(4):
        for frame in range(3):
            (tmp_path / "rgb" / f"clip{k}").mkdir(parents=True, exist_ok=True)
            write_jpeg(tmp_path / "rgb" / f"clip{k}" / f"img_{frame + 1:05d}.jpg", grey=9)
    write_text(tmp_path / "train.txt", *(f"clip{k} 3 {k % 2}" for k in range(4)))
    assert read_clips(mine).format == "class-folders"
    assert read_clips(tmp_path / "rgb").format == "tsn"


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        ("open/0.mp4 0", "./open/0.mp4 0"),
        ("open/0.mp4 0", "close/../open/0.mp4 0"),
        ("open/0.mp4 0", "{root}/open/0.mp4 0"),
    ],
)
def test_a_clip_that_is_listed_under_two_spellings(tmp_path: Path, train: str, validation: str) -> None:
    class_folders(tmp_path)
    write_text(tmp_path / "train.txt", train, "close/0.mp4 1", "close/1.mp4 1")
    write_text(tmp_path / "val.txt", validation.format(root=tmp_path), "close/2.mp4 1")
    with pytest.raises(DataError, match=r"val\.txt:1: clip .*0\.mp4 is listed already, at .*train\.txt:1; remove one"):
        read_clips(tmp_path)


@pytest.mark.parametrize("listed", [6, 4], ids=["lists of the same text", "of some of the same names"])
def test_splits_in_folders_of_their_own(tmp_path: Path, listed: int) -> None:
    """Their clips may have the same names."""
    for side in ("videos_train", "videos_val"):
        class_folders(tmp_path / side, clips=3)
    lines = [f"{label}/{k}.mp4 {number}" for number, label in enumerate(("open", "close")) for k in range(3)]
    write_text(tmp_path / "train.txt", *lines)
    write_text(tmp_path / "val.txt", *lines[:listed])
    clips = read_clips(tmp_path)
    found = {side: sorted(clip.id for clip in clips.split(side)) for side in ("train", "validation")}
    names = sorted(line.split()[0] for line in lines)
    assert found["train"] == [f"videos_train/{name}" for name in names]
    assert found["validation"] == sorted(f"videos_val/{line.split()[0]}" for line in lines[:listed])
    assert all((tmp_path / clip.id) == clip.path for side in found for clip in clips.split(side))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('open/2.mp4,"open', r"clips\.csv:4: .*quote"),
        ('"open/2.mp4,open', r"clips\.csv:4: .*quote"),
        ('open/2.mp4,"open"x', r"clips\.csv:4: not a line of csv"),
    ],
)
def test_a_quote_that_is_not_closed_swallows_no_clips(tmp_path: Path, line: str, told: str) -> None:
    class_folders(tmp_path, clips=4)
    rows = [f"open/{k}.mp4,open" for k in range(4)] + [f"close/{k}.mp4,close" for k in range(4)]
    rows[2] = line
    write_text(tmp_path / "clips.csv", "path,label", *rows)
    with pytest.raises(DataError, match=told):
        read_clips(tmp_path / "clips.csv")
    write_text(tmp_path / "clips.csv", "path,label", *rows[:3], *[row + '"' for row in rows[3:4]], *rows[4:])
    with pytest.raises(DataError, match=told):  # closed in another line
        read_clips(tmp_path / "clips.csv")


def test_a_label_with_a_comma_and_a_quote_is_read(tmp_path: Path) -> None:
    class_folders(tmp_path, clips=4)
    rows = [f'open/{k}.mp4,"open, ""wide"""' for k in range(4)] + [f"close/{k}.mp4,close" for k in range(4)]
    write_text(tmp_path / "clips.csv", "path,label", *rows)
    assert read_clips(tmp_path / "clips.csv").labels == ("close", 'open, "wide"')


@pytest.mark.parametrize("line", [f"{'x' * 300},1", f'"{"y" * 200_000}",1', "\0,1"], ids=["long", "huge", "zero"])
def test_another_csv_in_the_folder_is_left_alone(tmp_path: Path, line: str) -> None:
    class_folders(tmp_path)
    write_text(tmp_path / "notes.csv", line)
    assert read_clips(tmp_path).format == "class-folders"


@pytest.mark.parametrize("layout", [csv, csv_pair, hmdb51, mmaction2_videos], ids=lambda layout: layout.__name__)
def test_what_macos_leaves_beside_lists_is_none(tmp_path: Path, layout: Callable[[Path], Written]) -> None:
    """`._train.csv`, where a folder was copied to a disk of another kind: a header of bytes, or the same text again."""
    layout(tmp_path)
    before = read_clips(tmp_path)
    lists = [path for path in tmp_path.rglob("*") if path.suffix in (".csv", ".txt")]
    for content in (b"\0\5\x16\7\0\2\0\0Mac OS X        \0\2\0\xff\n", None):
        for path in lists:
            (path.parent / f"._{path.name}").write_bytes(path.read_bytes() if content is None else content)
        assert read_clips(tmp_path) == before


@pytest.mark.parametrize("side", [20_480, 65_280], ids=["a picture too large for Pillow", "one beyond memory"])
def test_a_damaged_header_that_names_a_huge_size(tmp_path: Path, side: int) -> None:
    for k in range(3):
        write_jpeg(tmp_path / f"{k + 1:05d}.jpg", grey=40)
    path = tmp_path / "00002.jpg"
    content = bytearray(path.read_bytes())
    place = content.index(b"\xff\xc0") + 5  # height and width, in the header of the frame
    content[place : place + 4] = side.to_bytes(2, "big") * 2
    path.write_bytes(content)
    with pytest.raises(UnreadableClipError, match="00002"):
        open_clip(tmp_path).read([0, 1, 2])
    with pytest.raises(UnreadableClipError, match="00002"):
        open_clip(tmp_path, short_side=24).read([0, 1, 2])


@pytest.mark.parametrize("share", [0.31, 0.5, 0.78])
def test_a_gif_that_is_cut_off_is_named(tmp_path: Path, share: float) -> None:
    path = write_video(tmp_path / "clip.gif", codec="gif", noise=True)
    whole = path.read_bytes()
    assert open_clip(path).num_frames == 20
    path.write_bytes(whole + b"\0\0")  # padded, as some write it
    assert open_clip(path).num_frames == 20
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UnreadableClipError, match="the file is cut off: only"):
        open_clip(path)


def test_the_cover_of_a_piece_of_music_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=44_100, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 64
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, dtype=np.uint8), format="rgb24")
        for packet in [*cover.encode(picture), *cover.encode()]:
            container.mux(packet)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        silence.sample_rate, silence.pts = 44_100, 0
        for packet in [*sound.encode(silence), *sound.encode()]:
            container.mux(packet)
    with pytest.raises(UnreadableClipError, match="there is no picture in the file, only: audio"):
        open_clip(path)


def test_a_cover_in_front_of_a_video_is_neither_read_nor_measured(tmp_path: Path) -> None:
    """By the page's limits either, which a huge video behind a small cover would pass."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        cover, video = container.add_stream("mjpeg", rate=1), container.add_stream("libx264", rate=25)
        cover.width = cover.height = 32
        cover.pix_fmt, cover.disposition = "yuvj420p", av.stream.Disposition.attached_pic
        video.width, video.height, video.pix_fmt = 4098, 2306, "yuv420p"
        for stream in (cover, video):
            pixels = np.full((stream.height, stream.width, 3), 90, dtype=np.uint8)
            for packet in [*stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")), *stream.encode()]:
                container.mux(packet)
    assert open_clip(path).read([0]).shape == (1, 3, 2306, 4098)
    with pytest.raises(DataError, match="4098"):
        Limits().check_clip("clip.mp4", path)


@pytest.fixture
def back_again() -> Iterator[None]:
    here = Path.cwd()
    yield
    os.chdir(here)


@pytest.mark.usefixtures("back_again")
def test_drawing_into_the_current_folder_leaves_one_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    os.chdir(folder)
    before = folder.stat().st_ino
    synthesize(
        Path(), layout="class-folders", num_train=4, num_validation=2, size=32, num_frames=5, workers=1, progress=False,
        classes=("Moving something up", "Moving something down"),
    )  # fmt: skip
    assert folder.stat().st_ino == before
    assert {"train", "validation", "synthetic.json"} <= set(os.listdir("."))
    assert len(read_clips(Path()).split("train")) == 4


def test_a_clip_that_vanishes_during_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After it was decoded, and before copies are looked for."""
    class_folders(tmp_path / "set")
    shutil.copy(tmp_path / "set" / "open" / "0.mp4", tmp_path / "set" / "close" / "9.mp4")
    look = duplicates.find_duplicates

    def later(*given: object) -> object:
        (tmp_path / "set" / "open" / "0.mp4").unlink()
        return look(*given)

    monkeypatch.setattr("m2a.data.checking.check.find_duplicates", later)
    report = check_clips(read_clips(tmp_path / "set"), workers=1, out=tmp_path / "out")
    assert (tmp_path / "out" / "skip.txt").is_file()
    about = [finding for finding in report.findings if finding.kind.startswith("copy")]
    assert about  # all clips are alike
    assert all(finding.clip != "open/0.mp4" and "as open/0.mp4" not in finding.why for finding in about)


def test_a_skip_list_names_clips_that_begin_with_a_space(tmp_path: Path) -> None:
    clips = read_clips(class_folders(tmp_path, " open", "close"))
    named = sorted(clip.id for clip in clips.split("train") if clip.label == " open")[0]
    (tmp_path / "skip.txt").write_bytes(f"# cut off\r\n{named}\r\n  close/1.mp4 \r\n".encode())
    kept, left = leave_out(clips, tmp_path / "skip.txt")
    assert {clip.clip.id for side in left.values() for clip in side} == {named, "close/1.mp4"}
    assert sum(map(len, kept.splits.values())) == 10
