"""Puts docs/results/identity-start.json, which scripts/measure_init.py writes, into docs/decisions/identity-start.md.

python scripts/identity_table.py [--check]
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs" / "results" / "identity-start.json"
PAGE = ROOT / "docs" / "decisions" / "identity-start.md"
BLOCK = re.compile(r"(<!-- result:begin -->\n).*?(<!-- result:end -->)", re.DOTALL)


def table(result: dict[str, Any]) -> str:
    """The result in markdown: top-1 after training, a column a seed, and their mean."""
    runs = result["runs"]
    seeds = sorted({run["seed"] for run in runs})
    lines = ["| setting | start | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean |"]
    lines.append("|---" * (len(seeds) + 3) + "|")
    for setting, init in dict.fromkeys((run["setting"], run["init"]) for run in runs):
        found = {run["seed"]: run["top1"] for run in runs if (run["setting"], run["init"]) == (setting, init)}
        cells = [f"{found[seed]:.1f}" if seed in found else "" for seed in seeds]
        mean = sum(found.values()) / len(found)
        lines.append(f"| {setting} | {init} | " + " | ".join(cells) + f" | {mean:.1f} |")
    counts = {run["setting"]: run["clips"] for run in runs}
    shown = ", ".join(f"{name} {clips['train']:,}" for name, clips in counts.items())
    lines += [
        "",
        f"Top-1 in percent on {next(iter(counts.values()))['validation']} validation clips of {len(result['labels'])} "
        f"actions; {result['ceiling']:.0f}% is the most that a model blind to the order of frames can expect. Training "
        f"clips: {shown}. {result['hardware']}. From [identity-start.json](../results/identity-start.json), which "
        "`python scripts/measure_init.py --image-weights resnet18.safetensors` writes.",
    ]
    if step := result.get("step_0"):
        lines += [
            "",
            "Before training, with image weights: the paper's start changes the frame features of a ResNet-18 by up "
            f"to {step['paper']:.1f}, where the largest is {step['largest']:.1f}; the identity start by "
            f"{step['identity']:g}.",
        ]
    return "\n".join([*lines, ""])


def main() -> None:
    before = PAGE.read_text(encoding="utf-8")
    text = table(json.loads(RESULT.read_text(encoding="utf-8")))
    after = BLOCK.sub(lambda match: match[1] + text + match[2], before)
    if "--check" in sys.argv[1:] and before != after:
        sys.exit("docs/decisions/identity-start.md does not show its result; run python scripts/identity_table.py")
    PAGE.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
