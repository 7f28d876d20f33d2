"""init="identity": every mechanism starts as the exact identity, and is free to leave it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from m2a.errors import SpecError
from m2a.mechanisms import Gate, IdentityStart, create_mechanism, list_mechanisms

SPECS = [*list_mechanisms(), "m2a+tsm", "tea:m2a", "m2a:patch4"]
GATES = [spec for spec in SPECS if spec not in ("none", "tsm", "tanet", "m2a+tsm", "m2a-plus")]
"""Those of the paper: m2a-plus is no other with init="identity"."""


def create(spec: str, init: str = "identity") -> nn.Module:
    torch.manual_seed(3)
    return create_mechanism(spec, channels=13, num_frames=5, reduction=2, init=init)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_it_starts_as_the_exact_identity(spec: str, channels_last: bool) -> None:
    mechanism = create(spec)
    x = 1e3 * torch.randn(2, 5, 13, 7, 11)
    if channels_last:
        x = x.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (2, 5))
    for mode in (True, False):
        assert torch.equal(mechanism.train(mode)(x), x)


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec != "none"])
def test_it_leaves_the_identity_at_the_first_step_and_trains_whole_from_the_second(spec: str) -> None:
    mechanism = create(spec)
    x, target = torch.randn(2, 2, 5, 13, 7, 11)
    optimizer = torch.optim.SGD(mechanism.parameters(), lr=1.0)
    for step in range(2):
        optimizer.zero_grad()
        (mechanism(x) - target).square().mean().backward()
        moving = {name for name, p in mechanism.named_parameters() if p.grad is not None and float(p.grad.norm()) > 0}
        if step == 0:
            assert moving
            assert all(name.endswith(("scale", "expand.weight", "expand.bias")) for name in moving)
        optimizer.step()
    weights = {name for name, p in mechanism.named_parameters() if p.ndim > 1}
    assert weights <= moving
    assert float((mechanism(x) - x).abs().max().detach()) > 0


@pytest.mark.parametrize("spec", GATES)
def test_a_gate_is_the_papers_less_half_of_the_features(spec: str) -> None:
    """With the same weights."""
    plain, centred = create(spec, "paper").double().eval(), create(spec).double().eval()
    assert isinstance(centred, Gate)
    assert list(centred.state_dict()) == list(plain.state_dict())
    centred.load_state_dict(plain.state_dict())
    x = torch.randn(2, 5, 13, 7, 11, dtype=torch.float64)
    torch.testing.assert_close(centred(x), plain(x) - x / 2)


def test_m2a_plus_starts_as_the_identity_whatever_is_asked_for() -> None:
    x = torch.randn(2, 5, 13, 7, 11)
    for init in ("paper", "identity"):
        assert torch.equal(create("m2a-plus", init)(x), x)


@pytest.mark.parametrize("spec", ["tsm", "tanet"])
def test_what_has_no_gate_is_itself_at_scale_one(spec: str) -> None:
    plain, blended = create(spec, "paper").double().eval(), create(spec).double().eval()
    assert isinstance(blended, IdentityStart)
    nn.init.ones_(blended.scale)
    x = torch.randn(2, 5, 13, 7, 11, dtype=torch.float64)
    torch.testing.assert_close(blended(x), plain(x))


@pytest.mark.usefixtures("as_users_run_it")
def test_another_start_is_refused() -> None:
    with pytest.raises(SpecError, match=r"init must be one of paper, identity; got 'zero'\."):
        create("m2a", "zero")
