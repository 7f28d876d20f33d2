"""What a result may say of a machine: names of files and folders, never where they are. Results are published."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PLACES = ("data", "out", "skip_list", "cache_folder")
"""Options that name a file or a folder; `pretrained` does where it is neither "imagenet" nor "none"."""


def published_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `TrainConfig` as plain values, with the names of files and folders in the place of their paths."""
    named = {option: _published(value) for option, value in options.items()}
    for option in PLACES:
        if named.get(option) is not None:
            named[option] = name_of(options[option])
    if named.get("pretrained") not in (None, "imagenet", "none"):
        named["pretrained"] = name_of(named["pretrained"])
    return named


def published_command(command: str) -> str:
    """A command line, with names in the place of paths that are absolute or lead out of the folder it was given in."""
    return shlex.join(map(_published_token, shlex.split(command)))


def published_skips(skips: Sequence[tuple[Path, str]], root: Path) -> list[dict[str, str]]:
    """Clips, and why they were skipped, by their paths below the set's root."""
    named = []
    for path, reason in skips:
        inside = path.absolute().is_relative_to(root.absolute())
        name = path.absolute().relative_to(root.absolute()).as_posix() if inside else path.name
        for place, word in ((path.absolute(), name), (path, name), (root.absolute(), name_of(root))):
            reason = reason.replace(str(place), word)
        named.append({"path": name, "reason": reason})
    return named


def name_of(path: str | Path) -> str:
    """The last part of a path, of "." too."""
    return Path(path).resolve().name


def _published_token(token: str) -> str:
    flag, equals, value = token.partition("=") if token.startswith("--") else ("", "", token)
    return flag + equals + _published(value)


def _published(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _published(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_published(inner) for inner in value]
    if isinstance(value, str) and _leads_out(Path(value)):
        return name_of(value)
    return value


def _leads_out(path: Path) -> bool:
    return path.is_absolute() or ".." in path.parts or path.parts[:1] == ("~",)
