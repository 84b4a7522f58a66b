"""Products of families: groups of columns that are independent given the component."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.block import Block
from ..core.model import Natural
from .chart import Chart
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
        return tuple(self._in_turn(lambda part, own: part.natural(own), parameters.parts))

    def prepare(self, natural: tuple[Natural, ...]) -> tuple[Natural, ...]:
        return tuple(part.prepare(own) for part, own in zip(self.parts, natural, strict=True))

    def log_normaliser(self, natural: tuple[Natural, ...]) -> Float[Array, " K"]:
        found = self._in_turn(lambda part, own: part.log_normaliser(own), natural, first=natural)
        return sum(found, start=jnp.asarray(0.0))

    def marginal(self, natural: tuple[Natural, ...], block: Block) -> Float[Array, "rows K"]:
        parts = zip(self.parts, natural, self.columns, strict=True)
        return sum(
            (part.marginal(own, _of_columns(block, part, columns)) for part, own, columns in parts),
            start=jnp.asarray(0.0),
        )

    def mean(self, natural: tuple[Natural, ...]) -> tuple[Natural, ...]:
        return tuple(self._in_turn(lambda part, own: part.mean(own), natural))

    def entropy(self, natural: tuple[Natural, ...]) -> Float[Array, " K"]:
        found = self._in_turn(lambda part, own: part.entropy(own), natural)
        return sum(found, start=jnp.asarray(0.0))

    def kl(self, natural: tuple[Natural, ...], other: tuple[Natural, ...]) -> Float[Array, " K"]:
        found = self._in_turn(lambda part, own, to: part.kl(own, to), natural, other)
        return sum(found, start=jnp.asarray(0.0))

    def maximise(
        self, count: Float[Array, " K"], stats: tuple[Natural, ...], previous: ProductParameters
    ) -> ProductParameters:
        found = self._in_turn(lambda part, own, before: part.maximise(count, own, before), stats, previous.parts)
        return ProductParameters(tuple(found))

    def exact(self) -> bool:
        return all(part.exact() for part in self.parts)

    def log_prior(self, parameters: ProductParameters) -> Float[Array, " K"]:
        found = self._in_turn(lambda part, own: part.log_prior(own), parameters.parts)
        return sum(found, start=jnp.asarray(0.0))

    def _in_turn(self, function: Callable[..., Any], *inputs: tuple[Any, ...], first: Any = ()) -> list[Any]:
        """``function`` of each part, one after the other.

        Two factorisations of stacks of matrices may wait for each other for good if a program holds them side by side
        (CONTRIBUTING says why), so each part that factorises waits for the one before it, and for ``first``.
        """
        found, before = [], [first] if first else []
        for part, *own in zip(self.parts, *inputs, strict=True):
            if part.holes_are_free:
                found.append(function(part, *own))
                continue
            for earlier in before:
                own[0] = after(own[0], earlier)
            found.append(function(part, *own))
            before = [found[-1]]
        return found

    def reported(self, parameters: ProductParameters) -> tuple[Any, ...]:
        return tuple(part.reported(own) for part, own in zip(self.parts, parameters.parts, strict=True))

    def chart(self, parameters: ProductParameters) -> Chart:
        return ProductChart(tuple(part.chart(own) for part, own in zip(self.parts, parameters.parts, strict=True)))

    def collapsed(self, parameters: ProductParameters) -> Bool[Array, " K"]:
        each = [part.collapsed(own) for part, own in zip(self.parts, parameters.parts, strict=True)]
        return jnp.any(jnp.stack(each), axis=0)

    def initial(self, n_components: int) -> ProductParameters:
        return ProductParameters(tuple(part.initial(n_components) for part in self.parts))

    def statistics(
        self, x: np.ndarray, responsibilities: np.ndarray, given: np.ndarray | None = None
    ) -> tuple[Natural, ...]:
        parts = zip(self.parts, self.columns, strict=True)
        return tuple(part.statistics(x[:, list(columns)], responsibilities, given) for part, columns in parts)

    def embedding(self, x: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
        parts = zip(self.parts, self.columns, strict=True)
        return np.concatenate([part.embedding(x[:, list(columns)], given) for part, columns in parts], axis=1)

    def n_parameters(self, n_components: int) -> int:
        return sum(part.n_parameters(n_components) for part in self.parts)

    def footprint(self, n_components: int, missing: int) -> int:
        return sum(part.footprint(n_components, missing) for part in self.parts)


class ProductChart(Chart):
    """Those of the parts, one after the other."""

    parts: tuple[Chart, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    @property
    def held(self) -> Bool[np.ndarray, " p"]:
        return np.concatenate([part.held for part in self.parts])

    def _each(self, theta: Float[Array, " p"]) -> list[tuple[Chart, Array]]:
        ends = np.cumsum([part.size for part in self.parts])
        return list(zip(self.parts, jnp.split(theta, ends[:-1]), strict=True))

    def natural(self, theta: Float[Array, " p"]) -> tuple[Natural, Float[Array, " K"]]:
        found = [part.natural(own) for part, own in self._each(theta)]
        return tuple(natural for natural, _ in found), sum((a for _, a in found), start=jnp.asarray(0.0))

    def parameters(self, theta: Float[Array, " p"]) -> ProductParameters:
        return ProductParameters(tuple(part.parameters(own) for part, own in self._each(theta)))


def after(tree: Any, earlier: Any) -> Any:
    """The tree, as something that cannot be computed with before ``earlier`` is known."""
    numbers = [leaf for leaf in jax.tree.leaves(earlier) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    nothing = 0.0 * sum((jnp.sum(leaf) for leaf in numbers), start=jnp.asarray(0.0))
    return jax.tree.map(lambda leaf: leaf + nothing if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf, tree)


def _of_columns(block: Block, part: Family, columns: tuple[int, ...]) -> Block:
    """The block as a part sees it: its own columns, and the missing patterns among them."""
    x = jnp.asarray(block.x)
    width, own = x.shape[1], len(columns)
    here = x if columns == tuple(range(width)) else x[:, np.array(columns)]
    if part.holes_are_free or block.columns is None:
        return Block(here, block.weight, given=block.given)
    most = block.columns.shape[1]
    place_of = np.full(width + most, -1)
    place_of[list(columns)] = np.arange(own)
    place = jnp.asarray(place_of)[block.columns]
    # cells of other parts leave places that this one does not need
    own_columns = jnp.where(place >= 0, place, own + jnp.arange(most))
    return Block(here, block.weight, None, block.pattern, own_columns, block.given)
