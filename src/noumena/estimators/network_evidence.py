"""Evidence as users say it: rows, findings, soft evidence; as codes of a Bayesian network's states."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import DensityMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from ..core.errors import ColumnMismatchError
from ..data.coded import Columns, Levels, codes, decoded, read_columns
from ..data.output import table_of
from ..models.elimination import Plan
from ..models.network import Graph, Network
from ..models.network_conflicts import conflict
from .fitted_estimator import FittedEstimator
from .inputs import refuse_sparse
from .network_size import NetworkError, fits, refuse_too_large


class NetworkEvidence(DensityMixin, FittedEstimator):
    """Base of the Bayesian networks: tables, rows and findings as codes of states, and what is refused of them."""

    tol: float
    max_iter: int
    accelerate: str | None
    hidden: Mapping[str, Any] | None
    nodes_: tuple[str, ...]
    parents_: dict[str, tuple[str, ...]]
    states_: dict[str, Levels]
    tables_: dict[str, np.ndarray]
    n_parameters_: int
    _graph: Graph
    _model: Network

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags

    def _coded(self, columns: Columns, *, without: Sequence[str] = ()) -> np.ndarray:
        """Codes of all nodes, NaN where a cell is missing or a node has no column."""
        assert columns.names is not None
        out = np.full((columns.n_rows, len(self.nodes_)), np.nan)
        for j, (name, array) in enumerate(zip(columns.names, columns.arrays, strict=True)):
            if name in without:
                continue
            out[:, self.nodes_.index(name)] = codes(array, self.states_[name], columns.described(j))
        return out

    def _rows(self, X: Any, *, without: Sequence[str] = ()) -> np.ndarray:
        """A table that a fitted network is asked about: any of its nodes may be missing, none may be unknown."""
        check_is_fitted(self)
        refuse_sparse(self, X)
        columns = named(read_columns(X))
        assert columns.names is not None
        unknown = [name for name in columns.names if name not in self.nodes_]
        if unknown:
            raise ColumnMismatchError(
                f"column {', '.join(map(repr, unknown))} is no node of the network, which has "
                f"{', '.join(self.nodes_)}: leave it out"
            )
        return self._coded(columns, without=without)

    def _one(self, evidence: Mapping[str, Any] | None) -> np.ndarray:
        """The codes of one row."""
        check_is_fitted(self)
        row = np.full(len(self.nodes_), np.nan)
        if not isinstance(evidence, Mapping | None):
            raise NetworkError(f'evidence={evidence!r}: pass a mapping from nodes to states, evidence={{"…": "…"}}')
        for name, state in (evidence or {}).items():
            node = self._node(name)  # before its states are looked at
            row[node] = self._state(name, state)
        return row

    def _node(self, name: str) -> int:
        if name not in self.nodes_:
            raise NetworkError(f"no node {name!r}: the network has {', '.join(self.nodes_)}")
        return self.nodes_.index(name)

    def _state(self, name: str, state: Any) -> int:
        if state not in self.states_[name]:
            raise NetworkError(
                f"node {name!r} has no state {state!r}: it has {', '.join(map(repr, self.states_[name]))}"
            )
        return self.states_[name].index(state)

    def _likelihood(self, soft: Mapping[str, Any] | None) -> dict[int, np.ndarray]:
        found: dict[int, np.ndarray] = {}
        for name, said in (soft or {}).items():
            node = self._node(name)
            if isinstance(said, Mapping):
                chances = np.zeros(len(self.states_[name]))
                for state, chance in said.items():
                    chances[self._state(name, state)] = chance
            else:
                chances = np.asarray(said, dtype=float) if np.ndim(said) == 1 else np.empty(0)
            if chances.shape != (len(self.states_[name]),) or not _weighs(chances):
                raise NetworkError(
                    f"soft evidence on {name!r} must be a number of at least 0 for each of its "
                    f"{len(self.states_[name])} states, not all of them 0"
                )
            found[node] = chances / chances.max()
        return found

    def _node_of_fitted(self, name: str) -> int:
        check_is_fitted(self)
        return self._node(name)

    def _plan_for(self, x: np.ndarray, asked: Iterable[int] | None = None) -> Plan:
        """An elimination for some rows and nodes (all nodes where None), refused if it is too large."""
        whole = self._graph.plan(range(self._graph.n_nodes))
        if asked is not None and not fits(whole, x):
            seen = np.flatnonzero(~np.isnan(x).all(axis=0)).tolist()
            whole = self._graph.plan({*seen, *asked})
        refuse_too_large(whole, self.nodes_, x)
        return whole

    def _refuse_impossible(self, log: np.ndarray, x: np.ndarray, soft: Iterable[int] = ()) -> None:
        """`NetworkError` for the first row of probability 0, with the findings that exclude each other."""
        impossible = np.flatnonzero(~np.isfinite(log))
        if not len(impossible):
            return
        row = int(impossible[0])
        nodes = conflict(self._model, x[row])
        said = [self._in_words(x[row], nodes), *(f"soft evidence on {self.nodes_[v]!r}" for v in soft)]
        where = f"row {row}" if len(x) > 1 else "the evidence"
        raise NetworkError(f"{where} ({', '.join(filter(None, said))}) has probability 0 under the network's tables")

    def _in_words(self, codes: np.ndarray, nodes: Iterable[int]) -> str:
        return ", ".join(f"{self.nodes_[v]}={self.states_[self.nodes_[v]][int(codes[v])]!r}" for v in nodes)

    def _columns(self, x: np.ndarray) -> dict[str, Any]:
        return {name: decoded(x[:, j], self.states_[name]) for j, name in enumerate(self.nodes_)}

    def _like(self, X: Any, x: np.ndarray) -> Any:
        hidden = set(self.hidden or {})
        wanted = {name: values for name, values in self._columns(x).items() if name not in hidden}
        return table_of(X, wanted)


def _weighs(chances: np.ndarray) -> bool:
    return bool(np.isfinite(chances).all() and (chances >= 0).all() and chances.any())


def named(columns: Columns) -> Columns:
    """With names: ``x0``, ``x1``, … where there are none."""
    if columns.names is not None:
        return columns
    return replace(columns, names=tuple(f"x{j}" for j in range(len(columns.arrays))))
