"""Residual branches, found in what a network does rather than in what its classes are called.

A branch ends where its result is added to what it came from:

    fork -> first layer -> ... -> join = branch + skip

The fork of a join is its immediate dominator: the last step that every way from the input to the join leads through.
Of the ways between them the branch is the one with most layers; the others are its skip.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from m2a.insertion.trace import Step, Trace

_LAYERS = frozenset(
    {
        "convolution", "addmm", "mm", "bmm", "baddbmm",
        "native_layer_norm", "native_group_norm", "native_batch_norm", "_native_batch_norm_legit_no_training",
    }
)  # fmt: skip
_NORMS = frozenset(layer for layer in _LAYERS if "norm" in layer)
_ENOUGH = 4  # blocks, one a stage, for a network to be a residual one
ATTENTION = frozenset({"bmm", "baddbmm", "_softmax", "_safe_softmax"})
"""Operations that tell that a network has attention."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of the network that adds something to what came into it."""

    name: str
    """Of its module, the innermost with a number in its name; where the sum is in none, of the first layer."""
    layers: tuple[str, ...]
    """First layers of its branches: of those that mix space, and then of the others."""

    @property
    def stage(self) -> str:
        """Name of what holds the block and those like it."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True, kw_only=True)
class _Branch:
    block: str
    first: Step  # the layer nearest to the fork: a convolution, a norm or a matrix product
    mixes_space: bool  # whether it has an attention or a convolution larger than 1 x 1
    join: Step
    between: set[Step]


def find_blocks(trace: Trace) -> list[Block]:
    """The residual blocks of a network, in their order. In a network with next to none: the parts whose result is
    concatenated to what came into them (DenseNet), or every convolution larger than 1 x 1 (VGG). Layers that see the
    image itself are left out."""
    found: list[Block] = []
    for operation in ("add", "cat"):
        branches = [branch for branch in _branches(trace, operation) if branch.first.module in trace.passages]
        branches = [branch for branch in branches if not _sees_image(branch.first.module, trace)]
        found = max(found, _blocks(branches), key=len)
        if len(found) >= _ENOUGH:
            return found
    chain = dict.fromkeys(step.module for step in trace.steps if step.operation == "convolution" and step.kernel > 1)
    seen = (name for name in chain if name in trace.passages)  # not one that is given a list, say
    return found or [Block(name=name, layers=(name,)) for name in seen if not _sees_image(name, trace)]


def _sees_image(layer: str, trace: Trace) -> bool:
    return trace.passages[layer].given is trace.steps[0]


def _branches(trace: Trace, operation: str) -> list[_Branch]:
    dominators = _dominators(trace.steps)
    dense = operation == "cat"  # what was concatenated before is concatenated again: each adds its own layers
    branches = []
    for join in trace.steps:
        if join.operation != operation or len(join.sources) < 2 or len(join.shape) < 3 or join.shape[0] != trace.batch:
            continue
        fork = dominators[join]
        if fork is None:
            continue
        between = _between(fork, join)
        first = _first_layer(fork, join, dominators, stop="cat" if dense else "")
        if first is None:  # several ways side by side
            first = _first_side_by_side(trace, fork, between)
        if first is not None:
            mixes = any(step.kernel > 1 or step.operation in ATTENTION for step in between)
            block = _numbered(join.module) or first.module
            branches.append(_Branch(block=block, first=first, mixes_space=mixes, join=join, between=between))
    return branches if dense else _innermost(branches)


def _dominators(steps: Sequence[Step]) -> dict[Step, Step | None]:
    """The immediate dominator of each step; steps come after their sources."""
    above: dict[Step, Step | None] = {}
    depth: dict[Step, int] = {}
    for step in steps:
        common: Step | None = step.sources[0] if step.sources else None
        for source in step.sources[1:]:
            common = _common(common, source, above, depth)
        above[step] = common
        depth[step] = 0 if common is None else depth[common] + 1
    return above


def _common(
    one: Step | None, other: Step | None, above: dict[Step, Step | None], depth: dict[Step, int]
) -> Step | None:
    while one is not other and one is not None and other is not None:
        if depth[one] >= depth[other]:
            one = above[one]
        else:
            other = above[other]
    return one if one is other else None


def _between(fork: Step, join: Step) -> set[Step]:
    """The steps on any way from fork to join, both left out."""
    found: set[Step] = set()
    waiting = list(join.sources)
    while waiting:
        step = waiting.pop()
        if step is not fork and step not in found:
            found.add(step)
            waiting += step.sources
    return found


def _first_layer(fork: Step, join: Step, above: dict[Step, Step | None], stop: str) -> Step | None:
    """The layer nearest to the fork, or to an operation `stop`, on the way to the join that mixes space and has most
    layers."""
    best: tuple[tuple[bool, int], Step] | None = None
    forks_again = False  # whether a way has convolutions, and all of them side by side
    for source in reversed(join.sources):  # the last that was concatenated is the newest
        layers = []
        step: Step | None = source
        while step is not None and step is not fork and (step is source or step.operation != stop):
            if step.operation in _LAYERS:
                layers.append(step)
            step = above[step]
        if layers:
            rank = (any(layer.kernel > 1 for layer in layers), len(layers))
            if best is None or rank > best[0]:
                best = (rank, layers[-1])
        elif source is not fork:
            forks_again |= any(inner.operation == "convolution" for inner in _between(fork, source))
    if best and forks_again and best[1].operation in _NORMS and fork in best[1].sources and not best[0][0]:
        return None  # that norm is the skip: RepVGG adds it to two convolutions side by side
    return best and best[1]


def _first_side_by_side(trace: Trace, fork: Step, between: set[Step]) -> Step | None:
    """The first layer; where a norm stands by itself beside convolutions, the first of these, if there is one that
    mixes space, and that the fork itself goes into."""
    layers = [step for step in trace.steps if step in between and step.operation in _LAYERS]
    nearest = [step for step in layers if fork in step.sources]
    if any(step.operation in _NORMS for step in nearest):
        layers = sorted(nearest, key=lambda step: (step.kernel == 1, step.operation in _NORMS))
    return next(iter(layers), None)


def _innermost(branches: list[_Branch]) -> list[_Branch]:
    """Without sums over a part that holds other blocks (a long skip, say), and without those inside a block's own."""
    kept = []
    for branch in branches:
        inside = (other for other in branches if other.join in branch.between)
        around = (other for other in branches if branch.join in other.between and other.block == branch.block)
        if all(other.block == branch.block for other in inside) and not any(around):
            kept.append(branch)
    return kept


def _blocks(branches: list[_Branch]) -> list[Block]:
    by_name: dict[str, list[_Branch]] = defaultdict(list)
    for branch in branches:
        by_name[branch.block].append(branch)
    blocks = []
    for name, members in by_name.items():
        members = sorted(members, key=lambda branch: not branch.mixes_space)
        blocks.append(Block(name=name, layers=tuple(dict.fromkeys(branch.first.module for branch in members))))
    return blocks


def _numbered(name: str) -> str:
    """The part of a name that ends in its last number, "stages.1.blocks.0" of "stages.1.blocks.0.mlp", or ""."""
    numbered = re.match(r"(.*\d)(?:\.|$)", name)
    return numbered[1] if numbered else ""
