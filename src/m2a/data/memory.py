"""How much memory this process may still take: of the machine, and of the container that it runs in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
# limit, use, and what of the use is the cache of files, which is given back: in version 2 of control groups, and in 1
_V2 = ("memory.max", "memory.current", ("active_file", "inactive_file"))
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file"))


def available_memory() -> int:
    """Bytes that this process may still take without swapping, or being killed by its container's limit."""
    import psutil

    return int(min(psutil.virtual_memory().available, room_in_groups()))


def room_in_groups(groups: Path = _GROUPS, own: Path = _OWN) -> float:
    """Bytes that the control groups of this process leave it; infinite where none has a limit, or there are none.

    Args:
        groups: where the groups are mounted.
        own: the file that names the process's own, a line each.
    """
    try:
        lines = own.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return math.inf
    return min((room for line in lines for room in _rooms(groups, *line.split(":", 2))), default=math.inf)


def _rooms(groups: Path, number: str, controllers: str, place: str) -> Iterator[float]:
    """What a group leaves, and each of those that it is in."""
    if number == "0":
        root, names = groups, _V2
    elif "memory" in controllers.split(","):
        root, names = groups / "memory", _V1
    else:
        return
    folder = root / place.lstrip("/")  # in a container it may be named as outside, where there is no such folder
    for group in (folder, *folder.parents):
        if group.is_relative_to(root):
            with suppress(OSError, ValueError):  # there is no such file, or "max" in it, which is no limit
                yield _room(group, *names)


def _room(group: Path, limit: str, use: str, given_back: tuple[str, ...]) -> float:
    most, used = (int((group / name).read_text(encoding="ascii")) for name in (limit, use))
    lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    statistics = dict(line.split() for line in lines)
    return float(max(0, most - used + sum(int(statistics.get(name, 0)) for name in given_back)))
