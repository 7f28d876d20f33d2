"""Changes to training clips: all frames alike, drawn from the clip's own generator, labels kept true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from m2a.data import Augmentation, describe_reversals, reversal_map
from m2a.data.augment import Augmenter
from m2a.data.synthetic import LABELS, time_reversal_pairs
from m2a.errors import ConfigError

JESTER = (
    "Swiping Left", "Swiping Right", "Zooming In With Full Hand", "Zooming Out With Full Hand", "Thumb Up",
    "Thumb Down", "Turning Hand Clockwise", "Turning Hand Counterclockwise", "Pushing Hand Away", "Pulling Hand In",
    "Stop Sign", "No gesture",
)  # fmt: skip


def still_clip() -> torch.Tensor:
    """Five equal frames."""
    return torch.randint(0, 256, (1, 3, 23, 23), dtype=torch.uint8).expand(5, -1, -1, -1).clone()


@pytest.mark.parametrize(
    "changes", [{"color_jitter": 0.5}, {"rand_augment": 9}, {"color_jitter": 1.0, "rand_augment": 30}]
)
def test_all_frames_are_changed_alike_and_each_clip_otherwise(changes: dict[str, Any]) -> None:
    augment, clip = Augmenter(Augmentation(**changes), ("a", "b")), still_clip()
    state = torch.get_rng_state()
    outs = [augment(clip, 1, np.random.default_rng(seed))[0] for seed in range(6)]
    assert torch.equal(torch.get_rng_state(), state)
    for out in outs:
        assert out.dtype == torch.uint8
        assert out.shape == clip.shape
        assert all(torch.equal(frame, out[0]) for frame in out)
    assert torch.equal(augment(clip, 1, np.random.default_rng(3))[0], outs[3])
    assert sum(torch.equal(out, outs[0]) for out in outs) < 3


@pytest.mark.parametrize("changes", [{"color_jitter": 1.0}, {"rand_augment": 9}])
def test_a_background_stays_still_when_something_bright_leaves(changes: dict[str, Any]) -> None:
    """Contrast, histograms and means are those of the whole clip, not of each frame."""
    clip = torch.full((7, 3, 29, 31), 64, dtype=torch.uint8)
    clip[:5, :, 11:19, 11:20] = 230  # in the middle: nothing moves it as far as the corner
    augment = Augmenter(Augmentation(**changes), ("a", "b"))
    for seed in range(80):
        out, _ = augment(clip, 0, np.random.default_rng(seed))
        corner = out[:, :, :3, :3].int()
        assert (corner - corner[:1]).abs().max() <= 1


def test_nothing_is_the_default() -> None:
    clip = still_clip()
    out, label = Augmenter(Augmentation(), ("Swipe left", "Swipe right"))(clip, 1, np.random.default_rng(0))
    assert out is clip
    assert label == 1


def test_mirrored_and_backwards_together() -> None:
    """Of pushing and pulling, left and right, all four can come of one clip, each with its own label."""
    labels = tuple(
        f"{verb} something from {way}" for verb in ("Pushing", "Pulling") for way in ("left to right", "right to left")
    )
    augment = Augmenter(Augmentation(flip=True, reverse=True), labels)
    clip = torch.randint(0, 256, (5, 3, 13, 13), dtype=torch.uint8)
    expected = {0: clip, 1: clip.flip(-1), 3: clip.flip(0), 2: clip.flip(0).flip(-1)}
    seen = set()
    for seed in range(60):
        out, label = augment(clip, 0, np.random.default_rng(seed))
        assert torch.equal(out, expected[label])
        seen.add(label)
    assert seen == {0, 1, 2, 3}


def test_reversals_by_name_are_those_of_the_drawn_set() -> None:
    partners = reversal_map(LABELS)
    found = {frozenset((LABELS[a], LABELS[b])) for a, b in enumerate(partners) if b is not None}
    assert found == {frozenset(pair) for pair in time_reversal_pairs()}


def test_reversals_of_gestures() -> None:
    assert reversal_map(JESTER) == (1, 0, 3, 2, None, None, 7, 6, 9, 8, None, None)


@pytest.mark.parametrize(
    "labels",
    [
        ("Pushing something from left to right", "Pushing something from right to left"),  # the hand is on a side
        ("Throwing something up", "Throwing something down"),
        ("Pretending to open something", "Pretending to close something"),
        ("Pouring something into something", "Taking something out of something"),
        ("Holding something up", "Holding something down"),
        ("Pointing left", "Pointing right"),
        ("Opening something", "opening something"),
        ("open", "close the door"),
    ],
)
def test_what_is_not_reversed(labels: tuple[str, ...]) -> None:
    assert reversal_map(labels) == (None, None)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("open", "close"), (1, 0)),
        (("door_opening", "door_closing", "still"), (1, 0, None)),
        (("SwipingLeft", "SwipingRight"), (1, 0)),
        (("Lifting a box", "Lowering a box", "Raising a box"), (None, None, None)),  # two would fit
    ],
)
def test_other_spellings(labels: tuple[str, ...], expected: tuple[int | None, ...]) -> None:
    assert reversal_map(labels) == expected


def test_what_is_said_of_it() -> None:
    assert describe_reversals(("Opening something", "Holding something", "Closing something")) == (
        "1 pair swaps labels when a clip is played backwards:\n"
        "  Opening something <-> Closing something\n"
        "1 of 3 classes are never played backwards, for want of a partner"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"color_jitter": 1.5}, r"color_jitter is 1\.5; it must lie between 0 \(none\) and 1"),
        ({"rand_augment": 31}, r"rand_augment is 31; it is a magnitude from 0 \(none\) to 30"),
    ],
)
def test_values_that_cannot_work(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Augmentation(**changes)
