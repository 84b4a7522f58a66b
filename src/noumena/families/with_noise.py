"""A family with a background: one more component, uniform over the data's box or convex hull."""

from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.block import Block
from ..core.model import Fixed, Natural
from .chart import Chart
from .family import Family, Parameters

Kind: TypeAlias = Literal["number", "count", "category"]
"""What a column's cells are: real numbers, whole ones, or codes 0, 1, … of levels."""


class NoisyParameters(NamedTuple):
    """Those of the components; the background has none."""

    components_of: Any

    def components(self, index: slice) -> "NoisyParameters":
        """Those of the first components, the background counted as one."""
        return NoisyParameters(self.components_of.components(slice(index.stop - 1)))


class WithNoise(Family):
    """K components of a family after one that is uniform, for rows that belong to none (Banfield & Raftery 1993,
    Biometrics 49:803).

    The uniform density has the same value everywhere, beyond the data's box too. A missing cell takes its column's
    share of the box with it.

    Attributes
    ----------
    family : Family
        Of the K components.
    low, width : Fixed
        The box, shape (d,): columns of numbers have values in [low, low + width], others low, low + 1, …, of which
        there are ``width``.
    kinds : tuple of {"number", "count", "category"}
        Of each column.
    facets : Fixed, optional
        The convex hull as a x + b ≤ 0, rows (a, b) of shape (facets, d + 1); the box where None.
    log_volume : Fixed
        Of the hull, or of the whole box.
    """

    background: ClassVar[int] = 1
    holes_are_free: ClassVar[bool] = False  # see `coupled`

    family: Family
    low: Fixed
    width: Fixed
    kinds: tuple[Kind, ...] = eqx.field(static=True)
    facets: Fixed | None
    log_volume: Fixed

    @classmethod
    def box(cls, family: Family, low: np.ndarray, high: np.ndarray, kinds: tuple[Kind, ...]) -> "WithNoise":
        """Uniform between the least and the largest value of each column."""
        whole = np.array([kind != "number" for kind in kinds])
        width = high - low + whole
        return cls(family, Fixed(low), Fixed(width), kinds, None, Fixed(np.sum(np.log(width))))

    @classmethod
    def hull(cls, family: Family, x: Float[np.ndarray, "n d"]) -> "WithNoise":
        """Uniform over the convex hull of complete rows of numbers."""
        from scipy.spatial import ConvexHull

        low, high = x.min(axis=0), x.max(axis=0)
        if x.shape[1] == 1:
            return cls.box(family, low, high, ("number",))
        found = ConvexHull((x - low) / (high - low))  # in units of the box, where volumes cannot vanish
        facets = found.equations / np.append(high - low, 1.0)
        facets[:, -1] -= facets[:, :-1] @ low
        volume = np.log(found.volume) + np.sum(np.log(high - low))
        return cls(family, Fixed(low), Fixed(high - low), ("number",) * len(low), Fixed(facets), Fixed(volume))

    @property
    def blur(self) -> float:  # type: ignore[override]
        return self.family.blur

    def coupled(self, n_columns: int) -> tuple[int, ...]:
        return self.family.coupled(n_columns)

    def foreground(self, parameters: NoisyParameters) -> tuple[Family, Parameters]:
        return self.family, parameters.components_of

    def for_bound(self) -> "WithNoise":
        return eqx.tree_at(lambda noisy: noisy.family, self, self.family.for_bound())

    def natural(self, parameters: NoisyParameters) -> Natural:
        return self.family.natural(parameters.components_of)

    def prepare(self, natural: Natural) -> Natural:
        return self.family.prepare(natural)

    def log_normaliser(self, natural: Natural) -> Float[Array, " K"]:
        return jnp.concatenate([jnp.zeros(1), self.family.log_normaliser(natural)])

    def marginal(self, natural: Natural, block: Block) -> Float[Array, "rows K"]:
        components = self.family.marginal(natural, block)
        return jnp.concatenate([self.log_noise(jnp.asarray(block.x))[:, None], components], axis=1)

    def log_noise(self, x: Float[Array, "rows d"]) -> Float[Array, " rows"]:
        """Log density of the background at each row's observed cells."""
        if self.facets is not None:
            return jnp.full(x.shape[0], -self.log_volume.value)
        return -(jnp.where(jnp.isnan(x), 0.0, 1.0) @ jnp.log(self.width.value))

    def exact(self) -> bool:
        return self.family.exact()

    def maximise(self, count: Float[Array, " K"], stats: Natural, previous: NoisyParameters) -> NoisyParameters:
        return NoisyParameters(self.family.maximise(count[1:], stats, previous.components_of))

    def log_prior(self, parameters: NoisyParameters) -> Float[Array, " K"]:
        return jnp.concatenate([jnp.zeros(1), self.family.log_prior(parameters.components_of)])

    def reported(self, parameters: NoisyParameters) -> Any:
        return self.family.reported(parameters.components_of)

    def chart(self, parameters: NoisyParameters) -> Chart:
        return self.family.chart(parameters.components_of)  # the background has no coordinate

    def collapsed(self, parameters: NoisyParameters) -> Bool[Array, " K"]:
        return jnp.concatenate([jnp.zeros(1, dtype=bool), self.family.collapsed(parameters.components_of)])

    def initial(self, n_components: int) -> NoisyParameters:
        return NoisyParameters(self.family.initial(n_components - 1))

    def statistics(self, x: np.ndarray, responsibilities: np.ndarray, given: np.ndarray | None = None) -> Natural:
        return self.family.statistics(x, responsibilities[:, 1:], given)

    def embedding(self, x: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
        return self.family.embedding(x, given)

    def n_parameters(self, n_components: int) -> int:
        return self.family.n_parameters(n_components - 1)

    def footprint(self, n_components: int, missing: int) -> int:
        return self.family.footprint(n_components, missing)

    def middle(self) -> Float[np.ndarray, " d"]:
        """E[x] of the background's box; 0 for categories."""
        whole = np.array([kind != "number" for kind in self.kinds])
        middle = np.asarray(self.low.value) + (np.asarray(self.width.value) - whole) / 2
        return np.where([kind == "category" for kind in self.kinds], 0.0, middle)

    def draw(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Rows of the background."""
        low, width = np.asarray(self.low.value), np.asarray(self.width.value)
        whole = np.array([kind != "number" for kind in self.kinds])
        kept, missing = [np.empty((0, len(low)))], n
        while missing:
            x = low + rng.random((missing, len(low))) * width
            x = np.where(whole, np.floor(x), x)
            if self.facets is not None:
                facets = np.asarray(self.facets.value)
                x = x[(x @ facets[:, :-1].T + facets[:, -1] <= 0).all(axis=1)]
            kept.append(x)
            missing -= len(x)
        return np.concatenate(kept)
