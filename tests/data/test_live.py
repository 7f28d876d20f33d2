"""A source that goes on: what comes through a pipe or from a server, as it comes."""

from __future__ import annotations

import http.server
import io
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from m2a.data import LiveVideo
from m2a.errors import ConfigError, DataError, NotFoundError

HEIGHT, WIDTH, RATE = 48, 64, 10


def film(frames: int) -> list[bytes]:
    """MPEG transport, a part for each frame; each is one grey, brighter than the one before."""
    out, parts, done = io.BytesIO(), [], 0
    with av.open(out, "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.max_b_frames = WIDTH, HEIGHT, "yuv420p", 0
        stream.codec_context.gop_size = 1
        for number in range(frames):
            grey = np.full((HEIGHT, WIDTH, 3), min(40 + 20 * number, 255), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            parts.append(out.getvalue()[done:])
            done += len(parts[-1])
        container.mux(stream.encode(None))
    return [*parts, out.getvalue()[done:]]


@contextmanager
def pipe(folder: Path, parts: Iterable[bytes]) -> Iterator[Path]:
    """A named pipe that a thread writes into."""
    path = folder / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with suppress(BrokenPipeError), path.open("wb", buffering=0) as file:
            for part in parts:
                file.write(part)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    yield path
    writer.join(10)
    assert not writer.is_alive()


def test_frames_come_with_their_times_until_the_source_ends(tmp_path: Path) -> None:
    with pipe(tmp_path, film(9)) as path, LiveVideo(str(path), timeout=20.0) as video:
        times, pixels = zip(*((frame.time, frame.pixels()) for frame in video), strict=True)
    assert video.num_damaged == 0
    assert {tuple(one.shape) for one in pixels} == {(3, HEIGHT, WIDTH)}
    assert list(times) == sorted(set(times))
    greys = [float(one.float().mean()) for one in pixels]
    for time, grey in zip(times, greys, strict=True):  # each with its own time
        assert grey - greys[0] == pytest.approx(20 * RATE * (time - times[0]), abs=6)
    assert greys[-1] == pytest.approx(40 + 20 * 8, abs=6)


def test_who_is_slow_gets_the_newest(tmp_path: Path) -> None:
    with pipe(tmp_path, film(9)) as path, LiveVideo(str(path), timeout=20.0) as video:
        found = []
        for frame in video:
            found.append(float(frame.pixels().float().mean()))
            with video._changed:  # until all others have come
                assert video._changed.wait_for(lambda: video._has_ended, 20)
    assert len(found) <= 2
    assert found[-1] == pytest.approx(200, abs=6)


def test_from_a_server(tmp_path: Path) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    (tmp_path / "film.ts").write_bytes(b"".join(film(5)))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        with LiveVideo(f"{address}/film.ts") as video:
            assert [frame.pixels().shape for frame in video][-1] == (3, HEIGHT, WIDTH)
        with pytest.raises(DataError, match=r"http://127\.0\.0\.1:\d+/other\.ts: .*Not Found.*open to this machine\?"):
            read(f"{address}/other.ts")
    finally:
        server.shutdown()
        server.server_close()


def jpeg(grey: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (grey, grey, grey)).save(out, "JPEG")
    return out.getvalue()


def read(source: str, **options: Any) -> list[float]:
    with LiveVideo(source, **options) as video:
        return [frame.time for frame in video]


def test_pictures_one_after_the_other_have_the_times_at_which_they_came() -> None:
    """As cameras in a network give them; FFmpeg would make up 25 a second."""
    gone = threading.Event()

    class Camera(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                while not gone.wait(0.2):
                    picture = jpeg(100)
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                    self.wfile.write(head.encode() + picture + b"\r\n")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with LiveVideo(f"http://user:secret@127.0.0.1:{server.server_port}/", keep=9) as video:
            assert "secret" not in video.name
            first, *_, last = (frame.time for frame, _ in zip(video, range(6), strict=False))
        assert last - first > 0.5  # five steps of 0.2 s, of which the first may have come while FFmpeg looked
    finally:
        gone.set()
        server.shutdown()
        server.server_close()


def test_where_nothing_comes(tmp_path: Path) -> None:
    gone = threading.Event()
    with pipe(tmp_path, (b"" for _ in range(1) if gone.wait(10))) as path:
        with pytest.raises(DataError, match=r"pipe: no frame came within 0\.3 s\. Is it there"):
            read(str(path), timeout=0.3)
        gone.set()


def test_where_no_more_comes(tmp_path: Path) -> None:
    """What was there before is had."""
    gone, found = threading.Event(), []

    def look(path: Path) -> None:
        with LiveVideo(str(path), timeout=2.0) as video:
            for frame in video:
                found.append(frame.time)

    parts = film(90)  # FFmpeg reads some seconds ahead to see what the source is
    with pipe(tmp_path, (part for number, part in enumerate(parts) if number < 80 or gone.wait(20))) as path:
        with pytest.raises(DataError, match=r"no further frame came within 2 s"):
            look(path)
        gone.set()
    assert found


@pytest.mark.parametrize("content", [b"", b"no video" * 999])
def test_what_is_no_video(tmp_path: Path, content: bytes) -> None:
    with pipe(tmp_path, [bytes(content)]) as path, pytest.raises(DataError, match=r"pipe: "):
        read(str(path))


def test_damaged_frames_are_passed_over(tmp_path: Path) -> None:
    """Of pictures one after the other, as cameras in a network give them, one is none."""
    parts = []
    for number in range(9):
        parts.append(jpeg(40 + 20 * number))
    size = parts[4].index(b"\xff\xc0") + 5
    parts[4] = parts[4][:size] + bytes(4) + parts[4][size + 4 :]  # 0 x 0 pixels
    with pipe(tmp_path, parts) as path, LiveVideo(str(path), input_format="mjpeg") as video:
        found = [frame.pixels() for frame in video]
    assert float(found[-1].float().mean()) == pytest.approx(200, abs=6)
    assert video.num_damaged == 1


def test_what_does_not_go_on(tmp_path: Path) -> None:
    (tmp_path / "film.ts").write_bytes(b"".join(film(2)))
    with pytest.raises(ConfigError, match=r"film\.ts lies on a disk.*m2a predict, with --sliding or --stream"):
        LiveVideo(str(tmp_path / "film.ts"))
    for source, how in ((str(tmp_path), None), (f"file://{tmp_path}/film.ts", None), (f"{tmp_path}/film.ts", "mpegts")):
        with pytest.raises(ConfigError, match="lies on a disk"):
            LiveVideo(source, input_format=how)
    with pytest.raises(ConfigError, match=r"The source has no name\. Give a URL"):
        LiveVideo("")
    with pytest.raises(NotFoundError, match=r"There is no nothing\. Give a URL such as rtsp://"):
        LiveVideo("nothing")
    with pytest.raises(ConfigError, match=r"timeout=.* must be a number of seconds above 0"):
        LiveVideo("rtsp://camera", timeout=0.0)
    with pytest.raises(ConfigError, match=r"timeout=.* must be a number of seconds above 0"):
        LiveVideo("rtsp://camera", timeout=1e12)
