"""`m2a paper orderings` and `m2a paper ablations`, of results that are given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_results import made, put

from m2a.cli.paper_orderings import ablations, orderings
from m2a.errors import NotFoundError

RUNS = (("tsm", 0, 90.0), ("tsm", 1, 92.0), ("m2a", 0, 50.0), ("m2a", 1, 60.0))


def test_what_they_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = [made(f"V/{row}", top1=top1, seed=seed) for row, seed, top1 in RUNS]
    for result in [*results, made("V/m2a", top1=70.0, changes={"epochs": 3})]:
        put(tmp_path, result)
    orderings(results=tmp_path)
    printed = capsys.readouterr().out
    assert "V: tsm > m2a" in printed
    assert "+36.0 ± 50.8, open" in printed
    orderings(results=tmp_path, format="markdown")
    assert "| V: tsm > m2a | +4.3 | +36.0 ± 50.8, open |" in capsys.readouterr().out
    orderings(results=tmp_path, json=True)
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["upper"], one["lower"], one["paper"], one["seeds"]) == ("V/tsm", "V/m2a", 4.3, [0, 1])
    put(tmp_path, made("V/m2a", top1=88.0, changes={"mechanism_options": {"boundary": "zero"}}))
    orderings(results=tmp_path, format="markdown")
    assert "| V: tsm > m2a | +4.3 | +2.0 (one seed), open |" in capsys.readouterr().out
    orderings(results=tmp_path, json=True)
    assert [one["changed"] and one["changed"]["row"] for one in json.loads(capsys.readouterr().out)] == [None, "V/m2a"]
    ablations(results=tmp_path)
    assert "epochs=3" in capsys.readouterr().out
    ablations(results=tmp_path, json=True)
    found = {str(one["changes"]): one["gain"]["mean"] for one in json.loads(capsys.readouterr().out)}
    assert found == {str({"epochs": 3}): 20.0, str({"mechanism_options": {"boundary": "zero"}}): 38.0}


def test_they_say_what_is_lacking(tmp_path: Path) -> None:
    for command in (orderings, ablations):
        with pytest.raises(NotFoundError, match="There is no folder"):
            command(results=tmp_path / "none")
        with pytest.raises(NotFoundError, match="holds no results"):
            command(results=tmp_path)
    put(tmp_path, made("I/m2a"))
    with pytest.raises(NotFoundError, match="no result of a changed recipe"):
        ablations(results=tmp_path)
