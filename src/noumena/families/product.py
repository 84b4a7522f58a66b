"""Products of families: groups of columns that are independent given the component."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.block import Block
from ..core.model import Natural
from .family import Family


class ProductParameters(NamedTuple):
    """The parameters of each part."""

    parts: tuple[Any, ...]

    def components(self, index: Any) -> "ProductParameters":
        """Those of some components."""
        return ProductParameters(tuple(part.components(index) for part in self.parts))


class Product(Family):
    """A family for each group of columns; p(x | k) is the product of theirs.

    Attributes
    ----------
    parts : tuple of Family
    columns : tuple of tuples of int
        The columns of each part, in its own order; every column belongs to one part.
    """

    holes_are_free: ClassVar[bool] = False  # see `coupled`
    blur: ClassVar[float] = 0.1

    parts: tuple[Family, ...]
    columns: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def coupled(self, n_columns: int) -> tuple[int, ...]:
        return tuple(
            columns[own]
            for part, columns in zip(self.parts, self.columns, strict=True)
            for own in part.coupled(len(columns))
        )

    def for_bound(self) -> "Product":
        return Product(tuple(part.for_bound() for part in self.parts), self.columns)

    def natural(self, parameters: ProductParameters) -> tuple[Natural, ...]:
        return tuple(part.natural(own) for part, own in zip(self.parts, parameters.parts, strict=True))

    def prepare(self, natural: tuple[Natural, ...]) -> tuple[Natural, ...]:
        return tuple(part.prepare(own) for part, own in zip(self.parts, natural, strict=True))

    def log_normaliser(self, natural: tuple[Natural, ...]) -> Float[Array, " K"]:
        return sum(
            (part.log_normaliser(own) for part, own in zip(self.parts, natural, strict=True)), start=jnp.asarray(0.0)
        )

    def marginal(self, natural: tuple[Natural, ...], block: Block) -> Float[Array, "rows K"]:
        parts = zip(self.parts, natural, self.columns, strict=True)
        return sum(
            (part.marginal(own, _of_columns(block, part, columns)) for part, own, columns in parts),
            start=jnp.asarray(0.0),
        )

    def maximise(
        self, count: Float[Array, " K"], stats: tuple[Natural, ...], previous: ProductParameters
    ) -> ProductParameters:
        parts = zip(self.parts, stats, previous.parts, strict=True)
        return ProductParameters(tuple(part.maximise(count, own, before) for part, own, before in parts))

    def log_prior(self, parameters: ProductParameters) -> Float[Array, " K"]:
        parts = zip(self.parts, parameters.parts, strict=True)
        return sum((part.log_prior(own) for part, own in parts), start=jnp.asarray(0.0))

    def collapsed(self, parameters: ProductParameters) -> Bool[Array, " K"]:
        each = [part.collapsed(own) for part, own in zip(self.parts, parameters.parts, strict=True)]
        return jnp.any(jnp.stack(each), axis=0)

    def initial(self, n_components: int) -> ProductParameters:
        return ProductParameters(tuple(part.initial(n_components) for part in self.parts))

    def statistics(self, x: np.ndarray, responsibilities: np.ndarray) -> tuple[Natural, ...]:
        parts = zip(self.parts, self.columns, strict=True)
        return tuple(part.statistics(x[:, list(columns)], responsibilities) for part, columns in parts)

    def embedding(self, x: np.ndarray) -> np.ndarray:
        parts = zip(self.parts, self.columns, strict=True)
        return np.concatenate([part.embedding(x[:, list(columns)]) for part, columns in parts], axis=1)

    def n_parameters(self, n_components: int) -> int:
        return sum(part.n_parameters(n_components) for part in self.parts)

    def footprint(self, n_components: int, missing: int) -> int:
        return sum(part.footprint(n_components, missing) for part in self.parts)


def _of_columns(block: Block, part: Family, columns: tuple[int, ...]) -> Block:
    """The block as a part sees it: its own columns, and the missing patterns among them."""
    x = jnp.asarray(block.x)
    width, own = x.shape[1], len(columns)
    here = x if columns == tuple(range(width)) else x[:, np.array(columns)]
    if part.holes_are_free or block.columns is None:
        return Block(here, block.weight)
    most = block.columns.shape[1]
    place_of = np.full(width + most, -1)
    place_of[list(columns)] = np.arange(own)
    place = jnp.asarray(place_of)[block.columns]
    # cells of other parts leave places that this one does not need
    return Block(here, block.weight, None, block.pattern, jnp.where(place >= 0, place, own + jnp.arange(most)))
