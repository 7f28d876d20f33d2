"""Videos that ask to be turned and mirrored, as phones write them, against what their matrix says of each pixel."""

from __future__ import annotations

import gc
from math import cos, radians, sin
from pathlib import Path

import av
import numpy as np
import pytest
from clip_files import ask_to_show, write_video
from PIL import Image
from torch import Tensor

from m2a.data import check_clips, open_clip, read_clips
from m2a.data.cache import ClipCache
from m2a.data.checking.facts import find_facts
from m2a.data.sharding import write_shards

Matrix = tuple[float, float, float, float]

GREYS = [[30, 90], [150, 210]]
SYMMETRIES: dict[str, tuple[Matrix, bool, int]] = {  # with whether it is mirrored left to right, and then turned
    "as it is": ((1, 0, 0, 1), False, 0),
    "90 degrees clockwise": ((0, 1, -1, 0), False, 270),
    "180 degrees": ((-1, 0, 0, -1), False, 180),
    "90 degrees counter-clockwise": ((0, -1, 1, 0), False, 90),
    "left to right": ((-1, 0, 0, 1), True, 0),
    "top to bottom": ((1, 0, 0, -1), True, 180),
    "along one diagonal": ((0, 1, 1, 0), True, 90),
    "along the other diagonal": ((0, -1, -1, 0), True, 270),
}


def write_quarters(path: Path, *, num_frames: int = 11) -> Path:
    """Each quarter of the picture has a grey of its own, which rises from frame to frame; every third is a key one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "3", "bf": "0", "qp": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(num_frames):
            pixels = np.repeat(np.array(GREYS, dtype=np.uint8) + 3 * k, 24, axis=0).repeat(32, axis=1)
            picture = np.stack([pixels] * 3, axis=-1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def shown(matrix: Matrix) -> list[list[int]]:
    """The quarters, each where the matrix puts it."""
    a, b, c, d = matrix
    places = {(a * x + c * y, b * x + d * y): GREYS[y][x] for y in (0, 1) for x in (0, 1)}
    rows = sorted({y for _, y in places})
    return [[places[x, y] for x in sorted({x for x, _ in places})] for y in rows]


def quarters(frame: Tensor, k: int) -> list[list[int]]:
    """The greys of frame k, as they are in frame 0."""
    height, width = frame.shape[1:]
    middles = frame.float().mean(0)[height // 4 :: height // 2, width // 4 :: width // 2]
    return [[30 + 60 * round((float(value) - 3 * k - 30) / 60) for value in row] for row in middles]


@pytest.mark.parametrize("name", SYMMETRIES)
def test_a_picture_lies_as_its_file_asks(tmp_path: Path, name: str) -> None:
    matrix, _, _ = SYMMETRIES[name]
    path = ask_to_show(write_quarters(tmp_path / "a.mp4"), *matrix)
    with open_clip(path) as clip:
        frames = clip.read([0, 10])
        jumped = clip.read([10])[0]
    assert frames.shape[2:] == ((48, 64) if matrix[0] else (64, 48))
    assert quarters(frames[0], 0) == quarters(frames[1], 10) == quarters(jumped, 10) == shown(matrix)


@pytest.mark.parametrize(("degrees", "matrix"), [(30, (1, 0, 0, 1)), (60, (0, 1, -1, 0)), (-130, (0, -1, 1, 0))])
def test_other_angles_go_to_the_nearest_quarter_turn(tmp_path: Path, degrees: int, matrix: Matrix) -> None:
    turn = radians(degrees)
    path = ask_to_show(write_quarters(tmp_path / "a.mp4"), cos(turn), sin(turn), -sin(turn), cos(turn))
    with open_clip(path) as clip:
        assert quarters(clip.read([0])[0], 0) == shown(matrix)


def test_a_matrix_that_says_nothing_changes_nothing(tmp_path: Path) -> None:
    path = ask_to_show(write_quarters(tmp_path / "a.mp4"), 0, 0, 0, 0)
    with open_clip(path) as clip:
        assert quarters(clip.read([0])[0], 0) == GREYS


def test_a_rotation_beside_what_pyav_has_no_name_for(tmp_path: Path) -> None:
    """JPEG pictures of a camera, with EXIF in each, which FFmpeg gives beside the matrix."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    pixels = np.repeat(np.array(GREYS, dtype=np.uint8), 24, axis=0).repeat(32, axis=1)
    Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(tmp_path / "a.jpg", quality=95, exif=exif)
    with av.open(str(tmp_path / "a.jpg")) as given, av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for packet in given.demux():
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    with open_clip(tmp_path / "a.mov") as clip:
        assert quarters(clip.read([0])[0], 0) == shown((0, 1, -1, 0))


@pytest.mark.parametrize("name", SYMMETRIES)
def test_the_check_says_how_a_picture_lies(tmp_path: Path, name: str) -> None:
    matrix, mirrored, degrees = SYMMETRIES[name]
    path = ask_to_show(write_quarters(tmp_path / "a.mp4"), *matrix)
    for quick in (False, True):
        facts = find_facts(path, quick=quick)
        assert (facts.mirrored, facts.rotation) == (mirrored, degrees)
        assert (facts.width, facts.height) == ((64, 48) if matrix[0] else (48, 64))


def test_cache_shards_and_check_agree(tmp_path: Path) -> None:
    matrix = SYMMETRIES["left to right"][0]
    root = tmp_path / "set"
    for name in ("open", "close"):
        for k in range(2):
            write_quarters(root / name / f"{k}.mp4", num_frames=3)
    selfie = ask_to_show(root / "open" / "0.mp4", *matrix)
    clips = read_clips(root)
    write_shards(clips, tmp_path / "shards")
    again = read_clips(tmp_path / "shards")
    packed = next(clip for members in again.splits.values() for clip in members if clip.id == "open/0.mp4")
    for opened in (open_clip(packed.path), ClipCache(tmp_path / "cache").open(selfie)):
        with opened as clip:
            assert quarters(clip.read([2])[0], 2) == shown(matrix)
    found = [finding for finding in check_clips(clips, workers=1).findings if finding.kind in ("mirrored", "rotated")]
    assert [(finding.kind, finding.clip) for finding in found] == [("mirrored", "open/0.mp4")]
    assert found[0].why == "a player mirrors it left to right, and so does m2a"


def test_frames_that_were_looked_at_are_not_kept(tmp_path: Path) -> None:
    """Without waiting for Python to look for cycles: a picture of 4K has 12 MB."""
    with open_clip(write_video(tmp_path / "a.mp4", rotation=90)) as clip:
        gc.collect()
        gc.disable()
        try:
            for _ in clip.stream(range(clip.num_frames)):
                pass
            kept = sum(isinstance(held, av.VideoFrame) for held in gc.get_objects())
        finally:
            gc.enable()
    assert kept <= 2 < clip.num_frames
