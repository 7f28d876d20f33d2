"""Compiled networks run with the mechanisms that they carry, whatever was compiled before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import timm
import torch
from torch import Tensor, nn

import m2a
from m2a.insertion.compiling import guard_hooks

pytestmark = pytest.mark.usefixtures("as_users_run_it")


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def network(spec: str | None, num_frames: int = 3) -> nn.Module:
    torch.manual_seed(0)
    net = timm.create_model("test_resnet", num_classes=5, zero_init_last=False)
    if spec is not None:
        m2a.insert(net, spec, num_frames=num_frames)
    return net


@pytest.fixture
def frames() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(6, 3, 32, 32)


def compiled(net: nn.Module) -> Callable[[Tensor], Tensor]:
    run: Callable[[Tensor], Tensor] = torch.compile(net, backend="eager")
    return run


@pytest.mark.parametrize(
    ("first", "second"),
    [((None, 3), ("tsm", 3)), (("tsm", 3), (None, 3)), (("tsm", 3), ("tsm", 6))],
)
def test_the_graph_of_another_network_is_not_taken(
    first: tuple[str | None, int], second: tuple[str | None, int], frames: Tensor
) -> None:
    one, other = network(*first).train(), network(*second).train()
    compiled(one)(frames).sum().backward()
    found, expected = compiled(other)(frames), other(frames)
    torch.testing.assert_close(found, expected)
    assert (found - one(frames)).abs().max() > 1e-3
    found.sum().backward()
    assert all(parameter.grad is not None for parameter in other.parameters())


def test_what_is_inserted_and_removed_behind_the_compiler(frames: Tensor) -> None:
    net = network(None).eval()
    run = compiled(net)
    with torch.no_grad():
        plain = run(frames)
        m2a.insert(net, "tsm", num_frames=3)
        torch.testing.assert_close(run(frames), net(frames))
        assert (run(frames) - plain).abs().max() > 1e-3
        m2a.remove(net)
        torch.testing.assert_close(run(frames), plain)


def test_what_was_compiled_before_this_library_was_there(frames: Tensor) -> None:
    with torch._dynamo.config.patch(skip_nnmodule_hook_guards=True), torch.no_grad():
        bare, moving = network(None).eval(), network("tsm").eval()
        assert torch.equal(compiled(bare)(frames), compiled(moving)(frames)), "torch has mended it: guard_hooks may go"
        guard_hooks()
        torch.testing.assert_close(compiled(moving)(frames), moving(frames))
        guard_hooks()
        compiled(bare)(frames)
        torch.testing.assert_close(compiled(moving)(frames), moving(frames))


def test_one_graph_is_enough(frames: Tensor) -> None:
    """That hooks are looked at makes no graph anew."""
    net = network("m2a").train()
    run, optimizer = compiled(net), torch.optim.SGD(net.parameters(), lr=0.1)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(3):
            optimizer.zero_grad()
            run(frames).square().mean().backward()
            optimizer.step()
