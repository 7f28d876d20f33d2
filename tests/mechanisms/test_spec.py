"""The spec grammar, the catalogue, and what the errors tell the user to do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from torch import nn

from m2a.errors import M2AError, SpecError
from m2a.mechanisms import create_mechanism, describe_mechanisms, list_mechanisms, parse_spec
from m2a.mechanisms.catalogue import PartInfo, Shorthand, parts, register_part, register_shorthand, shorthands


@pytest.mark.parametrize("spec", [*list_mechanisms(), "m2a+tsm", "tsm+m2a-motion", "m2a+tsm+m2a-attention"])
def test_the_shortest_spelling_is_kept(spec: str) -> None:
    assert str(parse_spec(spec)) == spec
    assert parse_spec(str(parse_spec(spec))) == parse_spec(spec)


@pytest.mark.parametrize(
    ("spec", "shortest"),
    [
        ("m2a:m2a", "m2a"),
        ("m2a:none", "m2a-motion"),
        ("none:m2a", "m2a-attention"),
        ("none:none", "none"),
        (" m2a : none + tsm ", "m2a-motion+tsm"),
        ("tsm+m2a:m2a", "tsm+m2a"),
    ],
)
def test_other_spellings_mean_the_same(spec: str, shortest: str) -> None:
    assert parse_spec(spec) == parse_spec(shortest)
    assert str(parse_spec(spec)) == shortest


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("moton", r"There is no mechanism called 'moton'\..* Known: none, .*m2a"),
        ("m2a-moton", r"There is no mechanism called 'm2a-moton'\. Did you mean 'm2a-motion'\? Known: "),
        (
            "m3a:none",
            r"There is no motion called 'm3a' \(in 'm3a:none'\)\. Did you mean 'm2a'\? Known: none, m2a, tdn, tea\. ",
        ),
        ("m2a:attn", r"There is no attention called 'attn' \(in 'm2a:attn'\)"),
        ("m2a+tsn", r"There is no mechanism called 'tsn' \(in 'm2a\+tsn'\)\. Did you mean 'tsm'\?"),
        ("", r"The mechanism '' has an empty name in it\. Write a name, 'motion:attention', or a stack"),
        ("m2a+", r"The mechanism 'm2a\+' has an empty name in it"),
        (":m2a", r"There is no motion called ''"),
        ("m2a:m2a:none", r"'m2a:m2a:none' in the mechanism 'm2a:m2a:none' has more than one ':'"),
        ("m2a+none", r"The mechanism 'm2a\+none' stacks 'none', which does nothing; leave it out"),
        ("none:none+tsm", r"stacks 'none', which does nothing"),
        ("M2A", r"There is no mechanism called 'M2A'\."),
    ],
)
def test_specs_that_cannot_be_read(spec: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        create_mechanism(spec, channels=16)
    assert isinstance(caught.value, M2AError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (
            "m2a",
            {"bondary": "zero"},
            r"The mechanism 'm2a' has no option 'bondary'\. It takes: boundary, direction, inner_skip\.",
        ),
        (
            "m2a+tsm",
            {"x": 1, "a": 1},
            r"no option 'a', 'x'\. It takes: boundary, direction, inner_skip, padding_mode, shift_div\.",
        ),
        (
            "m2a-attention",
            {"boundary": "zero"},
            r"'m2a-attention' has no option 'boundary'\. It takes: direction, inner_skip\.",
        ),
        ("none", {"shift_div": 8}, r"'none' has no option 'shift_div'\. It takes none\."),
        (
            "m2a",
            {"boundary": "same"},
            r"boundary='same' is not known\. 'wrap' \(the paper's text\).*'zero' \(the released",
        ),
        (
            "m2a-plus",
            {"span": -1},
            r"span=-1 is how wide the gate opens, from 1 - span / 2 to 1 \+ span / 2: above zero",
        ),
        ("tsm", {"channels": 7}, r"with 7 channels shift_div must lie in 2\.\.7, got 8\."),
        ("tsm", {"shift_div": 1}, r"with 16 channels shift_div must lie in 2\.\.16, got 1\."),
        ("tsm", {"padding_mode": "zero"}, r"padding_mode='zero' is not known\. 'zeros' \(the paper\) shifts zeros in"),
        ("tsm", {"direction": "past"}, r"direction='past' is not known\. 'bidirectional' \(as published\) looks"),
        ("m2a-attention", {"direction": "back"}, r"direction='back' is not known\. .*'unidirectional' at those before"),
        (
            "m2a",
            {"direction": "unidirectional", "boundary": "wrap"},
            r"boundary='wrap' has the last frame before the first.*Take 'replicate', the first frame itself, or 'zero'",
        ),
        ("m2a-plus", {"direction": "unidirectional"}, r"no end to tell it from\. Pass time_embedding=False too"),
        ("tsm", {"shift_div": "four"}, r"with 16 channels shift_div must lie in 2\.\.16, got 'four'\."),
        ("tsm", {"padding_mode": "stream"}, r"padding_mode='stream' is of direction='unidirectional'"),
        ("tsm", {"shift_div": 0}, r"with 16 channels shift_div must lie in 2\.\.16, got 0\."),
    ],
)
def test_options_that_cannot_work(spec: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        create_mechanism(spec, **({"channels": 16} | options))


@pytest.mark.parametrize("reduction", [0, -8])
def test_a_reduction_that_cannot_work(reduction: int) -> None:
    with pytest.raises(M2AError, match=rf"reduction divides the channels and must be at least 1; got {reduction}\."):
        create_mechanism("m2a", channels=16, reduction=reduction)


def test_options_reach_the_parts_that_take_them() -> None:
    stack = create_mechanism("m2a+tsm", channels=16, boundary="zero", shift_div=4)
    assert isinstance(stack, nn.Sequential)
    assert "boundary='zero'" in repr(stack[0])
    assert repr(stack[1]) == "TemporalShift(16, fold=4)"


@pytest.mark.parametrize(("channels", "reduction", "reduced"), [(64, 8, 8), (17, 8, 2), (7, 8, 1), (7, 1, 7)])
def test_reduced_channels(channels: int, reduction: int, reduced: int) -> None:
    mechanism = create_mechanism("m2a", channels=channels, reduction=reduction)
    shapes = {name: tuple(weight.shape) for name, weight in mechanism.named_parameters()}
    assert shapes == {
        "reduce.weight": (reduced, channels, 1, 1),
        "reduce.bias": (reduced,),
        "expand.weight": (channels, reduced, 1, 1),
        "expand.bias": (channels,),
    }


def test_the_catalogue_describes_itself() -> None:
    names = list_mechanisms()
    assert {"none", "m2a", "m2a-motion", "m2a-attention", "tsm"} <= set(names)
    assert len(names) == len(set(names))
    described = describe_mechanisms()
    assert list(described) == names
    assert all(re.fullmatch(r"[A-Z].{10,110}\.", line) for line in described.values()), described


def test_names_are_registered_once_and_can_be_written() -> None:
    def part(name: str) -> PartInfo:
        return PartInfo(name=name, kind="whole", summary="Nothing.", paper="", build=nn.Identity)

    before = dict(parts("whole")), dict(shorthands())
    with pytest.raises(ValueError, match=r"The whole 'tsm' is registered already\."):
        register_part(part("tsm"))
    for name in ("a:b", "a+b", "", "a b"):
        with pytest.raises(ValueError, match=r"cannot be written in a spec; use letters, digits and '-'\."):
            register_part(part(name))
    for name in ("tsm", "m2a"):
        with pytest.raises(ValueError, match=rf"The name '{name}' is taken already\."):
            register_shorthand(Shorthand(name=name, motion="m2a", attention="none", summary="Nothing."))
    assert before == (dict(parts("whole")), dict(shorthands()))
