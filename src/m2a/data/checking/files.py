"""The files of a check, `check.json`, `check.jsonl` and `skip.txt`: they replace nothing but their own."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...writing import put

REPORT = "check.json"
RECORDS = "check.jsonl"
SKIP_LIST = "skip.txt"
NEW_SKIP_LIST = "skip-new.txt"
"""Where the skip list goes when the user has edited `skip.txt`."""
_KEYS = {"schema", "root", "format", "num_clips", "findings"}
_HEAD = (b"# Clips of ", b" with errors, for m2a train --skip-list")
_RECORD = (b'{"path": ', b'"modified": ')


def check_folder(folder: Path, root: Path) -> None:
    """Raises ConfigError for a folder that the results of checking the set at `root` may not go to: with the check of
    another set, or with a file of somebody else in their place."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a folder for the results with --out.")
    report = _report(folder)
    edited = "skip_list_sha256" in report  # then a skip.txt of whatever content is left as it is
    ours = {
        REPORT: report.keys() >= _KEYS,
        RECORDS: _is_records(folder / RECORDS),
        SKIP_LIST: edited or _is_skip_list(folder / SKIP_LIST),
        NEW_SKIP_LIST: _is_skip_list(folder / NEW_SKIP_LIST),
    }
    for name, is_ours in ours.items():
        if (folder / name).is_dir() or ((folder / name).exists() and not is_ours):
            raise ConfigError(
                f"{folder / name} is there already and was not written by m2a data check; nothing is overwritten. "
                "Name another folder with --out."
            )
    other = report.get("resolved_root", str(root.resolve()))  # earlier versions did not say
    if other != str(root.resolve()):
        raise ConfigError(
            f"{folder} holds the check of another set, {other}; nothing is overwritten. Name another folder with --out."
        )


def write_files(folder: Path, content: dict[str, Any], skip_list: bytes) -> None:
    """Writes `check.json`, and the skip list to `skip.txt`, or beside it where the user has edited that one."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / SKIP_LIST
    known = {digest(skip_list), _report(folder).get("skip_list_sha256")}
    if target.exists() and digest(target.read_bytes()) not in known:
        target = folder / NEW_SKIP_LIST
    put(target, skip_list)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    put(folder / REPORT, text.encode(errors="surrogateescape"))


def digest(content: bytes) -> str:
    """The SHA-256, in hexadecimal digits."""
    return sha256(content).hexdigest()


def _report(folder: Path) -> dict[str, Any]:
    """What the `check.json` of a folder holds; of none, or of something else, nothing."""
    try:
        content = json.loads((folder / REPORT).read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_skip_list(path: Path) -> bool:
    first = _first_line(path)
    return first.startswith(_HEAD[0]) and _HEAD[1] in first


def _is_records(path: Path) -> bool:
    """Whether a file is empty or begins with a record, which may be the one that an interrupted check was writing."""
    first = _first_line(path)
    whole = first.endswith(b"\n")
    return first.startswith(_RECORD[0]) and _RECORD[1] in first if whole else _RECORD[0].startswith(first[:9])


def _first_line(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.readline(1 << 20)
