"""What reaches M2A's gate: how near it is to the motion, to the frame itself and to the next one; writes the result.

python scripts/measure_inner_skip.py CLIPS --image-weights resnet18.safetensors --model trained=RUN/model

At each site z are the reduced features of a frame, n their layer norm, m = n of the next frame - n the motion, a what
the attention makes of it, and y = a + z what the gate is made of. Measured are, as means over frames and clips: the
correlations over a frame's features of y with m, with z, and with z of the next frame, where there is one; the size of
a beside that of z; and the weight that the attention of a frame gives its own motion.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m2a.data import read_clips
from m2a.data.dataset import read_views
from m2a.measurement import commit, hardware, versions
from m2a.mechanisms.m2a import MotionAttention
from m2a.models import VideoClassifier, create_model, load

OUT = Path(__file__).parents[1] / "docs" / "results" / "inner-skip.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a data set; its first validation clips are looked at")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--size", type=int, default=64, help="of the untrained models' input")
    parser.add_argument("--image-weights", help="a ResNet-18's checkpoint, for an untrained M2A in a trained network")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FOLDER", help="a trained model")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    models = {"random weights": fresh("none", given.size)}
    if given.image_weights:
        models["ImageNet weights, new M2A"] = fresh(given.image_weights, given.size)
    models |= {name: load(folder) for name, _, folder in (text.partition("=") for text in given.model)}
    clips = read_clips(given.data)
    paths = [clip.path for clip in clips.split("validation")[: given.clips]]
    content: dict[str, Any] = {"schema": 1, "data": given.data.name, "clips": len(paths), "models": {}}
    for name, model in models.items():
        content["models"][name] = measure(model.eval(), paths)
    content |= {"hardware": hardware(), "versions": versions(), "commit": commit()}
    given.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def fresh(weights: str, size: int) -> VideoClassifier:
    torch.manual_seed(0)
    options = {"zero_init_last": False} if weights == "none" else {}
    made: dict[str, Any] = {"pretrained": False if weights == "none" else weights, "backbone_options": options}
    return create_model("resnet18", mechanism="m2a", num_classes=2, size=size, **made)


def measure(model: VideoClassifier, paths: list[Path]) -> dict[str, dict[str, float]]:
    """By site, the means over clips."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def look(name: str, gate: MotionAttention) -> Any:
        def hook(_: nn.Module, __: Any, z_NcHW: Tensor) -> None:
            for key, value in site(gate, z_NcHW.unflatten(0, (1, -1))).items():
                sums[name][key] += value / len(paths)

        return gate.reduce.register_forward_hook(hook)

    gates = {n.removesuffix(".mechanism"): m for n, m in model.named_modules() if isinstance(m, MotionAttention)}
    handles = [look(name, gate) for name, gate in gates.items()]
    for path in paths:
        model.predict_probabilities(read_views(path, model.preprocessing)[None])
    for handle in handles:
        handle.remove()
    return {name: dict(found) for name, found in sums.items()}


def site(gate: MotionAttention, z: Tensor) -> dict[str, float]:
    """Of the reduced features (1, T, c, H, W) of one clip."""
    assert gate.attention is not None
    n = F.layer_norm(z, z.shape[2:])
    m = gate.motion(n)
    a = gate.attention(m)
    y = gate.with_skip(a, z)
    tokens = m.flatten(2)
    weights = (tokens @ tokens.mT / tokens.shape[-1] ** 0.5).softmax(-1)
    inner = slice(0, z.shape[1] - 1)  # the last frame has no next one
    return {
        "y_with_motion": correlation(y, m),
        "y_with_frame": correlation(y, z),
        "y_with_next_frame": correlation(y[:, inner], z[:, 1:]),
        "attended_over_reduced": float(a.std() / z.std()),
        "weight_of_own_motion": float(weights.diagonal(dim1=-2, dim2=-1).mean()),
    }


def correlation(x: Tensor, y: Tensor) -> float:
    """Of frames' features, the mean over frames."""
    centred = (part.flatten(2) - part.flatten(2).mean(-1, keepdim=True) for part in (x, y))
    return float(F.cosine_similarity(*centred, dim=-1).mean())


if __name__ == "__main__":
    main()
