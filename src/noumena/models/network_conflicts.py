"""Which findings of an impossible row exclude each other."""

import numpy as np
from jaxtyping import Float

from .network import Network
from .network_queries import log_densities
from .shared_evidence import largest_table

#: Findings are left out one by one where no sum takes a larger table.
_MOST_ENTRIES = 100_000


def conflict(network: Network, row: Float[np.ndarray, " nodes"]) -> list[int]:
    """Nodes whose states in a row of probability 0 exclude each other.

    Those of one table, if it alone excludes them. Else what is left after leaving out, one by one, all that the row is
    impossible without; with all findings in the end that would take too much work.
    """
    graph = network.graph
    for scope, own in zip(graph.scopes, graph.table_of, strict=True):
        place = tuple(slice(None) if np.isnan(row[v]) else int(row[v]) for v in scope)
        if not np.any(np.asarray(network.tables[own])[place]):
            return sorted(v for v in scope if not np.isnan(row[v]))
    left = row.copy()
    whole = graph.plan(range(graph.n_nodes))
    for v in np.flatnonzero(~np.isnan(row)):
        without = left.copy()
        without[v] = np.nan
        small = largest_table(whole, without[None])[0] <= _MOST_ENTRIES
        if small and not np.isfinite(log_densities(network, without[None])[0]):
            left = without
    return np.flatnonzero(~np.isnan(left)).tolist()
