"""Approximate answers of networks, said to be such."""

import warnings
from collections.abc import Mapping

import numpy as np

from ..core.errors import ConvergenceWarning, NoumenaWarning
from ..models.approximate_inference import is_polytree, loopy, mean_field, rows_at_a_time
from ..models.network import Network

APPROXIMATIONS = ("loopy", "mean-field")


def approximate(
    network: Network, x: np.ndarray, likelihood: Mapping[int, np.ndarray], method: str
) -> tuple[np.ndarray, list[np.ndarray]]:
    """What `Approximation` calls log density and probabilities, with warnings of what they are."""
    if method == "loopy" and not is_polytree(network):
        said = "loopy belief propagation on a graph with loops: probabilities are approximate, by how much is not known"
        warnings.warn(said, NoumenaWarning, stacklevel=4)
    if method == "mean-field":
        said = "mean field: nodes are taken for independent given the evidence, and probabilities are too sure"
        warnings.warn(said, NoumenaWarning, stacklevel=4)
    rows = rows_at_a_time(network)
    run = loopy if method == "loopy" else mean_field
    parts = [run(network, x[begin : begin + rows], likelihood) for begin in range(0, len(x), rows)]
    unsettled = sum(int(np.count_nonzero(~part.converged)) for part in parts)
    if unsettled:
        said = f"{method} has not settled for {unsettled} of {len(x)} rows"
        warnings.warn(said, ConvergenceWarning, stacklevel=4)
    probabilities = [np.concatenate(own) for own in zip(*(part.probabilities for part in parts), strict=True)]
    return np.concatenate([part.log_density for part in parts]), probabilities
