"""Sums of products over discrete variables: an order of elimination, planned once, carried out over many rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from math import prod
from operator import mul
from typing import Any, TypeAlias, final

import numpy as np

#: A product is scaled after so many factors, so that no number of them underflows.
FACTORS_BETWEEN_SCALES = 8
#: Orders tried, the first of them without chance (fewer where there are many variables), and how far chance may go
#: astray in the others.
_ORDERS, _ORDERED_AT_ALL, _TEMPERATURE = 40, 4000, 0.3
#: Of variables with more neighbours than this, the pairs are not counted one by one: they come late anyway.
_MANY = 48

Scope: TypeAlias = tuple[int, ...]


@final
@dataclass(frozen=True)
class Step:
    """One variable summed out.

    Attributes
    ----------
    variable : int
    factors : tuple of int
        The factors that enter here, by number.
    messages : tuple of int
        The earlier steps whose results enter here.
    scope : tuple of int
        The variables of their product: ``variable`` first, then the others.
    """

    variable: int
    factors: tuple[int, ...]
    messages: tuple[int, ...]
    scope: Scope

    @property
    def rest(self) -> Scope:
        """The variables of the result."""
        return self.scope[1:]


@final
@dataclass(frozen=True)
class Plan:
    """An elimination of all variables from a product of factors.

    Attributes
    ----------
    states : tuple of int
        Number of states of each variable.
    scopes : tuple of tuples of int
        The variables of each factor, in the order of its axes.
    steps : tuple of Step
    """

    states: tuple[int, ...]
    scopes: tuple[Scope, ...]
    steps: tuple[Step, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Entries of each step's product, for one row."""
        return tuple(prod(self.states[v] for v in step.scope) for step in self.steps)

    @property
    def largest(self) -> int:
        """Entries of the largest product."""
        return max(self.sizes, default=1)

    @property
    def clique(self) -> Scope:
        """The variables of the largest product."""
        return self.steps[int(np.argmax(self.sizes))].scope if self.steps else ()


def plan(states: Sequence[int], scopes: Sequence[Scope], variables: Sequence[int], seed: int = 0) -> Plan:
    """The cheapest of several greedy eliminations of some variables.

    The next variable is the one whose elimination joins the fewest pairs that are not joined yet, weighted by their
    states (min-fill; Kjærulff 1990); further orders choose at random among those that come near (Gumbel noise on the
    logarithm).

    Parameters
    ----------
    states : sequence of int
    scopes : sequence of tuples of int
        Of the factors; variables in none of them bring nothing.
    variables : sequence of int
        What is summed out: all variables of the scopes.
    seed : int
    """
    neighbours: dict[int, set[int]] = {v: set() for v in variables}
    for scope in scopes:
        for v in scope:
            neighbours[v] |= set(scope) - {v}
    rng = np.random.default_rng(seed)
    attempts = max(1, min(_ORDERS, _ORDERED_AT_ALL // max(len(neighbours), 1)))
    orders = [_order(states, neighbours, rng if attempt else None) for attempt in range(attempts)]
    best = min(orders, key=lambda found: found[0])[1]
    return Plan(tuple(states), tuple(scopes), _steps(scopes, best))


def _order(
    states: Sequence[int], neighbours: dict[int, set[int]], rng: np.random.Generator | None
) -> tuple[float, list[int]]:
    """Total entries of all products, and an order of elimination."""
    graph = {v: set(near) for v, near in neighbours.items()}
    fill = {v: _fill(v, graph, states) for v in graph}
    cost, order = 0.0, []
    while graph:
        if rng is None:
            chosen = min(fill, key=lambda v: fill[v])
        else:
            noise = _TEMPERATURE * rng.gumbel(size=len(fill))
            chosen = list(fill)[int(np.argmin(np.log1p(list(fill.values())) - noise))]
        near = graph.pop(chosen)
        del fill[chosen]
        cost += prod(states[v] for v in near) * float(states[chosen])
        touched = set(near)
        for v in near:
            graph[v].discard(chosen)
            graph[v] |= near - {v}
            touched |= graph[v]
        for v in touched:
            fill[v] = _fill(v, graph, states)
        order.append(chosen)
    return cost, order


def _fill(variable: int, graph: dict[int, set[int]], states: Sequence[int]) -> int:
    if len(graph[variable]) > _MANY:
        return sum(states[v] for v in graph[variable]) ** 2 // 2
    near = sorted(graph[variable])
    return sum(states[a] * states[b] for i, a in enumerate(near) for b in near[i + 1 :] if b not in graph[a])


def _steps(scopes: Sequence[Scope], order: list[int]) -> tuple[Step, ...]:
    waiting = {i: set(scope) for i, scope in enumerate(scopes)}
    sent: dict[int, set[int]] = {}
    steps: list[Step] = []
    for variable in order:
        factors = tuple(i for i, scope in waiting.items() if variable in scope)
        messages = tuple(i for i, scope in sent.items() if variable in scope)
        scope = set().union(*(waiting.pop(i) for i in factors), *(sent.pop(i) for i in messages)) | {variable}
        rest = sorted(scope - {variable})
        sent[len(steps)] = set(rest)
        steps.append(Step(variable, factors, messages, (variable, *rest)))
    return tuple(steps)


@final
@dataclass(frozen=True)
class Contraction:
    """What an elimination gives.

    Attributes
    ----------
    log_total : array, shape (rows,)
        Log of the sum (or maximum) over all states, −inf where that is 0.
    products : list of arrays
        Of each step, before its variable is summed out; axes as in its scope, then rows. Empty unless asked for.
    """

    log_total: Any
    products: list[Any]


def contract(
    xp: Any,
    plan: Plan,
    factors: Sequence[Any],
    evidence: Sequence[Any],
    *,
    best: bool = False,
    keep: bool = False,
    constant: Callable[[Any], Any] = lambda array: array,
) -> Contraction:
    """Σ (or max) over all variables of Π factors · Π evidence, for each row.

    Parameters
    ----------
    xp : module
        ``numpy`` or ``jax.numpy``.
    plan : Plan
    factors : sequence of arrays
        Non-negative, with the axes of ``plan.scopes``, and one more for the rows where they differ between rows.
    evidence : sequence of arrays, shape (states, rows), or None
        How likely each state of each variable is seen; None where nothing is known in any row.
    best : bool
        The maximum in place of the sum.
    keep : bool
        Whether the products are kept.
    constant : callable
        ``jax.lax.stop_gradient`` where gradients are taken: scales cancel.
    """
    messages: dict[int, Any] = {}
    products, log_total = [], 0.0
    for number, step in enumerate(plan.steps):
        parts = [aligned(xp, factors[i], plan.scopes[i], step.scope) for i in step.factors]
        parts += [aligned(xp, messages.pop(i), plan.steps[i].rest, step.scope) for i in step.messages]
        if evidence[step.variable] is not None:
            parts.append(aligned(xp, evidence[step.variable], (step.variable,), step.scope))
        # the small ones first, so that only the last products are large
        product = None
        for few in grouped(parts):
            product = reduce(mul, few if product is None else [product, *few])
            if len(parts) > FACTORS_BETWEEN_SCALES:
                product, log_scale = _scaled(xp, product, constant)
                log_total = log_total + log_scale
        assert product is not None
        if keep:
            products.append(product)
        message = xp.max(product, axis=0) if best else xp.sum(product, axis=0)
        if step.rest:
            message, log_scale = _scaled(xp, message, constant)
            log_total = log_total + log_scale
            messages[number] = message
        else:
            possible = message > 0
            log = xp.log(xp.where(possible, message, 1.0))
            log_total = log_total + xp.where(possible, log, -np.inf)
    return Contraction(log_total, products)


def grouped(parts: list[Any]) -> list[list[Any]]:
    """The factors of a product, the small ones first, in groups after each of which it is scaled."""
    ordered = sorted(parts, key=lambda part: prod(part.shape))
    return [ordered[i : i + FACTORS_BETWEEN_SCALES] for i in range(0, len(ordered), FACTORS_BETWEEN_SCALES)]


def _scaled(xp: Any, array: Any, constant: Callable[[Any], Any]) -> tuple[Any, Any]:
    """The array with largest entry 1 in each row, and the logarithm of what it was divided by."""
    scale = constant(xp.max(array.reshape(-1, array.shape[-1]), axis=0))
    scale = xp.where(scale > 0, scale, 1.0)
    return array / scale, xp.log(scale)


def aligned(xp: Any, array: Any, scope: Scope, wider: Scope) -> Any:
    """The array with the axes of a wider scope, of length 1 where it has none, and one for the rows."""
    if array.ndim == len(scope):
        array = array[..., None]
    order = sorted(range(len(scope)), key=lambda axis: wider.index(scope[axis]))
    if order != list(range(len(scope))):
        array = xp.transpose(array, (*order, len(scope)))
    shape = iter(array.shape)
    return array.reshape((*(next(shape) if v in scope else 1 for v in wider), array.shape[-1]))
