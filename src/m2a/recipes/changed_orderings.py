"""The paper's orderings with one of their two models changed, or both: whether they hang on how it was built."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from m2a.mechanisms.create import options_of
from m2a.recipes.groups import Group
from m2a.recipes.orderings import (
    CLAIM_HEAD,
    LEGEND,
    ORDERINGS,
    Ordering,
    blind_rows,
    claim_cells,
    here_of,
    ordering_content,
    reversible,
)
from m2a.recipes.paired import Gain, Setting, paired_gain, setting_of
from m2a.recipes.paper import MODEL_OPTIONS, brief
from m2a.recipes.results import Result
from m2a.recipes.rows import find_row, twins
from m2a.recipes.tables import TextTable

BOTH = "both"
UNEVEN = " †"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A row whose model was changed, and what it was run on."""

    row: str
    """BOTH where both rows of the orderings were changed."""
    changes: str
    """Those of the model, in a line."""
    setting: Setting
    """With the changes of training, which the rows that it is set beside have too."""
    options: tuple[tuple[str, Any], ...]
    """Of the mechanism, that were changed, and to what."""

    @property
    def changed(self) -> str:
        """In a line: which model, and how."""
        options = self.changes.replace("mechanism_options.", "")  # whose they are, the name before them says
        return f"{BOTH if self.row == BOTH else find_row(self.row).mechanism} with {options}"


def changed_orderings(groups: Sequence[Group]) -> dict[Variant, dict[Ordering, Gain]]:
    """Each ordering of which one model was run changed and the other as it is, or both with the same change, with a
    common seed and everything else alike. A model that stands in several tables stands in the orderings of all."""
    found: dict[Variant, dict[Ordering, Gain]] = {}
    for group in (group for group in groups if group.other_models):
        model = {option: value for option, value in group.changes.items() if option in MODEL_OPTIONS}
        unchanged = replace(group, changes={k: v for k, v in group.changes.items() if k not in MODEL_OPTIONS})
        options = tuple(model.get("mechanism_options", {}).items())
        both = Variant(row=BOTH, changes=brief(model), setting=setting_of(unchanged), options=options)
        for ordering in ORDERINGS:
            if gain := paired_gain(group.of(ordering.upper), group.of(ordering.lower)):
                found.setdefault(both, {})[ordering] = gain
        for row, measured in group.rows:
            if measured is None or row.name not in measured.run_as:
                continue
            variant = replace(both, row=row.name)
            ours, same = group.of(row.name), _same_model(row.name)
            for ordering in ORDERINGS:
                upper = ours if ordering.upper in same else _as_it_is(groups, unchanged, ordering.upper)
                lower = ours if ordering.lower in same else _as_it_is(groups, unchanged, ordering.lower)
                if (upper is ours) != (lower is ours) and (gain := paired_gain(upper, lower)):
                    found.setdefault(variant, {})[ordering] = gain
    return found


def is_uneven(variant: Variant, ordering: Ordering) -> bool:
    """Whether the row that was left as it is takes the change too, so that a difference may be that of the change."""
    if variant.row == BOTH:
        return False
    other = ordering.lower if ordering.upper in _same_model(variant.row) else ordering.upper
    return any(name in options_of(find_row(other).mechanism) for name, _ in variant.options)


def changed_orderings_table(groups: Sequence[Group]) -> TextTable | None:
    """None where no changed model was run beside another one."""
    measured, with_reverses = changed_orderings(groups), reversible(groups)
    if not measured:
        return None
    return TextTable(
        title="The same with a model changed",
        head=(*CLAIM_HEAD, "here", "changed", "run on"),
        rows=tuple(
            (
                *claim_cells(ordering),
                here_of(ordering, gains[ordering], blind=_blind(variant, ordering, with_reverses))
                + UNEVEN * is_uneven(variant, ordering),
                variant.changed,
                str(variant.setting),
            )
            for ordering in ORDERINGS
            for variant, gains in measured.items()
            if ordering in gains
        ),
        words_right=2,
        notes=(f"The row that is named under changed was run with that change, the other one without. {LEGEND}",)
        + ("both: both rows were run with it.",) * any(variant.row == BOTH for variant in measured)
        + (f"{UNEVEN.strip()}: the row without the change takes it too, so that the difference may be the change's.",)
        * any(is_uneven(variant, ordering) for variant, gains in measured.items() for ordering in gains),
    )


def changed_orderings_content(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """The same as plain values, as those of the orderings, with what was changed."""
    with_reverses = reversible(groups)
    return [
        ordering_content(ordering, variant.setting, gain, blind=_blind(variant, ordering, with_reverses))
        | {"changed": {"row": variant.row, "to": variant.changes, "uneven": is_uneven(variant, ordering)}}
        for variant, gains in changed_orderings(groups).items()
        for ordering, gain in gains.items()
    ]


def _blind(variant: Variant, ordering: Ordering, with_reverses: Collection[Setting]) -> int:
    """How many of the rows, with their options, cannot tell clips from their reverses where these come with them."""
    if variant.setting not in with_reverses:
        return 0
    changed = (ordering.upper, ordering.lower) if variant.row == BOTH else _same_model(variant.row)
    options = dict(variant.options)
    return blind_rows(ordering, dict.fromkeys(changed, options))


def _same_model(row: str) -> set[str]:
    """The row and those of other tables that are the same model."""
    return {row, *(twin.name for twin in twins(find_row(row)))}


def _as_it_is(groups: Sequence[Group], like: Group, row: str) -> list[Result]:
    """The results of an unchanged row that may be compared with those of a group."""
    table = find_row(row).table
    return [
        result
        for other in groups
        if other.table == table and other.changes == like.changes and other.alike(like, but_for=MODEL_OPTIONS)
        for result in other.of(row)
    ]
