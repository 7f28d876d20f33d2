"""Which axis of features is their channels', told from the recorded pass."""

from __future__ import annotations

from collections.abc import Iterator

from m2a.insertion.trace import Passage, Step, Trace

_CHANNELS_FIRST = frozenset(
    {"convolution", "native_batch_norm", "_native_batch_norm_legit_no_training", "native_group_norm"}
)
_CHANNELS_LAST = frozenset({"native_layer_norm", "addmm", "mm", "bmm", "baddbmm"})
LAYERS = _CHANNELS_FIRST | _CHANNELS_LAST
_LINEAR = _CHANNELS_LAST - {"native_layer_norm"}
_PASSING = frozenset({"view", "_unsafe_view", "clone", "_to_copy", "alias", "detach"})


def channels_are_last(record: Trace, module: str, position: str, passage: Passage) -> bool:
    """Which axis is the channels': that which the first layer at work inside the module takes for them, where it is
    given what the module is. Else the one that is as long with larger images. Where the network takes no others, behind
    the module by the last layer at work before; in front of it by the first inside, and by whether the axes were
    exchanged on the way there, and without one by the last before, but tokens have their channels last."""
    given, made = passage.given, passage.made
    layer = next(
        (
            step
            for step in _inside(record, module)
            if step.operation in LAYERS and (len(step.shape) > 2 or step.shape[0] != record.batch)  # not one of means
        ),
        None,
    )
    works_on_it = layer is not None and position == "before" and _is_given(layer, given)
    may_mix_tokens = layer is not None and len(given.shape) == 3 and layer.operation in _LINEAR
    if layer is not None and works_on_it and not may_mix_tokens:
        return _takes_last(layer)
    if (larger := record.larger()) is not None and (other := larger.passages.get(module)) is not None:
        told = _unscaled_is_last(given, other.given) if position == "before" else _unscaled_is_last(made, other.made)
        if told is not None:
            return told
    if position == "after" and made is not None:
        return _was_made_last(made)
    if layer is not None and works_on_it:  # a linear layer works on channels, or on places that are brought behind
        return _takes_last(layer) and _tokens_are_channels_last(given) is not False
    if layer is None:
        return len(given.shape) == 3 or _was_made_last(given)
    exchanged = len(given.shape) > 3 and _permuted(layer, given)
    return _takes_last(layer) and not exchanged


def ends_channels_last(record: Trace, made: Step) -> bool:
    """Whether the maps that a network ends in have their channels behind: the axis that is as long with larger images.
    Where it takes no others, by the last layer that worked on them."""
    if (larger := record.larger()) is not None:
        told = _unscaled_is_last(made, larger.passages[""].made)
        if told is not None:
            return told
    return _was_made_last(made)


def _is_given(layer: Step, given: Step) -> bool:
    """Whether a layer works on what was given, as it is or with its axes in front of the last joined."""
    step = layer
    while step.sources[:1] and step.sources[0] is not given:
        step = step.sources[0]
        if step.operation not in _PASSING or step.shape[-1:] != given.shape[-1:]:
            return False
    return step.sources[:1] == [given]


def _takes_last(layer: Step) -> bool:
    """Whether a layer takes the last axis for the channels. A layer norm of whole maps has their channels, height and
    width in this order; what a batch norm takes may be the rows of all tokens."""
    if layer.operation in _CHANNELS_FIRST:
        return len(layer.shape) == 2
    return not (layer.operation == "native_layer_norm" and layer.kernel == len(layer.shape) - 1 > 2)


def _unscaled_is_last(one: Step | None, larger: Step | None) -> bool | None:
    """Of features and the same ones of larger images: whether the channels are the last axis, or, False, the first
    behind the batch; None where the lengths of axes do not tell."""
    if one is None or larger is None or len(one.shape) != len(larger.shape):
        return None
    same = {axis for axis in range(1, len(one.shape)) if one.shape[axis] == larger.shape[axis]}
    last = len(one.shape) - 1
    if len(one.shape) == 5:  # of clips, time is as long, too
        return False if same == {1, 2} else True if same == {1, last} else None
    return False if same == {1} else True if same == {last} else None


def _inside(record: Trace, module: str) -> Iterator[Step]:
    return (step for step in record.steps if step.module == module or step.module.startswith(f"{module}."))


def _permuted(step: Step, given: Step) -> bool:
    """Whether (N, C, H, W) became (N, H, W, C), or (B, C, T, H, W) (B, T, H, W, C), between what was given and the
    step."""
    current = step
    while current.sources and current is not given:
        current = current.sources[0]
        if current.operation == "permute" and current.sources:
            first = current.sources[0].shape
            if current.shape == (*first[:1], *first[2:], *first[1:2]) and current is not given:
                return True
    return False


def _was_made_last(made: Step) -> bool:
    """Whether features have their channels behind, from the last layer that worked on them and the exchanges of axes
    since; first where there was none."""
    step, exchanged = made, False
    while step.operation not in LAYERS:
        if not step.sources:
            return False
        source = step.main_source
        exchanged ^= _exchanges(step, source)
        step = source
    return _takes_last(step) ^ exchanged


def _tokens_are_channels_last(tokens: Step) -> bool | None:
    """The same of tokens in a network without attention, whose linear layers may work on places as well as on channels:
    from the last layer norm, or the map that they were; None where they come from neither."""
    step, exchanged = tokens, False
    while step.sources:
        if step.operation == "native_layer_norm" and len(step.shape) == 3 and step.kernel == 1:
            return not exchanged
        if step.operation in _CHANNELS_FIRST and len(step.shape) == 4:
            return exchanged
        if step.operation in _LINEAR and len(step.sources) > 1:
            return None  # an attention's
        source = step.main_source
        exchanged ^= _exchanges(step, source)
        step = source
    return None


def _exchanges(step: Step, source: Step) -> bool:
    """Whether an operation brings the channels from behind to the front or back."""
    before = source.shape
    forth, back = (*before[:1], *before[2:], *before[1:2]), (*before[:1], *before[-1:], *before[1:-1])
    return step.operation in ("permute", "transpose") and step.shape in (forth, back)
