"""Bayesian networks of discrete variables: p(x) = Π_v p(x_v | x_parents), with any cells missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Self, TypeAlias, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import gammaln

from ..core.block import Block
from ..core.model import Fixed, Model
from .elimination import Plan, Scope, contract, plan
from .propagation import expected_counts, forward
from .shared_evidence import shared

Tables: TypeAlias = tuple[Any, ...]
"""One array for each table: axes of the parents, then of the node itself; sums over the last are 1."""

#: Log of a probability of 0: exp of it is 0, and no arithmetic makes a NaN of it.
NEVER = -1e30


@final
@dataclass(frozen=True)
class Graph:
    """Which variables there are, and what each depends on.

    Attributes
    ----------
    states : tuple of int
        Number of states of each node.
    parents : tuple of tuples of int
    table_of : tuple of int
        The table of each node; nodes that share one are tied.
    fixed : tuple of bool
        Of each table, whether it is given and not learned.
    """

    states: tuple[int, ...]
    parents: tuple[tuple[int, ...], ...]
    table_of: tuple[int, ...]
    fixed: tuple[bool, ...]

    @property
    def n_nodes(self) -> int:
        return len(self.states)

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The axes of each node's factor."""
        return tuple((*parents, node) for node, parents in enumerate(self.parents))

    def shape(self, table: int) -> tuple[int, ...]:
        """Of a table."""
        return tuple(self.states[v] for v in self.scopes[self.table_of.index(table)])

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Parents before children."""
        left, found = dict(enumerate(self.parents)), []
        while left:
            free = [v for v, parents in left.items() if not any(p in left for p in parents)]
            assert free, "a cycle"
            found += free
            for v in free:
                del left[v]
        return tuple(found)

    def ancestors(self, nodes: Any) -> set[int]:
        """These nodes and all that they descend from."""
        found, waiting = set(), list(nodes)
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting += self.parents[node]
        return found

    def plan(self, seen: Any) -> Plan:
        """The elimination for evidence on, and questions about, these nodes; others that bring nothing are left out."""
        return _planned(self, tuple(sorted(self.ancestors(seen))))

    def n_parameters(self) -> int:
        """Free probabilities of the tables that are learned."""
        shapes = [self.shape(t) for t, fixed in enumerate(self.fixed) if not fixed]
        return sum(int(np.prod(shape[:-1])) * (shape[-1] - 1) for shape in shapes)


@lru_cache(maxsize=256)
def _planned(graph: Graph, kept: tuple[int, ...]) -> Plan:
    return plan(graph.states, [graph.scopes[v] for v in kept], kept)


class Network(Model):
    """A discrete Bayesian network. Missing cells and nodes that are never observed are summed out, exactly.

    Attributes
    ----------
    tables : tuple of arrays
    pseudo : Fixed
        Counts that the tables have seen before, shaped as they: θ has Dirichlet densities ∝ Π θ^pseudo.
    graph : Graph
    plan : Plan
        Of the E-step.
    """

    compiled: ClassVar[bool] = False

    tables: Tables
    pseudo: Fixed
    graph: Graph = eqx.field(static=True)
    plan: Plan = eqx.field(static=True)

    def natural(self) -> Tables:
        return tuple(np.where(t > 0, np.log(np.where(t > 0, t, 1.0)), NEVER) for t in self.tables)

    def prepare(self, natural: Tables) -> Tables:
        return tuple(jnp.exp(table) for table in natural)

    def bound(self, natural: Tables, block: Block) -> Float[Array, " rows"]:
        x = jnp.asarray(block.x)
        # 1 for the state that is seen, 0 for the others, all 1 where the cell is missing
        evidence = [
            jnp.where(jnp.isnan(x[:, v]), 1.0, x[:, v] == jnp.arange(count)[:, None])
            for v, count in enumerate(self.graph.states)
        ]
        return contract(self.plan, self.factors(self.plan, natural), evidence)

    def gather(self, natural: Tables, block: Block) -> tuple[float, Tables]:
        sweep = forward(shared(self.plan, block), self.factors(self.plan, [np.exp(table) for table in natural]))
        counts = [np.zeros(np.shape(table)) for table in natural]
        bound = sweep.total()
        for scope, own in zip(self.plan.scopes, expected_counts(sweep), strict=True):
            counts[self.graph.table_of[scope[-1]]] += own
        return bound, tuple(counts)

    def factors(self, plan: Plan, tables: Sequence[Any] | None = None) -> list[Any]:
        """The table of each factor of a plan; the network's own unless others are given."""
        own = self.tables if tables is None else tables
        return [own[self.graph.table_of[scope[-1]]] for scope in plan.scopes]

    def update(self, stats: Tables) -> Self:
        learned = []
        for table, seen, before, fixed in zip(self.tables, stats, self.pseudo.value, self.graph.fixed, strict=True):
            # extrapolated counts may be negative
            count = np.maximum(np.asarray(seen) + before, 0.0)
            total = count.sum(axis=-1, keepdims=True)
            # parents' states that never occur keep what was there
            found = np.divide(count, total, out=np.array(table, float), where=total > 0)
            learned.append(np.asarray(table, float) if fixed else found)
        return eqx.tree_at(lambda model: model.tables, self, tuple(learned))

    def log_prior(self) -> float:
        total = 0.0
        for table, before, fixed in zip(self.tables, self.pseudo.value, self.graph.fixed, strict=True):
            if fixed or not np.any(before > 0):
                continue
            log = np.log(np.where(table > 0, table, 1.0))
            density = np.where(table > 0, before * log, np.where(before > 0, -np.inf, 0.0))
            constants = gammaln((before + 1).sum(axis=-1)) - gammaln(before + 1).sum(axis=-1)
            total += float(density.sum() + constants[np.any(before > 0, axis=-1)].sum())
        return total
