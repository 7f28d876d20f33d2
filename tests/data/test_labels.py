from __future__ import annotations

import pytest

from m2a.data import describe_flips, flip_map, mirror_label

PAIRS = [
    ("Pushing something from left to right", "Pushing something from right to left"),
    ("Turning the camera left while filming something", "Turning the camera right while filming something"),
    ("v_swiping_left", "v_swiping_right"),
    ("SwipeLeft", "SwipeRight"),
    ("swipeRIGHT", "swipeLEFT"),
    ("LEFT", "RIGHT"),
    ("left-to-right", "right-to-left"),
    ("leftToRight", "rightToLeft"),
    ("Lefttoright", "Righttoleft"),
    ("move leftwards", "move rightwards"),
    ("Rightward turn", "Leftward turn"),
    ("left2", "right2"),
    ("top-left corner", "top-right corner"),
    ("topleft", "topright"),
    ("wave left-handed", "wave right-handed"),
    ("rotate clockwise", "rotate counterclockwise"),
    ("Clockwise", "Counterclockwise"),
    ("RotateClockwise", "RotateCounterclockwise"),
    ("cw_rotation", "ccw_rotation"),
    ("CWRotation", "CCWRotation"),
    ("turn left, then CW", "turn right, then CCW"),
]


@pytest.mark.parametrize(("label", "partner"), PAIRS)
def test_directions_swap_both_ways(label: str, partner: str) -> None:
    assert mirror_label(label) == partner
    assert mirror_label(partner) == label
    assert flip_map([label, partner]) == (1, 0)
    assert flip_map([label, "other"]) == (None, 1)


@pytest.mark.parametrize(
    "spelling",
    ["counter-clockwise turn", "counter clockwise turn", "Counter-Clockwise turn", "anticlockwise turn"],
)
def test_spellings_of_counterclockwise_find_their_partner(spelling: str) -> None:
    assert mirror_label(spelling).lower() == "clockwise turn"
    assert flip_map([spelling, "Clockwise turn"]) == (1, 0)


def test_camel_case_and_underscores_find_their_partner() -> None:
    assert flip_map(["RotateCounterClockwise", "RotateClockwise"]) == (1, 0)
    assert flip_map(["turn_anti_clockwise", "turn_clockwise"]) == (1, 0)
    assert flip_map(["acw", "cw"]) == (1, 0)


@pytest.mark.parametrize(
    "label",
    ["Holding something", "Brightening a room", "leftover food", "theft", "Copyright", "upright", "", "moving up"],
)
def test_labels_without_a_direction_stay(label: str) -> None:
    assert mirror_label(label) == label
    assert flip_map([label]) == (0,)


def test_two_labels_that_are_spelled_alike_are_not_guessed() -> None:
    assert flip_map(["go right", "GO LEFT", "Go Left"]) == (None, 0, 0)


def test_flip_map_twice_is_where_it_began() -> None:
    labels = [label for pair in PAIRS[:12] for label in pair]
    flips = flip_map(labels)
    assert all(flip is not None and flips[flip] == index for index, flip in enumerate(flips))


def test_the_account_of_flips() -> None:
    labels = ["Holding something", "Swipe left", "Swipe right", "Rotate cw"]
    assert describe_flips(labels) == (
        "1 of 4 classes keep their label when a clip is mirrored\n"
        "1 pair swaps labels:\n"
        "  Swipe left <-> Swipe right\n"
        "1 is never mirrored, for want of a partner:\n"
        "  Rotate cw (would be: Rotate ccw)"
    )
    assert describe_flips(["a", "b"]) == "2 of 2 classes keep their label when a clip is mirrored"
