"""What a Bayesian network is said to be: nodes, states, parents, tables that are fixed or shared, priors, starts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pyarrow import types

from ..core.errors import DataError
from ..core.model import Fixed
from ..data.coded import Columns, Levels, levels_of
from ..models.elimination import Plan
from ..models.network import Graph, Network, Tables
from .mixture_fitting import Problem
from .network_answers import NetworkAnswers
from .network_size import NetworkError, refuse_too_large
from .network_structure import parents_of, refuse_cycles


class NetworkDefinition(NetworkAnswers):
    """Base of the Bayesian networks: from what is said of one to its graph and the tables that a fit starts at."""

    states: Mapping[str, Sequence[Any]] | None
    prior: Any
    fixed: Mapping[str, Any] | None
    tied: Sequence[Sequence[str]] | None

    def _states_in(self, columns: Columns, told: Mapping[str, Any]) -> dict[str, Levels]:
        """The states of the nodes that have columns: those that are told, else the values that occur."""
        assert columns.names is not None
        found: dict[str, Levels] = {}
        for j, (name, array) in enumerate(zip(columns.names, columns.arrays, strict=True)):
            column = columns.described(j)
            if types.is_temporal(array.type):
                raise DataError(
                    f"{column} holds dates or times ({array.type}), and states are few: put classes in their place, "
                    "such as months or weekdays, or leave it out"
                )
            if name in told:
                found[name] = told_states(name, told[name])
            else:
                found[name] = levels_of(array, column, "leave it out, or put classes in their place")
            if len(found[name]) < 2:
                raise DataError(f"{column} has one state only ({found[name]!r}): it tells nothing, leave it out")
        return found

    def _hidden_states(self) -> dict[str, Levels]:
        found: dict[str, Levels] = {}
        if not isinstance(self.hidden, Mapping | None):
            raise NetworkError(f'hidden={self.hidden!r}: give each hidden node its number of states, hidden={{"h": 2}}')
        for name, said in (self.hidden or {}).items():
            if not isinstance(said, int | np.integer | Sequence) or isinstance(said, bool | str):
                raise NetworkError(f"hidden[{name!r}]={said!r}: give a number of states, or their names in a list")
            levels = tuple(range(said)) if isinstance(said, int | np.integer) else told_states(name, said)
            if len(levels) < 2:
                raise NetworkError(f"hidden node {name!r} needs at least 2 states, not {said!r}")
            found[name] = levels
        return found

    def _understand(self, nodes: tuple[str, ...], levels: Mapping[str, Levels], structure: Any) -> None:
        """Set nodes, parents, states and the graph."""
        parents = parents_of(structure, nodes)
        known, said = set(nodes), set(parents).union(*parents.values())
        unknown = sorted(said - known, key=str)
        if unknown:
            raise DataError(
                f"the structure has {', '.join(map(repr, unknown))}, but the table does not: add the column, or "
                'declare it hidden with a number of states, hidden={"…": 2}'
            )
        missing = [name for name in nodes if structure is not None and name not in said]
        if missing:
            raise DataError(
                f"{', '.join(map(repr, missing))} is a column or a hidden node, but the structure has no such node: "
                'add it (a node without edges is "name": []), or leave it out'
            )
        for what, of_nodes in {"fixed": self.fixed, "states": self.states}.items():
            if not isinstance(of_nodes, Mapping | None):
                raise NetworkError(f'{what}={of_nodes!r}: pass a mapping from nodes, {what}={{"…": […]}}')
        for name, own in levels.items():
            if twice := [state for state in own if own.count(state) > 1]:
                raise NetworkError(f"node {name!r} has the state {twice[0]!r} more than once: list each state once")
        self.nodes_ = tuple(str(name) for name in nodes)
        self.parents_ = {name: tuple(parents.get(name, ())) for name in nodes}
        refuse_cycles(self.parents_)
        self.states_ = {name: tuple(levels[name]) for name in nodes}
        place = {name: i for i, name in enumerate(nodes)}
        table_of, kinds = self._sharing(place)
        self._graph = Graph(
            tuple(len(self.states_[name]) for name in nodes),
            tuple(tuple(place[p] for p in self.parents_[name]) for name in nodes),
            table_of,
            kinds,
        )

    def _sharing(self, place: Mapping[str, int]) -> tuple[tuple[int, ...], tuple[bool, ...]]:
        """The table of each node, and which tables are fixed."""
        groups = [{v} for v in range(len(place))]
        for group in self.tied or ():
            if isinstance(group, str):
                raise NetworkError(f'tied={self.tied!r}: pass groups of nodes, tied=[("a", "b")]')
            unknown = [name for name in group if name not in place]
            if unknown:
                raise NetworkError(f"tied names {unknown[0]!r}, which is no node")
            shapes = {self._shape(name) for name in group}
            if len(shapes) > 1:
                raise NetworkError(
                    f"tied nodes {', '.join(map(repr, group))} have tables of the shapes {sorted(shapes)}"
                )
            own = set().union(*(groups[place[name]] for name in group))
            for v in own:
                groups[v] = own
        owners = sorted({min(own) for own in groups})
        said = {"fixed": self.fixed, "prior": self.prior, "states": self.states}
        for what, of_nodes in said.items():
            unknown = [name for name in (of_nodes if isinstance(of_nodes, Mapping) else ()) if name not in place]
            if unknown:
                raise NetworkError(f"{what} names {unknown[0]!r}, which is no node")
        fixed = {min(groups[place[name]]) for name in self.fixed or {}}
        return tuple(owners.index(min(own)) for own in groups), tuple(owner in fixed for owner in owners)

    def _said_of(self, table: int, said: Mapping[str, Any], what: str) -> Any:
        """What was said of a table, by any of the nodes that have it; None where nothing was."""
        names = [name for name, own in zip(self.nodes_, self._graph.table_of, strict=True) if own == table]
        found = [said[name] for name in names if name in said]
        if any(not np.array_equal(found[0], other) for other in found[1:]):
            raise NetworkError(f"{what} says different things of the tied nodes {', '.join(map(repr, names))}")
        return found[0] if found else None

    def _shape(self, name: str) -> tuple[int, ...]:
        return tuple(len(self.states_[v]) for v in (*self.parents_[name], name))

    def _whole(self) -> Plan:
        """The elimination of all nodes, however large."""
        return self._graph.plan(range(self._graph.n_nodes))

    def _starts(self, problem: Problem, n_init: int, rng: np.random.Generator) -> list[Network]:
        """Networks to start at; refused where they are too large for exact answers."""
        x = problem.table.to_array()
        plan = self._graph.plan(np.flatnonzero(~np.isnan(x).all(axis=0)).tolist())
        refuse_too_large(plan, self.nodes_, x)
        pseudo = Fixed(self._pseudo())
        return [
            Network(self._first_tables(problem, pseudo.value, rng), pseudo, self._graph, plan) for _ in range(n_init)
        ]

    def _first_tables(self, problem: Problem, pseudo: Tables, rng: np.random.Generator) -> Tables:
        """Shares of the rows where a table's nodes are all seen, with prior counts; random ones where one is never."""
        graph, x = self._graph, problem.table.to_array()
        weight = np.ones(len(x)) if problem.weight is None else problem.weight
        tables = []
        for table, fixed in enumerate(graph.fixed):
            node = graph.table_of.index(table)
            shape = graph.shape(table)
            if fixed:
                tables.append(checked_table(self._said_of(table, self.fixed or {}, "fixed"), shape, self.nodes_[node]))
                continue
            owners = [v for v, own in enumerate(graph.table_of) if own == table]
            # without a prior, a row that is shared out keeps entries off 0, where EM would leave them
            count = np.where(pseudo[table] > 0, pseudo[table], 1.0 / shape[-1])
            hidden = False
            for owner in owners:
                cells = x[:, graph.scopes[owner]]
                seen = ~np.isnan(cells).any(axis=1)
                hidden |= not seen.any()
                np.add.at(count, tuple(cells[seen].astype(int).T), weight[seen])
            if hidden:  # equal states would never part
                count = rng.dirichlet(np.full(shape[-1], 2.0), size=shape[:-1])
            tables.append(count / count.sum(axis=-1, keepdims=True))
        return tuple(tables)

    def _pseudo(self) -> tuple[np.ndarray, ...]:
        graph, said = self._graph, self.prior
        found = []
        for table in range(len(graph.fixed)):
            shape, name = graph.shape(table), self.nodes_[graph.table_of.index(table)]
            own = self._said_of(table, said, "prior") if isinstance(said, Mapping) else said
            if isinstance(own, str):
                raise NetworkError(f"prior={own!r}: pass a count, or counts by node")
            count = np.asarray(0.0 if own is None else own, dtype=float)
            if not (np.isfinite(count).all() and (count >= 0).all()) or count.shape not in ((), shape):
                raise NetworkError(
                    f"prior of {name!r} must be a count of at least 0, or an array of such, shape {shape}; got {own!r}"
                )
            found.append(np.broadcast_to(count, shape).astype(float))
        return tuple(found)


def told_states(name: str, states: Any) -> Levels:
    """States that a user lists; `NetworkError` for what a stored network could not hold."""
    if isinstance(states, str) or not isinstance(states, Iterable):
        raise NetworkError(f"the states of {name!r} are {states!r}: list them, as in ['no', 'yes']")
    found = tuple(state.item() if isinstance(state, np.generic) else state for state in states)
    odd = [state for state in found if not isinstance(state, str | int | float) or state != state]
    if odd:
        raise NetworkError(f"node {name!r} has the state {odd[0]!r}: states are text, numbers or truth values")
    return found


def checked_table(table: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Probabilities of that shape, which sum to 1; `NetworkError` for others."""
    array = np.asarray(table, dtype=float)
    if array.shape != shape:
        raise NetworkError(
            f"the table of {name!r} has shape {array.shape}, expected {shape}: axes of the parents, then of the node"
        )
    if not (np.isfinite(array).all() and (array >= 0).all()):
        raise NetworkError(f"the table of {name!r} holds entries that are no probabilities")
    off = np.abs(array.sum(axis=-1) - 1)
    if off.max() > 1e-6:
        where = np.unravel_index(int(off.argmax()), off.shape)
        raise NetworkError(
            f"the table of {name!r} sums to {array.sum(axis=-1)[where]:.6g} and not to 1"
            + (f", for the parents' states number {tuple(map(int, where))}" if where else "")
        )
    # sums that are off by no more than the rounding of their terms are 1: a stored table comes back bit for bit
    exact = off <= shape[-1] * np.finfo(float).eps
    return np.where(exact[..., None], array, array / array.sum(axis=-1, keepdims=True))
