"""Bayesian networks as text: the Interchange Format (BIF), as the bnlearn repository, pgmpy and JavaBayes write it.

    variable tub { type discrete [ 2 ] { yes, no }; }
    probability ( tub | asia ) { (yes) 0.05, 0.95; default 0.01, 0.99; }

Commas and ``|`` only separate. Instead of rows, ``table`` may hold all values, those of the node's first state first.
"""

import gzip
import itertools
import math
import os
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..core.errors import DataError

#: What the names of BIF files end in.
BIF_ENDINGS = (".bif", ".bif.gz")
#: A row whose sum is off 1 by less than this was rounded when it was written; it is scaled.
ROUNDED = 1e-4
#: Entries of one table that are read; a default can stand for any number of rows.
MOST_ENTRIES = 50_000_000
_GZIP = b"\x1f\x8b"
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<quoted>"(?:[^"\\\n]|\\[^\n])*")
    |(?P<open>/\*|")
    |(?P<mark>[{}()\[\];,|])
    |(?P<word>(?:(?!//|/\*)[^\s{}()\[\];,|"])+)""",
    re.VERBOSE | re.DOTALL,
)


class BifError(DataError):
    """A BIF file is no Bayesian network; the message names file, line, column and what was expected there."""


@dataclass(frozen=True)
class BifNetwork:
    """What a BIF file holds.

    Attributes
    ----------
    name : str
    states : dict
        From each node, in the order of the file, to its states.
    parents : dict
        From each node to its parents.
    tables : dict
        From each node to p(node | parents), axes of the parents in their order, then of the node.
    """

    name: str
    states: dict[str, tuple[str, ...]]
    parents: dict[str, tuple[str, ...]]
    tables: dict[str, np.ndarray]


def read_bif(path: str | os.PathLike[str]) -> BifNetwork:
    """Read a network.

    Parameters
    ----------
    path : path
        Plain text or gzip.

    Raises
    ------
    BifError
        Where the file cannot be read, or is no network.
    """
    where = os.fspath(path)
    try:
        content = Path(path).expanduser().read_bytes()
        text = (gzip.decompress(content) if content.startswith(_GZIP) else content).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BifError(f"{where} is no text in UTF-8 (byte {error.start}): is it a BIF file?") from error
    except (OSError, EOFError, zlib.error) as error:
        raise BifError(f"{where} cannot be read ({error}): check the path, or fetch the file again") from error
    return _Reader(text, where).network()


def bif_text(
    states: Mapping[str, Sequence[Any]],
    parents: Mapping[str, Sequence[str]],
    tables: Mapping[str, np.ndarray],
    name: str = "unknown",
) -> str:
    """A network as BIF text, which `read_bif` reads back with the same numbers, bit for bit.

    Parameters
    ----------
    states, parents, tables : mapping
        As `BifNetwork` has them. States are written as text, whatever they are.
    name : str

    Raises
    ------
    BifError
        For a name that holds a line break, or two states of a node that are written alike.
    """
    called = {node: [_name(str(state)) for state in own] for node, own in states.items()}
    for node, own in called.items():
        if len(set(own)) < len(own):
            raise BifError(f"node {node!r} has states that are written alike ({', '.join(own)}): rename them")
    lines = [f"network {_name(name)} {{", "}"]
    for node, own in called.items():
        lines += [f"variable {_name(node)} {{", f"  type discrete [ {len(own)} ] {{ {', '.join(own)} }};", "}"]
    for node in states:
        given, table = parents[node], np.asarray(tables[node], dtype=float)
        lines.append(f"probability ( {_name(node)}{' | ' if given else ''}{', '.join(map(_name, given))} ) {{")
        for place, row in zip(
            itertools.product(*(called[p] for p in given)), table.reshape(-1, table.shape[-1]), strict=True
        ):
            head = f"({', '.join(place)})" if given else "table"
            lines.append(f"  {head} {', '.join(map(repr, row.tolist()))};")
        lines.append("}")
    return "\n".join([*lines, ""])


def _name(text: str) -> str:
    """As it is where it is one word, else in double quotes."""
    if "\n" in text or "\r" in text:
        raise BifError(f"the name {text!r} holds a line break, which BIF has not: rename it")
    found = _TOKEN.match(text)
    if found is not None and found.lastgroup == "word" and found.end() == len(text):
        return text
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int

    def __str__(self) -> str:
        return "the end of the file" if self.kind == "end" else repr(self.text)


@dataclass(frozen=True)
class _Variable:
    states: tuple[str, ...]
    declared: _Token


class _Reader:
    """One pass over the words of a file."""

    def __init__(self, text: str, path: str) -> None:
        self._text, self._path = text, path
        self._tokens: list[_Token] = []
        for found in _TOKEN.finditer(text):
            kind = str(found.lastgroup)
            if kind == "space":
                continue
            token = _Token(kind, found[0], found.start())
            if kind == "open":
                what, end = ("a comment", "*/") if token.text == "/*" else ("a name in quotes", '"')
                self._refuse(token, f"{what} begins here and never ends: expected {end} after it")
            if kind == "quoted":
                token = _Token("word", re.sub(r'\\(["\\])', r"\1", found[0][1:-1]), found.start())
            self._tokens.append(token)
        self._tokens.append(_Token("end", "", len(text)))
        self._next = 0
        self._variables: dict[str, _Variable] = {}

    def network(self) -> BifNetwork:
        """All blocks; those of probabilities last, for they may stand before the variables they are about."""
        name, later, blocks = "unknown", [], {"network", "variable", "probability"}
        while (token := self._take()).kind != "end":
            if token.kind != "word" or token.text not in blocks:
                self._refuse(token, f"expected a block (network, variable or probability), found {token}")
            if token.text == "network":
                name = self._word("the network's name").text
                self._block("network", {})
            elif token.text == "variable":
                self._variable()
            else:
                later.append(self._next)
                self._pass_over(token)
        if not self._variables:
            self._refuse(self._tokens[-1], "expected a variable block, found none in the file")
        parents: dict[str, tuple[str, ...]] = {}
        tables: dict[str, np.ndarray] = {}
        for place in later:
            self._next = place
            self._probability(parents, tables)
        for node, variable in self._variables.items():
            if node not in tables:
                self._refuse(variable.declared, f"variable {node!r} has no probability block: expected one in the file")
        states = {node: variable.states for node, variable in self._variables.items()}
        return BifNetwork(
            name, states, {node: parents[node] for node in states}, {node: tables[node] for node in states}
        )

    def _variable(self) -> None:
        token = self._word("a variable's name")
        if token.text in self._variables:
            self._refuse(token, f"variable {token.text!r} is declared twice: expected another name")
        found: list[tuple[str, ...]] = []
        end = self._block(f"variable {token.text!r}", {"type": lambda _: found.append(self._states(token.text))})
        if len(found) != 1:
            self._refuse(
                end, f"variable {token.text!r} has {len(found)} types: expected one, type discrete [n] {{ … }}"
            )
        self._variables[token.text] = _Variable(found[0], token)

    def _states(self, node: str) -> tuple[str, ...]:
        """What follows ``type``."""
        kind = self._word("discrete")
        if kind.text != "discrete":
            self._refuse(kind, f"variable {node!r} is {kind.text}: expected discrete, no other type can be read")
        self._mark("[")
        size = self._word("the number of states")
        if not re.fullmatch(r"[1-9][0-9]*", size.text):
            self._refuse(size, f"expected the number of states of {node!r}, found {size}")
        self._mark("]")
        self._mark("{")
        states = self._words("}", f"a state of {node!r}")
        self._mark(";")
        for i, state in enumerate(states):
            if state.text in {one.text for one in states[:i]}:
                self._refuse(state, f"{node!r} has the state {state.text!r} twice: expected different ones")
        if len(states) != int(size.text):
            self._refuse(
                size, f"{node!r} is said to have {size.text} states: expected as many as follow, {len(states)}"
            )
        return tuple(state.text for state in states)

    def _probability(self, parents: dict[str, tuple[str, ...]], tables: dict[str, np.ndarray]) -> None:
        self._mark("(")
        first, *given = self._words(")", "a variable's name")
        for i, token in enumerate([first, *given]):
            if token.text not in self._variables:
                self._refuse(token, f"no variable {token.text!r}: expected one of {_some(self._variables)}")
            if token.text in [first.text, *(one.text for one in given)][:i]:
                self._refuse(token, f"{token.text!r} occurs twice: expected each variable once")
        if first.text in tables:
            self._refuse(first, f"{first.text!r} has a second probability block: expected one")
        parents[first.text] = tuple(token.text for token in given)
        table = _Table(self, first.text, parents[first.text], first)
        attributes = {"(": table.row, "table": table.whole, "default": table.default}
        end = self._block(f"probability of {first.text!r}", attributes)
        tables[first.text] = table.finished(end)

    def states_of(self, node: str) -> tuple[str, ...]:
        return self._variables[node].states

    def _block(self, what: str, attributes: Mapping[str, Callable[[_Token], Any]]) -> _Token:
        """``{``, attributes that begin in these words, ``}``; properties are passed over. Gives the last token."""
        begin = self._mark("{")
        while (token := self._take()).text != "}" or token.kind != "mark":
            if token.kind == "end":
                self._refuse(begin, f"the block {what} begins here and never ends: expected }} after it")
            elif token.kind == "word" and token.text == "property":
                while (after := self._take()).text != ";" or after.kind != "mark":
                    if after.kind == "end":
                        self._refuse(token, "a property begins here and never ends: expected ; after it")
            elif token.text in attributes and token.kind == ("mark" if token.text == "(" else "word"):
                attributes[token.text](token)
            else:
                known = ", ".join([*attributes, "property", "}"])
                self._refuse(token, f"in the block {what}: expected one of {known}, found {token}")
        return token

    def _pass_over(self, begin: _Token) -> None:
        """A block that is read later."""
        while (token := self._take()).text != "}" or token.kind != "mark":
            if token.kind == "end":
                self._refuse(begin, "a probability block begins here and never ends: expected } after it")

    def numbers(self, count: int, what: str) -> np.ndarray:
        """So many values of at least 0, and ``;``."""
        values = []
        for token in self._words(";", "a probability", least=0):
            try:
                values.append(float(token.text))
            except ValueError:
                values.append(math.nan)
            if not (math.isfinite(values[-1]) and values[-1] >= 0):
                self._refuse(token, f"expected a probability, found {token}")
        if len(values) != count:
            self._refuse(self._tokens[self._next - 1], f"expected {count} values, {what}, found {len(values)}")
        return np.array(values)

    def row_of_states(self, what: str) -> list[_Token]:
        return self._words(")", what, least=0)

    def _words(self, end: str, what: str, least: int = 1) -> list[_Token]:
        """Words up to a mark; commas and ``|`` between them say nothing."""
        found = []
        while (token := self._take()).kind != "mark" or token.text != end:
            if token.kind == "word":
                found.append(token)
            elif token.kind == "end" or token.text not in ",|":
                self._refuse(token, f"expected {what} or {end}, found {token}")
        if len(found) < least:
            self._refuse(token, f"expected {what}, found {token}")
        return found

    def _word(self, what: str) -> _Token:
        token = self._take()
        if token.kind != "word":
            self._refuse(token, f"expected {what}, found {token}")
        return token

    def _mark(self, mark: str) -> _Token:
        token = self._take()
        if token.kind != "mark" or token.text != mark:
            self._refuse(token, f"expected {mark}, found {token}")
        return token

    def _take(self) -> _Token:
        token = self._tokens[min(self._next, len(self._tokens) - 1)]
        self._next += 1
        return token

    def _refuse(self, token: _Token, message: str) -> NoReturn:
        line = self._text.count("\n", 0, token.at) + 1
        column = token.at - (self._text.rfind("\n", 0, token.at) + 1) + 1
        raise BifError(f"{self._path}, line {line}, column {column}: {message}")

    refuse = _refuse


class _Table:
    """The rows of one probability block as they come."""

    def __init__(self, reader: _Reader, node: str, parents: tuple[str, ...], named: _Token) -> None:
        self._reader, self._node, self._parents = reader, node, parents
        self._states = reader.states_of(node)
        self._given = [reader.states_of(p) for p in parents]
        self._shape = tuple(map(len, [*self._given, self._states]))
        self._of = f"one for each state of {node!r} ({_some(self._states)})"
        if math.prod(self._shape) > MOST_ENTRIES:
            reader.refuse(named, f"{node!r} has {math.prod(self._shape):,} entries: expected at most {MOST_ENTRIES:,}")
        self._rows: dict[tuple[int, ...], np.ndarray] = {}
        self._default: np.ndarray | None = None

    def row(self, begin: _Token) -> None:
        """``(state, state) p, p;``"""
        if not self._parents:
            self._reader.refuse(begin, f"{self._node!r} has no parents: expected table and its probabilities, found (")
        said = self._reader.row_of_states(f"a state of {self._parents[0]!r}")
        if len(said) != len(self._parents):
            of = _some(self._parents)
            self._reader.refuse(begin, f"expected a state of each parent ({of}), found {len(said)}")
        place = []
        for token, parent, states in zip(said, self._parents, self._given, strict=True):
            if token.text not in states:
                self._reader.refuse(token, f"{parent!r} has no state {token.text!r}: expected one of {_some(states)}")
            place.append(states.index(token.text))
        if tuple(place) in self._rows:
            self._reader.refuse(begin, f"a second row for ({', '.join(token.text for token in said)}): expected one")
        self._rows[tuple(place)] = self._distribution(begin)

    def default(self, begin: _Token) -> None:
        """``default p, p;`` for all rows that are not there."""
        if self._default is not None:
            self._reader.refuse(begin, f"a second default of {self._node!r}: expected one")
        self._default = self._distribution(begin)

    def whole(self, begin: _Token) -> None:
        """``table p, p, …;``: the node's states are the outermost loop, the last parent's the innermost."""
        if self._rows:
            self._reader.refuse(begin, f"{self._node!r} has rows already: expected no table beside them")
        size = math.prod(self._shape)
        what = self._of if not self._parents else "one for each combination of states"
        values = self._reader.numbers(size, what).reshape(len(self._states), -1)
        for place, row in zip(np.ndindex(self._shape[:-1]), values.T, strict=True):
            self._rows[place] = self._normalised(row, begin)

    def finished(self, end: _Token) -> np.ndarray:
        missing = math.prod(self._shape[:-1]) - len(self._rows)
        if missing and self._default is None:
            if not self._parents:
                self._reader.refuse(end, f"expected table and the probabilities of {self._node!r}, found none")
            place = next(place for place in np.ndindex(self._shape[:-1]) if place not in self._rows)
            first = ", ".join(states[code] for states, code in zip(self._given, place, strict=True))
            self._reader.refuse(
                end, f"{self._node!r} lacks {missing} of its rows: expected one for ({first}), or a default"
            )
        table = np.empty(self._shape)
        table[...] = np.nan if self._default is None else self._default
        for place, row in self._rows.items():
            table[place] = row
        return table

    def _distribution(self, begin: _Token) -> np.ndarray:
        return self._normalised(self._reader.numbers(len(self._states), self._of), begin)

    def _normalised(self, row: np.ndarray, begin: _Token) -> np.ndarray:
        total = math.fsum(row)
        if abs(total - 1) > ROUNDED:
            self._reader.refuse(begin, f"these probabilities of {self._node!r} add up to {total:.6g}: expected 1")
        # a sum that is off by no more than the rounding of its terms is 1: so what was written comes back as it was
        return row if abs(total - 1) <= len(row) * np.finfo(float).eps else row / total


def _some(names: Sequence[str] | Mapping[str, Any], most: int = 8) -> str:
    known = list(names)
    return ", ".join(known[:most]) + (", …" if len(known) > most else "")
