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
    ("turnleft", "turnright"),
    ("TURNLEFT", "TURNRIGHT"),
    ("leftarm", "rightarm"),
    ("Leftarm raise", "Rightarm raise"),
    ("punch_lefthook", "punch_righthook"),
    ("punch_LEFThook", "punch_RIGHThook"),
    ("swipelefttoright", "swiperighttoleft"),
    ("turnclockwise", "turncounterclockwise"),
    ("ROTATECLOCKWISE", "ROTATECOUNTERCLOCKWISE"),
]

PAIRS_OF_THE_SET = [  # what neither label says alone
    ("swipe_l", "swipe_r"),
    ("PUNCH_L", "PUNCH_R"),
    ("SwipeL", "SwipeR"),
    ("l", "r"),
    ("l arm up", "r arm up"),
    ("kick_l2", "kick_r2"),
    ("swipe_lr", "swipe_rl"),
    ("swipe_l2r", "swipe_r2l"),
    ("turn left l", "turn right r"),
    ("hold upright l", "hold upright r"),
    ("turn_lt", "turn_rt"),
    ("lhand wave", "rhand wave"),
]


@pytest.mark.parametrize(("label", "partner"), PAIRS)
def test_directions_swap_both_ways(label: str, partner: str) -> None:
    assert mirror_label(label) == partner
    assert mirror_label(partner) == label
    assert flip_map([label, partner]) == (1, 0)
    assert flip_map([label, "other"]) == (None, 1)


@pytest.mark.parametrize(("label", "partner"), PAIRS_OF_THE_SET)
def test_letters_are_sides_where_both_are_in_the_set(label: str, partner: str) -> None:
    assert flip_map([label, "other", partner]) == (2, 1, 0)


@pytest.mark.parametrize("label", ["l sit", "vitamin r", "plan L", "SwipeR", "r", "lh grip"])
def test_a_lone_letter_without_partner_stays(label: str) -> None:
    assert mirror_label(label) == label
    assert flip_map([label, "other"]) == (0, 1)


def test_letters_of_an_alphabet_are_no_sides() -> None:
    assert flip_map(["A", "K", "L", "R"]) == (0, 1, 2, 3)
    assert flip_map(["sign_a", "sign_l", "sign_r", "sign_x", "swipe_l", "swipe_r"]) == (0, 1, 2, 3, 5, 4)
    assert flip_map(["swipe_l", "swipe_r", "swipe_u", "swipe_d"]) == (1, 0, 2, 3)


def test_a_word_that_is_harmless_alone_is_a_side_beside_its_partner() -> None:
    assert flip_map(["upleft", "upright", "downleft", "downright"]) == (1, 0, 3, 2)
    assert flip_map(["upright", "up"]) == (0, 1)
    assert flip_map(["lamp upright turnleft", "lamp upright turnright"]) == (1, 0)
    assert flip_map(["upleft", "up"]) == (None, 1)


def test_the_text_with_the_most_sides_swapped_is_the_partner() -> None:
    assert flip_map(["turn left l", "turn left r", "turn right l", "turn right r"]) == (3, 2, 1, 0)
    assert flip_map(["l sit left", "l sit right"]) == (1, 0)


def test_other_spellings_of_words_that_run_together() -> None:
    assert flip_map(["turnanticlockwise", "turnclockwise"]) == (1, 0)
    assert flip_map(["TurnLeft", "TURNRIGHT"]) == (1, 0)
    assert flip_map(["Leftarm", "rightarm"]) == (1, 0)


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
    [
        "Holding something", "Brightening a room", "leftover food", "theft", "Copyright", "upright", "", "moving up",
        "bright light", "BrightLight", "adjusting_brightness", "cleft", "fright", "frightening someone", "alright",
        "birthright", "outright", "playwright at work", "Wrights", "sprightly dance", "forthright", "righting a boat",
        "eating leftovers", "Uprights", "UPRIGHT ROW", "fighting", "flight", "lifting", "knight", "night light",
        "Putting something that cannot actually stand upright upright on the table, so it falls on its side",
        "Laying something on the table on its side, not upright",
    ],
)  # fmt: skip
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
    assert describe_flips(["turnleft", "turnright", "swipe_l", "swipe_r", "leftarm", "l sit", "upright"]) == (
        "2 of 7 classes keep their label when a clip is mirrored\n"
        "2 pairs swap labels:\n"
        "  turnleft <-> turnright\n"
        "  swipe_l <-> swipe_r\n"
        "1 is never mirrored, for want of a partner:\n"
        "  leftarm (would be: rightarm)"
    )
    assert describe_flips(["a", "b"]) == "2 of 2 classes keep their label when a clip is mirrored"
