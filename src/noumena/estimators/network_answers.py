"""What a Bayesian network answers: queries, posteriors of tables, completions, samples, standard errors."""

import gzip
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from sklearn.utils.validation import check_is_fitted

from ..data.bif import bif_text
from ..data.summary import summarise
from ..data.table import ArrayTable
from ..models.approximate_inference import mean_field
from ..models.network_queries import (
    completed,
    completions,
    forward_draws,
    joint_plan,
    joint_posterior,
    log_densities,
    posteriors,
)
from ..models.standard_errors import StandardErrors
from .inputs import row_weights
from .mixture_fitter import double_precision
from .mixture_fitting import Problem, merged
from .network_approximation import APPROXIMATIONS, approximate
from .network_evidence import NetworkEvidence
from .network_size import NetworkError, refuse_too_large
from .network_uncertainty import table_errors
from .parameters import integer
from .storage import write_atomically

#: Entries of a joint table, or completions of a row, that are listed at most.
_MOST_JOINT = 1_000_000


class NetworkAnswers(NetworkEvidence):
    """Base of the Bayesian networks: what can be asked of one whose tables are known."""

    def query(
        self,
        nodes: str | Sequence[str] | None = None,
        evidence: Mapping[str, Any] | None = None,
        *,
        soft_evidence: Mapping[str, Any] | None = None,
        method: str = "exact",
    ) -> dict[str, dict[Any, float]]:
        """Marginal probabilities of nodes, given what is known of others.

        Parameters
        ----------
        nodes : str or sequence of str, optional
            All nodes by default.
        evidence : mapping, optional
            From a node to its state.
        soft_evidence : mapping, optional
            From a node to how likely what was seen is under each state: a mapping from states, or an array.
        method : {"exact", "loopy", "mean-field"}, default="exact"
            For networks that are too large for exact answers: loopy belief propagation, which is exact where no two
            nodes are joined by two paths, or mean field. Both warn of what they are.

        Returns
        -------
        dict
            From each node to a dict from its states to their probabilities.

        Raises
        ------
        NetworkError
            For an unknown node or state, or evidence of probability 0.
        """
        row = self._one(evidence)
        names = self.nodes_ if nodes is None else [nodes] if isinstance(nodes, str) else nodes
        wanted = {name: self._node(name) for name in names}
        likelihood = self._likelihood(soft_evidence)
        log, found = self._marginals(row[None], likelihood, method, wanted.values())
        self._refuse_impossible(log, row[None], likelihood)
        return {
            name: dict(zip(self.states_[name], found[node][0].tolist(), strict=True)) for name, node in wanted.items()
        }

    def _marginals(
        self, x: np.ndarray, likelihood: Mapping[int, np.ndarray], method: str, asked: Iterable[int] | None = None
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        if method in APPROXIMATIONS:
            return approximate(self._model, x, likelihood, method)
        if method != "exact":
            raise ValueError(f'method={method!r}: choose "exact", {", ".join(map(repr, APPROXIMATIONS))}')
        plan = self._plan_for(x, None if asked is None else {*asked, *likelihood})
        return posteriors(self._model, x, likelihood, plan)

    def lower_bound(self, evidence: Mapping[str, Any]) -> float:
        """A lower bound of log p(evidence) in nats, by mean field; −inf where it found none."""
        return float(mean_field(self._model, self._one(evidence)[None]).log_density[0])

    def probability(self, evidence: Mapping[str, Any]) -> float:
        """p(evidence), all other nodes summed out."""
        return float(np.exp(self._log_densities(self._one(evidence)[None])[0]))

    def _log_densities(self, x: np.ndarray) -> np.ndarray:
        return log_densities(self._model, x, self._plan_for(x, ()))

    def joint(self, nodes: Sequence[str], evidence: Mapping[str, Any] | None = None) -> np.ndarray:
        """p(nodes | evidence) with an axis for each node, in their order, along its states."""
        row = self._one(evidence)
        places = [self._node(name) for name in nodes]
        if not places or len(set(places)) < len(places):
            raise NetworkError(f"nodes {list(nodes)!r} must be at least one, each named once")
        size = np.prod([float(len(self.states_[name])) for name in nodes])
        if size > _MOST_JOINT:
            raise NetworkError(
                f"the joint table of {len(places)} nodes has {size:.3g} entries, more than the {_MOST_JOINT:,} that "
                "are taken: ask for fewer nodes, or for draws"
            )
        plan = joint_plan(self._graph, row[None], places)
        refuse_too_large(plan, self.nodes_, row[None])
        log, found = joint_posterior(self._model, row[None], places, plan)
        self._refuse_impossible(log, row[None])
        return found[0]

    def most_probable(self, evidence: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], float]:
        """The most probable explanation: states of all nodes that maximise p(all | evidence), and that maximum.

        Raises
        ------
        NetworkError
            For evidence of probability 0.
        """
        row = self._one(evidence)
        log, best = self._completed(row[None], "best")
        total = self._log_densities(row[None])[0]
        states = {name: self.states_[name][int(code)] for name, code in zip(self.nodes_, best[0], strict=True)}
        return states, float(np.exp(log[0] - total))

    def completions(self, row: Mapping[str, Any]) -> pa.Table:
        """Every possible completion of one partially observed row, with its posterior weight.

        These weighted rows are what EM's M-step is trained on.

        Parameters
        ----------
        row : mapping
            From nodes to states; nodes that are left out, or None, are missing.

        Returns
        -------
        pyarrow.Table
            A column for each node, and ``weight``, which sums to 1; the most probable completion first.
        """
        seen = {name: state for name, state in row.items() if state is not None}
        codes_ = self._one(seen)
        size = np.prod([float(len(self.states_[n])) for n, c in zip(self.nodes_, codes_, strict=True) if np.isnan(c)])
        if size > _MOST_JOINT:
            raise NetworkError(
                f"the row has {size:.3g} completions: ask for the posterior of single nodes, or for draws"
            )
        plan = joint_plan(self._graph, codes_[None], np.flatnonzero(np.isnan(codes_)).tolist())
        refuse_too_large(plan, self.nodes_, codes_[None])
        chance, rows, weight = completions(self._model, codes_, plan)
        self._refuse_impossible(np.log(np.array([chance])) if chance > 0 else np.array([-np.inf]), codes_[None])
        order = np.argsort(-weight, kind="stable")
        return pa.table(self._columns(rows[order]) | {"weight": weight[order]})

    def posterior(self, X: Any, *, method: str = "exact") -> dict[str, np.ndarray]:
        """p(state | observed cells) of every node in every row, observed or not, hidden ones too.

        Parameters
        ----------
        X : table
        method : {"exact", "loopy", "mean-field"}, default="exact"
            As in `query`.

        Returns
        -------
        dict
            From each node to an array of shape (n_rows, states), in the order of ``states_``.

        Raises
        ------
        NetworkError
            For a row of probability 0.
        """
        x = self._rows(X)
        log, found = self._marginals(x, {}, method)
        self._refuse_impossible(log, x)
        return dict(zip(self.nodes_, found, strict=True))

    def predict_proba(self, X: Any, target: str) -> np.ndarray:
        """p(target | the other observed cells), shape (n_rows, states); a column of the target is not used."""
        self._node_of_fitted(target)
        x = self._rows(X, without=[target])
        node = self.nodes_.index(target)
        log, found = self._marginals(x, {}, "exact", [node])
        self._refuse_impossible(log, x)
        return found[node]

    def predict(self, X: Any, target: str) -> np.ndarray:
        """The most probable state of the target in each row, given the other observed cells."""
        chosen = self.predict_proba(X, target).argmax(axis=1)
        return np.array(self.states_[target])[chosen]

    def score_samples(self, X: Any) -> np.ndarray:
        """log p(observed cells) of each row in nats, shape (n_rows,); −inf for an impossible row."""
        return self._log_densities(self._rows(X))

    def log_likelihood(self, X: Any, sample_weight: Any = None) -> float:
        """log p(observed cells) of a table in nats, weighted: all that is missing or hidden summed out."""
        values = self.score_samples(X)
        weight = row_weights(sample_weight, len(values))
        return _total(values, weight)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # type: ignore[override]
        """Average of `score_samples`, weighted; ``y`` is not used."""
        values = self.score_samples(X)
        weight = row_weights(sample_weight, len(values))
        return _total(values, weight) / (len(values) if weight is None else float(weight.sum()))

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Schwarz' criterion −2ℓ + df log n of these rows (lower is better)."""
        values = self.score_samples(X)
        weight = row_weights(sample_weight, len(values))
        n = len(values) if weight is None else weight.sum()
        return float(-2 * _total(values, weight) + self.n_parameters_ * np.log(n))

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Akaike's criterion −2ℓ + 2 df of these rows (lower is better)."""
        return -2 * self.log_likelihood(X, sample_weight) + 2 * self.n_parameters_

    def impute(self, X: Any, *, draws: int | None = None, random_state: Any = None) -> Any:
        """Fill the missing cells.

        Parameters
        ----------
        X : table
        draws : int, optional
            Number of completed tables drawn from p(missing | observed). None fills in the jointly most probable
            completion of each row (max-product; hidden nodes count as missing, too).
        random_state : int, RandomState or None
            The estimator's own where None.

        Returns
        -------
        table or list of tables
            Of the kind that was passed (pyarrow where that is a path or an array with text), hidden nodes left out.
        """
        x = self._rows(X)
        if draws is None:
            return self._like(X, self._completed(x, "best")[1])
        rng = self._rng(random_state)
        return [self._like(X, self._completed(x, "draw", rng)[1]) for _ in range(integer("draws", draws, 1))]

    def _completed(self, x: np.ndarray, how: Literal["best", "draw"], *settings: Any) -> tuple[np.ndarray, np.ndarray]:
        self._plan_for(x)
        log, filled = completed(self._model, x, how, *settings)
        self._refuse_impossible(log, x)
        return log, filled

    def sample(
        self, n_samples: int = 1, evidence: Mapping[str, Any] | None = None, random_state: Any = None
    ) -> pa.Table:
        """Draw rows of all nodes, hidden ones too, given evidence on some.

        Raises
        ------
        NetworkError
            For evidence of probability 0.
        """
        n, row, rng = integer("n_samples", n_samples, 1), self._one(evidence), self._rng(random_state)
        if np.isnan(row).all():
            drawn = forward_draws(self._model, n, rng)
        else:
            _, drawn = self._completed(row[None], "draw", rng, np.zeros(n, dtype=int))
        return pa.table(self._columns(drawn))

    def standard_errors(
        self,
        X: Any,
        sample_weight: Any = None,
        *,
        method: str = "observed",
        n_bootstrap: int = 200,
        random_state: Any = None,
    ) -> StandardErrors:
        """Standard errors of the entries of the tables: ``errors.tables[node]`` has the shape of ``tables_[node]``.

        NaN where there is none: at probabilities of 0 and 1, for parents' states that no row has, in fixed tables.

        Parameters
        ----------
        X : table
            The rows that the network was fitted on.
        sample_weight : array, shape (n_rows,), optional
        method : {"observed", "bootstrap"}, default="observed"
            The inverse of the observed information of the log likelihood, in log odds; or refits of ``n_bootstrap``
            tables of rows drawn with replacement, from the estimate on.
        n_bootstrap : int, default=200
        random_state : int, RandomState or None
            For the bootstrap; the estimator's own where None.

        Raises
        ------
        InformationError
            Where the information has no inverse: hidden nodes may have more states than the rows determine.
        """
        if method not in ("observed", "bootstrap"):
            raise ValueError(f'method={method!r}: choose "observed" or "bootstrap"')
        draws = integer("n_bootstrap", n_bootstrap, 2) if method == "bootstrap" else None
        x = self._rows(X)
        # second derivatives take whole tables, and not only the states that a row leaves
        self._plan_for(x if draws else np.full((1, len(self.nodes_)), np.nan))
        table = ArrayTable(array=x, names=self.nodes_)
        weight = row_weights(sample_weight, table.n_rows)
        problem = merged(Problem(table, summarise(table, weight), weight, None))
        settings: Any = {"tol": self.tol, "max_iter": self.max_iter, "accelerate": self.accelerate}
        with double_precision():
            errors = table_errors(self._model, problem, draws, self._rng(random_state), **settings)
        owned = zip(self.nodes_, self._graph.table_of, strict=True)
        return StandardErrors({"tables": {name: errors[own] for name, own in owned}}, method)

    def to_bif(self, path: str | os.PathLike[str]) -> None:
        """Write the network as BIF text, with gzip where the name ends in ``.gz``; probabilities are not rounded.

        Raises
        ------
        BifError
            For names that BIF has not; states that are not text are written as text.
        OutputError
            Where the file cannot be written; what was there before is untouched.
        """
        check_is_fitted(self)
        text = bif_text(self.states_, self.parents_, self.tables_).encode()
        write_atomically(path, gzip.compress(text, mtime=0) if os.fspath(path).endswith(".gz") else text)


def _total(values: np.ndarray, weight: np.ndarray | None) -> float:
    """Σ weight · log p, in which impossible rows of weight 0 take no part."""
    return float(values.sum() if weight is None else weight[weight > 0] @ values[weight > 0])
