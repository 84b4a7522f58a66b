"""Sums of products and all their marginals, for many rows: one sweep along a plan of elimination, and one back.

In NumPy: where each product finds its factors is worked out beforehand (`shared_evidence`), and compiling a network
takes longer than most fits do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import mul
from typing import final

import numpy as np
from jaxtyping import Float

from .elimination import FACTORS_BETWEEN_SCALES, Plan, Scope, Step, aligned, marginal
from .shared_evidence import Share, SharedEvidence


@final
@dataclass(frozen=True)
class Sweep:
    """What a sweep along a plan leaves behind.

    Attributes
    ----------
    evidence : SharedEvidence
    products : list of pairs of arrays, shape (states, columns)
        Of each step, before its variable is summed out: where that is free, and where it is seen.
    sums : list of arrays, shape (columns,)
        Of each step, over its variable.
    logs : list of arrays, shape (configurations,)
        What each step adds to the log density of the rows of each configuration; −inf where they are impossible.
    """

    evidence: SharedEvidence
    products: list[list[np.ndarray]]
    sums: list[np.ndarray]
    logs: list[np.ndarray]

    def total(self) -> float:
        """Σ weight · log density."""
        return sum(float(share.weight @ log) for share, log in zip(self.evidence.shares, self.logs, strict=True))

    def log_density(self) -> Float[np.ndarray, " rows"]:
        """Of each row; the evidence must keep the rows' configurations."""
        pairs = zip(self.evidence.shares, self.logs, strict=True)
        return sum((log[share.of_row] for share, log in pairs), np.zeros(1))


def forward(evidence: SharedEvidence, factors: Sequence[np.ndarray], *, best: bool = False) -> Sweep:
    """Σ (or max) over all states of Π factors, one variable after the other.

    Parameters
    ----------
    evidence : SharedEvidence
    factors : sequence of arrays
        Non-negative, with the axes of the plan's scopes.
    best : bool
        The maximum in place of the sum.
    """
    plan = evidence.plan
    messages: dict[int, np.ndarray] = {}
    sweep = Sweep(evidence, [], [], [])
    for number, (step, share) in enumerate(zip(plan.steps, evidence.shares, strict=True)):
        tables = [_table(plan, step, *group, factors) for group in plan.tables[number]]
        products, log = _products(share, tables, [messages.pop(i) for i in step.messages])
        summed = np.concatenate([own.max(axis=0) if best else own.sum(axis=0) for own in products])
        scale, log_scale = _scale(summed, share)
        messages[number] = np.append(summed / _spread(scale, share), 1.0)
        sweep.products.append(products)
        sweep.sums.append(summed)
        sweep.logs.append(log + log_scale)
    return sweep


def _table(plan: Plan, step: Step, members: Sequence[int], scope: Scope, factors: Sequence[np.ndarray]) -> np.ndarray:
    """The product of some factors: rows for the states of the step's variable, if it occurs in them."""
    table = reduce(mul, (aligned(np, factors[i], plan.scopes[i], scope) for i in members))
    return table.reshape(plan.states[step.variable] if scope[0] == step.variable else 1, -1)


def _products(
    share: Share, tables: Sequence[np.ndarray], messages: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], np.ndarray | float]:
    """The entries of a step, and the logarithm of what those of each configuration were divided by on the way."""
    products, log = [np.empty((0, 0)), np.empty((0, 0))], 0.0
    n_factors = len(tables) + len(messages)
    for number in range(n_factors):
        for at, part in enumerate((share.free, share.seen)):
            if number < len(tables):
                table = tables[number] if part is share.free else tables[number].reshape(1, -1)
                found = table.take(part.tables[number], axis=1)
            else:
                found = messages[number - len(tables)].take(part.messages[number - len(tables)])
            wide, narrow = (found, products[at]) if len(found) >= len(products[at]) else (products[at], found)
            products[at] = np.multiply(wide, narrow, out=wide) if number else found
        if n_factors > FACTORS_BETWEEN_SCALES and number % FACTORS_BETWEEN_SCALES == FACTORS_BETWEEN_SCALES - 1:
            scale, log_scale = _scale(np.concatenate([own.max(axis=0) for own in products]), share)
            columns = _spread(scale, share)
            products[0] /= columns[: share.n_free_columns]
            products[1] /= columns[share.n_free_columns :]
            log = log + log_scale
    return products, log


def _scale(columns: np.ndarray, share: Share) -> tuple[np.ndarray, np.ndarray]:
    """The largest entry of each configuration, 1 where all are 0; and its logarithm, −inf there."""
    largest = columns if len(columns) == len(share.starts) else np.maximum.reduceat(columns, share.starts)
    possible = largest > 0
    scale = np.where(possible, largest, 1.0)
    return scale, np.where(possible, np.log(scale), -np.inf)


def _spread(values: np.ndarray, share: Share) -> np.ndarray:
    """Of configurations, over their columns."""
    return values if share.n_columns == len(values) else np.repeat(values, share.sizes)


def backward(sweep: Sweep) -> Iterator[tuple[int, Share, list[np.ndarray]]]:
    """The number of each step, the last one first, and posterior probabilities of its entries times weights.

    A sum's own marginal over the sum is what the rest of the network says of its variables; where the sum is 0 so is
    the marginal (Jensen, Lauritzen & Olesen 1990, Comput. Statist. Quart. 4:269). The sweep's products are used up.
    """
    steps = sweep.evidence.plan.steps
    marginals: dict[int, np.ndarray] = {}
    for number in range(len(steps) - 1, -1, -1):
        step, share, summed = steps[number], sweep.evidence.shares[number], sweep.sums[number]
        own = marginals.pop(number)[:-1] if number in marginals else np.zeros(len(summed))
        own[share.starts[share.single]] = share.weight[share.single]
        ratio = np.divide(own, summed, out=np.zeros_like(summed), where=summed > 0)
        joint = sweep.products[number]
        joint[0] *= ratio[: share.n_free_columns]
        joint[1] *= ratio[share.n_free_columns :]
        yield number, share, joint
        for at, i in enumerate(step.messages):
            marginals[i] = np.zeros(len(sweep.sums[i]) + 1)
            for part, entries in zip((share.free, share.seen), joint, strict=True):
                marginals[i] += np.bincount(part.messages[at].ravel(), entries.ravel(), minlength=len(marginals[i]))


def expected_counts(sweep: Sweep) -> list[np.ndarray]:
    """Σ weight · p(states of a factor's variables | row), for each factor of the plan."""
    plan = sweep.evidence.plan
    found = [np.zeros(()) for _ in plan.scopes]
    for number, share, joint in backward(sweep):
        step = plan.steps[number]
        for group, (members, scope) in enumerate(plan.tables[number]):
            counts = np.zeros([plan.states[v] for v in scope])
            as_tables = counts.reshape(len(counts) if scope[0] == step.variable else 1, -1), counts.reshape(1, -1)
            for part, entries, table in zip((share.free, share.seen), joint, as_tables, strict=True):
                of_rows = entries if len(entries) == len(table) else entries.sum(axis=0, keepdims=True)
                for total, row in zip(table, of_rows, strict=True):
                    total += np.bincount(part.tables[group], row, minlength=len(total))
            for i in members:
                found[i] = marginal(counts[..., None], scope, plan.scopes[i])[..., 0]
    return found
