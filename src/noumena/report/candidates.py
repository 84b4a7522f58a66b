"""How the candidates of a selection are compared."""

from typing import Any

import numpy as np

#: How a criterion is read.
CRITERIA = {
    "bic": ("bic", "BIC", False),
    "icl": ("icl", "ICL", False),
    "aic": ("aic", "AIC", False),
    "cv": ("cv_log_likelihood", "held-out log likelihood per row", True),
}


def sized(selection: Any) -> tuple[str, str]:
    """The column of a selection that says how large its candidates are, and the word for what there is of it."""
    of_factors = "n_factors" in selection.table_.column_names
    return ("n_factors", "factor") if of_factors else ("n_components", "component")


def usable(selection: Any) -> np.ndarray:
    """Which candidates of a selection can be compared, shape (n_candidates,)."""
    column, _, _ = CRITERIA[selection.criterion]
    values = np.array(selection.table_.column(column).to_pylist(), dtype=float)
    bad = {"degenerate", "not_finite", "failed"}
    return np.isfinite(values) & ~np.isin(selection.table_.column("status").to_pylist(), sorted(bad))
