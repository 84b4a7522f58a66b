"""How far off the estimates may be: the observed information of a model, by automatic differentiation."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.block import Block
from ..core.errors import NoumenaError
from ..core.expectation import curvature, expectation
from ..core.lanes import stack
from ..core.model import Model, Natural
from ..families.chart import NEAR_EDGE, Chart
from .gated_mixture import GatedMixture, GateNatural
from .mixture import Mixture, MixtureNatural

#: Directions of curvature taken at once.
DIRECTIONS = 8
#: More free parameters than this make an information matrix too large to be of use.
MOST_PARAMETERS = 5000
#: Information whose least eigenvalue is below this share of its largest, in units of its diagonal, is singular.
_LEAST_EIGENVALUE = 1e-8
#: What moves with a coordinate at an edge by more than this, beside the others, has no standard error.
_HELD = 1e-6


class InformationError(NoumenaError, ValueError):
    """The observed information is not positive definite, so that it has no inverse to read standard errors from."""


@final
@dataclass(frozen=True)
class StandardErrors:
    """Standard errors of a fitted model, in the units of the data.

    They are read as attributes by the names of the estimates without the underscore: ``errors.weights``,
    ``errors.means``. A parameter at the edge of its range (a probability of 0) has none: NaN.

    Attributes
    ----------
    values : dict
        By name, in the form of the estimates.
    method : {"observed", "bootstrap"}
    """

    values: dict[str, Any]
    method: str

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("values", {})
        if name in values:
            return values[name]
        raise AttributeError(f"no standard errors of {name!r}: there are those of {', '.join(values)}")


class Coordinates(Protocol):
    """Coordinates θ of shape (p,) of a whole model, all 0 at the estimate."""

    @property
    def size(self) -> int:
        """p, the number of free parameters."""
        ...

    @property
    def held(self) -> Bool[np.ndarray, " p"]:
        """Coordinates that the rows do not determine, or along which the estimate lies at an edge."""
        ...

    def natural(self, theta: Float[Array, " p"]) -> Natural:
        """The model's natural parameters."""
        ...


class Reporting(Coordinates, Protocol):
    """Coordinates that know what users see."""

    def reported(self, theta: Float[Array, " p"]) -> Any:
        """What users see of the model."""
        ...


class MixtureChart(eqx.Module):
    """Free coordinates of a mixture: those of its weights (or of what they depend by), then those of its components.

    Attributes
    ----------
    model : Mixture
        The estimate, in NumPy.
    family : Chart
        Of the components without a background.
    """

    model: Mixture
    family: Chart

    @classmethod
    def around(cls, model: Mixture) -> "MixtureChart":
        """Coordinates around a fitted mixture."""
        family, parameters = model.foreground()
        return cls(model, family.chart(parameters))

    @property
    def _n_weights(self) -> int:
        gate = self.model.gate.frame.size if isinstance(self.model, GatedMixture) else 1
        return (len(self.model.weights) - 1) * gate

    @property
    def size(self) -> int:
        """Number of free coordinates."""
        return self._n_weights + self.family.size

    @property
    def held(self) -> Bool[np.ndarray, " p"]:
        """Coordinates at an edge."""
        weights = np.zeros(self._n_weights, dtype=bool)
        if not isinstance(self.model, GatedMixture):
            weights = np.asarray(self.model.weights)[np.asarray(self._odds)] < NEAR_EDGE
        return np.concatenate([weights, self.family.held])

    @property
    def _odds(self) -> Array:
        """Which weight each coordinate moves: all but the largest, which lies at no edge."""
        place, largest = jnp.arange(self._n_weights), jnp.argmax(self.model.weights)
        return place + (place >= largest)

    def _weights(self, theta: Float[Array, " p"]) -> Array:
        """log π, or the coefficients of a gate."""
        free = theta[: self._n_weights]
        if isinstance(self.model, GatedMixture):
            k, p = self.model.gate.coefficients.shape
            return self.model.gate.coefficients + jnp.concatenate([jnp.zeros((1, p)), free.reshape(k - 1, p)])
        odds = jnp.zeros(len(self.model.weights)).at[self._odds].set(free)
        return jax.nn.log_softmax(jnp.log(jnp.maximum(self.model.weights, 1e-300)) + odds)

    def natural(self, theta: Float[Array, " p"]) -> MixtureNatural:
        """The mixture's natural parameters."""
        weights = self._weights(theta)
        natural, normaliser = self.family.natural(theta[self._n_weights :])
        background = len(self.model.weights) - normaliser.shape[0]
        normaliser = jnp.concatenate([jnp.zeros(background), normaliser])
        if not isinstance(self.model, GatedMixture):
            return MixtureNatural(weights - normaliser, natural)
        zero = self.model.gate.natural()
        return MixtureNatural(-normaliser, natural, GateNatural(weights, zero.working, zero.curvature))

    def reported(self, theta: Float[Array, " p"]) -> tuple[Array, Any]:
        """What users see of the weights (or of the gate), and of the components."""
        weights, (family, _) = self._weights(theta), self.model.foreground()
        seen = self.model.gate.frame.leave(weights) if isinstance(self.model, GatedMixture) else jnp.exp(weights)
        return seen, family.reported(self.family.parameters(theta[self._n_weights :]))


@eqx.filter_jit
def _derivatives(chart: Coordinates, stats: Natural) -> tuple[Any, Array]:
    """∂η/∂θ and Σ_j S_j ∂²η_j/∂θ² at θ = 0."""
    zero = jnp.zeros(chart.size)

    def weighted(theta: Array) -> Array:
        parts = jax.tree.map(lambda a, b: jnp.sum(a * b), chart.natural(theta), stats)
        return sum(jax.tree.leaves(parts), jnp.zeros(()))

    return jax.jacfwd(chart.natural)(zero), jax.jacfwd(jax.grad(weighted))(zero)


def observed_errors(model: Model, chart: Reporting, blocks: Iterable[Block]) -> Any:
    """Standard errors by the delta method from the inverse of the observed information.

    With ℓ(η(θ)), −∂²ℓ/∂θ² = −(∂η/∂θ)ᵀ (∂S/∂η) (∂η/∂θ) − Σ_j S_j ∂²η_j/∂θ², where S = ∂ℓ/∂η is what the E-step gathers:
    only its derivative needs the rows.

    Parameters
    ----------
    model : Model
        One model, in NumPy.
    chart : Coordinates
        Around it.
    blocks : iterable of Block
        The rows that the model was fitted on; iterated over several times.

    Returns
    -------
    tree of arrays
        Errors of what the chart's `Coordinates.reported` gives.

    Raises
    ------
    InformationError
        Where the information has no inverse, or would be too large.
    """
    found = coordinate_covariance(model, chart, blocks)
    p, free = chart.size, ~chart.held

    def errors(part: Any) -> np.ndarray:
        return delta_errors(np.asarray(part).reshape(-1, p), free, found).reshape(part.shape[:-1])

    return jax.tree.map(errors, _jacobian(chart))


@eqx.filter_jit
def _jacobian(chart: "Reporting") -> Any:
    """∂(what is reported)/∂θ at θ = 0."""
    return jax.jacfwd(chart.reported)(jnp.zeros(chart.size))


def delta_errors(
    jacobian: Float[np.ndarray, "n p"], free: Bool[np.ndarray, " p"], covariance: Float[np.ndarray, "f f"]
) -> Float[np.ndarray, " n"]:
    """Standard errors of n functions of the coordinates; NaN for one that moves with a coordinate at an edge."""
    own, edge = jacobian[:, free], np.abs(jacobian[:, ~free])
    variance = np.einsum("ip,pq,iq->i", own, covariance, own, optimize=True)
    stuck = np.max(edge, axis=1, initial=0.0) > _HELD * np.max(np.abs(own), axis=1, initial=0.0)
    return np.where(stuck, np.nan, np.sqrt(np.maximum(variance, 0.0)))


def coordinate_covariance(
    model: Model, chart: Coordinates, blocks: Iterable[Block], prior: Float[np.ndarray, "p p"] | None = None
) -> Float[np.ndarray, "f f"]:
    """Inverse of the observed information in the coordinates that are not held.

    Parameters and errors are those of `observed_errors`; ``prior`` is −∂² log p(θ), if there is one.
    """
    p, free = chart.size, ~chart.held
    if p > MOST_PARAMETERS:
        raise InformationError(
            f"{p} free parameters make an information matrix of {p} × {p}, more than the {MOST_PARAMETERS} that are "
            'taken: use method="bootstrap"'
        )
    _, stats = expectation(stack([model]).for_bound(), blocks)
    stats = jax.tree.map(lambda part: part[0], stats)
    natural, second = _derivatives(chart, stats)
    directions = [np.moveaxis(np.asarray(leaf), -1, 0) for leaf in jax.tree.leaves(natural)]
    tree = jax.tree.structure(natural)
    flat = np.concatenate([leaf.reshape(p, -1) for leaf in directions], axis=1)
    first = np.empty((p, p))
    for begin in range(0, p, DIRECTIONS):
        few = [_padded(leaf[begin : begin + DIRECTIONS]) for leaf in directions]
        bent = jax.tree.leaves(curvature(model, jax.tree.unflatten(tree, few), blocks))
        rows = np.concatenate([np.asarray(leaf).reshape(DIRECTIONS, -1) for leaf in bent], axis=1)
        first[begin : begin + DIRECTIONS] = (rows @ flat.T)[: p - begin]
    information = -(0.5 * (first + first.T) + np.asarray(second))
    if prior is not None:
        information = information + prior
    return _inverse(information[np.ix_(free, free)])


def _inverse(information: Float[np.ndarray, "p p"]) -> Float[np.ndarray, "p p"]:
    """The inverse, in units in which the diagonal is 1: those of the coordinates say nothing."""
    diagonal = np.diagonal(information)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    unit = information / np.outer(scale, scale)
    values = np.linalg.eigvalsh(unit) if len(unit) else np.ones(1)
    if not (np.isfinite(values).all() and values[0] > _LEAST_EIGENVALUE * values[-1]):
        raise InformationError(
            f"the observed information is not positive definite (eigenvalues {values[0]:.2g} to {values[-1]:.2g}, in "
            "units of its diagonal): the fit is not at an inner maximum, or some parameters are not determined by "
            'these rows; lower tol, use a smaller model, or method="bootstrap"'
        )
    return np.linalg.inv(unit) / np.outer(scale, scale)


def _padded(directions: np.ndarray) -> np.ndarray:
    """Filled up with zero directions, so that one program serves all."""
    return np.concatenate([directions, np.zeros((DIRECTIONS - len(directions), *directions.shape[1:]))])
