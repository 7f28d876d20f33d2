"""Attention, motion energy and gate of each mechanism, against the papers' equations written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small import tiny, write_frames

import m2a
from m2a.explanation.evidence import look_into, spec_of
from m2a.mechanisms import Gate, create_mechanism
from reference.m2a import inner_values

HALVES = {"m2a": {}, "m2a-motion": {"attention": False}, "m2a-attention": {"motion": False}}
GATED = (
    "m2a", "m2a-motion", "m2a-attention", "tea", "tdn", "tam", "tea:m2a", "tdn:m2a", "m2a:tam", "m2a:patch4",
    "m2a:patch8", "tdn:tam",
)  # fmt: skip


def gate(spec: str, channels: int = 17, **options: str) -> Gate:
    made = create_mechanism(spec, channels=channels, num_frames=3, reduction=3, **options).double().eval()
    assert isinstance(made, Gate)
    return made


@pytest.mark.parametrize("spec", HALVES)
@pytest.mark.parametrize(
    ("boundary", "direction"),
    [("wrap", "bidirectional"), ("zero", "bidirectional"), ("replicate", "bidirectional"), ("zero", "unidirectional")],
)
def test_m2a_is_the_papers_equation(spec: str, boundary: str, direction: str) -> None:
    options = {"direction": direction} | ({} if spec == "m2a-attention" else {"boundary": boundary})
    mechanism = gate(spec, **options)
    weights = {name.replace(".", "_"): value.detach() for name, value in mechanism.named_parameters()}
    x_BTCHW = 2 * torch.randn(2, 3, 17, 5, 7, dtype=torch.float64)
    with torch.no_grad():
        found = look_into(mechanism, x_BTCHW)
    for index, clip in enumerate(x_BTCHW):
        attention, energy, opened = inner_values(
            clip, **weights, **HALVES[spec], boundary=boundary, direction=direction
        )
        expected = {"attention": attention, "motion_energy": energy, "gate": opened}
        absent = {"m2a": set(), "m2a-motion": {"attention"}, "m2a-attention": {"motion_energy"}}[spec]
        assert set(found) == set(expected) - absent
        for name, values in found.items():
            torch.testing.assert_close(values[index], expected[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("spec", GATED)
@pytest.mark.parametrize("init", ["paper", "identity"])
def test_the_gate_is_what_the_mechanism_does(spec: str, init: str) -> None:
    """out = x + x * gate, so the gate can be read off the output wherever x is not zero."""
    mechanism = gate(spec, channels=17, init=init)
    torch.nn.init.normal_(mechanism.expand.weight)
    x_BTCHW = torch.randn(2, 3, 17, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        found = look_into(mechanism, x_BTCHW)
        seen = (mechanism(x_BTCHW) / x_BTCHW - 1).mean(2)
    torch.testing.assert_close(found["gate"].double(), seen, rtol=0, atol=1e-5)
    if "attention" in found:
        torch.testing.assert_close(found["attention"].sum(-1), torch.ones(2, 3, dtype=torch.float64))
        assert (found["attention"] >= 0).all()


@pytest.mark.parametrize("spec", ["m2a", "m2a-motion", "m2a:patch4", "m2a:tam"])
def test_what_stands_still_has_no_motion(spec: str) -> None:
    still = torch.randn(1, 1, 17, 8, 8, dtype=torch.float64).expand(1, 3, -1, -1, -1)
    with torch.no_grad():
        assert look_into(gate(spec), still)["motion_energy"].abs().max() < 1e-12


def test_motion_is_where_something_moves() -> None:
    """A dot goes one place to the right with each frame: the energy is where it leaves and where it comes."""
    x_BTCHW = torch.zeros(1, 3, 17, 5, 7, dtype=torch.float64)
    for frame in range(3):
        x_BTCHW[0, frame, :, 2, 1 + frame] = 3
    mechanism = gate("m2a")
    with torch.no_grad():
        energy = look_into(mechanism, x_BTCHW)["motion_energy"][0]
    for frame in range(2):
        highest = energy[frame].flatten().topk(2).indices.tolist()
        assert sorted(highest) == [2 * 7 + 1 + frame, 2 * 7 + 2 + frame]


@pytest.mark.parametrize("spec", [*GATED, "tsm", "tanet"])
def test_each_mechanism_is_called_by_its_spec(spec: str) -> None:
    assert spec_of(create_mechanism(spec, channels=16, num_frames=3, reduction=2)) == spec


def test_mechanisms_of_ones_own_are_called_by_their_class() -> None:
    class Mine(torch.nn.Module):
        pass

    assert spec_of(Mine()) == "Mine"
    assert spec_of(Gate(16, motion=Mine(), attention=Mine())) == "Mine:Mine"


@pytest.mark.parametrize(
    ("mechanism", "expected"),
    [
        ("none", []),
        ("tsm", [("tsm", {"attention", "motion_energy", "gate"})]),
        ("m2a", [("m2a", set())]),
        ("tam", [("tam", {"attention", "motion_energy"})]),
        ("m2a:patch4", [("m2a:patch4", {"attention"})]),
        ("m2a-motion+tsm", [("m2a-motion", {"attention"}), ("tsm", {"attention", "motion_energy", "gate"})]),
    ],
)
def test_a_model_says_what_its_sites_have(mechanism: str, expected: list[tuple[str, set[str]]], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    video = write_frames(tmp_path / "clip", rng.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8))
    model = tiny("resnet10t", mechanism)
    sites = m2a.explain(model, video, sites=True).sites
    names = [f"layer{stage}.0.conv1" for stage in range(1, 5)]
    assert [site.name for site in sites] == [name for name in names for _ in expected]
    assert [(site.mechanism, set(site.absent)) for site in sites[: len(expected)]] == expected
    for site in sites:
        for array in (site.motion_energy, site.gate):
            assert array is None or (array.shape[0] == 3 and array.dtype == np.float32 and np.isfinite(array).all())
        plain = site.to_dict()
        assert plain["attention"] == (None if site.attention is None else site.attention.tolist())
        assert (plain["gate"] is None) == (site.gate is None)
    assert m2a.explain(model, video).sites == ()


@pytest.mark.parametrize("mechanism", ["m2a", "tsm"])
def test_what_starts_as_the_identity_is_seen_too(mechanism: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    video = write_frames(tmp_path / "clip", rng.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8))
    found = m2a.explain(tiny("resnet10t", mechanism, init="identity"), video, sites=True).sites[0]
    assert found.mechanism == mechanism
    assert found.gate is None or np.abs(found.gate).max() == 0  # it adds nothing yet


def test_sites_are_listed_once_where_the_backbone_passes_them_again_for_the_gradient(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    video = write_frames(tmp_path / "clip", rng.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8))
    model = tiny("resnet10t", "m2a")
    expected = m2a.explain(model, video, sites=True)
    model.backbone.set_grad_checkpointing()
    found = m2a.explain(model, video, sites=True)
    assert [site.name for site in found.sites] == [site.name for site in expected.sites]
    np.testing.assert_allclose(found.heat, expected.heat, atol=1e-6)
