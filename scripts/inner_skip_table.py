"""Puts docs/results/inner-skip.json, which scripts/measure_inner_skip.py writes, into docs/decisions/inner-skip.md.

python scripts/inner_skip_table.py [--check]
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs" / "results" / "inner-skip.json"
PAGE = ROOT / "docs" / "decisions" / "inner-skip.md"
BLOCK = re.compile(r"(<!-- result:begin -->\n).*?(<!-- result:end -->)", re.DOTALL)
COLUMNS = {
    "y_with_motion": "y with the motion",
    "y_with_frame": "y with the frame",
    "y_with_next_frame": "y with the next frame",
    "attended_over_reduced": "size of a beside z",
    "weight_of_own_motion": "attention to the own motion",
}


def table(result: dict[str, Any]) -> str:
    """The result in markdown: a table for each model, a row a site."""
    lines = []
    for name, sites in result["models"].items():
        lines += [f"**{name}**", "", "| site | " + " | ".join(COLUMNS.values()) + " |"]
        lines.append("|---" + "|---:" * len(COLUMNS) + "|")
        for site, found in sites.items():
            cells = " | ".join(f"{found[key]:.2f}" for key in COLUMNS)
            lines.append(f"| `{site.removeprefix('backbone.')}` | {cells} |")
        lines.append("")
    lines.append(
        f"Correlations over the features of a frame, means over the frames of {result['clips']} validation clips of "
        f"{result['data']}. {result['hardware']}, torch {result['versions']['torch']}, commit {result['commit']}. From "
        "[inner-skip.json](../results/inner-skip.json)."
    )
    return "\n".join([*lines, ""])


def main() -> None:
    before = PAGE.read_text(encoding="utf-8")
    text = table(json.loads(RESULT.read_text(encoding="utf-8")))
    after = BLOCK.sub(lambda match: match[1] + text + match[2], before)
    if "--check" in sys.argv[1:] and before != after:
        sys.exit("docs/decisions/inner-skip.md does not show its result; run python scripts/inner_skip_table.py")
    PAGE.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
