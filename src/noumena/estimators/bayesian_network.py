"""Bayesian networks of discrete variables, learned from tables with missing cells and hidden nodes."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from ..core.accelerate import accelerator
from ..core.errors import DataError
from ..core.lanes import stack
from ..core.model import Fixed
from ..core.restarts import fit_best
from ..core.result import Fit, Status, Trace
from ..data.bif import BIF_ENDINGS, read_bif
from ..data.coded import read_columns
from ..data.summary import summarise
from ..data.table import ArrayTable
from ..models.network import Network
from ..models.network_conflicts import conflict
from ..models.network_queries import log_densities
from ..models.shared_evidence import shared_blocks
from .inputs import refuse_sparse, row_weights
from .mixture_fitter import double_precision, printer
from .mixture_fitting import Problem, merged
from .network_definition import NetworkDefinition, checked_table, told_states
from .network_evidence import named
from .network_size import NetworkError
from .network_structure import METHODS
from .parameters import generator, integer, real


class BayesianNetwork(NetworkDefinition):
    """Bayesian network of discrete variables: p(x) = Π_v p(x_v | its parents).

    Missing cells, in any pattern, and nodes that are never observed are summed out exactly, together, in one pass; EM's
    expected counts are those of soft completions. Columns may hold numbers, text, truth values or categories; each is a
    node, and its values are the node's states.

    Parameters
    ----------
    structure : mapping, sequence of pairs or str, optional
        From each node to its parents, ``{"d": ["c"], "c": ["a", "b"]}``, or edges ``[("a", "c"), ("b", "c")]``. Every
        column of the table must occur; a node without edges is ``"x": []``. None: no edges. The name of a BIF file: its
        edges and states, the tables are learned. ``"chow-liu"``, ``"hill-climbing"`` and ``"structural-em"`` learn it
        as `learn_structure` does, with its defaults.
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
        made._understand(names, {name: told_states(name, states[name]) for name in names}, dict(parents))
        found = tuple(checked_table(tables[name], made._shape(name), name) for name in names)
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
        self._tell_unconverged(stacklevel=2)
        return self

    def _learn(self, problem: Problem) -> None:
        """The tables of the structure that is understood."""
        rng = generator(self.random_state)
        accelerator(self.accelerate)  # refuses unknown names
        n_init = integer("n_init", (10 if self.hidden else 1) if self.n_init is None else self.n_init, 1)
        with double_precision():
            few = merged(problem)
            starts = self._starts(few, n_init, rng)
            self._check_possible(few, problem, starts[0])
            blocks = shared_blocks(starts[0].plan, few.table.to_array(), few.weight)
            del problem, few  # what the cells say is in the blocks
            fit = fit_best(
                stack(starts),
                np.zeros(n_init, dtype=int),
                blocks,
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
        structure, told = self.structure, self.states or {}
        if isinstance(structure, str | os.PathLike):
            if os.fspath(structure).lower().endswith(BIF_ENDINGS):
                read = read_bif(structure)
                structure, told = read.parents, {**read.states, **told}
            else:
                structure = self._learned_structure(X, sample_weight)
        levels = self._states_in(columns, told)
        self._understand((*columns.names, *hidden), levels | hidden, structure)
        self.n_features_in_ = len(columns.names)
        self.feature_names_in_ = np.asarray(columns.names, dtype=object)
        table = ArrayTable(array=self._coded(columns), names=self.nodes_)
        weight = row_weights(sample_weight, table.n_rows)
        return Problem(table, summarise(table, weight), weight, None)

    def _learned_structure(self, X: Any, sample_weight: Any) -> Any:
        """What `learn_structure` finds."""
        if self.structure not in METHODS:
            raise NetworkError(
                f"structure={self.structure!r}: pass a mapping from nodes to parents, edges, the name of a .bif file, "
                f"or one of {', '.join(map(repr, METHODS))}"
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

    def _check_possible(self, problem: Problem, as_given: Problem, model: Network) -> None:
        """Refuse rows that fixed tables exclude."""
        if not any((np.asarray(table) == 0).any() for table in model.tables):
            return
        x = problem.table.to_array()
        x = x if problem.weight is None else x[problem.weight > 0]
        impossible = np.flatnonzero(~np.isfinite(log_densities(model, x, model.plan)))
        if len(impossible):
            found = x[impossible[0]]
            row = int(np.argmax(((as_given.table.to_array() == found) | np.isnan(found)).all(axis=1)))
            said = self._in_words(found, conflict(model, found))
            raise DataError(f"row {row} ({said}) is impossible under the fixed tables: mend the row or the tables")

    def _adopt(self, fit: Fit) -> None:
        model = fit.model
        assert isinstance(model, Network)
        self._model = model
        self.tables_ = {
            name: np.asarray(model.tables[own]) for name, own in zip(self.nodes_, model.graph.table_of, strict=True)
        }
        self.n_parameters_ = model.graph.n_parameters()
        self._record(fit)

    def _to_state(self) -> dict[str, Any]:
        return super()._to_state() | {
            "nodes": list(self.nodes_),
            "parents": {name: list(own) for name, own in self.parents_.items()},
            "states": [list(self.states_[name]) for name in self.nodes_],
            "tables": list(self._model.tables),
            "pseudo": list(self._model.pseudo.value),
        }

    def _from_state(self, state: dict[str, Any]) -> None:
        nodes = tuple(state["nodes"])
        self._understand(nodes, dict(zip(nodes, map(tuple, state["states"]), strict=True)), state["parents"])
        model = Network(tuple(state["tables"]), Fixed(tuple(state["pseudo"])), self._graph, self._whole())
        super()._from_state(state | {"model": model})
