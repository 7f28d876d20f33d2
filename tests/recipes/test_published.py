"""Results are published: nothing in them says where something lay."""

from __future__ import annotations

from pathlib import Path

import pytest

from m2a.recipes.paper import paper_recipe
from m2a.recipes.published import published_command, published_options, published_skips


def test_options_name_files_and_folders() -> None:
    config = paper_recipe(
        "I/m2a", data="/home/me/sets/something", out=Path("/mnt/runs/x"), skip_list=Path("../lists/skip.txt"),
        pretrained="weights/resnet18.pth", cache="disk", cache_folder=Path("."),
        backbone_options={"pretrained_cfg_overlay": {"file": "/home/me/w.bin"}},
    )  # fmt: skip
    options, named = config.to_dict(), published_options(config.to_dict())
    changed = {option: value for option, value in named.items() if value != options[option]}
    assert changed == {
        "data": "something",
        "out": "x",
        "skip_list": "skip.txt",
        "pretrained": "resnet18.pth",
        "cache_folder": Path.cwd().name,
        "backbone_options": {"pretrained_cfg_overlay": {"file": "w.bin"}},
    }
    for start in ("none", "imagenet"):
        assert published_options({"pretrained": start, "data": "a"})["pretrained"] == start


@pytest.mark.parametrize(
    ("command", "published"),
    [
        ("m2a paper run I/m2a --data edition-1", "m2a paper run I/m2a --data edition-1"),
        ("m2a paper run I --out /tmp/a/runs --lr 1e-3", "m2a paper run I --out runs --lr 1e-3"),
        ("m2a paper run I --pretrained=../w/r.pth", "m2a paper run I --pretrained=r.pth"),
        ("m2a paper run I --data '/my clips/a b' --out=~/runs", "m2a paper run I --data 'a b' --out=runs"),
        ("m2a paper run I --results paper/results", "m2a paper run I --results paper/results"),
    ],
)
def test_commands_name_files_and_folders(command: str, published: str) -> None:
    assert published_command(command) == published


def test_skipped_clips_lie_in_their_set() -> None:
    root = Path("/sets/somethings")
    skips = [
        (root / "20bn" / "12", "/sets/somethings/20bn/12 holds no frames; see /sets/somethings/list.csv"),
        (Path("/elsewhere/7.mp4"), "Invalid data: '/elsewhere/7.mp4'"),
    ]
    assert published_skips(skips, root) == [
        {"path": "20bn/12", "reason": "20bn/12 holds no frames; see somethings/list.csv"},
        {"path": "7.mp4", "reason": "Invalid data: '7.mp4'"},
    ]
