"""What kind of action a label names."""

from __future__ import annotations

import pytest

from m2a.data.reversal import reversal_map
from m2a.data.synthetic import LABELS
from m2a.reporting.comparison.kinds import KINDS, kind_of

SOMETHING_SOMETHING_V1 = {
    "camera motion": [
        "Approaching something with your camera",
        "Moving away from something with your camera",
        "Turning the camera downwards while filming something",
        "Turning the camera left while filming something",
        "Turning the camera right while filming something",
        "Turning the camera upwards while filming something",
    ],
    "object motion": [
        "Dropping something behind something",
        "Dropping something next to something",
        "Letting something roll along a flat surface",
        "Letting something roll up a slanted surface, so it rolls back down",
        "Lifting something up completely without letting it drop down",
        "Lifting up one end of something, then letting it drop down",
        "Moving something across a surface until it falls down",
        "Moving something and something away from each other",
        "Moving something and something so they pass each other",
        "Moving something away from the camera",
        "Moving something closer to something",
        "Moving part of something",
        "Moving something down",
        "Moving something towards the camera",
        "Pretending to throw something",
        "Pretending to turn something upside down",
        "Pulling something from left to right",
        "Pushing something so that it almost falls off but doesn't",
        "Pushing something so that it falls off the table",
        "Pushing something so it spins",
        "Pushing something with something",
        "Rolling something on a flat surface",
        "Something being deflected from something",
        "Something falling like a feather or paper",
        "Spinning something that quickly stops spinning",
        "Throwing something against something",
        "Throwing something in the air and catching it",
        "Tilting something with something on it until it falls off",
        "Tipping something with something in it over, so something in it falls out",
        "Turning something upside down",
    ],
    "interaction": [
        "Attaching something to something",
        "Bending something so that it deforms",
        "Burying something in something",
        "Closing something",
        "Covering something with something",
        "Digging something out of something",
        "Failing to put something into something because something does not fit",
        "Folding something",
        "Hitting something with something",
        "Laying something on the table on its side, not upright",
        "Moving something and something so they collide with each other",
        "Opening something",
        "Picking something up",
        "Piling something up",
        "Plugging something into something but pulling it right out as you remove your hand",
        "Poking a hole into something soft",
        "Poking something so it slightly moves",
        "Pouring something into something until it overflows",
        "Pretending or failing to wipe something off of something",
        "Pretending or trying and failing to twist something",
        "Pretending to be tearing something that is not tearable",
        "Pretending to open something without actually opening it",
        "Pretending to put something on a surface",
        "Pulling something from behind of something",
        "Pulling something out of something",
        "Pulling two ends of something so that it gets stretched",
        "Pushing something off of something",
        "Pushing something onto something",
        "Putting something and something on the table",
        "Putting something on the edge of something so it is not supported and falls down",
        "Removing something, revealing something behind",
        "Scooping something up with something",
        "Something colliding with something and both are being deflected",
        "Spilling something next to something",
        "Spreading something onto something",
        "Sprinkling something onto something",
        "Squeezing something",
        "Stacking number of something",
        "Stuffing something into something",
        "Taking one of many similar things on the table",
        "Tearing something into two pieces",
        "Touching (without moving) part of something",
        "Trying but failing to attach something to something because it doesn't stick",
        "Trying to bend something unbendable so nothing happens",
        "Twisting (wringing) something wet until water comes out",
        "Uncovering something",
        "Unfolding something",
        "Wiping something off of something",
    ],
    "static": [
        "Holding something",
        "Holding something in front of something",
        "Pointing to a part of something",
        "Showing a photo of something to the camera",
        "Showing something on top of something",
        "Showing something to the camera",
        "Showing that something is empty",
    ],
}


@pytest.mark.parametrize("kind", SOMETHING_SOMETHING_V1)
def test_kinds_of_something_something(kind: str) -> None:
    wrong = {label: kind_of(label) for label in SOMETHING_SOMETHING_V1[kind] if kind_of(label) != kind}
    assert wrong == {}


def test_kinds_of_the_drawn_set() -> None:
    kinds = [kind_of(label) for label in LABELS]
    assert {kind: kinds.count(kind) for kind in KINDS} == {
        "camera motion": 6, "object motion": 14, "interaction": 13, "static": 1, "other": 0,
    }  # fmt: skip


def test_a_clip_and_its_reversal_are_of_one_kind() -> None:
    labels = [*LABELS, *(label for labels in SOMETHING_SOMETHING_V1.values() for label in labels)]
    labels = list(dict.fromkeys(labels))
    pairs = [(a, labels[b]) for a, b in zip(labels, reversal_map(labels), strict=True) if b is not None]
    assert len(pairs) >= 30
    assert [pair for pair in pairs if kind_of(pair[0]) != kind_of(pair[1])] == []


def test_spelling_does_not_matter_and_what_is_not_understood_is_other() -> None:
    assert kind_of("moving_something_UP") == kind_of("MovingSomethingUp") == "object motion"
    assert [kind_of(label) for label in ("playing guitar", "No gesture", "", "layup", "Archery")] == ["other"] * 5
    assert kind_of("Swiping Left") == "object motion"
