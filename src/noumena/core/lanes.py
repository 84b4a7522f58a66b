"""Models side by side: a stack of restarts is one model whose arrays have a leading axis of lanes."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .model import Model, is_fixed


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | jax.Array)


def _axes(models: Model) -> Any:
    """For each node of the tree, the axis of the lanes: 0, or None where the lanes share it."""
    return jax.tree.map(lambda leaf: 0 if _is_array(leaf) else None, models, is_leaf=is_fixed)


def _per_lane(function: Callable[..., Any], models: Model, *others: Model) -> Model:
    """``function`` on every array that differs between lanes; what is `Fixed` is the first model's."""
    return jax.tree.map(
        lambda leaf, *rest: function(leaf, *rest) if _is_array(leaf) else leaf, models, *others, is_leaf=is_fixed
    )


# Stacks are put together and taken apart in NumPy: they are small, and JAX would compile a program for every shape.


def stack(models: Sequence[Model]) -> Model:
    """Models of one structure, along a new leading axis of lanes."""
    return _per_lane(lambda *leaves: np.stack(leaves), *models)


def lane(models: Model, index: Any) -> Model:
    """One model of a stack (integer index), or a smaller stack (array of indices)."""
    return _per_lane(lambda leaf: np.asarray(leaf)[index], models)


def lanes(models: Model) -> list[Model]:
    """The models of a stack."""
    return [lane(models, i) for i in range(_count(models))]


def choose(accept: np.ndarray, ours: Model, theirs: Model) -> Model:
    """Lane by lane, ``ours`` where ``accept`` (shape (lanes,)) is true, else ``theirs``."""

    def pick(a: Any, b: Any) -> np.ndarray:
        return np.where(accept.reshape((-1,) + (1,) * (a.ndim - 1)), np.asarray(a), np.asarray(b))

    return _per_lane(pick, ours, theirs)


def over_lanes(function: Callable[..., Any], models: Model, *others: Any) -> Any:
    """Map ``function(model, *other)`` over the lanes of a stack; ``others`` carry the same leading axis."""
    if _count(models) == 1:  # a mapped axis of length 1 still costs transpositions
        alone = function(_only(models), *(jax.tree.map(lambda leaf: leaf[0], other) for other in others))
        return jax.tree.map(lambda leaf: leaf[None], alone)
    return eqx.filter_vmap(function, in_axes=(_axes(models), *(0 for _ in others)))(models, *others)


def _only(models: Model) -> Model:
    """The only model of a stack of one, inside a compiled program."""
    return _per_lane(lambda leaf: leaf[0], models)


def _count(models: Model) -> int:
    leaves = jax.tree.leaves(jax.tree.map(lambda leaf: None if is_fixed(leaf) else leaf, models, is_leaf=is_fixed))
    return next(leaf.shape[0] for leaf in leaves if _is_array(leaf))


def models_over_lanes(function: Callable[..., Model], models: Model, *others: Any) -> Model:
    """As `over_lanes` for a function that returns a model of the same structure."""
    axes = _axes(models)
    return eqx.filter_vmap(function, in_axes=(axes, *(0 for _ in others)), out_axes=axes)(models, *others)
