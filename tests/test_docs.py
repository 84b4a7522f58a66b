"""What README.md and docs/ say is run and checked: snippets, commands, links, names."""

import contextlib
import inspect
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest
import typer
import typer.main

import noumena as nm
from noumena.cli import app
from noumena.families.covariance import ALIASES, STRUCTURES

ROOT = Path(__file__).resolve().parents[1]
README, DOCS = ROOT / "README.md", ROOT / "docs"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- *(?:(?P<skip>not run: *\S(?:(?!-->).)*?)|(?P<prints>prints)) *-->\s*\Z", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Fence:
    """A fenced block.

    Attributes
    ----------
    language : str
    text : str
    line : int
        Of the page, where the text begins; from 1.
    skip : bool
        ``<!-- not run: reason -->`` stands before it.
    prints : bool
        ``<!-- prints -->`` stands before it: it is what the Python block before it prints.
    """

    language: str
    text: str
    line: int
    skip: bool
    prints: bool


def fences(page: Path) -> Iterator[Fence]:
    """The fenced blocks of a page, in order."""
    content = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(content):
        said = _COMMENT.search(content, 0, found.start())
        line = content.count("\n", 0, found.start(2)) + 1
        yield Fence(found[1], found[2], line, bool(said and said["skip"]), bool(said and said["prints"]))


@pages
def test_python_snippets_run(page, tmp_path, monkeypatch):
    """In order, in one namespace and an empty folder; what a page says they print is what they print."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    for fence in fences(page):
        if fence.prints:
            assert _lines(printed) == _lines(fence.text), f"{page.name}, line {fence.line}"
        elif fence.language == "python" and not fence.skip:
            # empty lines before it, so that a traceback names the line of the page
            code = compile("\n" * (fence.line - 1) + fence.text, str(page), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(code, namespace)
            printed = out.getvalue()


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every call of ``noumena`` in the console blocks of a page; a line may end in a backslash."""
    for fence in fences(page):
        if fence.language != "console":
            continue
        for line in re.sub(r"\\\n\s*>?", " ", fence.text).splitlines():
            if not line.startswith("$ "):
                continue  # what the command printed
            words = shlex.split(line.removeprefix("$ "), comments=True)
            for ends, part in groupby(words, key=lambda word: word in ("|", ">", "&&", ";")):
                program, *arguments = part
                if not ends and Path(program).name == "noumena":
                    yield arguments


@pages
def test_commands_are_spelled_as_the_command_line_has_them(page):
    """Parsed, not run: a wrong command, option, choice or number of arguments is refused as it would be in a shell."""
    group = typer.main.get_command(app)
    for words in commands(page):
        asks = {"--help", "-h", "--version"} & {*words}
        if not words or words[0].startswith("-"):
            assert asks, f"{page.name}: noumena {shlex.join(words)}"
            continue
        assert words[0] in group.commands, f"{page.name}: there is no command {words[0]!r}"
        if asks:
            continue
        try:
            group.commands[words[0]].make_context(words[0], words[1:])
        except (Exception, SystemExit) as error:
            reason = error.format_message() if hasattr(error, "format_message") else repr(error)
            pytest.fail(f"{page.name}: noumena {shlex.join(words)}: {reason}")


def test_the_walk_through_shows_every_command():
    shown = {words[0] for words in commands(DOCS / "command-line.md")}
    assert shown >= {*typer.main.get_command(app).commands}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):  # to another site
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in _anchors(file), f"{page.name} links to {target}"


def _anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.*)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_on_the_map():
    linked = set(_LINK.findall((DOCS / "index.md").read_text(encoding="utf-8")))
    assert {page.name for page in DOCS.glob("*.md")} - {"index.md"} <= linked


def test_every_public_name_is_mentioned_and_has_a_docstring():
    said = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in nm.__all__ if not re.search(rf"\b{name}\b", said)] == []
    assert [name for name in nm.__all__ if not (inspect.getdoc(getattr(nm, name)) or "").strip()] == []


def test_the_model_page_is_complete():
    """Every parameter, method and fitted attribute, structure and status stands on it in code type."""
    said = set(re.findall(r"`([^`\n]+)`", (DOCS / "gaussian-mixture.md").read_text(encoding="utf-8")))
    words = {word for text in said for word in re.findall(r"\w+", text)}
    documented = nm.GaussianMixture.__doc__ or ""
    attributes = re.findall(r"^    (\w+_) : ", inspect.cleandoc(documented).replace("\n", "\n    "), re.MULTILINE)
    own = {name for kind in nm.GaussianMixture.__mro__ if kind.__module__.startswith("noumena") for name in vars(kind)}
    wanted = [
        *inspect.signature(nm.GaussianMixture).parameters,
        *inspect.signature(nm.select).parameters,
        *(name for name in own if not name.startswith("_") and not name.endswith("_request")),  # scikit-learn's
        *attributes,
        *(status.value for status in nm.Status),
        *STRUCTURES,
        *ALIASES,
    ]
    assert len(attributes) > 5
    assert sorted(name for name in {*wanted} if name not in words) == []
