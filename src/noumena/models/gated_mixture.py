"""Mixtures whose weights depend on covariates: p(x, z = k | w) = π_k(w) p(x | k), or p(x | w, k)."""

from typing import Any, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ..core.block import Block
from ..families.design import DesignFrame, covariates, solved
from ..families.product import after
from .mixture import NEVER, Mixture, MixtureNatural


class GateNatural(NamedTuple):
    """γ, and two places that are 0: what multiplies them is gathered for the M-step.

    With the Newton matrix H = Σ (diag π − ππᵀ) ⊗ zzᵀ, ``curvature`` gathers H and ``working`` Hγ + Σ (r − π) ⊗ z, r
    being the responsibilities: γ ← H⁻¹ working.
    """

    coefficients: Float[Any, "K p"]
    working: Float[Any, "K p"]
    curvature: Float[Any, "K K p p"]


class Gate(eqx.Module):
    """Multinomial logistic regression of the component on covariates: π_k(w) ∝ exp(zᵀγ_k), γ_0 = 0.

    Dayton & Macready (1988), JASA 83:173, for latent classes; Jordan & Jacobs (1994), Neural Comput. 6:181, for
    mixtures of experts.

    Attributes
    ----------
    frame : DesignFrame
        z from w.
    coefficients : array, shape (K, p)
    """

    frame: DesignFrame
    coefficients: Float[Any, "K p"]

    def natural(self) -> GateNatural:
        """γ with the places for statistics."""
        k, p = self.coefficients.shape
        return GateNatural(jnp.asarray(self.coefficients), jnp.zeros((k, p)), jnp.zeros((k, k, p, p)))

    def log_weights(self, coefficients: Array, given: Array, active: Array) -> Float[Array, "rows K"]:
        """log π_k(w) of each row."""
        return jax.nn.log_softmax(jnp.where(active, self.frame.enter(given) @ coefficients.T, NEVER), axis=1)

    def working(self, natural: GateNatural, given: Array, active: Array) -> tuple[Array, Array]:
        """What the places for statistics multiply: of each component, (rows, K), and of the row, (rows,)."""
        z = self.frame.enter(given)
        eta = lax.stop_gradient(z @ natural.coefficients.T)
        share = jax.nn.softmax(jnp.where(active, eta, NEVER), axis=1)
        each = z @ natural.working.T
        centred = eta - jnp.sum(share * eta, axis=1, keepdims=True)
        newton = jnp.einsum("nkl,ni,nj,klij->n", _spread(share), z, z, natural.curvature, optimize=True)
        return each, jnp.sum(share * (centred - 1) * each, axis=1) + newton

    def maximise(self, stats: GateNatural) -> "Gate":
        """One Newton step."""
        k, p = self.coefficients.shape
        size = (k - 1) * p
        curvature = stats.curvature[1:, 1:].transpose(0, 2, 1, 3).reshape(size, size)
        found = solved(curvature, stats.working[1:].reshape(size)).reshape(k - 1, p)
        return Gate(self.frame, jnp.concatenate([jnp.zeros((1, p)), found]))

    def statistics(self, given: np.ndarray, responsibilities: np.ndarray, active: np.ndarray) -> GateNatural:
        """The statistics of a start, taken at γ = 0."""
        z = np.asarray(self.frame.enter(given))
        weight, share = responsibilities.sum(axis=1), active / active.sum()
        working = (responsibilities - weight[:, None] * share).T @ z
        curvature = np.multiply.outer(np.diag(share) - np.outer(share, share), (weight[:, None] * z).T @ z)
        return GateNatural(np.zeros_like(working), working, curvature)

    def reported(self) -> Float[Array, "K p"]:
        """Coefficients of the covariates as they are."""
        return self.frame.leave(self.coefficients)

    def first(self, size: int) -> "Gate":
        """That of the first components."""
        return Gate(self.frame, self.coefficients[:size])


def _spread(share: Float[Array, "rows K"]) -> Float[Array, "rows K K"]:
    """diag π − ππᵀ of each row."""
    return share[:, :, None] * (jnp.eye(share.shape[1]) - share[:, None, :])


class GatedMixture(Mixture):
    """A mixture with a `Gate` in place of constant weights; ``weights`` are the average shares of the components.

    Needs blocks with covariates (``given``).
    """

    gate: Gate

    def for_bound(self) -> "GatedMixture":
        return GatedMixture(self.family.for_bound(), self.weights, self.parameters, self.active, self.gate)

    def exact(self) -> bool:
        return False

    def natural(self) -> MixtureNatural:
        eta = self.family.natural(self.parameters)
        return MixtureNatural(-self.family.log_normaliser(eta), eta, self.gate.natural())

    def _log_weights(self, natural: MixtureNatural, block: Block) -> Float[Array, "rows K"]:
        weights = self.gate.log_weights(natural.gate.coefficients, covariates(block), self.active)
        return weights + natural.constant

    def bound(self, natural: MixtureNatural, block: Block) -> Float[Array, " rows"]:
        each, row = self.gate.working(natural.gate, covariates(block), self.active)
        return jax.nn.logsumexp(self.log_joint(natural, block) + each, axis=1) + row

    def statistics(self, x: np.ndarray, given: np.ndarray | None, responsibilities: np.ndarray) -> MixtureNatural:
        gate = self.gate.statistics(np.asarray(given), responsibilities, self.active)
        return super().statistics(x, given, responsibilities)._replace(gate=gate)

    def update(self, stats: MixtureNatural) -> Self:
        count = jnp.where(self.active, stats.constant, 0.0)
        parameters = self.family.maximise(count, stats.family, self.parameters)
        gate = self.gate.maximise(after(stats.gate, parameters))  # two factorisations side by side may hang
        return type(self)(self.family, count / jnp.sum(count), parameters, self.active, gate)

    def first(self, size: int) -> "GatedMixture":
        plain = super().first(size)
        return GatedMixture(plain.family, plain.weights, plain.parameters, plain.active, self.gate.first(size))

    def n_parameters(self) -> int:
        size = int(np.sum(self.active))
        return (size - 1) * self.gate.frame.size + self.family.n_parameters(size)

    def shares(self, given: np.ndarray) -> np.ndarray:
        """π_k(w) of each row, shape (rows, K)."""
        return np.exp(np.asarray(self.gate.log_weights(self.gate.coefficients, jnp.asarray(given), self.active)))
