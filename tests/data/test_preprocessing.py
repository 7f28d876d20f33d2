from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
import torch

from m2a.data.preprocessing import Preprocessing, draw_crop
from m2a.errors import ConfigError


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_json_there_and_back() -> None:
    given = Preprocessing(num_frames=5, size=112, mean=(0.5, 0.5, 0.5), scales=(1.0, 0.8))
    assert Preprocessing.from_dict(json.loads(json.dumps(given.to_dict()))) == given
    with pytest.raises(ConfigError, match=r"unknown preprocessing option 'sise'; .* Did you mean 'size'\?"):
        Preprocessing.from_dict({"sise": 3})


def test_the_short_side_follows_the_size_as_in_tsn() -> None:
    assert [Preprocessing(size=size).short_side for size in (224, 112, 64)] == [256, 128, 73]
    assert Preprocessing(size=112, resize=112).short_side == 112


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_frames": 0}, "num_frames=0 and size=224 must both be at least 1"),
        ({"size": 112, "resize": 111}, "resize=111 is less than size=112: the crop would not fit; raise it"),
        ({"std": (0.1, 0.0, 0.1)}, "must have a value for each channel .*, and std above 0"),
        ({"scales": ()}, r"scales=\(\) must hold at least one number, each above 0 and at most 1"),
        ({"scales": (1.5,)}, "must hold at least one number, each above 0 and at most 1"),
        ({"interpolation": "lanczos"}, "interpolation='lanczos' is not one of: bilinear, bicubic, nearest-exact"),
    ],
)
def test_values_that_cannot_work(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Preprocessing(**values)


@pytest.mark.parametrize(("height", "width"), [(37, 53), (53, 37), (7, 11), (240, 427), (19, 19)])
def test_both_transforms_give_squares_of_bytes(height: int, width: int) -> None:
    preprocessing = Preprocessing(size=29)
    clip = noise(5, 3, height, width)
    rng = np.random.default_rng(0)
    for out in (preprocessing.test_transform(clip), preprocessing.train_transform(clip, rng)):
        assert out.shape == (5, 3, 29, 29)
        assert out.dtype == torch.uint8


@pytest.mark.parametrize("num_crops", [1, 2, 3, 5])
@pytest.mark.parametrize("upright", [False, True])
def test_long_frames_are_not_scaled_whole(num_crops: int, upright: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of some kilobytes may hold frames of 2 x 65535 pixels, which would be gigabytes."""
    shape = (2, 3, 700, 7)
    clip = noise(*shape) if upright else noise(*shape).mT
    given = Preprocessing(size=29)
    crops = given.test_crops(clip, num_crops)
    whole = given._resize(clip, [given.short_side])
    found = [given._crop(whole, index, num_crops) for index in range(num_crops)]
    for one, other in zip(crops, found, strict=True):
        assert (one.float() - other.float()).abs().mean() < 20  # a pixel further at most, in noise 7 pixels wide
    for one, other in itertools.pairwise(found):
        assert (one.float() - other.float()).abs().mean() > 30  # other places are told apart
    scaled: list[int] = []
    resize = Preprocessing._resize
    monkeypatch.setattr(Preprocessing, "_resize", lambda *given: scaled.append(max(given[1].shape)) or resize(*given))
    given.test_crops(clip, num_crops)
    assert scaled == [8 * 7] * num_crops


def test_testing_takes_the_centre() -> None:
    clip = torch.zeros((2, 3, 32, 64), dtype=torch.uint8)
    clip[..., 4:28, 20:44] = 200
    out = Preprocessing(size=24, resize=32).test_transform(clip)
    assert (out == 200).all()


def test_training_draws_one_crop_for_all_frames_and_only_from_the_generator() -> None:
    clip = noise(1, 3, 37, 53).expand(3, 3, 37, 53)
    preprocessing = Preprocessing(size=16)
    before = torch.get_rng_state()
    outs = [preprocessing.train_transform(clip, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])
    assert torch.equal(outs[0][0], outs[0][2])


def tsn_crops(height: int, width: int, scales: tuple[float, ...]) -> set[tuple[int, int, int, int]]:
    """Every crop of TSN's GroupMultiScaleCrop, written out from its description."""
    sides = [int(min(height, width) * scale) for scale in scales]
    crops = set()
    for (i, h), (j, w) in itertools.product(enumerate(sides), enumerate(sides)):
        if abs(i - j) > 1:
            continue
        down, right = (height - h) / 4, (width - w) / 4
        offsets = [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3)]
        crops |= {(int(x * down), int(y * right), h, w) for x, y in [*offsets, (3, 3)]}
    return crops


@pytest.mark.parametrize(("height", "width"), [(37, 53), (112, 112), (240, 320)])
def test_the_crops_are_those_of_tsn(height: int, width: int) -> None:
    scales = (1.0, 0.875, 0.75, 0.66)
    rng = np.random.default_rng(0)
    drawn = {draw_crop(height, width, scales=scales, rng=rng) for _ in range(4000)}
    assert drawn == tsn_crops(height, width, scales)


def test_normalize_by_hand() -> None:
    preprocessing = Preprocessing(mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    clips = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    expected = torch.tensor([[0.0, -1.0, -4.0], [1.0, 1.0, 0.0]])
    torch.testing.assert_close(preprocessing.normalize(clips)[..., 0, 0], expected)
    torch.testing.assert_close(preprocessing.normalize(clips / 255)[..., 0, 0], expected)
    assert preprocessing.normalize((clips / 255).double()).dtype == torch.float64
    with pytest.raises(ConfigError, match=r"pixels of type torch\.int64 cannot be normalised; give uint8, or float"):
        preprocessing.normalize(clips.long())


def test_normalize_keeps_the_order_in_memory() -> None:
    rows_of_pixels = noise(2, 5, 7, 11, 3).permute(0, 1, 4, 2, 3)
    out = Preprocessing().normalize(rows_of_pixels)
    assert out.stride() == rows_of_pixels.stride()
    assert out.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    plain = Preprocessing().normalize(rows_of_pixels.contiguous())
    assert plain.is_contiguous()
    assert torch.equal(plain, out)


@pytest.mark.parametrize(("height", "width"), [(37, 61), (61, 37), (41, 41)])
def test_three_crops_see_the_whole_longer_side(height: int, width: int) -> None:
    side = min(height, width)
    given = Preprocessing(num_frames=2, size=side, resize=side)
    clip = torch.arange(height * width, dtype=torch.int64).view(1, 1, height, width).expand(2, 3, -1, -1) % 251
    clip = clip.to(torch.uint8)
    first, middle, last = given.test_crops(clip, 3)
    assert torch.equal(first, clip[..., :side, :side])
    assert torch.equal(last, clip[..., height - side :, width - side :])
    assert torch.equal(middle, clip[..., (height - side) // 2 :, (width - side) // 2 :][..., :side, :side])
    assert torch.equal(given.test_crops(clip, 1)[0], given.test_transform(clip))
    with pytest.raises(ConfigError, match=r"num_crops is 0; it must be at least 1"):
        given.test_crops(clip, 0)
