"""The one thing to write for a new model: its bound, and how statistics become parameters."""

import abc
from typing import Any, ClassVar, Self, TypeAlias

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .block import Block

Natural: TypeAlias = Any
"""A tree of arrays: the natural parameters η. Statistics have the same structure."""


class Fixed(eqx.Module):
    """Arrays that belong to a model but are no parameters: a coordinate frame, a prior's hyperparameters.

    No fit moves them, and restarts side by side have them in common.
    """

    value: Any


def is_fixed(node: Any) -> bool:
    """Whether a node of a model's tree is `Fixed`."""
    return isinstance(node, Fixed)


class Model(eqx.Module):
    """A latent variable model p(x, z | θ), pure and immutable; its fields are θ, but for those that are `Fixed`.

    With log p(x, z | θ) = ⟨η(θ), T(x, z)⟩ + c(x), the gradient of the bound with respect to η is the expected
    statistic E_q[T(x, z)] (Fisher's identity for exact q, the envelope theorem for any q held at its optimum).
    That gradient is the whole E-step, so a model says only

    - ``bound``: log p(x | θ) of each row, or a lower bound of it, as a differentiable function of η, and
    - ``update``: the parameters that maximise the expected complete-data log likelihood given the statistics.

    Both are traced by JAX and mapped over restarts: write them for one model with ``jax.numpy``. A model for which the
    same E-step runs faster by hand has ``compiled = False`` and `gather`; a test then holds both against each other.
    """

    #: Whether E- and M-steps are compiled by JAX; if not, they are NumPy's, one model of a stack after the other.
    compiled: ClassVar[bool] = True

    def natural(self) -> Natural:
        """Natural parameters η(θ), a tree of arrays; by default the model's own floating-point fields."""
        return jax.tree.map(
            lambda leaf: leaf if eqx.is_inexact_array(leaf) else None,  # `Fixed` is no array: None
            self,
            is_leaf=is_fixed,
        )

    def for_bound(self) -> "Model":
        """The model without what only ``update`` reads: models alike in the rest share their compiled E-step."""
        return self

    def prepare(self, natural: Natural) -> Natural:
        """``natural`` in the form that `bound` computes with, found once for all rows; by default as it is.

        What is rearranged here (packed, transposed) is neither computed nor differentiated anew for each piece of rows.
        """
        return natural

    @abc.abstractmethod
    def bound(self, natural: Natural, block: Block) -> Float[Array, " rows"]:
        """Evidence lower bound of each row in nats, constants kept.

        Parameters
        ----------
        natural : tree of arrays
            η, as given by `natural`, or what `prepare` makes of it; differentiate through this argument only.
        block : Block
            One piece: ``x`` of shape (rows, d). Rows of weight 0 must give finite values too.

        Returns
        -------
        array, shape (rows,)
        """

    def gather(self, natural: Natural, block: Block) -> tuple[float, Natural]:
        """The E-step of one block by hand, for models that are not ``compiled``: Σ weight · bound, and its gradient.

        Parameters
        ----------
        natural : tree of arrays
            η, as given by `natural`.
        block : Block
            With its leading axis of pieces.
        """
        raise NotImplementedError(f"{type(self).__name__} leaves its E-step to the gradient of its bound")

    def magnitude(self, stats: Natural) -> float:
        """Size of the terms that cancel in the bound of a model that is not ``compiled``: it is rounded beside them.

        0 where none do, as in a product of probabilities.
        """
        return 0.0

    @abc.abstractmethod
    def update(self, stats: Natural) -> Self:
        """M-step: the model whose parameters maximise ⟨η(θ), stats⟩ (+ log prior), given Σ_rows weight · E_q[T].

        ``self`` holds the parameters that the statistics were taken at, for M-steps that iterate.
        """

    def exact(self) -> bool:
        """Whether `update` reaches the maximum.

        Where it is a Newton step towards it, as in regressions with a link, a step may overshoot: the loop then
        shortens steps after which the objective would fall.
        """
        return True

    def log_prior(self) -> Float[Array, ""] | float:
        """Log density of the prior at θ (0 for maximum likelihood); the loop raises Σ bound + log prior."""
        return 0.0

    def degenerate(self) -> Array | bool:
        """Whether parameters have run into the edge of their space (a collapsed component, say); scalar bool."""
        return False
