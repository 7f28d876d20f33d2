"""Frames to files, in ways that treat every frame alike: nothing in a file's coding tells its frames' order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

JPEG_QUALITY = 92


def write_frames(folder: Path, frames: np.ndarray, quality: int = JPEG_QUALITY) -> None:
    """`frames` `(T, H, W, 3)` uint8 as `00001.jpg`, `00002.jpg`, ... in `folder`, which is made."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / f"{number:05d}.jpg", quality=quality)


def write_video(file: Path, frames: np.ndarray, fps: int) -> None:
    """`frames` `(T, H, W, 3)` uint8 as an mp4 of key frames only, all at one quantiser."""
    import av  # takes a while to load, and only this layout needs it

    file.parent.mkdir(parents=True, exist_ok=True)
    _, height, width, _ = frames.shape
    with av.open(str(file), "w") as container:
        options = {"g": "1", "bf": "0", "qp": "18", "preset": "ultrafast", "x264-params": "scenecut=0:threads=1"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1  # the bytes must not depend on the machine's cores
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
