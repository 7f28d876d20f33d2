"""What control groups leave a process, from files as Linux writes them."""

from __future__ import annotations

import math
from pathlib import Path

import psutil
import pytest

from m2a.data.cache import free_space
from m2a.data.memory import available_memory, room_in_groups

STAT_V2 = "anon 311\nfile 97\nactive_file 13\ninactive_file 17\nshmem 67\n"
STAT_V1 = "cache 97\ninactive_file 3\nactive_file 2\ntotal_inactive_file 17\ntotal_active_file 13\n"
NO_LIMIT = 9223372036854771712  # of version 1


def v2(folder: Path, limit: int | str, use: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("max", limit), ("current", use)):
        (folder / f"memory.{name}").write_text(f"{content}\n")
    (folder / "memory.stat").write_text(STAT_V2)


def v1(folder: Path, limit: int, use: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("limit", limit), ("usage", use)):
        (folder / f"memory.{name}_in_bytes").write_text(f"{content}\n")
    (folder / "memory.stat").write_text(STAT_V1)


def named(tmp_path: Path, *lines: str) -> Path:
    own = tmp_path / "own"
    own.write_text("".join(f"{line}\n" for line in lines))
    return own


def test_a_container_of_version_2(tmp_path: Path) -> None:
    """It sees its own group as the root. The cache of files is given back when memory is wanted."""
    v2(tmp_path / "groups", 1009, 601)
    assert room_in_groups(tmp_path / "groups", named(tmp_path, "0::/")) == 1009 - 601 + 13 + 17


def test_the_least_of_the_groups_around(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    (groups / "a" / "b").mkdir(parents=True)
    v2(groups / "a" / "b" / "c", "max", 601)
    v2(groups / "a", 1009, 907)
    v2(groups / "a" / "other", 2, 1)
    own = named(tmp_path, "0::/a/b/c")
    assert room_in_groups(groups, own) == 1009 - 907 + 30
    v2(groups / "a" / "b" / "c", 809, 797)
    assert room_in_groups(groups, own) == 809 - 797 + 30
    v2(groups / "a" / "b" / "c", 809, 997)
    assert room_in_groups(groups, own) == 0


def test_a_group_that_is_named_as_outside_of_the_container(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    v2(groups, 1009, 601)
    assert room_in_groups(groups, named(tmp_path, "0::/kubepods/pod7/0123")) == 438
    v1(groups / "memory", 1009, 701)
    assert room_in_groups(groups, named(tmp_path, "4:memory:/docker/0123")) == 338


def test_version_1_and_both_together(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    v1(groups / "memory", NO_LIMIT, 5003)
    v1(groups / "memory" / "docker" / "0123", 2003, 1009)
    v2(groups / "cpu", 3, 2)
    lines = ("9:cpu,cpuacct:/docker/0123", "4:memory:/docker/0123", "1:name=systemd:/docker", "0::/")
    assert room_in_groups(groups, named(tmp_path, *lines)) == 2003 - 1009 + 30


@pytest.mark.parametrize("lines", [(), ("0::/a",), ("3:cpuset:/", "0::/")], ids=str)
def test_without_a_limit(tmp_path: Path, lines: tuple[str, ...]) -> None:
    (tmp_path / "groups").mkdir()
    assert room_in_groups(tmp_path / "groups", named(tmp_path, *lines)) == math.inf
    assert room_in_groups(tmp_path / "groups", tmp_path / "nothing") == math.inf


def test_files_that_say_something_else(tmp_path: Path) -> None:
    v2(tmp_path / "groups", "much", 5)
    assert room_in_groups(tmp_path / "groups", named(tmp_path, "0::/")) == math.inf


def test_no_more_than_there_is(tmp_path: Path) -> None:
    total = psutil.virtual_memory().total
    assert 0 <= available_memory() <= total
    memory = Path("/dev/shm")
    if memory.is_dir():
        assert free_space(memory) <= total
