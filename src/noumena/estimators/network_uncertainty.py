"""Standard errors of a network's tables: from curvature, or from refits of resampled rows."""

import numpy as np

from ..core.expectation import expectation
from ..core.fit import fit
from ..core.lanes import stack
from ..core.model import Fixed
from ..data.source import Source
from ..models.network import Network, Tables
from ..models.network_chart import NetworkChart
from ..models.shared_evidence import shared_blocks
from ..models.standard_errors import DIRECTIONS, observed_errors
from .mixture_fitting import Problem

#: Entries of all steps times rows times directions that a second derivative takes at once, each several times.
_ENTRIES_AT_ONCE = 1_000_000


def table_errors(
    model: Network,
    problem: Problem,
    n_bootstrap: int | None,
    rng: np.random.Generator,
    *,
    tol: float,
    max_iter: int,
    accelerate: str | None,
) -> Tables:
    """Standard errors of every entry of every table, NaN where there is none.

    Parameters
    ----------
    model : Network
        The estimate.
    problem : Problem
        The rows of the fit.
    n_bootstrap : int, optional
        Refits of rows drawn with replacement, which start at the estimate; None for the observed information.
    tol, max_iter, accelerate
        Of the refits.
    """
    x = problem.table.to_array()
    _, gathered = expectation(stack([model]), shared_blocks(model.plan, x, problem.weight))
    chart = NetworkChart(model, Fixed(tuple(np.asarray(part)[0] for part in gathered)))
    if n_bootstrap is None:
        rows = max(_ENTRIES_AT_ONCE // (sum(model.plan.sizes) * DIRECTIONS), 1)
        blocks = Source(problem.table, problem.summary, lambda missing: rows, weight=problem.weight, coupled=())
        errors = observed_errors(model, chart, blocks)
    else:
        base = np.ones(problem.table.n_rows) if problem.weight is None else problem.weight
        draws = max(round(float(base.sum())), 1)
        refits = []
        for _ in range(n_bootstrap):
            weight = rng.multinomial(draws, base / base.sum()).astype(float)
            blocks = shared_blocks(model.plan, x, weight)
            refits.append(fit(stack([model]), blocks, max_iter=max_iter, tol=tol, accelerate=accelerate)[0].model)
        errors = tuple(np.std(parts, axis=0, ddof=1) for parts in zip(*(one.tables for one in refits), strict=True))
    return tuple(
        np.where(known, np.asarray(own), np.nan) for known, own in zip(chart.determined(), errors, strict=True)
    )
