from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from m2a.data import drawn_indices, segment_indices, view_indices
from m2a.errors import ConfigError


@pytest.mark.parametrize(
    ("total", "num_frames", "expected"),
    [
        (10, 4, [1, 3, 6, 8]),
        (16, 8, [1, 3, 5, 7, 9, 11, 13, 15]),
        (8, 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (5, 1, [2]),
        (37, 8, [2, 6, 11, 16, 20, 25, 30, 34]),
        (3, 4, [0, 1, 1, 2]),
        (3, 8, [0, 0, 0, 1, 1, 2, 2, 2]),
        (1, 8, [0] * 8),
    ],
)
def test_centres_computed_by_hand(total: int, num_frames: int, expected: list[int]) -> None:
    assert segment_indices(total, num_frames) == expected


@pytest.mark.parametrize("total", [*range(1, 40), 97, 1009])
def test_centres_are_those_of_the_tsn_code(total: int) -> None:
    tick = total / 8.0  # as in TSNDataSet._get_val_indices, new_length=1
    assert segment_indices(total, 8) == [int(tick / 2.0 + tick * x) for x in range(8)]


@pytest.mark.parametrize("num_frames", [1, 3, 7, 8])
@pytest.mark.parametrize("total", [1, 2, 5, 7, 8, 15, 23, 64])
def test_random_places_stay_inside_their_segment(total: int, num_frames: int) -> None:
    rng = np.random.default_rng(0)
    seen: list[set[int]] = [set() for _ in range(num_frames)]
    for _ in range(1200):
        indices = segment_indices(total, num_frames, random=rng)
        assert indices == sorted(indices)
        for k, index in enumerate(indices):
            seen[k].add(index)
    for k, places in enumerate(seen):
        first, end = Fraction(k * total, num_frames), Fraction((k + 1) * total, num_frames)
        touched = {index for index in range(total) if index + 1 > first and index < end}
        assert places <= touched
        whole = {index for index in touched if index >= first and index + 1 <= end}
        assert places >= whole  # and nothing in a segment is out of reach
    assert set().union(*seen) == set(range(total))


def test_where_it_divides_the_draw_is_uniform_as_in_the_tsn_code() -> None:
    rng = np.random.default_rng(1)
    draws = np.array([segment_indices(24, 8, random=rng) for _ in range(3000)])
    offsets = draws - 3 * np.arange(8)
    assert set(np.unique(offsets)) == {0, 1, 2}
    counts = np.stack([(offsets == value).mean(axis=0) for value in range(3)])
    assert np.abs(counts - 1 / 3).max() < 0.04


def test_the_draw_depends_on_the_generator_alone() -> None:
    first = segment_indices(91, 8, random=np.random.default_rng(5))
    np.random.seed(0)
    assert segment_indices(91, 8, random=np.random.default_rng(5)) == first


@pytest.mark.parametrize(
    ("total", "num_frames", "message"),
    [
        (0, 8, "cannot sample from a clip of 0 frames; it needs at least 1"),
        (5, 0, "num_frames is 0; ask for at least 1 frame"),
    ],
)
def test_counts_below_one(total: int, num_frames: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        segment_indices(total, num_frames)


def test_a_uniform_draw_keeps_its_distances() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        indices = drawn_indices(43, 5, random=rng, sampling="uniform")
        steps = set(np.diff(indices).tolist())
        assert steps <= {8, 9}  # 43 / 5
        assert 0 <= indices[0] <= 8
    starts = {drawn_indices(40, 5, random=rng, sampling="uniform")[0] for _ in range(300)}
    assert starts == set(range(8))


def test_a_dense_draw_is_a_window() -> None:
    rng = np.random.default_rng(3)
    draws = [drawn_indices(23, 5, random=rng, sampling="dense", stride=3) for _ in range(400)]
    assert {tuple(np.diff(draw)) for draw in draws} == {(3, 3, 3, 3)}
    assert {draw[0] for draw in draws} == set(range(23 - 12))  # up to the last one that fits
    short = drawn_indices(11, 5, random=rng, sampling="dense", stride=3)
    assert short == sorted(short)
    assert 0 <= short[0] <= short[-1] <= 10


@pytest.mark.parametrize("total", [1, 2, 7, 13, 29, 64, 101])
@pytest.mark.parametrize("views", [1, 2, 3, 10])
def test_views_are_the_centres_of_finer_segments(total: int, views: int) -> None:
    got = [view_indices(total, 7, view=view, views=views) for view in range(views)]
    together = [got[view][k] for k in range(7) for view in range(views)]
    assert together == segment_indices(total, 7 * views)


def test_dense_views_are_spread_over_the_clip() -> None:
    def views(total: int, count: int) -> list[list[int]]:
        return [view_indices(total, 4, sampling="dense", stride=2, view=v, views=count) for v in range(count)]

    assert views(17, 1) == [[5, 7, 9, 11]]
    assert views(7, 1) == [[0, 2, 4, 6]]
    assert views(27, 3) == [[3, 5, 7, 9], [10, 12, 14, 16], [17, 19, 21, 23]]
    assert views(6, 1) == [segment_indices(6, 4)]  # too short for a window
    for total in range(7, 40):
        for view in views(total, 10):
            assert 0 <= view[0] <= view[-1] < total


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"view": 2, "views": 2}, r"view is 2 of 2 views; views are numbered from 0"),
        ({"view": -1}, r"view is -1 of 1 views"),
        ({"stride": 0}, r"stride is 0; it must be at least 1"),
    ],
)
def test_views_that_there_are_none_of(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        view_indices(10, 4, **changes)
