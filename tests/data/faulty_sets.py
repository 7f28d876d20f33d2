"""Sets with planted faults: real small files, each wrong in one way."""

from __future__ import annotations

import csv
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from clip_files import brightness, cut, write_frames, write_jpeg, write_video

NUM_FRAMES = 10


def good(path: Path, seed: int, *, codec: str = "libx264", rotation: int = 0, num_frames: int = NUM_FRAMES) -> Path:
    """A sound clip that is no copy of another: a square at a place of its own that moves."""
    return moving(path, seed, codec=codec, rotation=rotation, times=list(range(num_frames)))


def moving(
    path: Path,
    seed: int,
    *,
    times: list[int],
    codec: str = "libx264",
    rotation: int = 0,
    size: tuple[int, int] = (64, 48),
) -> Path:
    """Frames at `times` in 25ths of a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for k, time in enumerate(times):
            pixels = np.full((height, width, 3), 40 + 4 * seed, dtype=np.uint8)
            pixels[8 : 8 + 3 * (seed % 10 + 2), 4 * k : 4 * k + 8] = 240
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 25)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def write_black(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(NUM_FRAMES):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_still(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(NUM_FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 2048), dtype=np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        for packet in (*stream.encode(sound), *stream.encode()):
            container.mux(packet)
    return path


def damage_the_middle(path: Path) -> Path:
    """The same file with zeros in the middle of its pictures; its index stays whole."""
    content = bytearray(write_video(path, noise=True).read_bytes())
    third, start = len(content) // 3, content.index(b"mdat") + 4
    content[start + third : start + 2 * third] = bytes(third)
    path.write_bytes(content)
    return path


def plant(root: Path) -> dict[str, set[str]]:
    """Writes a set with one clip for each fault, among 32 sound ones, and returns which clips have which fault."""
    train, validation = root / "train", root / "validation"
    for k in range(13):
        good(train / "open" / f"{k}.mp4", k)
        good(train / "close" / f"{k}.mp4", 13 + k)
    for k in range(3):
        good(validation / "open" / f"{k}.mp4", 26 + k)
        good(validation / "close" / f"{k}.mp4", 29 + k)
    faults = train / "open"
    cut(write_video(faults / "cut.mp4", noise=True), 0.6)
    (faults / "empty.mp4").touch()
    (faults / "text.mp4").write_text("this is not a video " * 10)
    damage_the_middle(faults / "middle.mp4")
    write_sound(faults / "sound.mp4")
    moving(faults / "uneven.mp4", 7, times=[0, 1, 2, 3, 9, 10, 11, 20, 21, 22])
    good(faults / "phone.mp4", 8, rotation=90)
    good(faults / "short.mp4", 9, num_frames=3)
    good(faults / "other.avi", 10, codec="mpeg4")
    write_black(faults / "black.mp4")
    write_still(faults / "still.mp4")
    shutil.copy(train / "open" / "1.mp4", faults / "twice.mp4")
    shutil.copy(train / "open" / "2.mp4", validation / "open" / "leak.mp4")
    shutil.copy(train / "open" / "3.mp4", train / "close" / "wrong.mp4")
    _plant_frames(faults)
    (root / "elsewhere.txt").write_text("no clip")
    return {
        "truncated": {"train/open/cut.mp4", "train/open/frame cut"},
        "empty": {"train/open/empty.mp4"},
        "unreadable": {"train/open/text.mp4"},
        "damaged": {"train/open/middle.mp4"},
        "no picture": {"train/open/sound.mp4"},
        "frame sizes differ": {"train/open/sizes"},
        "uneven frame rate": {"train/open/uneven.mp4"},
        "rotated": {"train/open/phone.mp4"},
        "short": {"train/open/short.mp4"},
        "black": {"train/open/black.mp4"},
        "still": {"train/open/still.mp4"},
        "gap in the numbering": {"train/open/gap"},
        "copy": {"train/open/twice.mp4"},
        "copy across the split": {"train/open/2.mp4"},
        "copy with another label": {"train/open/3.mp4", "train/close/wrong.mp4"},
        "unusual codec": {"train/open/other.avi", "train/open/gap"},
        "unusual pixel format": {"train/open/gap"},
        "unusual frame size": {"train/open/phone.mp4", "train/open/gap"},
    }


def _plant_frames(folder: Path) -> None:
    write_frames(folder / "gap", num_frames=12)
    (folder / "gap" / "00005.jpg").unlink()
    write_frames(folder / "frame cut", num_frames=11)
    cut(folder / "frame cut" / "00009.jpg", 0.5)
    write_frames(folder / "sizes", num_frames=9)
    write_jpeg(folder / "sizes" / "00006.jpg", grey=brightness(6), width=41)


def write_csv(root: Path, rows: list[tuple[str, str, str]]) -> None:
    with (root / "split.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
