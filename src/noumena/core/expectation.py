"""The E-step of every model: the bound and its gradient, summed over blocks; and the M-step beside it."""

from collections.abc import Iterable
from functools import reduce
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from .block import Block
from .lanes import lanes, models_over_lanes, over_lanes, stack
from .model import Model, Natural
from .threads import side_by_side

# Natural parameters are found by a program of their own: they take factorisations (LAPACK calls), and a program that
# scans over the rows is safer without any (CONTRIBUTING says why).


@jax.jit
def _naturals(models: Model) -> Natural:
    """η of each lane."""
    return over_lanes(lambda model: model.natural(), models)


@jax.jit
def _of_block(models: Model, naturals: Natural, block: Block) -> tuple[Array, Natural]:
    """F and S of one block, one piece after the other.

    The lanes share no parameters, so the gradient of the sum of their bounds is the stack of their gradients, and
    what does not depend on a lane (the features of the rows) is computed once for all.
    """

    def objective(prepared: Natural, piece: Block) -> tuple[Array, Array]:
        bounds = over_lanes(lambda model, natural: model.bound(natural, piece), models, prepared)
        lanes = bounds @ piece.weight  # (lanes, rows) · (rows,)
        return jnp.sum(lanes), lanes

    def step(total: tuple[Array, Natural], piece: Block) -> tuple[tuple[Array, Natural], None]:
        (_, lanes), slope = jax.value_and_grad(objective, has_aux=True)(prepared, piece)
        return jax.tree.map(jnp.add, total, (lanes, slope)), None

    prepared, pull_back = jax.vjp(
        lambda naturals: over_lanes(lambda model, natural: model.prepare(natural), models, naturals), naturals
    )
    leaf = jax.tree.leaves(naturals)[0]
    start = jnp.zeros(leaf.shape[0], leaf.dtype), jax.tree.map(jnp.zeros_like, prepared)
    lanes, slope = lax.scan(step, start, block)[0]
    return lanes, pull_back(slope)[0]


def expectation(models: Model, blocks: Iterable[Block]) -> tuple[Float[Array, " lanes"], Natural]:
    """F = Σ weight · bound and S = ∂F/∂η = Σ weight · E_q[T], for a stack of models.

    Parameters
    ----------
    models : Model
        A stack of them, see `noumena.core.lanes.stack`; stacks from ``for_bound`` share compiled programs.
    blocks : iterable of Block
        At least one. Consumed once; may be longer than memory.

    Returns
    -------
    F : array, shape (lanes,)
        In nats, constants kept.
    S : tree of arrays
        The structure and shapes of the stacked natural parameters.
    """
    if models.compiled:
        naturals = _naturals(models)
        parts = side_by_side(lambda block: _of_block(models, naturals, block), blocks)
    else:
        each = lanes(models)
        own = [model.natural() for model in each]
        parts = side_by_side(lambda block: _by_hand(each, own, block), blocks)
    return reduce(lambda total, part: jax.tree.map(np.add, total, part), parts)  # in the order of the blocks


def _by_hand(models: list[Model], naturals: list[Natural], block: Block) -> tuple[Any, Natural]:
    found = [model.gather(natural, block) for model, natural in zip(models, naturals, strict=True)]
    return jax.tree.map(lambda *values: np.stack(values), *found)


def magnitude(models: Model, stats: Natural) -> Float[Array | np.ndarray, " lanes"]:
    """Σ |η_i S_i| of each lane: the size of the terms that cancel in F."""
    if models.compiled:
        return _magnitude(models, stats)
    own = (jax.tree.map(lambda part, i=i: np.asarray(part)[i], stats) for i in count())
    return np.array([model.magnitude(part) for model, part in zip(lanes(models), own, strict=False)])


@jax.jit
def _magnitude(models: Model, stats: Natural) -> Float[Array, " lanes"]:
    def size(model: Model, stats: Natural) -> Array:
        parts = jax.tree.map(lambda a, b: jnp.sum(jnp.abs(a * b)), model.natural(), stats)
        return sum(jax.tree.leaves(parts), jnp.zeros(()))

    return over_lanes(size, models, stats)


@jax.jit
def natural_of(model: Model) -> Natural:
    """η of one model, compiled."""
    return model.natural()


@jax.jit
def _add_curvature(model: Model, natural: Natural, directions: Natural, block: Block, total: Natural) -> Natural:
    def stats(natural: Natural, piece: Block) -> Natural:
        return jax.grad(lambda own: jnp.sum(piece.weight * model.bound(model.prepare(own), piece)))(natural)

    def step(total: Natural, piece: Block) -> tuple[Natural, None]:
        def along(direction: Natural) -> Natural:
            return jax.jvp(lambda natural: stats(natural, piece), (natural,), (direction,))[1]

        return jax.tree.map(jnp.add, total, jax.vmap(along)(directions)), None

    return lax.scan(step, total, block)[0]


def curvature(model: Model, directions: Natural, blocks: Iterable[Block]) -> Natural:
    """∂S/∂η · v = ∂²F/∂η² · v for each direction v, by forward derivatives of the E-step.

    Parameters
    ----------
    model : Model
        One model, not a stack.
    directions : tree of arrays
        As the model's natural parameters, with a leading axis of directions.
    blocks : iterable of Block

    Returns
    -------
    tree of arrays
        The shape of ``directions``.
    """
    model = model.for_bound()
    natural = natural_of(model) if model.compiled else model.natural()
    total = jax.tree.map(np.zeros_like, directions)
    for block in blocks:
        total = _add_curvature(model, natural, directions, block, total)
    return total


def _edge(model: Model) -> tuple[Array, Array]:
    return jnp.asarray(model.log_prior(), dtype=float), jnp.asarray(model.degenerate(), dtype=bool)


def edge(models: Model) -> tuple[Float[Array | np.ndarray, " lanes"], Bool[Array | np.ndarray, " lanes"]]:
    """Log prior of each lane, and whether its parameters have run into the edge of their space."""
    if models.compiled:
        return _edges(models)
    found = [(model.log_prior(), model.degenerate()) for model in lanes(models)]
    return np.array([prior for prior, _ in found], float), np.array([at_edge for _, at_edge in found], bool)


@jax.jit
def _edges(models: Model) -> tuple[Array, Array]:
    return over_lanes(_edge, models)


def maximisation(models: Model, stats: Natural) -> tuple[Model, Model, tuple[Any, Any]]:
    """The M-step of each lane of a stack.

    Returns
    -------
    updated : Model
        ``update`` mapped over the lanes.
    seen : Model
        What of it the next E-step sees (``for_bound``).
    edge : tuple of arrays
        The `edge` of the outcome.
    """
    if models.compiled:
        return _maximisation(models, stats)
    each = lanes(models)
    own = [jax.tree.map(lambda part, i=i: np.asarray(part)[i], stats) for i in range(len(each))]
    updated = stack([model.update(part) for model, part in zip(each, own, strict=True)])
    return updated, updated.for_bound(), edge(updated)


@jax.jit
def _maximisation(models: Model, stats: Natural) -> tuple[Model, Model, tuple[Array, Array]]:
    updated = models_over_lanes(lambda model, s: model.update(s), models, stats)
    return updated, updated.for_bound(), over_lanes(_edge, updated)
