"""Small real files: clips whose frame k is recognisable by its brightness."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image
from torch import Tensor

from m2a.data import ClipSet

SSV1 = "something-something-v1"
FRAMES = "20bn-something-something-v1"
PLAIN = {
    "libx264": "yuv420p",
    "libx265": "yuv420p",
    "libvpx-vp9": "yuv420p",
    "libvpx": "yuv420p",
    "mpeg4": "yuv420p",
    "mpeg2video": "yuv420p",
    "gif": "rgb8",
}


def brightness(k: int) -> int:
    """The grey of frame k, far enough from its neighbours' to survive compression."""
    return 20 + 8 * (k % 27)


def frames_of(clip: Tensor) -> list[int]:
    """Which frames a clip consists of, by their brightness."""
    return [round((float(value) - 20) / 8) for value in clip.float().mean(dim=(1, 2, 3))]


def write_video(
    path: Path,
    *,
    num_frames: int = 20,
    width: int = 64,
    height: int = 48,
    codec: str = "libx264",
    noise: bool = False,
    rotation: int = 0,
    bright_corner: bool = False,
    options: dict[str, str] | None = None,
    encoding: dict[str, str] | None = None,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=encoding or {})
        stream.width, stream.height = width, height
        odd = codec == "libx264" and (width % 2 or height % 2)
        stream.pix_fmt = "yuv444p" if odd else PLAIN[codec]
        if rotation:
            stream.set_display_rotation(rotation)
        for k in range(num_frames):
            pixels = np.full((height, width, 3), brightness(k), dtype=np.uint8)
            if noise:
                pixels = rng.integers(0, 256, pixels.shape, dtype=np.uint8)
            if bright_corner:
                pixels[: height // 2, : width // 2] = 250
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def ask_to_show(path: Path, a: float, b: float, c: float, d: float) -> Path:
    """The same .mp4, which asks players to show the pixel (x, y) at (ax + cy, bx + dy), up to a shift."""
    content = path.read_bytes()
    asked, as_it_is = (struct.pack(">9i", *_fixed_point(*four)) for four in ((a, b, c, d), (1, 0, 0, 1)))
    place = content.index(as_it_is, content.index(b"tkhd"))
    path.write_bytes(content[:place] + asked + content[place + len(asked) :])
    return path


def _fixed_point(a: float, b: float, c: float, d: float) -> list[int]:
    one = 1 << 16
    return [round(one * a), round(one * b), 0, round(one * c), round(one * d), 0, 0, 0, 1 << 30]


def trim(path: Path, *parts: tuple[int, int]) -> Path:
    """The same .mp4 of `write_video` with an edit list of these parts, each a first frame and a number of frames, as
    those have who trim without encoding again: all pictures stay in the file. Of several parts the index comes last."""
    content = bytearray(path.read_bytes())
    boxes, start, end = [], 0, len(content)
    for name in (b"moov", b"trak", b"edts", b"elst"):
        place = content.index(name, start, end) - 4
        boxes.append(place)
        start, end = place + 8, place + int.from_bytes(content[place : place + 4])
    first_time = int.from_bytes(content[start + 12 : start + 16])
    entries = [struct.pack(">iii", 40 * count, first_time + 512 * first, 1 << 16) for first, count in parts]
    content[start + 4 : end] = struct.pack(">i", len(parts)) + b"".join(entries)
    longer = start + 8 + 12 * len(parts) - end
    assert not longer or content.index(b"mdat") < boxes[0]  # pictures that move would not be found
    for place in boxes:
        content[place : place + 4] = struct.pack(">i", int.from_bytes(content[place : place + 4]) + longer)
    path.write_bytes(content)
    return path


def write_frames(folder: Path, *, num_frames: int = 12, width: int = 37, height: int = 53) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(num_frames):
        write_jpeg(folder / f"{k + 1:05d}.jpg", grey=brightness(k), width=width, height=height)
    return folder


def write_jpeg(path: Path, *, grey: int, width: int = 37, height: int = 53) -> None:
    Image.fromarray(np.full((height, width, 3), grey, dtype=np.uint8)).save(path, quality=95)


def cut(path: Path, fraction: float) -> Path:
    """The same file, ending early."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    return path


def write_ssv1(
    root: Path,
    *,
    labels: Sequence[str] = ("Moving something up", "Holding something", "Moving something down"),
    train: Sequence[str] = ("1;Holding something", "2;Moving something up", "30;Moving something down"),
    validation: Sequence[str] = ("4;Holding something",),
    absent: Sequence[str] = (),
) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / FRAMES).mkdir()
    for name, lines in (("labels", labels), ("train", train), ("validation", validation)):
        (root / f"{SSV1}-{name}.csv").write_text("\n".join(lines) + "\n")
    for line in (*train, *validation):
        clip_id = line.partition(";")[0]
        if clip_id and clip_id not in absent:
            write_frames(root / FRAMES / clip_id, num_frames=3)
    return root


def ids_of(clips: ClipSet, split: str) -> list[str]:
    """The ids of a split's clips, in order."""
    return [clip.id for clip in clips.split(split)]


def touch(*paths: Path) -> None:
    """Empty files: reading a list of clips opens none of them."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
