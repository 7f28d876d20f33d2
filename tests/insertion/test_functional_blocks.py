"""Blocks that call functions where others have layers, and skips that are met by another sum than a plain one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m2a.errors import NoSitesError
from m2a.insertion import find_sites, insert

T = 3
HELD = "it adds the skip itself and has no layer in its branch that is a module of its own"


class Norm(nn.Module):
    """A block of tokens, as nanoGPT and its kind have them: the norm is a function."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(13))
        self.qkv, self.last = nn.Linear(13, 39), nn.Linear(13, 13)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(F.layer_norm(x, (13,), self.scale)).chunk(3, dim=-1)
        return x + self.last(F.scaled_dot_product_attention(q, k, v))


class Conv(nn.Module):
    """A block of maps whose first convolution is a function, and with `whole` the second too."""

    def __init__(self, *, whole: bool = False, projects: bool = False) -> None:
        super().__init__()
        self.first, self.second = (nn.Parameter(0.1 * torch.randn(13, 13, 3, 3)) for _ in range(2))
        self.last = None if whole else nn.Conv2d(13, 13, 3, padding=1)
        self.skip = nn.Parameter(torch.randn(13, 13, 1, 1)) if projects else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, self.first, padding=1).relu()
        y = F.conv2d(y, self.second, padding=1) if self.last is None else self.last(y)
        return y + (x if self.skip is None else F.conv2d(x, self.skip))


class Twice(Conv):
    """Two branches one after the other, of which the second begins inside the block."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(super().forward(x))


class Net(nn.Module):
    def __init__(self, make: Callable[[], nn.Module], blocks: int = 4, patch: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 13, patch, stride=patch)
        self.blocks = nn.ModuleList(make() for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if isinstance(self.blocks[0], Norm):
            x = x.flatten(2).mT
        for block in self.blocks:
            x = block(x)
        return x


class AtTheTop(nn.Module):
    """Branches in the network itself, behind a norm that is a function."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 13, 3)
        self.layers = nn.ModuleList(nn.Conv2d(13, 13, 3, padding=1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = x + layer(F.group_norm(x, 13))
        return x


@pytest.mark.parametrize(("make", "layer"), [(Norm, "qkv"), (Conv, "last"), (lambda: Conv(projects=True), "last")])
def test_the_skip_is_left_alone(make: Callable[[], nn.Module], layer: str) -> None:
    """Where branches give nothing a mechanism in them changes nothing; the trunk gated at 4 blocks is 1.5^4 as much."""
    net, x = Net(make).eval(), torch.randn(2 * T, 3, 20, 20)
    for block in net.blocks:
        nn.init.zeros_(block.last.weight)
        nn.init.zeros_(block.last.bias)
    expected = net(x)
    assert insert(net, "m2a", num_frames=T, reduction=2).sites == [f"blocks.{k}.{layer}" for k in range(4)]
    assert torch.equal(net(x), expected)


def test_branches_of_the_network_itself() -> None:
    assert insert(AtTheTop(), "m2a", num_frames=T, reduction=2).sites == [f"layers.{k}" for k in range(4)]


def test_a_block_without_any_layer_of_its_own_is_left_out() -> None:
    net = Net(Conv)
    net.blocks[1] = Conv(whole=True)
    found = find_sites(net)
    assert [site.name for site in found.sites] == ["blocks.0.last", "blocks.2.last", "blocks.3.last"]
    assert list(found.skipped) == ["blocks.1"]
    assert found.skipped["blocks.1"].startswith(HELD)


@pytest.mark.parametrize("make", [Conv, Twice])
@pytest.mark.parametrize("projects", [False, True])
@pytest.mark.parametrize("blocks", [2, 5])
def test_no_block_with_any(make: type[Conv], projects: bool, blocks: int) -> None:
    net = Net(lambda: make(whole=True, projects=projects), blocks)
    with pytest.raises(NoSitesError, match=rf"Every one of the {blocks} places .* left out \(blocks\.0: {HELD}, so"):
        insert(net, "m2a", num_frames=T)


JOINS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "addcmul": torch.addcmul,
    "addcmul_": lambda x, scale, y: y.clone().addcmul_(x, scale),
    "a difference": lambda x, scale, y: x - y,
    "a difference in place": lambda x, scale, y: y.sub_(x),
    "a difference the other way round": lambda x, scale, y: torch.rsub(x, y),
    "lerp": lambda x, scale, y: torch.lerp(x, y, 0.5),
    "lerp by weights": lambda x, scale, y: torch.lerp(x, y, scale),
}


class Joined(nn.Module):
    def __init__(self, join: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(13, 1, 1))
        self.first, self.second = nn.Conv2d(13, 7, 3, padding=1), nn.Conv2d(7, 13, 3, padding=1)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(x, self.scale, self.second(self.first(x)))


@pytest.mark.parametrize("join", JOINS)
def test_skips_are_met_in_other_ways_too(join: str) -> None:
    net = Net(lambda: Joined(JOINS[join]))
    assert insert(net, "m2a", num_frames=T, reduction=2).sites == [f"blocks.{k}.first" for k in range(4)]
    assert net(torch.randn(T, 3, 20, 28)).isfinite().all()


class TokensFirst(nn.Module):
    """torch's encoder as it is by default."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 14, 4, stride=4)
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(14, 2, 17) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).permute(2, 0, 1)
        for block in self.blocks:
            x = block(x)
        return x.mean(0)


def test_tokens_in_front_of_the_batch_are_told_of() -> None:
    with pytest.raises(
        NoSitesError, match=r"TokensFirst has no .*: its tokens come first, \(L, N, C\); build it with batch_first=True"
    ):
        insert(TokensFirst(), "m2a", num_frames=T)


class Adds(nn.Module):
    """Adds what each of its children makes, one after the other; of a list of lists, what each in these makes."""

    def __init__(self, *children: nn.Module):
        super().__init__()
        self.layers = nn.ModuleList(children)

    def forward(self, x: Tensor) -> Tensor:
        for child in self.layers:
            for branch in child if isinstance(child, nn.ModuleList) else [child]:
                x = x + branch(x)
        return x


class Attends(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(width), nn.Linear(width, 3 * width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        return (q @ k.mT).softmax(-1) @ v


def convs() -> nn.Module:
    return nn.Sequential(nn.Conv2d(7, 7, 3, padding=1), nn.ReLU(), nn.Conv2d(7, 7, 3, padding=1))


class ToTokens(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


def test_each_child_that_a_numbered_module_adds_is_a_block() -> None:
    """Not the module alone, whose name the sums have."""
    net = nn.Sequential(nn.Conv2d(3, 7, 3), Adds(*(convs() for _ in range(3))), Adds(convs(), convs()))
    expected = [f"{stage}.layers.{k}.0" for stage, blocks in ((1, 3), (2, 2)) for k in range(blocks)]
    assert [site.name for site in find_sites(net).sites] == expected


def test_in_stages_too() -> None:
    net = nn.Sequential(nn.Conv2d(3, 7, 3), Adds(*(nn.ModuleList([convs(), convs()]) for _ in range(3))))
    assert [site.name for site in find_sites(net).sites] == [f"1.layers.{k}.{j}.0" for k in range(3) for j in range(2)]


def test_an_attention_and_what_stands_behind_it_are_one_block() -> None:
    pairs = [
        nn.ModuleList([Attends(7), nn.Sequential(nn.LayerNorm(7), nn.Linear(7, 7), nn.GELU(), nn.Linear(7, 7))])
        for _ in range(5)
    ]
    net = nn.Sequential(nn.Conv2d(3, 7, 16, 16), ToTokens(), Adds(*pairs))
    assert [site.name for site in find_sites(net).sites] == [f"2.layers.{k}.0.norm" for k in range(5)]
