"""How often a model is right in a stream that runs on from one action to the next; writes the result, and its table.

python scripts/measure_stream.py CLIPS --model "tsm=RUN/model" --model "m2a-motion=OTHER/model" --clips-per-class 30
python scripts/measure_stream.py [--check]

Validation clips, shuffled, stand one after the other in streams side by side, T frames of each. Measured is top-1 after
1, 2, ..., T frames of a clip: where the stream begins anew with each clip; where its first frame has stood still for T
frames; and where the stream runs on, so that its first frames have another action's before them. The answers before the
T-th are of what came before, too. The first clip of each stream is left out.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import m2a
from m2a.data import ClipFile, read_clips
from m2a.data.dataset import read_views
from m2a.data.subset import first_of_each_class
from m2a.estimate import estimate
from m2a.measurement import commit, hardware, versions
from m2a.writing import put

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs" / "results" / "stream.json"
PAGE = ROOT / "docs" / "how-to" / "answer-a-stream.md"
BLOCK = re.compile(r"(<!-- result:begin -->\n).*?(<!-- result:end -->)", re.DOTALL)
ROWS = {
    "anew": "the stream begins anew with each clip",
    "still": "before it the clip's first frame stands still, as long as a clip",
    "on": "it runs on from the clip before",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="a data set, whose validation clips are looked at")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FOLDER", help="that m2a.load takes")
    parser.add_argument("--clips-per-class", type=int, default=30, help="the first of each class")
    parser.add_argument("--streams", type=int, default=10, help="side by side")
    parser.add_argument("--check", action="store_true", help="only look whether the page shows the result")
    given = parser.parse_args()
    if given.data is not None:
        result = measure(given, json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {})
        put(RESULT, f"{json.dumps(result, indent=1)}\n".encode())
    before = PAGE.read_text(encoding="utf-8")
    text = table(json.loads(RESULT.read_text(encoding="utf-8")))
    after = BLOCK.sub(lambda match: match[1] + text + match[2], before)
    if given.check and before != after:
        sys.exit(f"{PAGE.name} does not show its result; run python scripts/measure_stream.py")
    PAGE.write_text(after, encoding="utf-8")


def measure(given: argparse.Namespace, before: dict[str, Any]) -> dict[str, Any]:
    chosen, _ = first_of_each_class(read_clips(given.data), {"validation": given.clips_per_class})
    clips = list(chosen.split("validation"))
    random.Random(0).shuffle(clips)
    rounds = [clips[start : start + given.streams] for start in range(0, len(clips), given.streams)]
    rounds = [one for one in rounds if len(one) == given.streams]
    kept = {"schema": 2, "data": given.data.name, "clips": given.streams * (len(rounds) - 1), "streams": given.streams}
    models: dict[str, list[dict[str, Any]]] = {}
    if all(before.get(key) == value for key, value in kept.items()):
        models = before["models"]
    made = {"hardware": hardware(), "versions": versions(), "commit": commit()}
    for name, folder in (text.split("=", 1) for text in given.model):
        run = Path(folder).resolve().parent.name
        seeds = [one for one in models.get(name, []) if one["run"] != run]
        models[name] = [*seeds, {"run": run, "top1": top1(m2a.load(folder), rounds), **made}]
    return {**kept, "models": models}


def top1(model: m2a.VideoClassifier, rounds: Sequence[Sequence[ClipFile]]) -> dict[str, list[float]]:
    """In percent, after 1, 2, ... frames of a clip, of each of `ROWS`. The clips of a round are side by side."""
    assert model.labels is not None
    streams = {name: m2a.Stream(model) for name in ROWS}
    right = {name: torch.zeros(model.num_frames) for name in ROWS}
    for number, together in enumerate(rounds):
        truth = torch.tensor([model.labels.index(clip.label) for clip in together])
        frames = torch.stack([read_views(clip.path, model.preprocessing) for clip in together])
        streams["anew"].reset()
        streams["still"].reset()
        for _ in range(model.num_frames):
            streams["still"].step(frames[:, 0])
        for step, frame in enumerate(frames.unbind(1)):
            for name, stream in streams.items():
                said = stream.step(frame).argmax(-1)
                right[name][step] += (said == truth).sum() if number else 0
    count = sum(map(len, rounds[1:]))
    return {name: [round(100 * float(value) / count, 2) for value in values] for name, values in right.items()}


def table(result: dict[str, Any]) -> str:
    """The result in markdown."""
    models = result["models"]
    every = [seed for seeds in models.values() for seed in seeds]
    steps = len(every[0]["top1"]["on"])
    lines = ["| model | top-1, %, after ... frames of a clip | " + " | ".join(map(str, range(1, steps + 1))) + " |"]
    lines.append("|---|---" + "|---:" * steps + "|")
    for model, seeds in models.items():
        of = f"{model}, {len(seeds)} seeds" if len(seeds) > 1 else model
        for name, words in ROWS.items():
            values = [estimate(over_seeds) for over_seeds in zip(*(seed["top1"][name] for seed in seeds), strict=True)]
            shown = [*(f"{value.mean:.1f}" for value in values[:-1]), str(values[-1])]
            lines.append(f"| {of} | {words} | " + " | ".join(shown) + " |")
    machines = sorted({f"{seed['hardware']}, torch {seed['versions']['torch']}" for seed in every})
    lines += [
        "",
        f"{result['clips']} clips in {result['streams']} streams; {'; '.join(machines)}. Of several seeds the mean, "
        "and in the last column its 95% interval. From [stream.json](../results/stream.json).",
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
