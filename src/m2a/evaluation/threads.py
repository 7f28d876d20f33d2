"""Work on many clips at once on a processor: each by one thread, from file to answer.

Torch's own way, all threads in one operation, has them wait for each other at the end of each; and a process that
decodes beside it takes a core away from all of them. Clips have nothing to wait for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Generator[Result]:
    """`function` of each item, in their order, of so many at the same time; torch's operations in them use one thread.

    What `function` raises is raised where its result would come.
    """
    before = torch.get_num_threads()
    ahead: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for item in items:
                ahead.append(pool.submit(function, item))
                if len(ahead) > 2 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
            torch.set_num_threads(before)  # the threads' own 1 would hold for every thread that is started later
