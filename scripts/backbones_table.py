"""Writes docs/backbones.md from docs/results/backbones.json, which this command makes:

m2a list backbones --check --every-mechanism --workers 2 --out docs/results/backbones.json

python scripts/backbones_table.py [--check]
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs" / "results" / "backbones.json"
PAGE = ROOT / "docs" / "backbones.md"
COMMAND = "m2a list backbones --check --every-mechanism --workers 2 --out docs/results/backbones.json"

_HEAD = """\
# Backbones

<!-- Written by `python scripts/backbones_table.py` from docs/results/backbones.json; do not edit. -->

Which image networks take a mechanism at their default sites. {working_timm:,} of timm {timm}'s {timm_count:,}
architectures do, and {working_tv} of the {tv_count} networks for classifying images in torchvision {torchvision}.

```bash
{command}
```

makes the result again ([backbones.json](results/backbones.json), one architecture a line);
`m2a list backbones "convnext*" --check` tries some. Each architecture is built, run, given `m2a`, run again at the
image size it was trained at, run backward, and given back. Works means: it has sites, the output keeps its shape, and a
gradient reaches every parameter of every mechanism. This is done without data, on torch's meta device, so it says
nothing about accuracy. The tests try the smallest of each family anew and compare.

## Families

A family is one of timm's modules. Sites: the fewest and the most of any of its architectures. Features: how they lie at
the sites, `NCHW` or `NHWC` for maps, `NLC` for tokens, `+1` with so many class and register tokens that pass by. The
last two columns are of the family's smallest architecture.

"""

_MECHANISMS = """
## Every mechanism

The smallest architecture of each family, with each of {mechanisms}: {works:,} of {tried:,} work.
"""


def page(result: dict[str, Any]) -> str:
    """The whole page."""
    rows = result["rows"]
    torchvision = [row for row in rows if row["family"] == "torchvision"]
    timm = [row for row in rows if row["family"] != "torchvision"]
    text = _HEAD.format(
        working_timm=sum(row["works"] for row in timm),
        timm_count=len(timm),
        working_tv=sum(row["works"] for row in torchvision),
        tv_count=len(torchvision),
        timm=result["versions"]["timm"],
        torchvision=result["versions"]["torchvision"],
        command=COMMAND,
    )
    text += families(rows, smallest=[row["backbone"] for row in result["families"]])
    text += failures([row for row in rows if not row["works"]])
    tried = result["families"]
    mechanisms = list(dict.fromkeys(row["mechanism"] for row in tried))
    text += _MECHANISMS.format(
        mechanisms=", ".join(f"`{name}`" for name in mechanisms),
        works=sum(row["works"] for row in tried),
        tried=len(tried),
    )
    return text + failures([row for row in tried if not row["works"]])


def families(rows: list[dict[str, Any]], smallest: list[str]) -> str:
    """One line a family."""
    members: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        members[row["family"]].append(row)
    lines = ["| family | works | sites | features | for instance | its first site |", "|---|---|---|---|---|---|"]
    for family, found in sorted(members.items()):
        working = [row for row in found if row["works"]]
        example = next(row for row in found if row["backbone"] in smallest)
        layouts = sorted({layout for row in working for layout in row.get("layouts", [])})
        counts = [row["sites"] for row in working] or [0]
        cells = [family, f"{len(working)} of {len(found)}"]
        cells += [str(min(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"]
        cells += [", ".join(layouts), f"`{example['backbone']}`", f"`{example.get('first', '')}`"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def failures(rows: list[dict[str, Any]]) -> str:
    """One line for each that does not work, with the reason."""
    if not rows:
        return ""
    lines = ["", "| architecture | mechanism | why not |", "|---|---|---|"]
    for row in rows:
        reason = row["reason"].replace("|", "\\|")
        lines.append(f"| `{row['backbone']}` | `{row['mechanism']}` | {reason} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    text = page(json.loads(RESULT.read_text(encoding="utf-8")))
    if "--check" in sys.argv[1:] and text != PAGE.read_text(encoding="utf-8"):
        sys.exit("docs/backbones.md does not show docs/results/backbones.json; run python scripts/backbones_table.py")
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
