"""Puts docs/results/data-speed-*.json, which `m2a bench data` writes, into docs/how-to/make-reading-faster.md.

python scripts/data_speed_table.py [--check]
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGE = ROOT / "docs" / "how-to" / "make-reading-faster.md"
BLOCK = re.compile(r"(<!-- result:begin -->\n).*?(<!-- result:end -->)", re.DOTALL)
SETS = {"mp4": "mp4 (H.264)", "jpeg": "JPEG frames"}
GOAL = 0.9


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results in markdown, a row a data set."""
    lines = [
        "| clips | bare loop, clips a second | loader, clips a second | ratio (smallest to largest) | "
        f"goal: {GOAL} | memory of all processes, after the first and the last repeat |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        low, high = result["ratio_range"]
        bare = result["clips"] / sorted(result["bare_seconds"])[len(result["bare_seconds"]) // 2]
        met = "met" if result["ratio"] >= GOAL else f"missed by {GOAL - result['ratio']:.2f}"
        memory = result["memory_mib"]
        lines.append(
            f"| {SETS[name]} | {bare:.0f} | {result['clips_per_second']:.0f} | {result['ratio']:.2f} "
            f"({low:.2f} to {high:.2f}) | {met} | {memory[0]:,.0f} and {memory[-1]:,.0f} MiB, "
            f"{len(memory) * result['clips']:,} clips |"
        )
    any_result = next(iter(results.values()))
    lines += [
        "",
        f"{any_result['workers']} decoding process, {any_result['num_frames']} frames of {any_result['size']} x "
        f"{any_result['size']} from clips of 40 frames of 240 x 320. {any_result['hardware']}, torch "
        f"{any_result['versions']['torch']}. Processes and memory include the bare loop's.",
    ]
    return "\n".join([*lines, ""])


def read() -> dict[str, dict[str, Any]]:
    """The committed results."""
    return {name: json.loads((RESULTS / f"data-speed-{name}.json").read_text(encoding="utf-8")) for name in SETS}


def main() -> None:
    before = PAGE.read_text(encoding="utf-8")
    after = BLOCK.sub(lambda match: match[1] + table(read()) + match[2], before)
    if "--check" in sys.argv[1:] and before != after:
        sys.exit(f"{PAGE.name} does not show its results; run python scripts/data_speed_table.py")
    PAGE.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
