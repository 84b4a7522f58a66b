"""Networks that are too large for exact answers."""

from collections.abc import Sequence

import numpy as np

from ..core.errors import NoumenaError
from ..models.elimination import Plan
from ..models.shared_evidence import largest_table

#: Entries of a table that a sum takes at most, for one row.
MOST_ENTRIES = 8_000_000


class NetworkError(NoumenaError, ValueError):
    """A structure or a table that makes no Bayesian network, or one too large for exact answers."""


def fits(plan: Plan, x: np.ndarray) -> bool:
    """Whether an elimination is not too large for these rows: the more is seen in a row, the less is summed over."""
    return plan.largest <= MOST_ENTRIES or largest_table(plan, x)[0] <= MOST_ENTRIES


def refuse_too_large(plan: Plan, nodes: Sequence[str], x: np.ndarray) -> None:
    """`NetworkError` with the nodes that make an elimination too large for a row."""
    if fits(plan, x):
        return
    entries, step = largest_table(plan, x)
    names = ", ".join(nodes[v] for v in step.scope)
    raise NetworkError(
        f"exact answers need a table of {entries:,.0f} entries for one row, over {names}: more than the "
        f"{MOST_ENTRIES:,} that are taken; remove edges among these nodes, merge states of those with many, or ask "
        'networks with known tables for approximate answers, query(…, method="loopy") or "mean-field"'
    )
