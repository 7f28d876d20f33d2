"""init="identity": every mechanism starts as the exact identity, and is free to leave it."""

from __future__ import annotations

import pytest
import torch

from m2a.errors import SpecError
from m2a.mechanisms import IdentityStart, create_mechanism, list_mechanisms

SPECS = [*list_mechanisms(), "m2a+tsm", "tea:m2a", "m2a:patch4"]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_it_starts_as_the_exact_identity(spec: str, channels_last: bool) -> None:
    mechanism = create_mechanism(spec, channels=13, num_frames=5, reduction=2, init="identity")
    x = 1e3 * torch.randn(2, 5, 13, 7, 11)
    if channels_last:
        x = x.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (2, 5))
    for mode in (True, False):
        assert torch.equal(mechanism.train(mode)(x), x)


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec != "none"])
def test_it_leaves_the_identity_at_the_first_step_and_trains_whole_from_the_second(spec: str) -> None:
    mechanism = create_mechanism(spec, channels=13, num_frames=5, reduction=2, init="identity")
    assert isinstance(mechanism, IdentityStart)
    x, target = torch.randn(2, 2, 5, 13, 7, 11)
    optimizer = torch.optim.SGD(mechanism.parameters(), lr=1.0)
    for step in range(2):
        optimizer.zero_grad()
        (mechanism(x) - target).square().mean().backward()
        moving = {name for name, p in mechanism.named_parameters() if p.grad is not None and float(p.grad.norm()) > 0}
        assert "scale" in moving
        if step == 0:
            assert moving == {"scale"}
        optimizer.step()
    assert float(mechanism.scale.detach().abs().max()) > 0
    weights = {name for name, p in mechanism.named_parameters() if p.ndim > 1}
    assert weights <= moving


@pytest.mark.parametrize("spec", SPECS)
def test_at_scale_one_it_is_the_mechanism(spec: str) -> None:
    torch.manual_seed(3)
    plain = create_mechanism(spec, channels=13, num_frames=5, reduction=2).double().eval()
    torch.manual_seed(3)
    blended = create_mechanism(spec, channels=13, num_frames=5, reduction=2, init="identity").double().eval()
    if isinstance(blended, IdentityStart):
        torch.nn.init.ones_(blended.scale)
    x = torch.randn(2, 5, 13, 7, 11, dtype=torch.float64)
    torch.testing.assert_close(blended(x), plain(x))


@pytest.mark.usefixtures("as_users_run_it")
def test_another_start_is_refused() -> None:
    with pytest.raises(SpecError, match=r"init must be one of paper, identity; got 'zero'\."):
        create_mechanism("m2a", channels=13, init="zero")
