"""stderr and stdout: colours and progress on a terminal, plain lines in a pipe."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@cache
def console(*, stderr: bool = False) -> "Console":
    """A console that takes every text as it is: names of files and columns may hold brackets.

    There is one for each stream, for only then do lines and a progress display make way for each other.
    """
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def say(text: str, *, head: str = "", style: str = "") -> None:
    """One line on stderr, whatever the width of the terminal."""
    from rich.text import Text

    line = Text.assemble((head, style), " ", text) if head else Text(text)
    console(stderr=True).print(line, soft_wrap=True)


@contextmanager
def at_work(text: str) -> Iterator[Callable[[str], None] | None]:
    """Show on a terminal that something is under way; gives a function that shows how far, or None in a pipe."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield None
        return
    from rich.markup import escape  # the text of a status is markup

    with screen.status(escape(text)) as status:
        yield lambda line: status.update(escape(f"{text}: {line}"))


@contextmanager
def printed_to(show: Callable[[str], None] | None) -> Iterator[None]:
    """Hand what is printed within to ``show``: a fit of one candidate says how far it is in no other way."""
    if show is None:
        yield
        return
    with redirect_stdout(_Lines(show)):
        yield


class _Lines(io.TextIOBase):
    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show

    def write(self, text: str, /) -> int:
        if text.strip():
            self._show(text.strip())
        return len(text)


def write_bytes(content: bytes) -> None:
    """Bytes to stdout."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
