"""Whether M2A learns as well when it starts as the identity: trains both starts on drawn clips, writes the result.

python scripts/measure_init.py --image-weights resnet18.safetensors

Three settings, each with both starts and several seeds, on the demo's clips:

scratch   the demo's network from random weights
image     a ResNet-18 from image weights
frozen    the same, of which only the mechanisms and the last layer are trained

The first needs nothing; the other two need image weights, a file or `imagenet` to download timm's. The result is
written after each run, and runs that are in it already are not made again.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from m2a.data.synthetic import synthesize
from m2a.measurement import commit, hardware, versions
from m2a.models import create_model
from m2a.training.config import QUICK, TrainConfig
from m2a.workflows.demo_runs import ACTIONS, DRAWING, SETTINGS
from m2a.workflows.run import train

OUT = Path(__file__).parents[1] / "docs" / "results" / "identity-start.json"
IMAGE: dict[str, Any] = {
    **QUICK,
    "backbone": "resnet18",
    "num_frames": 8,
    "size": 64,
    "epochs": 2,
    "batch_size": 8,
    "lr": 3e-4,
    "lr_mechanism": 1.0,
    "lr_head": 1.0,
    "precision": "bf16-mixed",
}
STARTS = ("paper", "identity")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-weights", help="a ResNet-18's checkpoint, or imagenet; without it only scratch is run")
    parser.add_argument("--seeds", type=int, default=3, help="of scratch")
    parser.add_argument("--image-seeds", type=int, default=1, help="of the others")
    parser.add_argument("--clips", type=int, default=2400, help="training clips of scratch; the others have half")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    console = Console()
    settings = {"scratch": dict(SETTINGS)}
    content: dict[str, Any] = {"schema": 1, "settings": settings, "drawing": dict(DRAWING), "runs": []}
    if given.out.exists():
        content["runs"] = json.loads(given.out.read_text(encoding="utf-8"))["runs"]
    done = {(run["setting"], run["init"], run["seed"]) for run in content["runs"]}
    if given.image_weights:
        settings["image"] = IMAGE
        settings["frozen"] = IMAGE | {"freeze_backbone": True, "lr": 2e-3}
        content["step_0"] = step_0(given.image_weights)
    with tempfile.TemporaryDirectory() as folder:
        for name, setting in settings.items():
            data = Path(folder) / f"clips-{name}"
            counts = {"num_train": given.clips // (1 if name == "scratch" else 2), "num_validation": 400}
            drawn = synthesize(data, classes=ACTIONS, seed=0, **counts, **DRAWING)
            content |= {"ceiling": drawn.ceiling, "labels": list(drawn.labels)}
            weights = {} if name == "scratch" else {"pretrained": given.image_weights}
            for seed in range(given.seeds if name == "scratch" else given.image_seeds):
                for init in STARTS:
                    if (name, init, seed) in done:
                        continue
                    out = Path(folder) / f"{name}-{init}-{seed}"
                    console.rule(out.name)
                    config = TrainConfig.from_dict(
                        {**setting, **weights, "data": data, "out": out, "seed": seed, "init": init}
                    )
                    result = train(config, console=console)
                    row = {"setting": name, "init": init, "seed": seed, "top1": result.evaluation.top1}
                    content["runs"].append(row | {"clips": drawn.counts, "epochs": top1_after_epochs(out)})
                    content |= {"hardware": hardware(), "versions": versions(), "commit": commit()}
                    given.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")  # after each


def step_0(weights: str) -> dict[str, float]:
    """The largest difference that each start makes to the frame features of an image network, and their largest
    value, on random clips."""
    pretrained = True if weights == "imagenet" else weights
    torch.manual_seed(0)
    clips = torch.randn(2, 8, 3, 64, 64)
    features: dict[str, torch.Tensor] = {}
    for name in ("none", *STARTS):
        start: dict[str, Any] = {"mechanism": "none"} if name == "none" else {"init": name}
        model = create_model("resnet18", num_classes=2, size=64, pretrained=pretrained, **start).eval()
        with torch.no_grad():
            features[name] = model.frame_features(clips)
    found = {name: float((features[name] - features["none"]).abs().max()) for name in STARTS}
    return found | {"largest": float(features["none"].abs().max())}


def top1_after_epochs(run: Path) -> list[float]:
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [float(row["val_top1"]) for row in csv.DictReader(file)]


if __name__ == "__main__":
    main()
