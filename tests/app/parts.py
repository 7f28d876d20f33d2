"""Small models, small clips, and the page's server as a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import numpy as np
import torch

from m2a.models import VideoClassifier, create_model

LABELS = ("Moving something up", "Moving something down", "Holding something")
PATIENCE = 180  # seconds in which anything must have happened: a bound for broken code, not a measurement
_PIXELS = {"libx264": "yuv420p", "libvpx": "yuv420p", "mpeg4": "yuv420p", "gif": "rgb8"}


def tiny_model(mechanism: str = "m2a", labels: Sequence[str] | None = LABELS, **changes: Any) -> VideoClassifier:
    """A resnet10t on clips of 3 frames of 32 pixels."""
    options: dict[str, Any] = {"num_frames": 3, "size": 32, "reduction": 2} | changes
    torch.manual_seed(0)
    model = create_model(
        "resnet10t",
        mechanism=mechanism,
        num_classes=3 if labels is None else len(labels),
        labels=labels,
        backbone_options={"channels": [8, 8, 16, 16], "zero_init_last": False},
        **options,
    )
    torch.nn.init.normal_(model.head.weight)  # so that something speaks for the first label
    return model.eval()


def write_clip(
    path: Path,
    *,
    num_frames: int = 13,
    width: int = 62,
    height: int = 46,
    rate: int = 10,
    codec: str = "libx264",
    format: str | None = None,  # noqa: A002 - as PyAV calls it
) -> Path:
    """A bright square that moves to the right."""
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, _PIXELS[codec]
        for index in range(num_frames):
            pixels = np.full((height, width, 3), 40, dtype=np.uint8)
            left = index * (width - height // 3) // num_frames
            pixels[height // 3 : 2 * height // 3, left : left + height // 3] = (250, 200, 90)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


class Server:
    """`m2a serve` in a process of its own. Its temporary files, its home and its working directory are empty folders,
    so that whatever it leaves behind is seen."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.folders = {name: folder / name for name in ("temporary", "home", "work")}
        for place in self.folders.values():
            place.mkdir(parents=True)
        self._said = folder / "said.txt"
        environment = os.environ | {
            "TMPDIR": str(self.folders["temporary"]),
            "HOME": str(self.folders["home"]),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
        }
        with self._said.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from m2a.cli import main; main()", "serve", *map(str, arguments)],
                cwd=self.folders["work"],
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        found = self.wait_for(lambda: re.search(r"Open http://([\d.]+):(\d+)", self.said))
        self.host, self.port = found[1], int(found[2])

    @property
    def said(self) -> str:
        """What it has printed."""
        return self._said.read_text(encoding="utf-8")

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}/"

    @property
    def left(self) -> list[Path]:
        """Every file and folder that it has written and not removed."""
        return [path for place in self.folders.values() for path in place.rglob("*")]

    def wait_for(self, condition: Any) -> Any:
        """What `condition` gives, once it gives something."""
        for _ in range(PATIENCE * 20):
            if found := condition():
                return found
            assert self.process.poll() is None, self.said
            time.sleep(0.05)
        raise AssertionError(f"waited in vain; the server said: {self.said}")

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content."""
        return self._ask("GET", path, None, headers)

    def predict(self, content: bytes, name: str = "clip.mp4", **headers: str) -> tuple[int, dict[str, Any]]:
        """Status, and the answer to a clip."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        status, _, answer = self._ask("POST", f"/predict?name={quote(name)}", content, named)
        return status, json.loads(answer)

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends it by a signal; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
