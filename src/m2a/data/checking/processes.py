"""A function over many items in worker processes, where an item may kill the process that works on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from ...ending import end_with_the_parent, without_interrupts
from ...errors import ConfigError

T = TypeVar("T")
R = TypeVar("R")


def in_processes(
    function: Callable[[T], R], items: Sequence[T], *, workers: int, prepare: Callable[[], None]
) -> Iterator[tuple[T, R | None]]:
    """Items with their results, as they come; None for an item at which the process died. `prepare` runs once in each
    process. With 0 or 1 workers all runs in this process.
    """
    if workers <= 1:
        for item in items:
            yield item, function(item)
        return
    waiting = deque(items)
    while waiting:
        running: dict[Future[R], T] = {}
        pool = _pool(workers, prepare)
        try:
            while waiting or running:
                while waiting and len(running) < 2 * workers:
                    future = pool.submit(function, waiting[0])
                    running[future] = waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    yield running.pop(future), result
        except BrokenProcessPool:
            pass  # it does not say at which item
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        for item in running.values():
            yield item, _alone(function, item, prepare)


def _pool(workers: int, prepare: Callable[[], None]) -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(prepare,))
    try:
        with without_interrupts():  # while processes start
            started = pool.submit(int)
        started.result()
    except BrokenProcessPool:
        raise ConfigError(
            "A worker process died before it had anything to do. In a script, call this below "
            "`if __name__ == '__main__':`; from a notebook or a shell pass workers=1."
        ) from None
    return pool


def _begin(prepare: Callable[[], None]) -> None:
    end_with_the_parent()
    prepare()


def _alone(function: Callable[[T], R], item: T, prepare: Callable[[], None]) -> R | None:
    with _pool(1, prepare) as pool:
        try:
            return pool.submit(function, item).result()
        except BrokenProcessPool:
            return None
