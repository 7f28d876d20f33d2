"""Residual branches, found in what a network does rather than in what its classes are called.

A branch ends where its result is added to what it came from, or subtracted, or mixed with it:

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
_MIXERS = _LAYERS - _NORMS
_JOINS = frozenset({"add", "sub", "rsub", "addcmul", "lerp"})  # by which a branch meets its skip
_ENOUGH = 4  # blocks, one a stage, for a network to be a residual one
ATTENTION = frozenset({"bmm", "baddbmm", "_softmax", "_safe_softmax"})
"""Operations that tell that a network has attention."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of the network that adds something to what came into it."""

    name: str
    """Of its module, the innermost with a number in its name; where the sum is in none, of the first layer."""
    layers: tuple[str, ...]
    """First layers of its branches: of those that mix space, and then of the others. None where every layer is a
    function called by the module that adds the skip: a mechanism in front of that module would change the skip too."""

    @property
    def stage(self) -> str:
        """Name of what holds the block and those like it."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True, kw_only=True)
class _Branch:
    block: str
    layer: str | None  # module of the layer nearest to the fork, a convolution, a norm or a matrix product
    mixes_space: bool  # whether it has an attention or a convolution larger than 1 x 1
    join: Step
    between: set[Step]


def find_blocks(trace: Trace) -> list[Block]:
    """The residual blocks of a network, in their order. In a network with next to none: the parts whose result is
    concatenated to what came into them (DenseNet), or every convolution larger than 1 x 1 (VGG). Layers that see the
    image itself are left out."""
    found: list[Block] = []
    for dense in (False, True):
        branches = [branch for branch in _branches(trace, dense=dense) if _has_a_place(branch, trace)]
        found = max(found, _blocks(branches), key=len)
        if len(found) >= _ENOUGH:
            return found
    chain = dict.fromkeys(step.module for step in trace.steps if step.operation == "convolution" and step.kernel > 1)
    seen = (name for name in chain if name in trace.passages)  # not one that is given a list, say
    return found or [Block(name=name, layers=(name,)) for name in seen if not _sees_image(name, trace)]


def has_tokens_first(trace: Trace) -> bool:
    """Whether sums are of tokens (L, N, C), whose first axis is not the batch: those are no branches here."""
    sums = (step.shape for step in trace.steps if step.operation in _JOINS and len(step.sources) > 1)
    return any(len(shape) == 3 and shape[0] != trace.batch == shape[1] for shape in sums)


def _has_a_place(branch: _Branch, trace: Trace) -> bool:
    """Whether it is in a block that can be told of, at least, and not the network itself, or the image's own."""
    if branch.layer is None:
        return branch.block != ""
    return branch.layer in trace.passages and not _sees_image(branch.layer, trace)


def _sees_image(layer: str, trace: Trace) -> bool:
    return trace.passages[layer].given is trace.steps[0]


def _branches(trace: Trace, *, dense: bool) -> list[_Branch]:
    dominators = _dominators(trace.steps)
    joins = {"cat"} if dense else _JOINS  # what was concatenated before is so again: each adds its own layers
    found: list[tuple[Step, set[Step], list[Step]]] = []
    held = {""}
    for join in trace.steps:
        if join.operation not in joins or len(join.sources) < 2 or len(join.shape) < 3 or join.shape[0] != trace.batch:
            continue
        fork = dominators[join]
        if fork is None:
            continue
        between = _between(fork, join)
        layers = _layers(fork, join, dominators, stop="cat" if dense else "")
        if not layers:  # several ways side by side
            layers = _side_by_side(trace, fork, between)
        if layers:
            found.append((join, between, layers))
            held.update(step.module for step in layers if _holds(step.module, fork, join, trace))
    branches = [_branch(*parts, held) for parts in found]
    return branches if dense else _innermost(branches)


def _branch(join: Step, between: set[Step], layers: list[Step], held: set[str]) -> _Branch:
    layer = next((step.module for step in layers if step.module not in held), None)
    return _Branch(
        block=_numbered(join.module) or layers[0].module or layer or "",
        layer=layer,
        mixes_space=any(step.kernel > 1 or step.operation in ATTENTION for step in between),
        join=join,
        between=between,
    )


def _holds(module: str, fork: Step, join: Step, trace: Trace) -> bool:
    """Whether the skip is inside the module, too, as where a block calls `F.layer_norm` itself: the join is, and so is
    the fork, which is what the module is given or comes from that without a layer but norms."""
    if module != join.module and not join.module.startswith(f"{module}."):
        return False
    passage = trace.passages.get(module)
    if passage is None:
        return True
    waiting, seen = [fork], {fork}
    while waiting:
        step = waiting.pop()
        if step is passage.given:
            return True
        if step.operation not in _MIXERS:
            new = [source for source in step.sources if source not in seen]
            seen.update(new)
            waiting += new
    return False


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


def _layers(fork: Step, join: Step, above: dict[Step, Step | None], stop: str) -> list[Step]:
    """The layers from the fork, or from an operation `stop`, on the way to the join that mixes space and has most of
    them."""
    best: tuple[tuple[bool, int], list[Step]] | None = None
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
                best = (rank, layers[::-1])
        elif source is not fork:
            forks_again |= any(inner.operation == "convolution" for inner in _between(fork, source))
    if best is None:
        return []
    (has_space, _), found = best
    if forks_again and found[0].operation in _NORMS and fork in found[0].sources and not has_space:
        return []  # that norm is the skip: RepVGG adds it to two convolutions side by side
    return found


def _side_by_side(trace: Trace, fork: Step, between: set[Step]) -> list[Step]:
    """The layers; where a norm stands by itself beside convolutions, those that the fork itself goes into, the first
    that mixes space in front."""
    layers = [step for step in trace.steps if step in between and step.operation in _LAYERS]
    nearest = [step for step in layers if fork in step.sources]
    if any(step.operation in _NORMS for step in nearest):
        layers = sorted(nearest, key=lambda step: (step.kernel == 1, step.operation in _NORMS))
    return layers


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
    apart = [group for name, members in by_name.items() for group in _apart(name, members)]
    blocks = []
    for name, members in apart:
        members = sorted(members, key=lambda branch: not branch.mixes_space)
        layers = dict.fromkeys(branch.layer for branch in members if branch.layer is not None)
        blocks.append(Block(name=name, layers=tuple(layers)))
    return blocks


def _apart(name: str, members: list[_Branch]) -> list[tuple[str, list[_Branch]]]:
    """A block, or several: of a module that itself adds what its numbered children make, one after the other
    (`for layer in self.layers: x = x + layer(x)`), each child is one, or each of a child's own. Of branches of which
    one mixes space, as an attention and what stands behind it, the child that holds them is the block."""
    if any(branch.layer is None or branch.join.module != name for branch in members):
        return [(name, members)]
    return _by_child(name, members)


def _by_child(name: str, members: list[_Branch]) -> list[tuple[str, list[_Branch]]]:
    below = re.compile(rf"{re.escape(name)}\.(?:.*?\.)?\d+(?=\.|$)")
    children = [below.match(branch.layer or "") for branch in members]
    groups: dict[str, list[_Branch]] = defaultdict(list)
    for child, branch in zip(children, members, strict=True):
        groups["" if child is None else child[0]].append(branch)
    if "" in groups or len(groups) < 2 or sum(branch.mixes_space for branch in members) == 1:
        return [(name, members)]
    return [part for child, group in groups.items() for part in _by_child(child, group)]


def _numbered(name: str) -> str:
    """The part of a name that ends in its last number, "stages.1.blocks.0" of "stages.1.blocks.0.mlp", or ""."""
    numbered = re.match(r"(.*\d)(?:\.|$)", name)
    return numbered[1] if numbered else ""
