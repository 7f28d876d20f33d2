"""The paper's claims about its rows, each "this one is above that one", and whether they hold in results here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from m2a.recipes.groups import Group
from m2a.recipes.paired import Gain, Setting, paired_gain, setting_of
from m2a.recipes.rows import find_row
from m2a.recipes.tables import NONE, TextTable, is_blind

TIE = 1.0
"""Points of top-1 that the paper's own rows must differ by for it to say which is above."""
Verdict = Literal["holds", "reversed", "open", "above", "below", "both blind"]
BLIND = "‡"
"""Marks gains over a row that cannot tell clips from their reverses, on clips that come with them."""
BLIND_LEGEND = (
    f"{BLIND}: one of the two rows cannot tell a clip from its reverse whatever it learns, and these clips come with "
    "their reverses, so that it says that the other one sees order, and no more. both blind: neither can, and their "
    "difference says nothing."
)
CLAIM_HEAD = ("table: rows", "paper")
LEGEND = (
    "Top-1 of the first row less that of the second, in points: the mean over the seeds that both were run with, each "
    "seed's difference taken by itself, ± its 95% interval (Student's t)."
)


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """Two rows of one table."""

    upper: str
    """The row that stands above in what the paper says, such as "I/m2a"."""
    lower: str

    @property
    def paper(self) -> float | None:
        """Top-1 of the upper row less that of the lower, in points, in the paper; None where it lacks one of them."""
        upper, lower = find_row(self.upper).top1, find_row(self.lower).top1
        return None if upper is None or lower is None else upper - lower

    @property
    def tie(self) -> bool:
        """Whether the paper's own rows are too close for a claim."""
        return self.paper is not None and abs(self.paper) < TIE

    def __str__(self) -> str:
        table, _, lower = self.lower.partition("/")
        return f"{table}: {self.upper.partition('/')[2]} {'≈' if self.tie else '>'} {lower}"


def _table(table: str, *pairs: tuple[str, str]) -> tuple[Ordering, ...]:
    return tuple(Ordering(upper=f"{table}/{upper}", lower=f"{table}/{lower}") for upper, lower in pairs)


_HALVES = (("m2a-attention", "none"), ("m2a-motion", "m2a-attention"), ("m2a", "m2a-motion"), ("m2a", "none"))
_PLUS = (
    *(("m2a-plus", lower) for lower in ("m2a", "tsm", "m2a+tsm", "none:m2a-plus")),
    *(("none:m2a-plus", lower) for lower in ("none", "m2a")),
)
ORDERINGS: tuple[Ordering, ...] = (
    *_table("I", *_HALVES),
    *_table("II", *_HALVES),
    *_table("III", *_HALVES),
    *_table("IV", ("m2a", "m2a:tam"), ("m2a", "m2a:patch4"), ("m2a", "m2a:patch8")),
    *_table("V", ("m2a+tsm", "tsm"), ("tsm", "m2a"), ("m2a", "tea"), ("m2a", "tdn"), ("m2a", "tam")),
    *_table("VI", ("tdn:m2a", "tdn:none"), ("tea:m2a", "tea:none"), ("tdn:m2a", "tdn:tam"), ("tea:m2a", "tea:tam")),
    *_table("R18", *_PLUS),
    *_table("MV2", *_PLUS),
)
"""What the paper draws from its tables: which halves of M2A help, by themselves and together, in each network; its
attention beside others; M2A beside its rivals; and its attention behind their motions. Beyond the paper: M2A-plus
beside M2A, TSM and both of them stacked, and beside itself without motion; and that beside averaging and M2A."""


def blind_rows(ordering: Ordering, options: Mapping[str, Mapping[str, Any]] | None = None) -> int:
    """How many of the two rows cannot tell a clip from its reverse whatever they learn; with what was changed in their
    mechanisms, by row."""
    changed = options or {}
    return sum(is_blind(find_row(row), changed.get(row, {})) for row in (ordering.upper, ordering.lower))


def reversible(groups: Sequence[Group]) -> set[Setting]:
    """Those whose clips all come with their reverses."""
    return {setting_of(group) for group in groups if group.has_reverses}


def verdict(ordering: Ordering, gain: Gain, *, blind: int = 0) -> Verdict:
    """Where the interval leaves no doubt "holds" or "reversed", where it does "open". Where the paper's own rows are a
    tie, or it lacks one, there is nothing to hold: "above" or "below" says where the upper row stands here. Of two rows
    that are blind to what tells the clips apart nothing is said."""
    if blind == 2:
        return "both blind"
    if not gain.side:
        return "open"
    if ordering.tie or ordering.paper is None:
        return "above" if gain.side > 0 else "below"
    return "holds" if gain.side * ordering.paper > 0 else "reversed"


def measured_orderings(groups: Sequence[Group]) -> dict[Setting, dict[Ordering, Gain]]:
    """By setting, the orderings of which both rows were run with a common seed; a recipe whose training was
    changed, alike for all rows, is a setting too. Left out are models that were changed, which are no rows of the
    paper, and settings without any ordering."""
    found: dict[Setting, dict[Ordering, Gain]] = {}
    for group in groups:
        if group.other_models:
            continue
        for ordering in ORDERINGS:
            if gain := paired_gain(group.of(ordering.upper), group.of(ordering.lower)):
                found.setdefault(setting_of(group), {})[ordering] = gain
    return found


def orderings_table(groups: Sequence[Group]) -> TextTable:
    """Each claim, the paper's difference, and in a line for each setting that here with its verdict."""
    measured, with_reverses = measured_orderings(groups), reversible(groups)
    rows = []
    for ordering in ORDERINGS:
        here = [
            (here_of(ordering, gains[ordering], blind=blind_rows(ordering) if on in with_reverses else 0), str(on))
            for on, gains in measured.items()
            if ordering in gains
        ]
        rows += [(*claim_cells(ordering), *cells) for cells in here or [("not run", NONE)]]
    return TextTable(
        title="The paper's orderings, and whether they hold",
        head=(*CLAIM_HEAD, "here", "run on"),
        rows=tuple(rows),
        words_right=1,
        notes=(
            f"{LEGEND} holds: the whole interval is on the paper's side of zero; reversed: on the other; open: zero "
            "is in it, or there is one seed. Of twenty such intervals one misses by chance.",
            f"≈ stands where the paper's own rows are less than {TIE:.0f} point apart, - where it lacks one "
            "of them: nothing to hold there; above and below say where the first row is here.",
        )
        + (BLIND_LEGEND,) * bool(with_reverses),
    )


def orderings_content(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """The same as plain values, one for each ordering and setting that was measured."""
    with_reverses = reversible(groups)
    return [
        ordering_content(ordering, setting, gain, blind=blind_rows(ordering) if setting in with_reverses else 0)
        | {"changed": None}
        for setting, gains in measured_orderings(groups).items()
        for ordering, gain in gains.items()
    ]


def ordering_content(ordering: Ordering, setting: Setting, gain: Gain, *, blind: int) -> dict[str, Any]:
    """One of them as plain values. `blind` is how many of the rows cannot tell these clips from their reverses."""
    return {
        "upper": ordering.upper,
        "lower": ordering.lower,
        "paper": None if ordering.paper is None else round(ordering.paper, 1),
        "scale": setting.scale,
        "data": setting.data,
        "weights": setting.weights_named,
        "changes": setting.changes,
        "gain": asdict(gain.estimate),
        "seeds": list(gain.seeds),
        "blind": blind,
        "verdict": verdict(ordering, gain, blind=blind),
    }


def claim_cells(ordering: Ordering) -> tuple[str, str]:
    """What the paper says, under `CLAIM_HEAD`."""
    return str(ordering), NONE if ordering.paper is None else f"{ordering.paper:+.1f}"


def here_of(ordering: Ordering, gain: Gain, *, blind: int) -> str:
    """The difference and the verdict. `blind` is how many of the rows cannot tell these clips from their reverses."""
    return f"{gain}, {verdict(ordering, gain, blind=blind)}{BLIND * (blind == 1)}"
