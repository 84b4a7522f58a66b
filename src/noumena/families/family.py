"""What every exponential family offers, to mixtures and on its own."""

import abc
from typing import Any, ClassVar, Self, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.block import Block
from ..core.model import Natural
from .chart import Chart

Parameters: TypeAlias = Any
"""A tree of arrays with a leading axis of K components, in the family's own terms (means, covariances)."""


class Family(eqx.Module):
    """K densities p(x | k) = h(x) exp(⟨η_k, T(x)⟩ − A(η_k)) over the same columns.

    A family is the description, its parameters are passed in: every array of them has a leading axis of components.
    Subclasses say how η, A and the marginals look; densities, entropies and divergences follow here, once.
    """

    #: Components that come before those asked for: a background.
    background: ClassVar[int] = 0
    #: Whether `marginal` takes missing cells at no extra work, so that rows need no sorting by how many they have.
    holes_are_free: ClassVar[bool]

    def coupled(self, n_columns: int) -> tuple[int, ...]:
        """The columns whose missing cells are integrated out together: blocks tell the patterns among them."""
        return () if self.holes_are_free else tuple(range(n_columns))

    @abc.abstractmethod
    def for_bound(self) -> Self:
        """The family without what only `maximise` and `log_prior` read, see `noumena.core.model.Model.for_bound`."""

    @abc.abstractmethod
    def natural(self, parameters: Parameters) -> Natural:
        """η of each component."""

    def prepare(self, natural: Natural) -> Natural:
        """η as `marginal` computes with it, see `noumena.core.model.Model.prepare`."""
        return natural

    @abc.abstractmethod
    def log_normaliser(self, natural: Natural) -> Float[Array, " K"]:
        """A(η) = log ∫ h(x) exp⟨η, T(x)⟩ dx, constants kept."""

    @abc.abstractmethod
    def marginal(self, natural: Natural, block: Block) -> Float[Array, "rows K"]:
        """log ∫ h(x) exp⟨η_k, T(x)⟩ dx over the missing cells of each row, in the units of the data.

        Differentiable in ``natural``: the gradient is the expected statistic.
        """

    @abc.abstractmethod
    def maximise(self, count: Float[Array, " K"], stats: Natural, previous: Parameters) -> Parameters:
        """M-step: the parameters that maximise ⟨η, stats⟩ − count · A(η) + log prior."""

    def foreground(self, parameters: Parameters) -> "tuple[Family, Parameters]":
        """The family and the parameters of the components that were asked for, without any background."""
        return self, parameters

    def exact(self) -> bool:
        """Whether `maximise` reaches the maximum, see `noumena.core.model.Model.exact`."""
        return True

    @abc.abstractmethod
    def log_prior(self, parameters: Parameters) -> Float[Array, " K"]:
        """Log density of each component's conjugate prior, 0 without one."""

    @abc.abstractmethod
    def reported(self, parameters: Parameters) -> Any:
        """The parameters in the units of the data, by the names that users see: a dict of arrays (K, …).

        Differentiable, so that standard errors follow.
        """

    @abc.abstractmethod
    def chart(self, parameters: Parameters) -> Chart:
        """Free coordinates around these parameters (NumPy arrays)."""

    @abc.abstractmethod
    def collapsed(self, parameters: Parameters) -> Bool[Array, " K"]:
        """Which components are held up by the family's floor."""

    @abc.abstractmethod
    def initial(self, n_components: int) -> Parameters:
        """Parameters of components that know nothing yet: one standard density, K times."""

    def statistics(self, x: np.ndarray, responsibilities: np.ndarray, given: np.ndarray | None = None) -> Natural:
        """Σ_n r_nk E[T(x_n)] with what is hidden taken from `initial`: what a start is made of.

        By default the gradient of the marginal, as in any E-step.

        Parameters
        ----------
        x : array, shape (n, d)
            In the units of the data, NaN where missing.
        responsibilities : array, shape (n, K)
            Weights included.
        given : array, shape (n, p), optional
            The rows' covariates.
        """
        initial = self.initial(responsibilities.shape[1])
        return jax.tree.map(np.asarray, _statistics(self, initial, x, responsibilities, given))

    #: Share of every row that a start spreads over all components: a probability that begins at 0 would stay there.
    blur: ClassVar[float] = 0.0

    def embedding(self, x: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
        """Rows as points whose squared distances mean something, shape (n, any), NaN where unknown: for starts."""
        return x

    @abc.abstractmethod
    def n_parameters(self, n_components: int) -> int:
        """Free parameters of so many components."""

    @abc.abstractmethod
    def footprint(self, n_components: int, missing: int) -> int:
        """Numbers kept per row while `marginal` and its gradient run: what the size of a piece is chosen by."""

    def mean(self, natural: Natural) -> Natural:
        """Mean parameters E[T(x)] = ∇A(η) of each component."""
        return jax.grad(lambda eta: jnp.sum(self.log_normaliser(eta)))(natural)

    def log_density(self, natural: Natural, block: Block) -> Float[Array, "rows K"]:
        """log p(x_observed | k) of each row and component, in nats."""
        return self.marginal(natural, block) - self.log_normaliser(natural)

    def expected_log_base(self, natural: Natural) -> Float[Array, " K"]:
        """E[log h(x)] of each component, constants and all; 0 as it stands, for families with h = 1."""
        return jnp.zeros(jax.tree.leaves(natural)[0].shape[0])

    def entropy(self, natural: Natural) -> Float[Array, " K"]:
        """H(p_η) = −E log p(x) = A(η) − ⟨η, E_η[T]⟩ − E[log h(x)] of each component, in nats.

        Of a density, it depends on the units of the data, and may be negative.
        """
        return self.log_normaliser(natural) - inner(natural, self.mean(natural)) - self.expected_log_base(natural)

    def kl(self, natural: Natural, other: Natural) -> Float[Array, " K"]:
        """KL(p_η ‖ p_η') = ⟨η − η', E_η[T]⟩ − A(η) + A(η')."""
        difference = jax.tree.map(jnp.subtract, natural, other)
        return inner(difference, self.mean(natural)) - self.log_normaliser(natural) + self.log_normaliser(other)


@eqx.filter_jit
def _statistics(
    family: Family, parameters: Parameters, x: np.ndarray, responsibilities: np.ndarray, given: np.ndarray | None
) -> Natural:
    block = Block(x, jnp.ones(x.shape[0]), given=given)
    objective = lambda eta: jnp.sum(responsibilities * family.marginal(eta, block))  # noqa: E731
    return jax.grad(objective)(family.natural(parameters))


def inner(natural: Natural, stats: Natural) -> Float[Array, " K"]:
    """⟨η_k, S_k⟩ for each component: every array's axes but the first are summed over."""
    parts = jax.tree.map(lambda a, b: jnp.sum((a * b).reshape(a.shape[0], -1), axis=1), natural, stats)
    return jnp.sum(jnp.stack(jax.tree.leaves(parts)), axis=0)
