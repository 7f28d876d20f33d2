"""Writes docs/api/: what each public name of the library takes, gives and raises, from the docstrings. With `--check`
it writes nothing and exits with 1 when a page is stale. Reads the source; needs no torch."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "api"
_WIDTH = 100  # of a signature on one line
_HEAD = "<!-- Written by `python scripts/api_pages.py` from the docstrings; do not edit. -->"
_SECTIONS = {
    griffe.DocstringSectionKind.parameters: "Arguments",
    griffe.DocstringSectionKind.other_parameters: "Other arguments",
    griffe.DocstringSectionKind.attributes: "Attributes",
    griffe.DocstringSectionKind.raises: "Raises",
    griffe.DocstringSectionKind.returns: "Returns",
    griffe.DocstringSectionKind.yields: "Yields",
}


def pages() -> dict[str, str]:
    """The text of each page, by file name."""
    library = griffe.load(
        "m2a",
        search_paths=[ROOT / "src"],
        docstring_parser="google",
        docstring_options={"warnings": False},  # of arguments that share a line, whose types are in the signature
        resolve_aliases=True,
    )
    homes = {name: _find(library, name) for name in _public(library)}
    packages = {name: found for name, found in homes.items() if found.is_module}
    written = {f"{name}.md": _page(package) for name, package in packages.items()}
    return {"index.md": _index(homes, packages), **written}


def _public(module: Any) -> list[str]:
    """The names in a module's `__all__`, or without one its own that begin with no underscore."""
    if module.exports is not None:
        return [str(name) for name in module.exports]
    own = (name for name, found in module.members.items() if not found.is_alias and not name.startswith("_"))
    return [name for name in own if module[name].is_class or module[name].is_function]


def _find(module: Any, name: str) -> Any:
    """What a name stands for, where it is defined. Of a function and the file of the same name, the function."""
    found = module[name]
    if found.is_module and not found.is_init_module and name in found.members:
        found = found[name]
    return found.final_target if found.is_alias else found


def _index(homes: dict[str, Any], packages: dict[str, Any]) -> str:
    lines = [
        "# Python reference", _HEAD,
        "Every public name, as its docstring has it. [Concepts](../concepts.md) explains the words, "
        "[the documentation](../index.md) shows the names at work.",
        "Names that `import m2a` gives at once:",
    ]  # fmt: skip
    direct = {name: found for name, found in homes.items() if name not in packages}
    rows = [(f"[`m2a.{name}`]({_place(found)})", _first(found)) for name, found in direct.items()]
    lines += [_table(("name", "is"), rows), "Packages, each imported on first use:"]
    inside = [(f"[`m2a.{name}`]({name}.md)", _first(found)) for name, found in packages.items()]
    return "\n\n".join([*lines, _table(("package", "is"), inside)]) + "\n"


def _place(found: Any) -> str:
    """Where on which page a name of the top is described."""
    package = found.path.split(".")[1]
    return f"{package}.md#{found.name.lower()}"


def _page(package: Any) -> str:
    parts = [f"# m2a.{package.name}", _HEAD, *_docstring(package)]
    members = {name: _find(package, name) for name in _public(package)}
    if missing := [name for name, found in members.items() if not found.docstring]:
        raise SystemExit(f"m2a.{package.name}: without a docstring: {', '.join(missing)}")
    names = sorted(members, key=lambda name: (not members[name].is_class, name.lower()))
    rows = [(f"[`{name}`](#{name.lower()})", _first(members[name])) for name in names]
    parts.append(_table(("name", "is"), rows))
    for name in names:
        parts += _entry(members[name], f"m2a.{package.name}.{name}", level=2)
    return "\n\n".join(parts) + "\n"


def _entry(found: Any, path: str, *, level: int) -> Iterator[str]:
    yield f"{'#' * level} {path.rsplit('.', 1)[1]}"
    if found.is_attribute:
        yield _code(f"{path}: {found.annotation}" if found.annotation else path)
    elif found.is_class and _is_error(found):
        yield f"`{path}({', '.join(str(base) for base in found.bases)})`"
    else:
        yield from _call(found, path)
    yield from _docstring(found)
    if not found.is_class:
        return
    own = {name: member for name, member in found.members.items() if not name.startswith("_") and not member.is_alias}
    fields = [(name, member) for name, member in own.items() if member.is_attribute and member.docstring]
    if fields:
        yield "Attributes:"
        yield "\n".join(f"- `{_typed(name, member)}`: {_line(member.docstring.value)}" for name, member in fields)
    for name, member in own.items():
        if member.is_function and member.docstring:
            yield f"{'#' * (level + 1)} {found.name}.{name}"
            yield from _call(member, f"{found.name}.{name}")
            yield from _docstring(member)


def _is_error(found: Any) -> bool:
    return str(found.path).startswith("m2a.errors.") and not any(name == "__init__" for name in found.members)


def _typed(name: str, member: Any) -> str:
    return f"{name}: {_quoted(member.annotation)}" if member.annotation else name


def _call(found: Any, path: str) -> Iterator[str]:
    """The signature, and what the names of choices in it stand for."""
    text = _signature(found, path)
    yield _code(text)
    used = dict.fromkeys(re.findall(r"\b[A-Z]\w+", re.sub(r"\"[^\"]*\"", "", text)))
    choices = {name: chosen for name in used if (chosen := _choices(found, name))}
    if choices:
        yield "\n".join(f"- `{name}` is {chosen}." for name, chosen in choices.items())


def _choices(found: Any, name: str) -> str | None:
    """The values of a `Literal` of this name in the module of `found`; None of any other name."""
    if name not in found.module.members:
        return None
    try:
        target = _find(found.module, name)
    except griffe.AliasResolutionError:  # of another library
        return None
    text = str(target.value) if target.is_attribute else ""
    if not text.startswith("Literal["):
        return None
    values = [f"`{_quoted(value.strip())}`" for value in text.removeprefix("Literal[").removesuffix("]").split(",")]
    return f"{', '.join(values[:-1])} or {values[-1]}"


def _quoted(code: Any) -> str:
    """As the source has it: griffe gives strings in single quotes."""
    text = str(code)
    return text if '"' in text or "\\" in text else text.replace("'", '"')


def _signature(found: Any, path: str) -> str:
    """A call as it would be written, on one line where it fits."""
    parts, kinds = [], griffe.ParameterKind
    parameters = [p for p in found.parameters if p.name not in ("self", "cls")]
    named_only = False
    for index, parameter in enumerate(parameters):
        if parameter.kind is kinds.var_positional:
            named_only = True
        if parameter.kind is kinds.keyword_only and not named_only:
            parts.append("*")
            named_only = True
        stars = {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(parameter.kind, "")
        text = f"{stars}{parameter.name}" + (f": {_quoted(parameter.annotation)}" if parameter.annotation else "")
        if parameter.default is not None and not stars:
            default = _quoted(parameter.default)
            text += f" = {default}" if parameter.annotation else f"={default}"
        parts.append(text)
        after = parameters[index + 1].kind if index + 1 < len(parameters) else None
        if parameter.kind is kinds.positional_only and after is not kinds.positional_only:
            parts.append("/")
    returns = f" -> {_quoted(found.returns)}" if found.is_function and found.returns else ""
    line = f"{path}({', '.join(parts)}){returns}"
    if len(line) <= _WIDTH or not parts:
        return line
    return f"{path}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"


def _docstring(found: Any) -> Iterator[str]:
    if found.docstring is None:
        return
    for section in found.docstring.parsed:
        if section.kind is griffe.DocstringSectionKind.text:
            yield _escaped(section.value)
        elif section.kind in _SECTIONS:
            yield f"{_SECTIONS[section.kind]}:"
            yield "\n".join(_item(item, section.kind) for item in section.value)
        elif section.kind is griffe.DocstringSectionKind.admonition:
            yield f"{section.title or 'Note'}: {section.value.description}"
        else:
            raise SystemExit(f"{found.path}: a section of kind {section.kind.value} is not known here")


def _item(item: Any, kind: Any) -> str:
    given = item.annotation if kind is griffe.DocstringSectionKind.raises else getattr(item, "name", "")
    given = str(given or "").removeprefix("(").removesuffix(")")  # of several errors
    return f"- `{given}`: {_line(item.description)}" if given else f"- {_line(item.description)}"


def _first(found: Any) -> str:
    """The first sentence of a docstring."""
    text = _line(found.docstring.value.split("\n\n")[0])
    return re.split(r"(?<!\.)\. ", text, maxsplit=1)[0].rstrip(".:")


def _line(text: str) -> str:
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    """With what is no code kept from being taken for tags."""
    parts = text.split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


def _code(text: str) -> str:
    return f"```py\n{text}\n```"


def _table(head: tuple[str, ...], rows: list[tuple[str, str]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a page is stale")
    fresh, check = pages(), parser.parse_args().check
    FOLDER.mkdir(exist_ok=True)
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    if check and there != fresh:
        stale = sorted(name for name in {*there, *fresh} if there.get(name) != fresh.get(name))
        sys.exit(f"docs/api is stale ({', '.join(stale)}): run `python scripts/api_pages.py`.")
    if not check:
        for name in there.keys() - fresh.keys():
            (FOLDER / name).unlink()
        for name, text in fresh.items():
            (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
