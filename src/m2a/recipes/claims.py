"""The paper's orderings at a glance: one line a claim, one column a set of clips, the released code's zeros below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from m2a.recipes.changed_orderings import changed_orderings, is_uneven
from m2a.recipes.groups import Group
from m2a.recipes.orderings import (
    BLIND,
    CLAIM_HEAD,
    ORDERINGS,
    Ordering,
    Verdict,
    blind_rows,
    claim_cells,
    measured_orderings,
    reversible,
    verdict,
)
from m2a.recipes.paired import Gain, Setting
from m2a.recipes.paper import brief
from m2a.recipes.tables import NONE, TextTable

ZEROS: Mapping[str, Any] = {"mechanism_options": {"boundary": "zero"}}
"""What the released code has and the paper's text has not."""
_SHOWN: Mapping[Verdict, str] = {
    "holds": "**yes**",
    "reversed": "**reversed**",
    "open": "open",
    "above": "**above**",
    "below": "**below**",
    "both blind": "both blind",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A setting, and what it is called."""

    title: str
    data: str
    scale: str
    random: bool = False
    """Whether training starts from random weights."""
    changes: Mapping[str, Any] = field(default_factory=dict)

    def changed(self, changes: Mapping[str, Any]) -> Column:
        """The same setting with more changes."""
        return replace(self, changes={**self.changes, **changes})

    def holds(self, setting: Setting) -> bool:
        weights = "random weights" if self.random else "ImageNet weights"
        found = (setting.data, setting.scale, setting.weights_named, setting.changes)
        return found == (self.data, self.scale, weights, brief(self.changes))


def claims_table(groups: Sequence[Group], title: str, columns: Sequence[Column]) -> TextTable:
    """The orderings of which one was measured in one of these settings, with M2A as it is and with zeros: where one
    row of two takes them, that one; where both do, both."""
    plain, zeros = measured_orderings(groups), _with_zeros(groups)
    settings = reversible(groups)
    with_reverses = [any(map(column.holds, settings)) for column in columns]
    rows = []
    for ordering in ORDERINGS:
        cells = [
            _cell(ordering, _in(column, plain), _in(column, zeros), blind_rows(ordering) if blinding else 0)
            for column, blinding in zip(columns, with_reverses, strict=True)
        ]
        if any(cell != NONE for cell in cells):
            rows.append((*claim_cells(ordering), *cells))
    return TextTable(title=title, head=(*CLAIM_HEAD, *(column.title for column in columns)), rows=tuple(rows))


def _with_zeros(groups: Sequence[Group]) -> dict[Setting, dict[Ordering, Gain]]:
    found: dict[Setting, dict[Ordering, Gain]] = {}
    for variant, gains in changed_orderings(groups).items():
        if variant.changes == brief(ZEROS):
            fair = {ordering: gain for ordering, gain in gains.items() if not is_uneven(variant, ordering)}
            found.setdefault(variant.setting, {}).update(fair)
    return found


def _in(column: Column, found: Mapping[Setting, Mapping[Ordering, Gain]]) -> Mapping[Ordering, Gain]:
    return {
        ordering: gain for setting, gains in found.items() if column.holds(setting) for ordering, gain in gains.items()
    }


def _cell(ordering: Ordering, plain: Mapping[Ordering, Gain], zeros: Mapping[Ordering, Gain], blind: int) -> str:
    lines = [_line(ordering, plain[ordering], blind)] if ordering in plain else []
    lines += [f"*z* {_line(ordering, zeros[ordering], blind)}"] if ordering in zeros else []
    return "<br>".join(lines).replace(" ", "\N{NO-BREAK SPACE}") or NONE


def _line(ordering: Ordering, gain: Gain, blind: int) -> str:
    """The difference; how many seeds, where it is not the three that all rows should have; and the verdict."""
    found = _SHOWN[verdict(ordering, gain, blind=blind)] + BLIND * (blind == 1)
    few = "" if len(gain.seeds) in (1, 3) else f" ({len(gain.seeds)} seeds)"  # one is in the text of the gain
    return f"{gain}{few} {found}"
