"""Families of single columns: given the component, every cell is independent of the others in its row."""

import abc
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.block import Block
from ..core.model import Fixed, Natural
from .chart import Chart, taken
from .family import Family, inner

Value: TypeAlias = Any
"""A NamedTuple of arrays (…, d): the parameters of d columns in the family's own terms (rates, probabilities)."""

#: A component with less weight than this has lost its rows.
DEAD = 1e-8


class CellNatural(NamedTuple):
    """``eta`` holds η of each cell, arrays (K, …, d); ``constant`` is −A(η), whose statistic is the observed weight."""

    eta: Natural
    constant: Float[Any, "K d"]


class CellParameters(NamedTuple):
    """``value`` holds the parameters of K components, every array (K, d, …).

    ``collapsed`` says which have lost their rows or run into an edge.
    """

    value: Value
    collapsed: Bool[Any, " K"]

    def components(self, index: Any) -> "CellParameters":
        """Those of some components."""
        return CellParameters(jax.tree.map(lambda part: part[index], self.value), self.collapsed[index])


class PseudoRows(eqx.Module):
    """A conjugate prior: rows that every component has seen before, as their number and their summed statistics.

    log p(θ) = ⟨η(θ), stats⟩ − count · A(θ), up to a constant (Diaconis & Ylvisaker 1979, Ann. Statist. 7:269). For a
    probability it is Beta(1 + count · m, 1 + count · (1 − m)), for a rate it is a gamma density.
    """

    count: Fixed  # scalar
    stats: Fixed  # as the family's statistics of one component, arrays (…, d)


class Cells(Family):
    """K densities whose columns are independent, each an exponential family h(x) exp(⟨η, T(x)⟩ − A(η)) of one column.

    A missing cell integrates to 1, so that it takes no part: neither in a row's density nor in the statistics.

    Attributes
    ----------
    typical : Fixed
        The parameters of one component that holds all rows, arrays (d, …): where a component without knowledge begins.
    prior : PseudoRows, optional
    """

    holes_are_free: ClassVar[bool] = True
    blur: ClassVar[float] = 0.2
    #: What the cells must be, as words for a message; `contains` checks it.
    support: ClassVar[str]
    #: A value within the support, which stands in for a hole while that is multiplied by zero.
    inside: ClassVar[float]

    typical: Fixed
    prior: PseudoRows | None = None

    @classmethod
    def of(cls, x: Float[np.ndarray, "n d"], **settings: Any) -> Self:
        """The family for columns such as these (NaN where missing)."""
        return cls(Fixed(cls.pooled(x, **settings)), **settings)

    @staticmethod
    @abc.abstractmethod
    def contains(x: np.ndarray) -> np.ndarray:
        """Which of these values (none of them NaN) lie in the support."""

    @classmethod
    @abc.abstractmethod
    def pooled(cls, x: Float[np.ndarray, "n d"]) -> Value:
        """Moment estimates from the observed cells of each column, arrays (d, …)."""

    @abc.abstractmethod
    def cell_natural(self, value: Value) -> Natural:
        """η of each cell: a NamedTuple of arrays (K, …, d)."""

    @abc.abstractmethod
    def cell_normaliser(self, natural: Natural) -> Float[Array, "K d"]:
        """A(η) of each cell."""

    @abc.abstractmethod
    def sufficient(self, x: Float[Array, "rows d"]) -> Natural:
        """T(x): as ``natural``, with rows in place of components."""

    @abc.abstractmethod
    def log_base(self, x: Float[Array, "rows d"]) -> Float[Array, "rows d"]:
        """log h(x)."""

    def expected_cell_base(self, natural: Natural) -> Float[Array, "K d"]:
        """E[log h(x)] of each cell; 0 as it stands, for families with h = 1."""
        return jnp.zeros_like(self.cell_normaliser(natural))

    @abc.abstractmethod
    def maximise_cells(self, count: Float[Array, "K d"], stats: Natural, previous: Value) -> Value:
        """The parameters that maximise ⟨η, stats⟩ − count · A(η) of each cell; ``count`` is positive."""

    @abc.abstractmethod
    def expected(self, value: Value) -> Float[np.ndarray, "... d"]:
        """E[x] of each cell."""

    @abc.abstractmethod
    def draw(self, value: Value, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """One value for each cell; ``value`` holds arrays (n, d, …)."""

    @abc.abstractmethod
    def cell_parameters(self) -> int:
        """Free parameters of one component, all columns together."""

    def for_bound(self) -> Self:
        return eqx.tree_at(lambda family: family.prior, self, None, is_leaf=lambda node: node is None)

    def natural(self, parameters: CellParameters) -> CellNatural:
        eta = self.cell_natural(parameters.value)
        return CellNatural(eta, -self.cell_normaliser(eta))

    def log_normaliser(self, natural: CellNatural) -> Float[Array, " K"]:
        return jnp.zeros(natural.constant.shape[0])  # each cell brings its own, for only observed ones are normalised

    def cell_mean(self, natural: Natural) -> Natural:
        """Mean parameters E[T(x)] = ∇A(η) of each cell."""
        return jax.grad(lambda eta: jnp.sum(self.cell_normaliser(eta)))(natural)

    def mean(self, natural: CellNatural) -> CellNatural:
        """Mean parameters of rows without a missing cell."""
        return CellNatural(self.cell_mean(natural.eta), jnp.ones_like(natural.constant))

    def expected_log_base(self, natural: CellNatural) -> Float[Array, " K"]:
        return jnp.sum(self.expected_cell_base(natural.eta), axis=1)

    def marginal(self, natural: CellNatural, block: Block) -> Float[Array, "rows K"]:
        x = jnp.asarray(block.x)
        if block.complete:
            features, seen = self.sufficient(x), None
        else:
            x, hole = self._filled(x)
            features = jax.tree.map(lambda t: jnp.where(_before(hole, t), 0.0, t), self.sufficient(x))
            seen = jnp.where(hole, 0.0, 1.0)
        # one matrix product over all columns
        cells = _flat(jax.tree.leaves(features)) @ _flat(jax.tree.leaves(natural.eta)).T
        if seen is None:
            return cells + jnp.sum(natural.constant, axis=1) + jnp.sum(self.log_base(x), axis=1)[:, None]
        base = jnp.sum(jnp.where(seen > 0, self.log_base(x), 0.0), axis=1)
        return cells + seen @ natural.constant.T + base[:, None]

    def _filled(self, x: Float[Array, "rows d"]) -> tuple[Float[Array, "rows d"], Bool[Array, "rows d"]]:
        hole = jnp.isnan(x)
        return jnp.where(hole, self.inside, x), hole

    def maximise(self, count: Float[Array, " K"], stats: CellNatural, previous: CellParameters) -> CellParameters:
        seen, sums = stats.constant, stats.eta
        if self.prior is not None:
            sums = jax.tree.map(lambda s, more: s + more, sums, self.prior.stats.value)
            seen = seen + self.prior.count.value
        known = seen > DEAD  # a component may have no observed cell in a column
        found = self.maximise_cells(jnp.where(known, seen, 1.0), sums, previous.value)
        keep = lambda new, old: jnp.where(_beside(known, new), new, old)  # noqa: E731
        kept = jax.tree.map(keep, found, previous.value)
        return CellParameters(kept, (count <= DEAD) | jnp.any(self.at_edge(kept), axis=1))

    def at_edge(self, value: Value) -> Bool[Array, "K d"]:
        """Which cells are held up by an edge of the parameters' range, where the likelihood has no maximum within."""
        return jnp.zeros(jax.tree.leaves(value)[0].shape[:2], dtype=bool)

    def log_prior(self, parameters: CellParameters) -> Float[Array, " K"]:
        if self.prior is None:
            return jnp.zeros(parameters.collapsed.shape[0])
        eta, constant = self.natural(parameters)
        stats = jax.tree.map(lambda s, of: jnp.broadcast_to(s, of.shape), self.prior.stats.value, eta)
        return inner(eta, stats) + self.prior.count.value * jnp.sum(constant, axis=1)

    def reported(self, parameters: CellParameters) -> dict[str, Array]:
        return parameters.value._asdict()

    def chart(self, parameters: CellParameters) -> Chart:
        return CellsChart(self, parameters, self.edges(parameters.value))

    def edges(self, value: Value) -> Value:
        """Which parameters lie at an edge of their range, or next to it: as ``value``, in NumPy."""
        at_edge = np.asarray(self.at_edge(value))
        beside = lambda part: at_edge.reshape(at_edge.shape + (1,) * (np.ndim(part) - 2))  # noqa: E731
        return jax.tree.map(lambda part: np.broadcast_to(beside(part), np.shape(part)), value)

    def collapsed(self, parameters: CellParameters) -> Bool[Array, " K"]:
        return parameters.collapsed

    def initial(self, n_components: int) -> CellParameters:
        tile = lambda part: np.tile(part, (n_components,) + (1,) * np.ndim(part))  # noqa: E731
        return CellParameters(jax.tree.map(tile, self.typical.value), np.zeros(n_components, dtype=bool))

    def with_prior(self, rows: float) -> Self:
        """With a prior of so many rows to each component, of the typical kind."""
        typical = jax.tree.map(lambda part: part[None], self.typical.value)
        means = self.cell_mean(self.cell_natural(typical))
        stats = jax.tree.map(lambda mean: rows * np.asarray(mean)[0], means)
        prior = PseudoRows(Fixed(np.asarray(float(rows))), Fixed(stats))
        return eqx.tree_at(lambda family: family.prior, self, prior, is_leaf=lambda node: node is None)

    def n_parameters(self, n_components: int) -> int:
        return n_components * self.cell_parameters()

    def footprint(self, n_components: int, missing: int) -> int:
        cells = sum(int(np.size(part)) for part in jax.tree.leaves(self.typical.value))
        return cells + 2 * self.n_columns + 2 * n_components

    @property
    def n_columns(self) -> int:
        """d."""
        return int(np.shape(jax.tree.leaves(self.typical.value)[0])[0])


class CellsChart(Chart):
    """The parameters of the cells themselves, each by itself."""

    family: Cells
    at: CellParameters
    edges: Value

    @property
    def size(self) -> int:
        return sum(int(np.size(part)) for part in jax.tree.leaves(self.at.value))

    @property
    def held(self) -> Bool[np.ndarray, " p"]:
        return np.concatenate([np.ravel(part) for part in jax.tree.leaves(self.edges)])

    def natural(self, theta: Float[Array, " p"]) -> tuple[Natural, Float[Array, " K"]]:
        natural = self.family.natural(self.parameters(theta))
        return natural, self.family.log_normaliser(natural)

    def parameters(self, theta: Float[Array, " p"]) -> CellParameters:
        leaves, tree = jax.tree.flatten(self.at.value)
        parts = taken(theta, [np.shape(leaf) for leaf in leaves])
        moved = [leaf + part for leaf, part in zip(leaves, parts, strict=True)]
        return self.at._replace(value=jax.tree.unflatten(tree, moved))


class LatentCells(Cells):
    """Cells with a latent variable of their own (a rate, a regime), integrated out in closed form.

    `mean` and `kl` are those of the joint density of cells and latent variables; so `kl` is an upper bound of the
    divergence between the densities of the cells. `entropy` is that of the cells.
    """

    @abc.abstractmethod
    def cell_marginal(self, natural: Natural, x: Float[Array, "rows 1 d"]) -> Float[Array, "rows K d"]:
        """log ∫ h(x, z) exp⟨η, T(x, z)⟩ dz of each cell, log h(x) included."""

    def marginal(self, natural: CellNatural, block: Block) -> Float[Array, "rows K"]:
        filled, hole = self._filled(jnp.asarray(block.x))
        cells = self.cell_marginal(natural.eta, filled[:, None, :]) + natural.constant
        return jnp.sum(jnp.where(hole[:, None, :], 0.0, cells), axis=2)

    def sufficient(self, x: Float[Array, "rows d"]) -> Natural:
        raise NotImplementedError("T depends on the latent variable: its expectation is the gradient of the marginal")

    @abc.abstractmethod
    def cell_entropy(self, natural: Natural) -> Float[Array, "K d"]:
        """−E log p(x) of each cell, the latent variable integrated out."""

    def entropy(self, natural: CellNatural) -> Float[Array, " K"]:
        return jnp.sum(self.cell_entropy(natural.eta), axis=1)

    def log_base(self, x: Float[Array, "rows d"]) -> Float[Array, "rows d"]:
        raise NotImplementedError("part of cell_marginal")

    def expected_cell_base(self, natural: Natural) -> Float[Array, "K d"]:
        raise NotImplementedError("part of cell_entropy")

    def footprint(self, n_components: int, missing: int) -> int:
        return 4 * n_components * self.n_columns


def _beside(mask: Array, array: Array) -> Array:
    """A mask with trailing axes added, to go with an array."""
    return mask.reshape(mask.shape + (1,) * (array.ndim - mask.ndim))


def _before(mask: Bool[Array, "rows d"], array: Array) -> Array:
    """A mask of cells with axes between rows and columns added, to go with statistics (rows, …, d)."""
    return mask.reshape(mask.shape[0], *(1,) * (array.ndim - 2), mask.shape[1])


def _flat(arrays: list[Array]) -> Array:
    return jnp.concatenate([array.reshape(array.shape[0], -1) for array in arrays], axis=1)
