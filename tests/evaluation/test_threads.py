"""Work on many items at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from m2a.evaluation.threads import in_threads


def test_results_come_in_order_from_several_threads_of_one_thread_each() -> None:
    seen: set[tuple[int, int]] = set()
    both = threading.Barrier(2, timeout=20)

    def square(number: int) -> int:
        both.wait()  # two are at work at the same time, or this fails
        time.sleep(0.002 * (number % 3))
        seen.add((threading.get_ident(), torch.get_num_threads()))
        return number**2

    assert list(in_threads(square, range(12), 2)) == [number**2 for number in range(12)]
    assert len(seen) == 2
    assert {threads for _, threads in seen} == {1}


def test_threads_started_later_are_not_slowed_down() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert list(in_threads(abs, [-1, -2], 2)) == [1, 2]
        found: list[int] = []
        later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert (found, torch.get_num_threads()) == ([3], 3)
    finally:
        torch.set_num_threads(before)


def test_it_does_not_run_far_ahead_and_ends_when_nobody_listens() -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_threads(lambda number: number, numbers(), 2)
    assert next(results) == 0
    results.close()
    assert len(taken) == 5


def test_an_error_comes_where_its_result_would() -> None:
    results = in_threads(lambda number: 1 // number, [1, 2, 0, 4], 2)
    assert [next(results), next(results)] == [1, 0]
    with pytest.raises(ZeroDivisionError):
        next(results)
