"""Bayesian networks of discrete variables, learned from tables with missing cells and hidden nodes."""

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from ..core.accelerate import accelerator
from ..core.errors import ConvergenceWarning, DataError
from ..core.lanes import stack
from ..core.model import Fixed
from ..core.restarts import fit_best
from ..core.result import Fit, Status, Trace
from ..data.bif import read_bif
from ..data.coded import Levels, levels_of, read_columns
from ..data.source import Source
from ..data.summary import summarise
from ..data.table import ArrayTable
from ..models.elimination import Plan
from ..models.network import Graph, Network
from ..models.network_queries import posteriors
from ..models.propagation import rows_at_once
from .inputs import refuse_sparse, row_weights
from .mixture_fitter import double_precision, printer
from .mixture_fitting import Problem, merged
from .network_answers import NetworkAnswers, named
from .network_size import NetworkError, refuse_too_large
from .network_structure import METHODS, parents_of, refuse_cycles
from .parameters import generator, integer, real
from .storage import save

#: Pieces that rows are cut into at least, so that all workers have some.
_LEAST_PIECES = 8


class BayesianNetwork(NetworkAnswers):
    """Bayesian network of discrete variables: p(x) = Π_v p(x_v | its parents).

    Missing cells, in any pattern, and nodes that are never observed are summed out exactly, together, in one pass; EM's
    expected counts are those of soft completions. Columns may hold numbers, text, truth values or categories; each is a
    node, and its values are the node's states.

    Parameters
    ----------
    structure : mapping, sequence of pairs or str, optional
        From each node to its parents, ``{"d": ["c"], "c": ["a", "b"]}``, or edges ``[("a", "c"), ("b", "c")]``. Every
        column of the table must occur; a node without edges is ``"x": []``. None: no edges. ``"chow-liu"``,
        ``"hill-climbing"`` and ``"structural-em"`` learn it as `learn_structure` does, with its defaults.
    hidden : mapping, optional
        From each node that is never observed to its number of states (or to their names).
    states : mapping, optional
        From a node to its states, where the table does not show all of them or another order is wanted.
    prior : float or mapping, optional
        Pseudo-count of every entry of every table (Dirichlet densities with α = 1 + count), or by node a count or an
        array: the fit is then maximum a posteriori. None is maximum likelihood.
    fixed : mapping, optional
        From a node to its table, which is not learned: axes of the parents in their order, then of the node.
    tied : sequence of sequences of nodes, optional
        Groups of nodes that share one table; their parents have the same numbers of states.
    n_init : int, optional
        Number of starts, side by side; 10 with hidden nodes, else 1.
    tol : float, default=1e-4
        Projected remaining gain in total log likelihood, in nats, at which the fit has converged.
    max_iter : int, default=1000
    accelerate : {"squarem", "anderson", None}, default="squarem"
    random_state : int, RandomState or None
    verbose : int, default=0

    Attributes
    ----------
    nodes_ : tuple of str
    parents_ : dict
        From each node to its parents.
    states_ : dict
        From each node to its states.
    tables_ : dict
        From each node to p(node | parents), axes of the parents in their order, then of the node.
    log_likelihood_, n_parameters_, trace_, status_, converged_, n_iter_
        As in `GaussianMixture`.

    Examples
    --------
    >>> import noumena as nm
    >>> seen = [["rain", None, "wet"], ["dry", "on", "wet"], [None, "off", "dry"], ["rain", "off", "wet"]]
    >>> bn = nm.BayesianNetwork({"x2": ["x0", "x1"], "x0": [], "x1": []}, prior=0.5).fit(seen)
    >>> round(bn.query(["x0"], evidence={"x2": "wet"})["x0"]["rain"], 2)
    0.66
    """

    def __init__(
        self,
        structure: Any = None,
        *,
        hidden: Mapping[str, Any] | None = None,
        states: Mapping[str, Sequence[Any]] | None = None,
        prior: Any = None,
        fixed: Mapping[str, Any] | None = None,
        tied: Sequence[Sequence[str]] | None = None,
        n_init: int | None = None,
        tol: float = 1e-4,
        max_iter: int = 1000,
        accelerate: str | None = "squarem",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.structure = structure
        self.hidden = hidden
        self.states = states
        self.prior = prior
        self.fixed = fixed
        self.tied = tied
        self.n_init = n_init
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def from_tables(
        cls,
        parents: Mapping[str, Sequence[str]],
        tables: Mapping[str, Any],
        states: Mapping[str, Sequence[Any]],
        **settings: Any,
    ) -> Self:
        """A network with known tables, ready for questions.

        Parameters
        ----------
        parents : mapping
            From each node to its parents.
        tables : mapping
            From each node to p(node | parents), axes of the parents in their order, then of the node.
        states : mapping
            From each node to its states.

        Raises
        ------
        NetworkError
            For a cycle, a table of the wrong shape, or one that does not sum to 1.
        """
        for what, said in (("table", tables), ("states", states)):
            lacking = [name for name in parents if name not in said]
            if lacking:
                raise NetworkError(f"node {lacking[0]!r} has no {what}: give one to each node")
        strangers = sorted(set().union(*parents.values()) - set(parents), key=str)
        if strangers:
            raise NetworkError(f"{strangers[0]!r} is a parent, but no node: list it with its own parents, if any")
        made = cls(dict(parents), states=dict(states), **settings)
        names = tuple(parents)
        made._understand(names, {name: tuple(states[name]) for name in names}, dict(parents))
        found = tuple(_checked_table(tables[name], made._shape(name), name) for name in names)
        model = Network(found, Fixed(tuple(np.zeros(t.shape) for t in found)), made._graph, made._whole())
        nothing = Trace(np.array([np.nan]), np.array([True]))
        made._adopt(Fit(model, np.nan, np.nan, Status.COMPLETED, nothing))
        return made

    @classmethod
    def from_bif(cls, path: str | os.PathLike[str], **settings: Any) -> Self:
        """A network with the tables of a BIF file, plain or gzip; its states are text.

        Raises
        ------
        BifError
            Naming file, line and column.
        NetworkError
            As `from_tables`.
        """
        read = read_bif(path)
        return cls.from_tables(read.parents, read.tables, read.states, **settings)

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn the tables by EM.

        Parameters
        ----------
        X : table, shape (n_rows, columns)
            Any table; columns of a bare array are called ``x0``, ``x1``, …. Hidden nodes have no column.
        y : ignored
        sample_weight : array, shape (n_rows,), optional
            Non-negative; a row of weight 2 counts as the row twice.

        Returns
        -------
        self

        Raises
        ------
        NetworkError
            For a cycle, tables that make no sense, or a network too large for exact answers.
        DataError
            For columns and nodes that do not match, an unknown state, or a row that is impossible under fixed tables.

        Warns
        -----
        ConvergenceWarning
            Where ``max_iter`` was not enough.
        """
        self._learn(self._problem(X, sample_weight))
        if self.status_ not in (Status.CONVERGED, Status.COMPLETED):
            message = f"after {self.n_iter_} iterations: {self.status_.message}"
            warnings.warn(message, ConvergenceWarning, stacklevel=2)
        return self

    def _learn(self, problem: Problem) -> None:
        """The tables of the structure that is understood."""
        rng = generator(self.random_state)
        accelerator(self.accelerate)  # refuses unknown names
        n_init = integer("n_init", (10 if self.hidden else 1) if self.n_init is None else self.n_init, 1)
        with double_precision():
            starts = [self._start(problem, rng) for _ in range(n_init)]
            self._check_possible(problem, starts[0])
            fit = fit_best(
                stack(starts),
                np.zeros(n_init, dtype=int),
                self._blocks(problem, starts[0]),
                max_iter=integer("max_iter", self.max_iter, 1),
                tol=real("tol", self.tol, 0.0),
                accelerate=self.accelerate,
                progress=printer(self.verbose),
            )[0]
            self._adopt(fit)

    def _problem(self, X: Any, sample_weight: Any) -> Problem:
        refuse_sparse(self, X)
        columns = named(read_columns(X))
        assert columns.names is not None
        hidden = self._hidden_states()
        both = [name for name in hidden if name in columns.names]
        if both:
            raise DataError(f"{', '.join(map(repr, both))} is hidden, but the table has such a column: rename one")
        given = {node: tuple(levels) for node, levels in (self.states or {}).items()}
        levels = {
            name: given.get(name) or levels_of(array, columns.described(j))
            for j, (name, array) in enumerate(zip(columns.names, columns.arrays, strict=True))
        }
        for name, own in levels.items():
            if len(own) < 2:
                raise DataError(f"column {name!r} has one state only ({own!r}): it tells nothing, leave it out")
        structure = self._structure_for(X, sample_weight) if isinstance(self.structure, str) else self.structure
        self._understand((*columns.names, *hidden), levels | hidden, structure)
        self.n_features_in_ = len(columns.names)
        self.feature_names_in_ = np.asarray(columns.names, dtype=object)
        table = ArrayTable(array=self._coded(columns), names=self.nodes_)
        weight = row_weights(sample_weight, table.n_rows)
        return merged(Problem(table, summarise(table, weight), weight, None))

    def _hidden_states(self) -> dict[str, Levels]:
        found: dict[str, Levels] = {}
        if not isinstance(self.hidden, Mapping | None):
            raise NetworkError(f'hidden={self.hidden!r}: give each hidden node its number of states, hidden={{"h": 2}}')
        for name, said in (self.hidden or {}).items():
            if not isinstance(said, int | np.integer | Sequence) or isinstance(said, bool | str):
                raise NetworkError(f"hidden[{name!r}]={said!r}: give a number of states, or their names in a list")
            levels = tuple(range(said)) if isinstance(said, int | np.integer) else tuple(said)
            if len(levels) < 2:
                raise NetworkError(f"hidden node {name!r} needs at least 2 states, not {said!r}")
            found[name] = levels
        return found

    def _structure_for(self, X: Any, sample_weight: Any) -> Any:
        """What `learn_structure` finds, where it is to be learned."""
        if self.structure not in METHODS:
            raise NetworkError(
                f"structure={self.structure!r}: pass a mapping from nodes to parents, edges, or one of "
                f"{', '.join(map(repr, METHODS))}"
            )
        given = [name for name in ("hidden", "fixed", "tied") if getattr(self, name)]
        if given:
            raise NetworkError(
                f"structure={self.structure!r} cannot go with {given[0]}, which needs edges that are known: call "
                "learn_structure (hidden nodes keep the edges in its required) and pass what it finds"
            )
        from .structure_learning import learn_structure  # it fits networks itself

        settings: dict[str, Any] = {"states": self.states, "random_state": self.random_state}
        return learn_structure(X, self.structure, sample_weight=sample_weight, **settings).parents

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
        """The elimination of all nodes, however large: exact answers refuse it then."""
        return self._graph.plan(range(self._graph.n_nodes))

    def _plan(self, seen: Sequence[int]) -> Plan:
        """The elimination for evidence on these nodes, refused if it is too large."""
        found = self._graph.plan(seen)
        refuse_too_large(found, self.nodes_)
        return found

    def _start(self, problem: Problem, rng: np.random.Generator) -> Network:
        """Shares of the rows where a table's nodes are all seen; random ones where one is never."""
        graph, x = self._graph, problem.table.to_array()
        weight = np.ones(len(x)) if problem.weight is None else problem.weight
        pseudo = self._pseudo()
        tables = []
        for table, fixed in enumerate(graph.fixed):
            node = graph.table_of.index(table)
            shape = graph.shape(table)
            if fixed:
                tables.append(_checked_table(self._said_of(table, self.fixed or {}, "fixed"), shape, self.nodes_[node]))
                continue
            owners = [v for v, own in enumerate(graph.table_of) if own == table]
            count = np.full(shape, 1.0 / shape[-1])
            hidden = False
            for owner in owners:
                cells = x[:, graph.scopes[owner]]
                seen = ~np.isnan(cells).any(axis=1)
                hidden |= not seen.any()
                np.add.at(count, tuple(cells[seen].astype(int).T), weight[seen])
            if hidden:  # equal states would never part
                count = rng.dirichlet(np.full(shape[-1], 2.0), size=shape[:-1])
            tables.append(count / count.sum(axis=-1, keepdims=True))
        observed = [v for v in range(graph.n_nodes) if not np.isnan(x[:, v]).all()]
        return Network(tuple(tables), Fixed(pseudo), graph, self._plan(observed))

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

    def _blocks(self, problem: Problem, model: Network) -> Source:
        rows = rows_at_once(model.plan)
        least = 2 ** max(int(np.log2(max(problem.table.n_rows // _LEAST_PIECES, 1))), 6)
        return Source(
            problem.table, problem.summary, lambda missing: min(rows, least), weight=problem.weight, coupled=()
        )

    def _check_possible(self, problem: Problem, model: Network) -> None:
        """Refuse rows that fixed tables exclude."""
        if not any((np.asarray(table) == 0).any() for table in model.tables):
            return
        x = problem.table.to_array()
        x = x if problem.weight is None else x[problem.weight > 0]
        log, _ = posteriors(model, x)
        impossible = np.flatnonzero(~np.isfinite(log))
        if len(impossible):
            shown = self._in_words(x[impossible[0]])
            raise DataError(f"a row with {shown} is impossible under the fixed tables: mend the row or the tables")

    def _adopt(self, fit: Fit) -> None:
        model = fit.model
        assert isinstance(model, Network)
        self._model = model
        self.tables_ = {
            name: np.asarray(model.tables[own]) for name, own in zip(self.nodes_, model.graph.table_of, strict=True)
        }
        self.n_parameters_ = model.graph.n_parameters()
        self.log_likelihood_ = fit.bound
        self.trace_, self.status_ = fit.trace, fit.status
        self.n_iter_ = max(len(fit.trace) - 1, 1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Store the fitted network as arrays and JSON; `noumena.load` reads it.

        Raises
        ------
        OutputError
            Where the file cannot be written; what was there before is untouched.
        """
        save(self, path)

    def _to_state(self) -> dict[str, Any]:
        return {
            "nodes": list(self.nodes_),
            "parents": {name: list(own) for name, own in self.parents_.items()},
            "states": [list(self.states_[name]) for name in self.nodes_],
            "tables": list(self._model.tables),
            "pseudo": list(self._model.pseudo.value),
            "log_likelihood": self.log_likelihood_,
            "status": self.status_.value,
            "objective": self.trace_.objective,
            "accepted": self.trace_.accepted,
        }

    def _from_state(self, state: dict[str, Any]) -> None:
        nodes = tuple(state["nodes"])
        self._understand(nodes, dict(zip(nodes, map(tuple, state["states"]), strict=True)), state["parents"])
        model = Network(tuple(state["tables"]), Fixed(tuple(state["pseudo"])), self._graph, self._whole())
        trace = Trace(state["objective"], state["accepted"])
        self._adopt(Fit(model, float(trace.objective[-1]), state["log_likelihood"], Status(state["status"]), trace))


def _checked_table(table: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
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
