"""The committed matrix of backbones, tried anew on the smallest architecture of each family."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import timm

from m2a.errors import ConfigError, SpecError
from m2a.measurement import check_backbone, check_backbones, list_backbones
from m2a.measurement.compatibility import every_mechanism

ROOT = Path(__file__).parents[2]
RESULT = json.loads((ROOT / "docs" / "results" / "backbones.json").read_text(encoding="utf-8"))
ROWS = {row["backbone"]: row for row in RESULT["rows"]}
SMALLEST = list(dict.fromkeys(row["backbone"] for row in RESULT["families"]))
SAME_TIMM = RESULT["versions"]["timm"] == timm.__version__
SLOW = {
    "sequencer2d_s",
    "csatv2",
    "shvit_s1",
    "efficientvit_m0",
    "coat_tiny",
    "mobileone_s1",
    "xcit_nano_12_p8_224",
    "crossvit_tiny_240",
    "densenet121",
    "cait_xxs24_224",
    "gmlp_ti16_224",
    "halonet_h1",
    "repvit_m1",
    "iformer_t",
    "maxvit_pico_rw_256",
    "repghostnet_050",
    "convit_tiny",
    "gcvit_xxtiny",
    "ghostnet_050",
    "pvt_v2_b0",
    "nf_regnet_b0",
    "hardcorenas_b",
    "efficientformerv2_s0",
    "lowformer_b0",
    "nest_tiny",
    "vit_tiny_patch16_dinov3_qkvb",
    "fastvit_t8",
    "edgenext_xx_small",
    "hrnet_w18_small",
}  # fmt: skip - of many layers: 1 to 20 seconds each; the command that writes the matrix tries them
TRIED_ANEW = [name for name in SMALLEST if ROWS[name]["parameters"] < 20e6 and name not in SLOW]  # others take seconds


@pytest.mark.parametrize("name", TRIED_ANEW)
def test_the_smallest_of_each_family_is_as_recorded(name: str) -> None:
    recorded: dict[str, Any] = {"reason": "", "first": "", "layouts": []} | ROWS[name]
    assert check_backbone(name).to_dict() == recorded


def test_nineteen_in_twenty_of_timm_work() -> None:
    of_timm = [row for row in RESULT["rows"] if row["family"] != "torchvision"]
    assert sum(row["works"] for row in of_timm) >= 0.95 * len(of_timm)
    assert all(row["works"] or row["reason"] for row in RESULT["rows"])


@pytest.mark.skipif(not SAME_TIMM, reason="another release of timm has other architectures")
def test_what_cannot_be_checked_is_told_before_anything_is_built() -> None:
    with pytest.raises(SpecError, match=r"There is no mechanism called 'bogus'"):
        next(check_backbones(["resnet10t"], ["m2a", "bogus"]))
    with pytest.raises(ConfigError, match=r"workers must be at least 1; got 0\."):
        next(check_backbones(["resnet10t"], workers=0))


def test_no_architecture_is_missing() -> None:
    assert list(ROWS) == list_backbones()


def test_every_mechanism_was_tried_in_every_family() -> None:
    assert {ROWS[name]["family"] for name in SMALLEST} == {row["family"] for row in RESULT["rows"]}
    tried = {(row["backbone"], row["mechanism"]) for row in RESULT["families"]}
    assert tried == {(name, spec) for name in SMALLEST for spec in every_mechanism()}
    assert all(row["works"] or row["reason"] for row in RESULT["families"])


def test_the_page_shows_the_result() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "backbones_table.py"))
    shown = (ROOT / "docs" / "backbones.md").read_text(encoding="utf-8")
    assert shown == script["page"](RESULT), "docs/backbones.md is stale: run `python scripts/backbones_table.py`"
