"""Which labels are each other's reversal in time, by their words."""

from __future__ import annotations

import pytest

from m2a.data.reversal import reversal_map, reversal_pairs
from m2a.data.synthetic import LABELS, order_blind_ceiling, time_reversal_pairs


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("jumping up", "jumping down"),
        ("jumping in", "jumping out"),
        ("JumpingUp", "JumpingDown"),
        ("diving in", "diving out"),
        ("diving forward", "diving backward"),
        ("going up stairs", "going down stairs"),
        ("climbing up a ladder", "climbing down a ladder"),
        ("walking in", "walking out"),
        ("a person walking up the stairs", "a person walking down the stairs"),
        ("walking left", "walking right"),
        ("running from left to right", "running from right to left"),
        ("running clockwise", "running counterclockwise"),
        ("walking towards the camera", "walking away from the camera"),
        ("walking closer to something", "walking away from something"),
        ("stepping in", "stepping out"),
        ("hopping up", "hopping down"),
        ("skating in", "skating out"),
        ("riding up", "riding down"),
        ("driving in", "driving out"),
        ("swimming up", "swimming down"),
        ("marching in", "marching out"),
        ("carrying a box up", "carrying a box down"),
        ("coming in", "coming out"),
        ("walking in and opening the door", "walking in and closing the door"),
        ("entering the room", "leaving the room"),
        ("person_entering_car", "person_leaving_car"),
        ("opening left drawer", "opening right drawer"),
        ("waving left hand", "waving right hand"),
        ("raising the left arm", "raising the right arm"),
        ("tapping with the left foot", "tapping with the right foot"),
        ("winking left eye", "winking right eye"),
        ("turning left side lamp on", "turning right side lamp on"),
        ("moving left hand up", "moving right hand up"),
        ("facing left", "facing right"),
        ("facing to the left", "facing to the right"),
        ("working in", "working out"),
        ("logging in", "logging out"),
        ("checking in", "checking out"),
        ("hanging in", "hanging out"),
        ("making up", "making out"),
        ("getting in", "getting out"),
        ("sitting up", "sitting down"),
        ("lying up", "lying down"),
        ("writing up", "writing down"),
        ("tossing something up", "tossing something down"),
        ("shooting up", "shooting down"),
        ("cutting something up", "cutting something down"),
        ("letting something roll up a slope", "letting something roll down a slope"),
    ],
)
def test_who_goes_somewhere_and_what_is_no_motion_is_not_reversed(one: str, other: str) -> None:
    assert reversal_map([one, other]) == (None, None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("walking forward", "walking backward"),
        ("Running Forwards", "Running Backwards"),
        ("skating forward", "skating backward"),
        ("driving forward", "driving backward"),
        ("moving something up", "moving something down"),
        ("lifting something", "lowering something"),
        ("raising an arm", "lowering an arm"),
        ("moving an arm up while sitting", "moving an arm down while sitting"),
        ("making a circle clockwise", "making a circle counterclockwise"),
        ("bringing hands closer to each other", "bringing hands away from each other"),
        ("Zooming In With Two Fingers", "Zooming Out With Two Fingers"),
        ("breathing in", "breathing out"),
        ("Rolling Hand Forward", "Rolling Hand Backward"),
        ("shuffling feet forward", "shuffling feet backward"),
        ("standing up", "sitting down"),
        ("standing up from a chair", "sitting down from a chair"),
        ("Sliding Two Fingers Up", "Sliding Two Fingers Down"),
        ("Sliding Two Fingers Left", "Sliding Two Fingers Right"),
        ("Swiping Left", "Swiping Right"),
        ("swiping left with the left hand", "swiping right with the left hand"),
        ("turning the camera left while filming something", "turning the camera right while filming something"),
        ("moving something to the left", "moving something to the right"),
        ("moving to the left side", "moving to the right side"),
        ("moving left hand up", "moving left hand down"),
        ("lifting the left leg", "lowering the left leg"),
        ("rolling something from left to right", "rolling something from right to left"),
        ("passing a ball from left hand to right hand", "passing a ball from right hand to left hand"),
        ("Swiping Up", "Swiping Down"),
        ("Turning the camera left while filming something", "Turning the camera right while filming something"),
        ("Turning the camera upwards while filming something", "Turning the camera downwards while filming something"),
        ("Approaching something with your camera", "Moving away from something with your camera"),
        ("Moving something towards the camera", "Moving something away from the camera"),
        ("opening a door", "closing a door"),
    ],
)
def test_what_moves_things_or_parts_of_the_body_is_reversed(one: str, other: str) -> None:
    assert reversal_map([one, "Holding something", other]) == (2, None, 0)


def test_sitting_up_does_not_take_the_partner_of_standing_up() -> None:
    assert reversal_pairs(["sitting up", "sitting down", "standing up"]) == [("sitting down", "standing up")]


def test_the_drawn_pairs_and_the_ceiling_are_as_they_were() -> None:
    assert {frozenset(pair) for pair in reversal_pairs(LABELS)} == {frozenset(pair) for pair in time_reversal_pairs()}
    paired = [label for pair in time_reversal_pairs() for label in pair]
    assert (len(paired), len(reversal_pairs(paired)), order_blind_ceiling(paired)) == (30, 15, 50.0)
