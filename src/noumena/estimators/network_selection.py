"""Which structure of a Bayesian network, and how many states of its hidden nodes."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.errors import ConvergenceWarning, DataError
from ..core.result import Status
from ..data.coded import read_columns
from .bayesian_network import BayesianNetwork
from .inputs import row_weights
from .network_size import NetworkError
from .parameters import copy_of, integer
from .selection import Selection

_CRITERIA = ("bic", "aic")


def select_network(
    estimator: BayesianNetwork,
    X: Any,
    *,
    structures: Mapping[str, Any] | Sequence[Any] | None = None,
    hidden_states: Mapping[str, Iterable[int]] | Iterable[int] | None = None,
    criterion: str = "bic",
    sample_weight: Any = None,
) -> Selection:
    """Fit every combination of a structure and numbers of states of the hidden nodes, and choose.

    BIC is a rough guide to the number of hidden states: its derivation wants parameters inside their range, and those
    of a state too many are not. BIC of a fit is −2ℓ + df log n with the likelihood of the observed cells.

    Parameters
    ----------
    estimator : BayesianNetwork
        Its other parameters hold for every candidate.
    X : table
    structures : mapping or sequence, optional
        From names to structures, or structures, as `BayesianNetwork` takes them (``"chow-liu"`` too); the estimator's
        own where None.
    hidden_states : mapping or iterable of int, optional
        From a hidden node to the numbers of states to try; only the numbers where there is one hidden node. The
        estimator's own where None.
    criterion : {"bic", "aic"}, default="bic"
    sample_weight : array, optional

    Returns
    -------
    Selection
        ``table_`` has one row per candidate: structure (its name, or its place in the sequence), ``states_`` and the
        name of each hidden node, log_likelihood, n_parameters, bic, aic (lower is better), status, n_iter.

    Raises
    ------
    DataError, NetworkError
        As `BayesianNetwork.fit`.

    Examples
    --------
    >>> import noumena as nm
    >>> rows = [["rain", "wet"], ["dry", "dry"], ["rain", "wet"], ["dry", "dry"], ["dry", "wet"]] * 9
    >>> found = nm.select_network(nm.BayesianNetwork(), rows, structures={"apart": None, "edge": [("x0", "x1")]})
    >>> found.estimator_.parents_
    {'x0': (), 'x1': ('x0',)}
    """
    if criterion not in _CRITERIA:
        raise ValueError(f"criterion={criterion!r}: choose among {', '.join(_CRITERIA)}")
    graphs = _by_name(structures, estimator)
    sizes = _sizes(hidden_states, estimator)
    fitted: list[tuple[str, BayesianNetwork]] = []
    for (name, structure), numbers in product(graphs.items(), product(*sizes.values())):
        candidate = copy_of(estimator).set_params(structure=structure)
        if sizes:
            candidate.set_params(hidden={**(estimator.hidden or {}), **dict(zip(sizes, numbers, strict=True))})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # told of the best one
            fitted.append((name, candidate.fit(X, sample_weight=sample_weight)))
    n_rows = read_columns(X).n_rows
    weight = row_weights(sample_weight, n_rows)
    table = _told(fitted, list(sizes), n_rows if weight is None else float(weight.sum()))
    values = table[criterion].to_numpy()
    if not np.isfinite(values).any():
        raise DataError("no candidate has a finite likelihood: give the estimator a prior")
    name, best = fitted[int(np.nanargmin(values))]
    if best.status_ not in (Status.CONVERGED, Status.COMPLETED):
        warnings.warn(f"the best candidate ({name}): {best.status_.message}", ConvergenceWarning, stacklevel=2)
    return Selection(best, table, criterion)


def _by_name(structures: Any, estimator: BayesianNetwork) -> dict[str, Any]:
    if structures is None:
        return {"own": estimator.structure}
    named = dict(structures) if isinstance(structures, Mapping) else {str(i): one for i, one in enumerate(structures)}
    if not named:
        raise ValueError("structures is empty: name at least one")
    return named


def _sizes(hidden_states: Any, estimator: BayesianNetwork) -> dict[str, list[int]]:
    """Numbers of states to try, by hidden node."""
    if hidden_states is None:
        return {}
    hidden = list(estimator.hidden or {})
    if not isinstance(hidden_states, Mapping):
        if len(hidden) != 1:
            raise NetworkError(
                f"hidden_states={hidden_states!r}: the estimator has {len(hidden)} hidden nodes; say whose states "
                'these are, hidden_states={"…": range(2, 6)}'
            )
        hidden_states = {hidden[0]: hidden_states}
    unknown = [name for name in hidden_states if name not in hidden]
    if unknown:
        raise NetworkError(f"hidden_states names {unknown[0]!r}, which is no hidden node of the estimator")
    found = {name: [integer(f"hidden_states of {name!r}", n, 2) for n in said] for name, said in hidden_states.items()}
    empty = [name for name, said in found.items() if not said]
    if empty:
        raise ValueError(f"hidden_states of {empty[0]!r} is empty: name at least one number")
    return found


def _told(fitted: Sequence[tuple[str, BayesianNetwork]], hidden: Sequence[str], n: float) -> pa.Table:
    networks = [network for _, network in fitted]
    ell = np.array([network.log_likelihood_ for network in networks])
    df = np.array([network.n_parameters_ for network in networks])
    return pa.table(
        {
            "structure": [name for name, _ in fitted],
            **{f"states_{node}": [len(network.states_[node]) for network in networks] for node in hidden},
            "log_likelihood": ell,
            "n_parameters": df,
            "bic": -2 * ell + df * np.log(n),
            "aic": -2 * ell + 2 * df,
            "status": [network.status_.value for network in networks],
            "n_iter": [network.n_iter_ for network in networks],
        }
    )
