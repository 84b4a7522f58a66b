"""Networks that are too large for exact answers."""

from collections.abc import Sequence

from ..core.errors import NoumenaError
from ..models.elimination import Plan

#: A network is refused if its largest product does not fit here, for the fewest rows that are treated at once.
MOST_ENTRIES = 8_000_000


class NetworkError(NoumenaError, ValueError):
    """A structure or a table that makes no Bayesian network, or one too large for exact answers."""


def refuse_too_large(plan: Plan, nodes: Sequence[str]) -> None:
    """`NetworkError` with the nodes that make an elimination too large."""
    if plan.largest > MOST_ENTRIES:
        names = ", ".join(nodes[v] for v in plan.clique)
        raise NetworkError(
            f"exact answers need a table of {plan.largest:,} entries for each row, over {names}: more than the "
            f"{MOST_ENTRIES:,} that are taken; remove edges among these nodes, merge states of those with many, or ask "
            'networks with known tables for approximate answers, query(…, method="loopy") or "mean-field"'
        )
