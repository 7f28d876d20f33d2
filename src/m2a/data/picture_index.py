"""Which picture of a video is shown when, and from where it can be decoded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WORTH = 8  # frames that going to a key frame must save


@dataclass(frozen=True, kw_only=True)
class PictureIndex:
    """Of a file each of whose packets is one picture with a time of its own."""

    numbers: Mapping[int, int]
    """By time, in units of the stream: the picture's number in the order of display."""
    key_numbers: Sequence[int]
    """Of the pictures that can be decoded by themselves, rising."""
    key_times: Sequence[int]

    @classmethod
    def of(cls, packets: Sequence[tuple[int | None, bool]], *, reorders: bool = False) -> PictureIndex | None:
        """From the time of each packet, in the file's order, and whether it is a key frame.

        None where times lack or repeat, and where they rise although the decoder `reorders` pictures: then the file (an
        .avi, or one made from it) holds no times, and these are those of decoding.
        """
        times = [time for time, _ in packets if time is not None]
        in_order = sorted(times)
        if len(times) < len(packets) or len(set(times)) < len(times) or (reorders and times == in_order):
            return None
        numbers = {time: number for number, time in enumerate(in_order)}
        keys = sorted(time for time, is_key in packets if is_key and time is not None)
        return cls(numbers=numbers, key_numbers=[numbers[time] for time in keys], key_times=keys)

    def number(self, time: int | None) -> int | None:
        return None if time is None else self.numbers.get(time)

    def jump(self, position: int, wanted: int) -> int | None:
        """The time of the last key frame up to `wanted`, where going there saves enough frames from `position` on."""
        key = bisect_right(self.key_numbers, wanted) - 1
        if key < 0 or self.key_numbers[key] - position < _WORTH:
            return None
        return self.key_times[key]

    def pays(self, indices: Sequence[int]) -> bool:
        """Whether there is a jump on the way through `indices`, which rise."""
        before = [0, *(index + 1 for index in indices)]
        return any(self.jump(position, index) is not None for position, index in zip(before, indices, strict=False))
