"""What was there is lost neither to an error nor to a full disk, and nothing is left beside it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from m2a.writing import PART, put, put_all, replacing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    put(tmp_path / "made" / "here" / "one", b"first")
    put(str(tmp_path / "made" / "here" / "one"), memoryview(b"second"))
    assert (tmp_path / "made" / "here" / "one").read_bytes() == b"second"
    assert names(tmp_path / "made" / "here") == ["one"]


def test_while_it_is_written_the_one_before_is_there(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)  # as long as names may be
    target.write_bytes(b"before")
    with replacing(target) as (part,):
        part.write_bytes(b"after")
        assert (part.parent, part.suffix) == (tmp_path, PART)
        assert target.read_bytes() == b"before"
    assert target.read_bytes() == b"after"
    assert names(tmp_path) == [target.name]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no"), OSError(28, "No space left on device")])
def test_what_raises_changes_nothing(tmp_path: Path, error: BaseException) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"before")

    def write() -> None:
        with replacing(one, two) as (part, _):
            part.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)) as raised:
        write()
    if isinstance(error, OSError):
        assert raised.value.filename == str(one)
    assert one.read_bytes() == b"before"
    assert names(tmp_path) == ["one"]


def test_of_several_none_is_replaced_before_all_are_written(tmp_path: Path) -> None:
    one, folder = tmp_path / "one", tmp_path / "file" / "two"
    one.write_bytes(b"before")
    (tmp_path / "file").write_bytes(b"where a folder would have to be")
    with pytest.raises(OSError, match="file"):
        put_all({one: b"after", folder: b"after"})
    assert one.read_bytes() == b"before"
    put_all({one: b"after", tmp_path / "two": b"after"})
    assert names(tmp_path) == ["file", "one", "two"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "file").write_bytes(b"before")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "file")
    put(tmp_path / "link", b"after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "file").read_bytes() == b"after"
    assert names(tmp_path / "far") == ["file"]


def test_a_pipe_is_written_and_stays_one(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    put(pipe, b"content")
    reader.join(timeout=60)
    assert read == [b"content"]
    assert pipe.is_fifo()
    assert names(tmp_path) == ["pipe"]
