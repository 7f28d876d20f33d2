"""Puts the demo's result into README.md, from the committed docs/results/demo.json (a copy of a demo's demo.json).

python scripts/demo_table.py [--check]
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs" / "results" / "demo.json"
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- demo:begin -->\n).*?(<!-- demo:end -->)", re.DOTALL)


def table(result: dict[str, Any]) -> str:
    """The result in markdown."""
    lines = ["| | GMACs | parameters, M | top-1, % | top-5, % |", "|---|---|---|---|---|"]
    for row in result["table"]:
        if row["kind"] == "run":
            interval = f"({row['top1_low']:.1f} to {row['top1_high']:.1f})"
            cells = [f"`{row['name']}`", f"{row['gmacs']:.3f}", f"{row['parameters_m']:.2f}"]
            cells += [f"{row['top1']:.1f} {interval}", f"{row['top5']:.1f}"]
        else:
            cells = [row["name"], "", "", f"{row['top1']:.1f}", ""]
        lines.append("| " + " | ".join(cells) + " |")
    clips, config = result["clips"], result["config"]
    where = f"{result['seconds'] / 60:.1f} minutes in all on {result['hardware']}"
    lines += [
        "",
        f"{clips['train']:,} training and {clips['validation']:,} validation clips, {len(result['labels'])} actions, "
        f"{config['epochs']} epochs, seed {result['seed']}; intervals at 95%; {where}. From "
        "[docs/results/demo.json](docs/results/demo.json), which `m2a demo` writes.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    before = README.read_text(encoding="utf-8")
    text = table(json.loads(RESULT.read_text(encoding="utf-8")))
    after = BLOCK.sub(lambda match: match[1] + text + match[2], before)
    if "--check" in sys.argv[1:] and before != after:
        sys.exit("README.md does not show docs/results/demo.json; run python scripts/demo_table.py")
    README.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
