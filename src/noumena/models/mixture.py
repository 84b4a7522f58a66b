"""Mixtures of any family: p(x, z = k | θ) = π_k p(x | k)."""

from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.block import Block
from ..core.expectation import natural_of
from ..core.model import Model, Natural
from ..families.family import Family, Parameters

#: Log weight of a component that takes no part: exp of it is 0, and no arithmetic makes a NaN of it.
NEVER = -1e30


class MixtureNatural(NamedTuple):
    """``constant`` is log π_k − A(η_k), whose statistic is the count of component k; ``family`` is η.

    Where weights depend on covariates, ``gate`` holds what they depend by, and ``constant`` is −A(η_k).
    """

    constant: Float[Any, " K"]
    family: Natural
    gate: Any = None


class Mixture(Model):
    """A finite mixture.

    Attributes
    ----------
    family : Family
        What the components are.
    weights : array, shape (K,)
        π, summing to 1 over the active components.
    parameters : tree of arrays, leading axis K
        In the family's terms.
    active : array of bool, shape (K,)
        Components that exist. Mixtures of different sizes padded to one K share their compiled programs.
    """

    family: Family
    weights: Float[Any, " K"]
    parameters: Parameters
    active: Bool[Any, " K"]

    def for_bound(self) -> "Mixture":
        return Mixture(self.family.for_bound(), self.weights, self.parameters, self.active)

    def natural(self) -> MixtureNatural:
        eta = self.family.natural(self.parameters)
        weight = jnp.where(self.active & (self.weights > 0), self.weights, 1.0)
        log_weight = jnp.where(self.active & (self.weights > 0), jnp.log(weight), NEVER)
        return MixtureNatural(log_weight - self.family.log_normaliser(eta), eta)

    def prepare(self, natural: MixtureNatural) -> MixtureNatural:
        return natural._replace(family=self.family.prepare(natural.family))

    def log_joint(self, natural: MixtureNatural, block: Block) -> Float[Array, "rows K"]:
        """log p(x_observed, z = k) of each row; −1e30 where a known label excludes k."""
        value = self.family.marginal(natural.family, block) + self._log_weights(natural, block)
        if block.label is None:
            return value
        label = jnp.asarray(block.label)[:, None]
        return jnp.where((label < 0) | (label == jnp.arange(value.shape[1])), value, NEVER)

    def _log_weights(self, natural: MixtureNatural, block: Block) -> Float[Array, "#rows K"]:
        """log π_k − A(η_k)."""
        return natural.constant[None]

    def bound(self, natural: MixtureNatural, block: Block) -> Float[Array, " rows"]:
        return jax.nn.logsumexp(self.log_joint(natural, block), axis=1)  # exact: q(z) is the posterior

    def posterior(self, natural: MixtureNatural, block: Block) -> Float[Array, "rows K"]:
        """p(z = k | x_observed) of each row."""
        return jax.nn.softmax(self.log_joint(natural, block), axis=1)

    def update(self, stats: MixtureNatural) -> Self:
        count = jnp.where(self.active, stats.constant, 0.0)
        return type(self)(
            self.family,
            count / jnp.sum(count),
            self.family.maximise(count, stats.family, self.parameters),
            self.active,
        )

    def exact(self) -> bool:
        return self.family.exact()

    def statistics(self, x: np.ndarray, given: np.ndarray | None, responsibilities: np.ndarray) -> MixtureNatural:
        """Those of rows with known responsibilities (weights included): what a start is made of."""
        return MixtureNatural(responsibilities.sum(axis=0), self.family.statistics(x, responsibilities, given))

    def first(self, size: int) -> "Mixture":
        """The mixture of the first components, in NumPy."""
        keep = slice(size)
        return Mixture(self.family, self.weights[keep], self.parameters.components(keep), self.active[keep])

    def foreground(self) -> tuple[Family, Parameters]:
        """The family and the parameters of the components, without any background."""
        return self.family.foreground(self.parameters)

    def n_parameters(self) -> int:
        """Free parameters of the components that exist."""
        size = int(np.sum(self.active))
        return size - 1 + self.family.n_parameters(size)

    def log_prior(self) -> Float[Array, ""]:
        return jnp.sum(jnp.where(self.active, self.family.log_prior(self.parameters), 0.0))

    def degenerate(self) -> Bool[Array, ""]:
        return jnp.any(self.active & self.family.collapsed(self.parameters))


def evaluate(model: Mixture, block: Block) -> tuple[Float[Array, "pieces rows"], Float[Array, "pieces rows K"]]:
    """log p(x_observed) and p(z = k | x_observed) of each row of a block."""
    model = model.for_bound()
    return _evaluate(model, natural_of(model), block)


@jax.jit
def _evaluate(model: Mixture, natural: MixtureNatural, block: Block) -> tuple[Array, Array]:
    natural = model.prepare(natural)

    def piece(piece: Block) -> tuple[Array, Array]:
        joint = model.log_joint(natural, piece)
        bound = jax.nn.logsumexp(joint, axis=1)
        return bound, jnp.exp(joint - bound[:, None])

    return jax.lax.map(piece, block)
