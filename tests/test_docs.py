"""The documentation against the library: names, links, commands, code and the option table."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from cyclopts import CycloptsError, MissingArgumentError

import m2a
from m2a.cli.main import app
from m2a.recipes.evidence import read_groups

ROOT = Path(__file__).parent.parent
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"]
WITH_README = [*PAGES, ROOT / "README.md"]
EXECUTED = [
    "docs/concepts.md",
    "docs/how-to/add-motion-to-your-model.md",
    "docs/how-to/save-load-and-share.md",
    "docs/how-to/train-an-adapter.md",
]

_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_OUTSIDE = re.compile(r"[a-z]+:")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> list[str]:
    found = _FENCE.findall(page.read_text(encoding="utf-8"))
    return [code for language, code in found if language.strip() in languages]


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives headings."""
    headings = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[tuple[str, bool]]:
    """Every `m2a ...` that is shown, and whether it is whole: those in blocks are, those in a sentence may not be."""
    lines = [line.removeprefix("$ ") for code in blocks(page, "", "bash", "console") for line in code.splitlines()]
    whole = [(line, True) for line in lines if line.startswith("m2a ")]
    return whole + [(text, False) for text in re.findall(r"`(m2a [^`\n]+)`", prose(page))]


def complaint(command: str, whole: bool = True) -> str | None:
    """What the command line would say against it, without running anything."""
    tokens = shlex.split(command, comments=True)[1:]
    if tokens[:1] == ["train"] and "--data" not in tokens and ("--config" in tokens or not whole):
        tokens += ["--data", "in-the-config"]
    try:
        app.parse_args(tokens, exit_on_error=False, print_error=False)
    except MissingArgumentError as error:
        return str(error) if whole else None
    except CycloptsError as error:
        return str(error)
    return None


@pytest.mark.parametrize("public", m2a.__all__)
def test_every_public_name_is_documented(public: str) -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in WITH_README)
    assert re.search(rf"\bm2a\.{public}\b", text), f"m2a.{public} is on no page; docs/index.md lists the names"


@pytest.mark.parametrize("page", WITH_README, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if _OUTSIDE.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{name_of(page)}: {link}; there are {sorted(anchors(target))}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_page_can_be_reached(page: Path) -> None:
    linked = {
        (other.parent / link.partition("#")[0]).resolve()
        for other in WITH_README
        for link in _LINK.findall(prose(other))
    }
    assert page in linked, f"no page links to {name_of(page)}; add it to docs/index.md"


@pytest.mark.parametrize("page", WITH_README, ids=name_of)
def test_commands_and_flags_exist(page: Path) -> None:
    wrong = [f"{command}: {problem}" for command, whole in commands(page) if (problem := complaint(command, whole))]
    assert not wrong, name_of(page)


@pytest.mark.parametrize("page", WITH_README, ids=name_of)
def test_python_compiles(page: Path) -> None:
    for number, code in enumerate(blocks(page, "python", "python no-run"), start=1):
        compile(code, f"{name_of(page)}, block {number}", "exec")


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("name", EXECUTED)
def test_python_runs_and_prints_what_the_comments_say(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    variables: dict[str, Any] = {"__name__": "page"}
    for number, code in enumerate(blocks(ROOT / name, "python"), start=1):
        exec(compile(code, f"{name}, block {number}", "exec"), variables)
        expected = [line.removeprefix("# ") for line in code.splitlines() if line.startswith("# ")]
        assert capsys.readouterr().out.splitlines() == expected, f"{name}, block {number}"


def test_the_option_table_is_fresh() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "options_table.py"))
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert page == script["page"](), "docs/options.md is stale: run `python scripts/options_table.py`"


def test_the_python_reference_is_fresh() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "api_pages.py"))
    there = {page.name: page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md")}
    assert there == script["pages"](), "docs/api is stale: run `python scripts/api_pages.py`"


def test_the_readme_shows_the_recorded_demo() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "demo_table.py"))
    result = json.loads((ROOT / "docs" / "results" / "demo.json").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert script["table"](result) in readme, "README.md is stale: run `python scripts/demo_table.py`"


def test_the_identity_start_is_shown_as_measured() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "identity_table.py"))
    result = json.loads((ROOT / "docs" / "results" / "identity-start.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "decisions" / "identity-start.md").read_text(encoding="utf-8")
    assert script["table"](result) in page, "identity-start.md is stale: run `python scripts/identity_table.py`"


def test_streams_are_shown_as_measured() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "measure_stream.py"))
    result = json.loads((ROOT / "docs" / "results" / "stream.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "how-to" / "answer-a-stream.md").read_text(encoding="utf-8")
    assert script["table"](result) in page, "answer-a-stream.md is stale: run `python scripts/measure_stream.py`"


def test_the_inner_skip_is_shown_as_measured() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "inner_skip_table.py"))
    result = json.loads((ROOT / "docs" / "results" / "inner-skip.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "decisions" / "inner-skip.md").read_text(encoding="utf-8")
    assert script["table"](result) in page, "inner-skip.md is stale: run `python scripts/inner_skip_table.py`"


def test_the_speed_of_reading_is_shown_as_measured() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "data_speed_table.py"))
    page = (ROOT / "docs" / "how-to" / "make-reading-faster.md").read_text(encoding="utf-8")
    assert script["table"](script["read"]()) in page, "the page is stale: run `python scripts/data_speed_table.py`"


def test_the_speed_of_models_is_shown_as_measured() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "bench_tables.py"))
    page = (ROOT / "docs" / "how-fast.md").read_text(encoding="utf-8")
    assert script["render"](page, script["read"]()) == page, "the page is stale: run `python scripts/bench_tables.py`"


def test_the_papers_rows_are_shown_as_measured() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "paper_tables.py"))
    groups = read_groups(script["RESULTS"])
    for path, blocks in script["PAGES"].items():
        page = path.read_text(encoding="utf-8")
        assert script["render"](page, groups, blocks) == page, "stale: run `python scripts/paper_tables.py`"
    assert script["stale_pictures"](groups) == [], "pictures are stale: run `python scripts/paper_tables.py`"


def test_a_wrong_command_is_noticed() -> None:
    assert complaint("m2a train --data clips --epochs 3  # a comment") is None
    assert complaint("m2a train", whole=False) is None
    assert "--data requires" in str(complaint("m2a train"))
    assert "Unknown option: --epoch" in str(complaint("m2a train --epoch 3", whole=False))
    assert "Unknown command" in str(complaint("m2a trian"))


def test_the_readmes_multiply_adds_are_counted() -> None:
    """Of a ResNet-18 on 8 frames of 224 pixels with 174 classes."""
    table = re.findall(
        r"^\| (`[^|]*`) \|[^|]*\| ([0-9., ]+) \|$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    shown = {
        name: float(figure)
        for names, figures in table
        for name, figure in zip(re.findall(r"`([^`]+)`", names), figures.split(","), strict=True)
    }
    assert {"none", "m2a", "m2a-plus", "tdn", "m2a:patch8"} <= set(shown)
    for name, figure in shown.items():
        with torch.device("meta"):
            model = m2a.create_model("resnet18", mechanism=name, num_classes=174, num_frames=8)
        assert f"{m2a.count_macs(model) / 1e9:.3f}" == f"{figure:.3f}", name
