"""What `time_symmetry` says, against what is known of each mechanism on paper."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from m2a.errors import SpecError
from m2a.mechanisms import create_mechanism, list_mechanisms
from m2a.mechanisms.create import sees_neighbours
from m2a.mechanisms.symmetry import time_symmetry

KNOWN = {
    "none": "permutation",  # frames by themselves
    "m2a-attention": "permutation",  # attention without positions
    "none:patch4": "permutation",
    "tdn": "reversal",  # both directions share their weights, and are averaged
    "tdn:m2a": "reversal",
    "m2a": "none",
    "m2a-motion": "none",
    "m2a-plus": "none",
    "none:m2a-plus": "none",  # it knows when a frame is
    "tsm": "none",
    "tea": "none",
    "tam": "none",
    "tanet": "none",
    "m2a+tsm": "none",
    "tdn+tsm": "none",
    "tdn+m2a-attention": "reversal",
}


def test_nothing_of_the_catalogue_is_left_out() -> None:
    assert set(list_mechanisms()) <= set(KNOWN)


@pytest.mark.parametrize("spec", KNOWN)
def test_each_mechanism(spec: str) -> None:
    assert time_symmetry(spec) == KNOWN[spec]


@pytest.mark.parametrize(
    ("spec", "options", "found"),
    [
        ("tdn", {"released_backward": True}, "none"),
        ("m2a", {"boundary": "zero"}, "none"),
        ("tsm", {"padding_mode": "replicate"}, "none"),
        ("tsm", {"direction": "unidirectional"}, "none"),
        ("none:m2a-plus", {"time_embedding": False}, "permutation"),
    ],
)
def test_options_count(spec: str, options: dict[str, Any], found: str) -> None:
    assert time_symmetry(spec, **options) == found


def test_random_numbers_go_on_as_before() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    time_symmetry("m2a")
    assert torch.equal(torch.rand(2), expected)


def test_errors_are_those_of_building_it() -> None:
    with pytest.raises(SpecError, match="no option 'speed'"):
        time_symmetry("tdn", speed=2)


@pytest.mark.parametrize("spec", [*KNOWN, "m2a:patch4", "tea:tam"])
def test_whether_it_looks_at_neighbours(spec: str) -> None:
    """If not, it commutes with any order of the places of a map, the same in all frames."""
    torch.manual_seed(0)
    mechanism = create_mechanism(spec, channels=16, num_frames=5, reduction=2).double().eval()
    for weight in mechanism.parameters():
        torch.nn.init.normal_(weight)
    clip, order = torch.randn(2, 5, 16, 8 * 4, dtype=torch.float64), torch.randperm(8 * 4)

    def over_maps(x: torch.Tensor) -> torch.Tensor:
        return mechanism(x.unflatten(-1, (8, 4))).flatten(-2)

    with torch.no_grad():
        moved, expected = over_maps(clip[..., order]), over_maps(clip)[..., order]
    assert torch.allclose(moved, expected, rtol=0, atol=1e-9 * float(expected.abs().max())) != sees_neighbours(spec)
