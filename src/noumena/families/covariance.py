"""What the covariances of K components share: the 14 structures of model-based clustering.

Σ_k = λ_k D_k A_k D_kᵀ: a volume λ_k, a shape A_k (diagonal, |A_k| = 1) and an orientation D_k (orthogonal). A structure
is three letters, one for each: Equal over the components, Variable, or I for the identity (Celeux & Govaert 1995,
Pattern Recognition 28:781; the names are those of Fraley & Raftery). It is a map from scatter matrices to covariances
and knows nothing of how they were gathered.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

STRUCTURES = (
    *("EII", "VII", "EEI", "VEI", "EVI", "VVI"),
    *("EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"),
)
ALIASES = {"spherical": "VII", "diag": "VVI", "tied": "EEE", "full": "VVV", "E": "EII", "V": "VII"}

#: Smallest variance of a component along any direction, as a share of the columns' own: below it lies rounding, and
#: the likelihood of a component that shrinks onto equal rows has no maximum.
FLOOR = 1e-8
_INNER_STEPS = 100
_INNER_TOL = 1e-13


@dataclass(frozen=True)
class Structure:
    """One covariance structure.

    Parameters
    ----------
    volume : {"E", "V"}
    shape : {"I", "E", "V"}
    orientation : {"I", "E", "V"}
    """

    volume: Literal["E", "V"]
    shape: Literal["I", "E", "V"]
    orientation: Literal["I", "E", "V"]

    @classmethod
    def named(cls, name: str) -> "Structure":
        """The structure of this name, scikit-learn's names and, for one column, E and V included."""
        code = ALIASES.get(name, name)
        if code not in STRUCTURES:
            known = ", ".join((*STRUCTURES, *ALIASES))
            raise ValueError(f"covariance={name!r} is not a structure: choose among {known}")
        return cls(*code)  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        return self.volume + self.shape + self.orientation

    @property
    def diagonal(self) -> bool:
        """Whether every Σ_k is diagonal."""
        return self.orientation == "I"

    @property
    def scale_invariant(self) -> bool:
        """Whether rescaling single columns maps the structure onto itself."""
        return self.name in ("EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVV", "VVV")

    def n_parameters(self, n_components: int, d: int) -> int:
        """Free parameters of K covariances over d columns."""
        share = {"I": 0, "E": 1, "V": n_components}
        return share[self.volume] + share[self.shape] * (d - 1) + share[self.orientation] * (d * (d - 1) // 2)

    def maximise(
        self,
        n: Float[Array, " K"],
        scatter: Float[Array, "K d d"],
        orientation: Float[Array, "d d"],
        floor: float | Array = FLOOR,
    ) -> tuple[Float[Array, "K d d"], Float[Array, "d d"], Bool[Array, " K"]]:
        """The Σ_k that maximise −½ Σ_k [n_k log|Σ_k| + tr(Σ_k⁻¹ W_k)] under the structure.

        Parameters
        ----------
        n : array, shape (K,)
            Expected number of rows of each component, n_k; 0 for one that takes no part.
        scatter : array, shape (K, d, d)
            W_k, centred sums of squares and products.
        orientation : array, shape (d, d)
            D of the previous step, where it is common; the identity before the first.
        floor : float
            Smallest variance along any direction.

        Returns
        -------
        covariance : array, shape (K, d, d)
        orientation : array, shape (d, d)
        at_floor : array of bool, shape (K,)
        """
        if self.orientation == "I":
            values, at_floor = self.maximise_diagonal(n, jnp.diagonal(scatter, axis1=1, axis2=2), floor)
            return jax.vmap(jnp.diag)(values), orientation, at_floor
        if self.orientation == "V":
            omega, vectors = jnp.linalg.eigh(scatter)  # W_k = L_k Ω_k L_kᵀ, ascending: D_k = L_k is optimal
        elif self.shape == "E":
            omega, vectors = self._common_matrix(n, scatter, floor)
        else:
            omega, orientation = self._common_orientation(n, scatter, orientation, floor)
            vectors = jnp.broadcast_to(orientation, scatter.shape)
        values, at_floor = self.maximise_diagonal(n, omega, floor)
        covariance = (vectors * values[:, None, :]) @ vectors.swapaxes(1, 2)
        return 0.5 * (covariance + covariance.swapaxes(1, 2)), orientation, at_floor

    def maximise_diagonal(
        self, n: Float[Array, " K"], omega: Float[Array, "K d"], floor: float | Array = FLOOR
    ) -> tuple[Float[Array, "K d"], Bool[Array, " K"]]:
        """The diagonals λ_k A_k, given those of the scatters in the components' axes, and which met the floor."""
        used = n > 0
        least = jnp.min(jnp.where(used, n, jnp.inf))
        omega = jnp.where(used[:, None], jnp.maximum(omega, 0.01 * floor * least), 1.0)
        values = self._volume_and_shape(n, omega)
        at_floor = used & jnp.any(values <= floor, axis=1)
        return jnp.where(used[:, None], jnp.maximum(values, floor), 1.0), at_floor

    def _volume_and_shape(self, n: Array, omega: Array) -> Array:
        used = (n > 0)[:, None]
        total, each = jnp.sum(n), jnp.where(n > 0, n, 1.0)[:, None]
        omega_used = jnp.where(used, omega, 0.0)
        match self.volume + self.shape:
            case "EI":
                return jnp.broadcast_to(jnp.sum(omega_used) / (total * omega.shape[1]), omega.shape)
            case "VI":
                return jnp.broadcast_to(jnp.mean(omega, axis=1, keepdims=True) / each, omega.shape)
            case "EE":
                return jnp.broadcast_to(jnp.sum(omega_used, axis=0) / total, omega.shape)
            case "VV":
                return omega / each
            case "EV":
                volume = _geometric_mean(omega)  # |Ω_k|^(1/d)
                return omega / volume * (jnp.sum(jnp.where(used, volume, 0.0)) / total)
            case _:  # "VE": λ_k and A each have a closed form given the other
                start = jnp.sum(omega_used, axis=0)

                def step(shape: Array) -> Array:
                    volume = jnp.mean(omega / shape, axis=1, keepdims=True) / each
                    return _unit(jnp.sum(jnp.where(used, omega / volume, 0.0), axis=0))

                shape = _fixed_point(step, _unit(start))
                return jnp.mean(omega / shape, axis=1, keepdims=True) / each * shape

    def _common_matrix(self, n: Array, scatter: Array, floor: float | Array) -> tuple[Array, Array]:
        """Σ_k = λ_k C: eigenvectors of C and the scatters' diagonals in them."""
        d = scatter.shape[1]
        used = n > 0
        if self.volume == "E":
            pooled = jnp.sum(scatter, axis=0)
        else:
            each = jnp.where(used, n, 1.0)

            def step(matrix: Array) -> Array:
                # λ_k = tr(W_k C⁻¹) / (d n_k), C = Σ W_k / λ_k with |C| = 1
                inverse = jnp.linalg.inv(matrix)
                volume = jnp.where(used, jnp.einsum("kij,ji->k", scatter, inverse) / (d * each), 1.0)
                volume = jnp.maximum(volume, 1e-3 * floor)
                return _unit_determinant(jnp.einsum("kij,k->ij", scatter, jnp.where(used, 1 / volume, 0.0)))

            pooled = _fixed_point(step, _unit_determinant(jnp.sum(scatter, axis=0)))
        _, vectors = jnp.linalg.eigh(pooled)
        omega = jnp.einsum("ji,kjl,li->ki", vectors, scatter, vectors)
        return omega, jnp.broadcast_to(vectors, scatter.shape)

    def _common_orientation(
        self, n: Array, scatter: Array, orientation: Array, floor: float | Array
    ) -> tuple[Array, Array]:
        """Σ_k = λ_k D A_k Dᵀ: the common D by Jacobi rotations, and the scatters' diagonals in it.

        For fixed λ_k A_k, each plane rotation has a closed form; a sweep over the planes alternates with the closed
        form of λ_k A_k, so that the objective never falls.
        """
        d = scatter.shape[1]
        planes = jnp.asarray([(i, j) for i in range(d) for j in range(i + 1, d)], dtype=int).reshape(-1, 2)
        _, pooled = jnp.linalg.eigh(jnp.sum(scatter, axis=0))
        start = jnp.where(jnp.all(orientation == jnp.eye(d)), pooled, orientation)

        def sweep(state: tuple[Array, Array]) -> tuple[Array, Array]:
            vectors, rotated = state
            values, _ = self.maximise_diagonal(n, jnp.diagonal(rotated, axis1=1, axis2=2), floor)
            inverse = jnp.where((n > 0)[:, None], 1 / values, 0.0)

            def rotate(state: tuple[Array, Array], plane: Array) -> tuple[tuple[Array, Array], None]:
                vectors, rotated = state
                i, j = plane[0], plane[1]
                # minimise Σ_k (1/a_ki − 1/a_kj) [(w_ii − w_jj) cos 2θ + 2 w_ij sin 2θ] over θ
                weight = inverse[:, i] - inverse[:, j]
                p = jnp.sum(weight * (rotated[:, i, i] - rotated[:, j, j]))
                q = jnp.sum(weight * 2 * rotated[:, i, j])
                angle = jnp.where(jnp.hypot(p, q) > 0, 0.5 * jnp.arctan2(-q, -p), 0.0)
                cos, sin = jnp.cos(angle), jnp.sin(angle)

                def turn(matrix: Array) -> Array:  # columns i and j
                    left, right = matrix[..., i], matrix[..., j]
                    return matrix.at[..., i].set(cos * left + sin * right).at[..., j].set(cos * right - sin * left)

                rotated = turn(turn(rotated).swapaxes(1, 2)).swapaxes(1, 2)
                return (turn(vectors), rotated), None

            return jax.lax.scan(rotate, (vectors, rotated), planes)[0]

        def turned(vectors: Array) -> Array:
            return jnp.einsum("ji,kjl,lm->kim", vectors, scatter, vectors)

        def score(rotated: Array) -> Array:
            omega = jnp.diagonal(rotated, axis1=1, axis2=2)
            values, _ = self.maximise_diagonal(n, omega, floor)
            return jnp.sum(jnp.where((n > 0)[:, None], n[:, None] * jnp.log(values) + omega / values, 0.0))

        def go_on(state: tuple) -> Array:
            step, _, _, before, now = state
            return (step < _INNER_STEPS) & (before - now > _INNER_TOL * (jnp.sum(n) + jnp.abs(now)))

        def body(state: tuple) -> tuple:
            step, vectors, rotated, _, now = state
            vectors, rotated = sweep((vectors, rotated))
            return step + 1, vectors, rotated, now, score(rotated)

        rotated = turned(start)
        first = (0, start, rotated, jnp.asarray(jnp.inf, scatter.dtype), score(rotated))
        _, vectors, _, _, _ = jax.lax.while_loop(go_on, body, first)
        return jnp.diagonal(turned(vectors), axis1=1, axis2=2), vectors


def _geometric_mean(values: Array) -> Array:
    return jnp.exp(jnp.mean(jnp.log(values), axis=-1, keepdims=True))


def _unit(shape: Array) -> Array:
    return shape / _geometric_mean(shape)


def _unit_determinant(matrix: Array) -> Array:
    return matrix / jnp.exp(jnp.linalg.slogdet(matrix)[1] / matrix.shape[0])


def _fixed_point(step, start: Array) -> Array:  # type: ignore[no-untyped-def]
    """Iterate until the largest relative change is rounding."""

    def go_on(state: tuple) -> Array:
        count, before, now = state
        return (count < _INNER_STEPS) & (jnp.max(jnp.abs(now - before)) > _INNER_TOL * jnp.max(jnp.abs(now)))

    def body(state: tuple) -> tuple:
        count, _, now = state
        return count + 1, now, step(now)

    return jax.lax.while_loop(go_on, body, (0, jnp.full_like(start, np.inf), start))[2]
