"""Fingerprints of what the edition is drawn from, for two processes to compare. Run, it prints them."""

from __future__ import annotations

import hashlib
import sys

import numpy as np

from m2a.data.synthetic.camera import approach
from m2a.data.synthetic.challenge import on_grid
from m2a.data.synthetic.editions import EDITIONS, render_edition_clip
from m2a.data.synthetic.hard_stage import HardStage
from m2a.data.synthetic.textures import surface

ONE = EDITIONS[1]


def sha256(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def background(dtype: type) -> np.ndarray:
    """A surface before it is rounded to pixels, on a grid much finer than them."""
    return on_grid(surface(np.random.default_rng(3), 200, 200, 100.0, 0.5, "cloth", dtype))


def fingerprints() -> dict[str, str]:
    stage = HardStage(np.random.default_rng(2), 24, 40, 0.5, challenge=ONE.challenge)
    approach(stage)
    stage.frames()
    clips = [
        render_edition_clip(ONE, label, np.random.default_rng([2, k]), size=24)
        for k, label in enumerate(ONE.labels[::2])
    ]
    return {
        "clips": sha256(*clips),
        "camera": sha256(stage.zoom, stage.cx, stage.cy),
        "background": sha256(background(HardStage.relief)),
        "float32 background": sha256(background(np.float32)),
        "extensions": " ".join(np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])),
    }


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}: {value}\n" for name, value in fingerprints().items())
