"""Results as runs would have left them, with figures that are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from m2a.recipes.results import DataInfo, Result, result_path, write_result
from m2a.recipes.rows import find_row
from m2a.recipes.weights import StartWeights

RANDOM, IMAGENET = StartWeights(kind="random"), StartWeights(kind="imagenet")
FILE = StartWeights(kind="imagenet", file="w.pth", sha256="0123456789ab")
DATA = DataInfo(name="synthetic", classes=6, clips={"train": 12, "validation": 6}, fingerprint="0123abcd")


def made(recipe: str = "I/m2a", *, top1: float = 50.0, seed: int = 0, **changes: Any) -> Result:
    row = find_row(recipe)
    values: dict[str, Any] = {
        "recipe": recipe, "table": row.table, "mechanism": row.mechanism, "backbone": row.network.backbone,
        "inflate": row.network.inflate, "scale": "tiny", "data": DATA, "changes": {}, "weights": RANDOM, "seed": seed,
        "top1": top1, "top5": 90.0, "per_class": {"Moving something up": top1, "Moving something down": None},
        "probes": {name: {"top1": top1 / 2, "top5": 80.0} for name in ("shuffled", "reversed", "still")},
        "num_train": 12, "num_clips": 6, "skipped": [], "macs": 1_000_000_000, "parameters": 11_000_000,
        "best_epoch": 1, "seconds": 3.0, "run": "x", "config": {"size": 32, "seed": seed}, "commit": None,
        "versions": {}, "hardware": "2 x some processor", "command": "m2a paper run I/m2a",
    }  # fmt: skip
    return Result(**(values | changes))


def put(folder: Path, result: Result) -> Path:
    path = result_path(
        folder, find_row(result.recipe), scale=result.scale, data=result.data.name, weights=result.weights,
        seed=result.seed, changes=result.changes,
    )  # fmt: skip
    write_result(path, result)
    return path
