"""Sums of products over discrete variables: an order of elimination, planned once, carried out over many rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from math import prod
from operator import mul
from typing import Any, TypeAlias, final

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

#: A product is scaled after so many factors, so that no number of them underflows.
FACTORS_BETWEEN_SCALES = 8
#: Orders tried, the first of them without chance (fewer where there are many variables), and how far chance may go
#: astray in the others.
_ORDERS, _ORDERED_AT_ALL, _TEMPERATURE = 40, 4000, 0.3
#: Factors are multiplied beforehand to tables of so many entries, which stay in a core's cache.
_MOST_JOINED = 4096
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

    @cached_property
    def tables(self) -> tuple[tuple[tuple[tuple[int, ...], Scope], ...], ...]:
        """Of each step, its factors in groups that are multiplied beforehand, and the variables of each group."""
        return tuple(_grouped(self.states, self.scopes, step) for step in self.steps)

    @property
    def largest(self) -> int:
        """Entries of the largest product."""
        return max(self.sizes, default=1)


def _grouped(states: Sequence[int], scopes: Sequence[Scope], step: Step) -> tuple[tuple[tuple[int, ...], Scope], ...]:
    groups: list[tuple[tuple[int, ...], Scope]] = []
    for factor in step.factors:
        for at, (members, scope) in enumerate(groups):
            joined = tuple(v for v in step.scope if v in scope or v in scopes[factor])
            inside = len(joined) == max(len(scope), len(scopes[factor]))
            if inside or prod(states[v] for v in joined) <= _MOST_JOINED:
                groups[at] = ((*members, factor), joined)
                break
        else:
            groups.append(((factor,), tuple(v for v in step.scope if v in scopes[factor])))
    return tuple(groups)


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


def contract(plan: Plan, factors: Sequence[Any], evidence: Sequence[Any]) -> Float[Array, " rows"]:
    """log Σ over all variables of Π factors · Π evidence, for each row; −inf where that is 0.

    In JAX, for gradients: E-steps sum over far fewer entries (`noumena.models.propagation`).

    Parameters
    ----------
    plan : Plan
    factors : sequence of arrays
        Non-negative, with the axes of ``plan.scopes``.
    evidence : sequence of arrays, shape (states, rows)
        How likely each state of each variable is seen.
    """
    messages: dict[int, Any] = {}
    log_total = jnp.zeros(())
    for number, step in enumerate(plan.steps):
        parts = [aligned(jnp, factors[i], plan.scopes[i], step.scope) for i in step.factors]
        parts += [aligned(jnp, messages.pop(i), plan.steps[i].rest, step.scope) for i in step.messages]
        parts.append(aligned(jnp, evidence[step.variable], (step.variable,), step.scope))
        parts.sort(key=lambda part: prod(part.shape))  # the small ones first, so that only the last products are large
        product = None
        for begin in range(0, len(parts), FACTORS_BETWEEN_SCALES):
            few = parts[begin : begin + FACTORS_BETWEEN_SCALES]
            product = reduce(mul, few if product is None else [product, *few])
            if len(parts) > FACTORS_BETWEEN_SCALES:
                product, log_scale = _scaled(product)
                log_total = log_total + log_scale
        assert product is not None
        message = jnp.sum(product, axis=0)
        if step.rest:
            messages[number], log_scale = _scaled(message)
            log_total = log_total + log_scale
        else:
            possible = message > 0
            log_total = log_total + jnp.where(possible, jnp.log(jnp.where(possible, message, 1.0)), -jnp.inf)
    return log_total


def _scaled(array: Any) -> tuple[Any, Any]:
    """The array with largest entry 1 in each row, and the logarithm of what it was divided by."""
    scale = lax.stop_gradient(jnp.max(array.reshape(-1, array.shape[-1]), axis=0))  # scales cancel
    scale = jnp.where(scale > 0, scale, 1.0)
    return array / scale, jnp.log(scale)


def aligned(xp: Any, array: Any, scope: Scope, wider: Scope) -> Any:
    """The array with the axes of a wider scope, of length 1 where it has none, and one for the rows."""
    if array.ndim == len(scope):
        array = array[..., None]
    order = sorted(range(len(scope)), key=lambda axis: wider.index(scope[axis]))
    if order != list(range(len(scope))):
        array = xp.transpose(array, (*order, len(scope)))
    shape = iter(array.shape)
    return array.reshape((*(next(shape) if v in scope else 1 for v in wider), array.shape[-1]))


def marginal(joint: np.ndarray, scope: Scope, wanted: Scope) -> np.ndarray:
    """The marginal of some variables, in the order that is wanted; rows stay last."""
    axes = tuple(axis for axis, v in enumerate(scope) if v not in wanted)
    summed = joint.sum(axis=axes) if axes else joint
    left = [v for v in scope if v in wanted]
    if left != list(wanted):
        summed = summed.transpose(*(left.index(v) for v in wanted), len(left))
    return summed
