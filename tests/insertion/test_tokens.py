"""Which of a network's tokens are the map: those beside it stand in front or behind, and channels may come first."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m2a.errors import NoSitesError, SiteTypeError
from m2a.insertion import find_sites, insert

WIDTH, SIDE, FRAMES = 12, 3, 2


class Encoder(nn.Module):
    """Tokens of a map, with `front` others before and `behind` others after them."""

    def __init__(self, front: int, behind: int, *, written: bool = False):
        super().__init__()
        self.image_size, self.stem = 8 * SIDE, nn.Conv2d(3, WIDTH, 8, stride=8)
        self.front, self.behind = (nn.Parameter(torch.randn(1, count, WIDTH)) for count in (front, behind))
        self.place = nn.Parameter(torch.randn(1, SIDE**2, WIDTH))  # so that images have one size
        block = {"norm_first": True, "batch_first": True, "dim_feedforward": 2 * WIDTH}
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(WIDTH, 2, **block) for _ in range(4))
        self.written = written

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2) + self.place
        if self.written:
            tokens = torch.zeros(len(x), x.shape[1] + 1, WIDTH, device=x.device)
            tokens[:, 1:] = x
            x = tokens
        x = torch.cat([self.front.expand(len(x), -1, -1), x], 1)
        x = torch.cat([x, self.behind.expand(len(x), -1, -1)], 1)
        for block in self.blocks:
            x = block(x)
        return x[:, 0]


@pytest.mark.parametrize(("front", "behind"), [(0, 0), (1, 0), (5, 0), (0, 4), (1, 4), (0, 7)])
def test_tokens_beside_the_map_pass_by(front: int, behind: int) -> None:
    """As with `pack([tokens, registers])`, which puts the registers behind."""
    net = Encoder(front, behind)
    report = insert(net, "tsm", num_frames=FRAMES, shift_div=3)
    text = f"NLC+{front}+{behind}" if behind else f"NLC+{front}" if front else "NLC"
    assert set(report.layouts) == {text}
    assert len(report.sites) == 4

    x = torch.randn(2 * FRAMES, front + SIDE**2 + behind, WIDTH)
    expected = x.clone()
    clips = x[:, front : front + SIDE**2].view(2, FRAMES, SIDE**2, WIDTH)
    moved = clips.clone()
    moved[:, :, :, :8] = 0
    moved[:, :-1, :, :4], moved[:, 1:, :, 4:8] = clips[:, 1:, :, :4], clips[:, :-1, :, 4:8]
    expected[:, front : front + SIDE**2] = moved.flatten(0, 1)
    norm = net.blocks[1].norm1
    torch.testing.assert_close(norm(x), F.layer_norm(expected, (WIDTH,), norm.weight, norm.bias, norm.eps))


class Placed(Encoder):
    """A token is put in front while the tokens are on another axis."""

    def __init__(self, axis: int):
        super().__init__(1, 0)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2) + self.place
        front = self.front.expand(len(x), -1, -1)
        x = torch.cat([front.movedim(1, self.axis), x.movedim(1, self.axis)], self.axis).movedim(self.axis, 1)
        for block in self.blocks:
            x = block(x)
        return x[:, 0]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_tokens_that_are_put_in_front_on_another_axis(axis: int) -> None:
    assert {str(site.layout) for site in find_sites(Placed(axis)).sites} == {"NLC+1"}


class Padded(Encoder):
    """Room is made beside the map by padding, into which tokens are added."""

    def __init__(self, front: int, behind: int):
        super().__init__(front, behind)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2) + self.place
        x = F.pad(x, (0, 0, self.front.shape[1], self.behind.shape[1]))
        x = x + torch.cat([self.front, torch.zeros_like(self.place), self.behind], 1)
        for block in self.blocks:
            x = block(x)
        return x[:, 0]


@pytest.mark.parametrize(("front", "behind", "layout"), [(1, 0, "NLC+1"), (0, 3, "NLC+0+3"), (2, 1, "NLC+2+1")])
def test_tokens_that_are_padded(front: int, behind: int, layout: str) -> None:
    assert {str(site.layout) for site in find_sites(Padded(front, behind)).sites} == {layout}


def test_tokens_whose_others_cannot_be_told_are_no_map() -> None:
    with pytest.raises(SiteTypeError, match=r"10 tokens would be a map of 3 x 3 and 1 others, but which those are"):
        find_sites(Encoder(0, 0, written=True), where=["blocks.1.norm1"])


class Chosen(Encoder):
    """As a masked autoencoder, which takes some places of each frame's map; or all, in an order of its own."""

    def __init__(self, keep: int, *, alike: bool):
        super().__init__(1, 0)
        self.keep, self.alike = keep, alike

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2) + self.place
        order = torch.rand(x.shape[:2], device=x.device).argsort(1)[:, : self.keep]
        x = x[:, order[0]] if self.alike else x.gather(1, order[..., None].expand(-1, -1, WIDTH))
        x = torch.cat([self.front.expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        return x[:, 0]


@pytest.mark.parametrize(("keep", "alike"), [(4, False), (4, True), (9, False)])
def test_chosen_places_are_no_map(keep: int, alike: bool) -> None:
    with pytest.raises(NoSitesError, match=rf"its {keep + 1} tokens are places chosen from a map"):
        find_sites(Chosen(keep, alike=alike))


def test_all_places_in_another_order_that_frames_share() -> None:
    found = find_sites(Chosen(9, alike=True))
    assert {(str(site.layout), site.row_by_row) for site in found.sites} == {("NLC+1", False)}


class Units(Encoder):
    """As Hiera: the tokens of a map of 4 x 4 come in four units of 2 x 2."""

    def __init__(self, *, ordered: bool):
        super().__init__(1, 2)
        self.image_size, self.place = 32, nn.Parameter(torch.randn(1, 16, WIDTH))
        self.ordered = ordered

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2) + self.place
        if not self.ordered:
            x = x.view(-1, 2, 2, 2, 2, WIDTH).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, WIDTH)
        x = torch.cat([self.front.expand(len(x), -1, -1), x, self.behind.expand(len(x), -1, -1)], 1)
        for block in self.blocks:
            x = block(x)
        return x[:, 0]


class Merged(Encoder):
    """As Swin between its stages: 2 x 2 tokens become the channels of one."""

    def __init__(self) -> None:
        super().__init__(1, 0)
        self.image_size, self.place = 32, nn.Parameter(torch.randn(1, 16, WIDTH))
        self.merge = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2) + self.place
        x = x.view(-1, 2, 2, 2, 2, WIDTH).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, 4 * WIDTH)
        x = torch.cat([self.front.expand(len(x), -1, -1), self.merge(x)], 1)
        for block in self.blocks:
            x = block(x)
        return x[:, 0]


def test_merging_leaves_places_in_their_order() -> None:
    found = find_sites(Merged())
    assert {(str(site.layout), site.layout.grid, site.row_by_row) for site in found.sites} == {("NLC+1", (2, 2), True)}


@pytest.mark.parametrize("ordered", [True, False])
def test_units_of_places_do_not_come_row_by_row(ordered: bool) -> None:
    found = find_sites(Units(ordered=ordered))
    assert {(str(site.layout), site.row_by_row) for site in found.sites} == {("NLC+1+2", ordered)}


class Mixed(nn.Module):
    """ResMLP's block: a linear layer over places, without a norm in front, and then an MLP over channels."""

    def __init__(self, width: int, *, skip_last: bool):
        super().__init__()
        self.scale, self.places = nn.Parameter(torch.ones(width)), nn.Linear(SIDE**2, SIDE**2)
        self.hidden, self.last, self.skip_last = nn.Linear(width, 2 * width), nn.Linear(2 * width, width), skip_last

    def forward(self, x: Tensor) -> Tensor:
        y = self.places((x * self.scale).transpose(1, 2)).transpose(1, 2)
        x = y + x if self.skip_last else x + y
        y = self.last(self.hidden(x * self.scale).relu())
        return y + x if self.skip_last else x + y


class Mixer(nn.Module):
    def __init__(self, width: int, *, skip_last: bool):
        super().__init__()
        self.image_size, self.stem = 8 * SIDE, nn.Conv2d(3, width, 8, stride=8)
        self.blocks = nn.Sequential(*(Mixed(width, skip_last=skip_last) for _ in range(4)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.stem(x).flatten(2).transpose(1, 2)).mean(1)


@pytest.mark.parametrize("skip_last", [False, True])
@pytest.mark.parametrize("width", [SIDE**2, 16, SIDE**2 + 2])
def test_channels_in_front_are_no_places(width: int, skip_last: bool) -> None:
    """Where so many channels, as tokens, would be a map: a linear layer over places takes (N, C, L)."""
    net = Mixer(width, skip_last=skip_last)
    found = find_sites(net)
    assert [site.name for site in found.sites] == [f"blocks.{index}.hidden" for index in range(4)]
    assert {(site.channels, site.layout.grid, str(site.layout)) for site in found.sites} == {(width, (3, 3), "NLC")}
    with pytest.raises(SiteTypeError, match="tokens behind channels"):
        find_sites(net, where=["blocks.2.places"])
