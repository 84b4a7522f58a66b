"""The edges of a Bayesian network as the command line takes them: text, a table of them, a BIF file, or a method."""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import typer

from ..core.errors import DataError
from ..data.bif import BIF_ENDINGS, read_bif
from ..data.files import arrow_table
from ..estimators.network_structure import METHODS
from .options import names

_HINT = "'--structure'"


@dataclass(frozen=True)
class Edges:
    """What `--structure` says.

    Attributes
    ----------
    structure : dict or str
        From each node to its parents; or the method that finds them.
    states : dict
        From each node to its states, where these are told.
    """

    structure: dict[str, list[str]] | str
    states: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def nodes(self) -> list[str]:
        """Those that are named."""
        if isinstance(self.structure, str):
            return []
        return list(dict.fromkeys([*self.structure, *(p for own in self.structure.values() for p in own)]))


def edges_from(text: str) -> Edges:
    """Read `--structure`.

    Raises
    ------
    typer.BadParameter
        Where it is none.
    DataError
        Where the file that it names is none.
    """
    if text in METHODS:
        return Edges(text)
    name = text.lower()
    if name.endswith(BIF_ENDINGS):
        read = read_bif(text)
        return Edges({node: list(own) for node, own in read.parents.items()}, read.states)
    if name.endswith((".csv", ".csv.gz", ".tsv", ".parquet")):
        return Edges(_of_table(Path(text)))
    found: dict[str, list[str]] = {}
    for part in names(text):
        way = [node.strip() for node in part.replace("→", "->").split("->")]
        if not all(way):
            raise typer.BadParameter(
                f"{part!r} is no edge: write PARENT->CHILD, with commas between, as in a->c,b->c,d (d has no edges); "
                f"or name a .bif or .csv file, or one of {', '.join(METHODS)}",
                param_hint=_HINT,
            )
        _add(found, way)
    if not found:
        raise typer.BadParameter("it names no node", param_hint=_HINT)
    return Edges(found)


def _of_table(path: Path) -> dict[str, list[str]]:
    """Its first two columns, parent and child; a node with nothing in the other column has no edge there."""
    table = arrow_table(path)
    if table.num_columns < 2:
        raise DataError(f"{path} has one column: a table of edges has two, the parent and the child")
    found: dict[str, list[str]] = {}
    for parent, child in zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True):
        way = [str(node) for node in (parent, child) if node is not None and node != ""]
        _add(found, way)
    return found


def _add(found: dict[str, list[str]], way: list[str]) -> None:
    """The edges from each node to the next; one alone is a node without edges."""
    for node in way:
        found.setdefault(node, [])
    for parent, child in pairwise(way):
        found[child].append(parent)
