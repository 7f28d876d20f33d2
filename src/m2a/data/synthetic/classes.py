"""The table of classes: names as in Something-Something V1, which is the reverse of which, and who draws them.

A pair has one scene. One member shows it forwards, the other shows it backwards, so that in distribution each is
exactly the other one reversed in time. Singles have no partner in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from m2a.errors import ConfigError

from . import camera, props, scenes
from .stage import Stage


@dataclass(frozen=True)
class ClipClass:
    """One class: its label, the label that is its time reversal (if any), and how its scene is shown.

    `mirror` is True or False to show the scene mirrored or not, None to leave it to chance. `turnabout` scenes are
    mirrored by their own reversal: half of their clips are shown mirrored and the other way around in time, which
    makes the mirror image of a label exactly the label that its words say.
    """

    label: str
    partner: str | None
    scene: Callable[[Stage], None]
    backwards: bool = False
    mirror: bool | None = None
    turnabout: bool = False


def _pair(
    forwards: str, backwards: str, scene: Callable[[Stage], None], mirror: bool | None = None, turnabout: bool = False
) -> tuple[ClipClass, ClipClass]:
    return (
        ClipClass(forwards, backwards, scene, False, mirror, turnabout),
        ClipClass(backwards, forwards, scene, True, mirror, turnabout),
    )


CLASSES: tuple[ClipClass, ...] = (
    *_pair("Pushing something from left to right", "Pulling something from right to left", scenes.push, False),
    *_pair("Pushing something from right to left", "Pulling something from left to right", scenes.push, True),
    *_pair("Approaching something with your camera", "Moving away from something with your camera", camera.approach),
    *_pair("Moving something up", "Moving something down", scenes.raise_up),
    *_pair(
        "Turning the camera left while filming something",
        "Turning the camera right while filming something",
        camera.pan,
        False,
        True,
    ),
    *_pair("Opening something", "Closing something", props.opening),
    *_pair("Covering something with something", "Uncovering something", scenes.cover),
    *_pair("Putting something on a surface", "Picking something up", scenes.put),
    *_pair(
        "Moving something and something closer to each other",
        "Moving something and something away from each other",
        scenes.two_closer,
    ),
    *_pair("Folding something", "Unfolding something", props.fold),
    *_pair("Moving something towards the camera", "Moving something away from the camera", scenes.towards),
    *_pair("Putting something into something", "Taking something out of something", scenes.put_into),
    *_pair(
        "Turning the camera upwards while filming something",
        "Turning the camera downwards while filming something",
        camera.tilt,
    ),
    *_pair("Moving something closer to something", "Moving something away from something", scenes.nudge_closer),
    *_pair("Putting something behind something", "Pulling something from behind of something", scenes.hide_behind),
    ClipClass("Holding something", None, scenes.hold),
    ClipClass("Turning something upside down", None, scenes.upside_down),
    ClipClass("Poking something so it slightly moves", None, scenes.poke),
    ClipClass("Moving something and something so they pass each other", None, scenes.passing),
)

BY_LABEL: dict[str, ClipClass] = {c.label: c for c in CLASSES}
LABELS: tuple[str, ...] = tuple(BY_LABEL)


def select(classes: Sequence[str] | int | None) -> tuple[str, ...]:
    """The labels asked for, in the table's order.

    None is all of them. A number takes that many from the top of the table, where the pairs come first; it must not
    cut a pair in two. A sequence names labels, with or without their partners.

    Raises:
        ConfigError: an unknown or repeated label, no label at all, or a number that does not fit.
    """
    if classes is None:
        return LABELS
    if isinstance(classes, int):
        paired = sum(c.partner is not None for c in CLASSES)
        if not 2 <= classes <= len(LABELS) or (classes < paired and classes % 2):
            raise ConfigError(
                f"classes={classes}: a number of classes is even from 2 to {paired} (whole pairs), or up to "
                f"{len(LABELS)} (with singles). Choose one of these, or name the labels."
            )
        return LABELS[:classes]
    wanted = check_labels(classes)
    if not wanted:
        raise ConfigError("classes is empty: name at least one label, or leave it out for all of them.")
    return tuple(label for label in LABELS if label in wanted)


def check_labels(labels: Sequence[str]) -> list[str]:
    if isinstance(labels, str):
        raise ConfigError(f"Labels are given as a list of names, got the text {labels!r}: write [{labels!r}].")
    unknown = [label for label in labels if label not in BY_LABEL]
    if unknown:
        raise ConfigError(f"No such synthetic class: {unknown}. Allowed are: {', '.join(map(repr, BY_LABEL))}.")
    if len(set(labels)) != len(labels):
        raise ConfigError(f"A label is given more than once: {sorted(labels)}. Name each once.")
    return list(labels)


def time_reversal_pairs(labels: Sequence[str] | None = None) -> list[tuple[str, str]]:
    """The pairs of labels that are each other's time reversal, both of them among `labels` (None: all classes).

    Raises:
        ConfigError: an unknown or repeated label.
    """
    present = set(BY_LABEL if labels is None else check_labels(labels))
    pairs = [(c.label, c.partner) for c in CLASSES if c.partner is not None and not c.backwards]
    return [(a, b) for a, b in pairs if a in present and b in present]


def order_blind_ceiling(labels: Sequence[str] | None = None) -> float:
    """The best top-1 accuracy, in percent, that a method blind to the order of frames can reach on a balanced set.

    Of a pair it can do no better than name one member always; every other label it may get right.

    Raises:
        ConfigError: an unknown or repeated label, or none at all.
    """
    present = list(BY_LABEL) if labels is None else check_labels(labels)
    if not present:
        raise ConfigError("There is no ceiling without labels: name at least one, or leave them out for all classes.")
    return 100.0 * (len(present) - len(time_reversal_pairs(present))) / len(present)
