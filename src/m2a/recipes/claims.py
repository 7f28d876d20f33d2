"""The paper's orderings at a glance: one line a claim, one column a set of clips, the released code's zeros below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from m2a.recipes.changed_orderings import changed_orderings, is_uneven
from m2a.recipes.groups import Group
from m2a.recipes.orderings import CLAIM_HEAD, ORDERINGS, Ordering, Verdict, claim_cells, measured_orderings, verdict
from m2a.recipes.paired import Gain, Setting, setting_of
from m2a.recipes.paper import brief
from m2a.recipes.rows import find_row
from m2a.recipes.tables import NONE, TextTable, is_blind

ZEROS: Mapping[str, Any] = {"mechanism_options": {"boundary": "zero"}}
"""What the released code has and the paper's text has not."""
BLIND = "‡"
"""Marks gains over a row that cannot tell clips from their reverses, on clips that come with them."""
_SHOWN: Mapping[Verdict, str] = {
    "holds": "**yes**",
    "reversed": "**reversed**",
    "open": "open",
    "above": "**above**",
    "below": "**below**",
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
    reversible = [_has_ceiling(groups, column) for column in columns]
    rows = []
    for ordering in ORDERINGS:
        cells = [
            _cell(ordering, _in(column, plain), _in(column, zeros), _blind_rows(ordering) if ceiling else 0)
            for column, ceiling in zip(columns, reversible, strict=True)
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


def _has_ceiling(groups: Sequence[Group], column: Column) -> bool:
    """Whether its clips come with their reverses."""
    return any(group.ceiling is not None for group in groups if column.holds(setting_of(group)))


def _blind_rows(ordering: Ordering) -> int:
    return sum(is_blind(find_row(row), {}) for row in (ordering.upper, ordering.lower))


def _cell(ordering: Ordering, plain: Mapping[Ordering, Gain], zeros: Mapping[Ordering, Gain], blind: int) -> str:
    lines = [_line(ordering, plain[ordering], blind)] if ordering in plain else []
    lines += [f"*z* {_line(ordering, zeros[ordering], blind)}"] if ordering in zeros else []
    return "<br>".join(lines).replace(" ", "\N{NO-BREAK SPACE}") or NONE


def _line(ordering: Ordering, gain: Gain, blind: int) -> str:
    """The difference; how many seeds, where it is not the three that all rows should have; and the verdict."""
    found = "both blind" if blind == 2 else _SHOWN[verdict(ordering, gain)] + BLIND * blind
    return f"{gain} (2 seeds) {found}" if len(gain.seeds) == 2 else f"{gain} {found}"
