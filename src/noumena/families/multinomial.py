"""The multinomial distribution: a number of trials shared out over several columns of counts."""

from typing import Any, ClassVar, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.block import Block
from ..core.model import Fixed
from .cells import DEAD, CellParameters, PseudoRows
from .chart import NEAR_EDGE, Chart
from .expected_log_gamma import expected_log_factorial
from .family import Family, inner
from .log_factorial import log_factorial

#: Probabilities stay above this, so that their logarithms are finite.
EDGE = 1e-12


class MultinomialNatural(NamedTuple):
    """η_l = log p_l / p_0 for the columns but the first, and −log(1 + Σ e^η), of which A(η) is n times the negative.

    They are the coefficients of T(x) = (x_1, x_2, …) and of the row's total n.
    """

    log_odds: Float[Any, "K L"]
    constant: Float[Any, " K"]


class MultinomialValue(NamedTuple):
    """p = E[x]/n, summing to 1 over the columns."""

    probability: Float[Any, "K d"]


class Totals(NamedTuple):
    """The row totals n that were seen, with the share of the rows that has each."""

    count: Float[Any, " m"]
    share: Float[Any, " m"]


class Multinomial(Family):
    """K multinomial distributions over the same columns: A(η) = n log(1 + Σ e^η), h(x) = n!/Π x_l!.

    The total n of a row is given and no random variable: p(x | k) is conditional on it, and the rows' totals tell
    nothing of the component. Where a total is needed and not there (to draw a row, to expect its cells, for the mean,
    entropy and divergence of a row) it comes from the totals that were seen: draws take one of them, expectations are
    means over them.

    A row is observed in all columns or counts as missing in all of them: what its other cells are without the total is
    not said by this distribution.

    Attributes
    ----------
    typical : Fixed
        `MultinomialValue` of one component that holds all rows, shape (d,).
    totals : Fixed
        `Totals`.
    prior : PseudoRows, optional
        Dirichlet(1 + number of rows · mean total · p).
    """

    holes_are_free: ClassVar[bool] = True
    blur: ClassVar[float] = 0.2
    support: ClassVar[str] = "counts: 0, 1, 2, …"

    typical: Fixed
    totals: Fixed
    prior: PseudoRows | None = None

    @classmethod
    def of(cls, x: Float[np.ndarray, "n d"]) -> Self:
        """The family for columns such as these (NaN where missing)."""
        rows = x[~np.isnan(x).any(axis=1)]
        count, often = np.unique(rows.sum(axis=1), return_counts=True)
        if len(count) == 0:
            raise ValueError("no row has all of the columns observed")
        share = np.maximum(rows.sum(axis=0) / max(rows.sum(), 1.0), EDGE)
        typical = MultinomialValue(share / share.sum())
        return cls(Fixed(typical), Fixed(Totals(count, often / often.sum())))

    @staticmethod
    def contains(x: np.ndarray) -> np.ndarray:
        """Which of these values (none of them NaN) are counts."""
        return (x >= 0) & (x == np.floor(x)) & np.isfinite(x)

    @property
    def mean_total(self) -> float:
        """E[n]."""
        return self.totals.value.count @ self.totals.value.share

    def for_bound(self) -> Self:
        return eqx.tree_at(lambda family: family.prior, self, None, is_leaf=lambda node: node is None)

    def natural(self, parameters: CellParameters) -> MultinomialNatural:
        log = jnp.log(parameters.value.probability)
        odds = log[:, 1:] - log[:, :1]
        return MultinomialNatural(odds, -jax.nn.logsumexp(_with_first(odds), axis=1))

    def log_normaliser(self, natural: MultinomialNatural) -> Float[Array, " K"]:
        return jnp.zeros(natural.constant.shape[0])  # each row brings its own, by its total

    def mean(self, natural: MultinomialNatural) -> MultinomialNatural:
        """Mean parameters of an observed row, over the totals that were seen."""
        n = jnp.asarray(self.mean_total)
        return MultinomialNatural(n * self._probability(natural)[:, 1:], jnp.broadcast_to(n, natural.constant.shape))

    def _probability(self, natural: MultinomialNatural) -> Float[Array, "K d"]:
        return jax.nn.softmax(_with_first(natural.log_odds), axis=1)

    def expected_log_base(self, natural: MultinomialNatural) -> Float[Array, " K"]:
        p = self._probability(natural)

        def of_total(n: Array) -> Array:
            each = expected_log_factorial(n * p, lambda t: n * jnp.log1p(p[..., None] * np.expm1(-t)))
            return log_factorial(n) - jnp.sum(each, axis=1)

        count, share = self.totals.value
        return jnp.asarray(share) @ jax.lax.map(of_total, jnp.asarray(count))

    def marginal(self, natural: MultinomialNatural, block: Block) -> Float[Array, "rows K"]:
        x = jnp.asarray(block.x)
        if not block.complete:
            x = jnp.where(jnp.any(jnp.isnan(x), axis=1, keepdims=True), 0.0, x)  # no trials: density 1
        n = jnp.sum(x, axis=1)
        log_base = log_factorial(n) - jnp.sum(log_factorial(x), axis=1)
        return x[:, 1:] @ natural.log_odds.T + n[:, None] * natural.constant + log_base[:, None]

    def maximise(
        self, count: Float[Array, " K"], stats: MultinomialNatural, previous: CellParameters
    ) -> CellParameters:
        later, trials = stats
        if self.prior is not None:
            later = later + self.prior.stats.value.log_odds
            trials = trials + self.prior.stats.value.constant
        known = trials > DEAD
        first = trials - jnp.sum(later, axis=1)
        share = jnp.concatenate([first[:, None], later], axis=1) / jnp.where(known, trials, 1.0)[:, None]
        share = jnp.maximum(share, EDGE)
        found = share / jnp.sum(share, axis=1, keepdims=True)
        kept = jnp.where(known[:, None], found, previous.value.probability)
        return CellParameters(MultinomialValue(kept), count <= DEAD)

    def log_prior(self, parameters: CellParameters) -> Float[Array, " K"]:
        if self.prior is None:
            return jnp.zeros(parameters.collapsed.shape[0])
        eta = self.natural(parameters)
        return inner(eta, jax.tree.map(lambda s, of: jnp.broadcast_to(s, of.shape), self.prior.stats.value, eta))

    def reported(self, parameters: CellParameters) -> dict[str, Array]:
        return {"probability": parameters.value.probability}

    def chart(self, parameters: CellParameters) -> Chart:
        return MultinomialChart(self, parameters)

    def collapsed(self, parameters: CellParameters) -> Bool[Array, " K"]:
        return parameters.collapsed

    def initial(self, n_components: int) -> CellParameters:
        probability = np.tile(self.typical.value.probability, (n_components, 1))
        return CellParameters(MultinomialValue(probability), np.zeros(n_components, dtype=bool))

    def with_prior(self, rows: float) -> Self:
        """With a prior of so many rows to each component, of the typical kind and the mean total."""
        trials = rows * self.mean_total
        stats = MultinomialNatural(trials * self.typical.value.probability[1:], np.asarray(float(trials)))
        prior = PseudoRows(Fixed(np.asarray(float(rows))), Fixed(stats))
        return eqx.tree_at(lambda family: family.prior, self, prior, is_leaf=lambda node: node is None)

    def expected(self, value: MultinomialValue) -> Float[np.ndarray, "... d"]:
        """E[x] of a row: p times the mean total."""
        return self.mean_total * np.asarray(value.probability)

    def draw(self, value: MultinomialValue, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """One row for each row of ``value``, its total one of those that were seen."""
        p = np.asarray(value.probability)
        total = rng.choice(self.totals.value.count, size=len(p), p=self.totals.value.share)
        return rng.multinomial(total.astype(np.int64), p / p.sum(axis=1, keepdims=True)).astype(float)

    def embedding(self, x: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
        """Square roots of the shares, of equal variance: their distance is Hellinger's."""
        total = x.sum(axis=1, keepdims=True)
        return np.sqrt(x / np.where(total > 0, total, np.nan))

    def n_parameters(self, n_components: int) -> int:
        return n_components * (self.n_columns - 1)

    def footprint(self, n_components: int, missing: int) -> int:
        return 3 * self.n_columns + 2 * n_components

    @property
    def n_columns(self) -> int:
        """d."""
        return int(np.shape(self.typical.value.probability)[0])


class MultinomialChart(Chart):
    """Log odds of each column against the most probable one of its component."""

    family: Multinomial
    at: CellParameters

    @property
    def _places(self) -> tuple[Any, ...]:
        """Component and column of each coordinate."""
        p = self.at.value.probability
        component, column = np.indices((p.shape[0], p.shape[1] - 1)).reshape(2, -1)
        return component, column + (column >= jnp.argmax(p, axis=1)[component])

    @property
    def size(self) -> int:
        return self.family.n_parameters(self.at.value.probability.shape[0])

    @property
    def held(self) -> Bool[np.ndarray, " p"]:
        return np.asarray(jnp.asarray(self.at.value.probability)[self._places]) < NEAR_EDGE

    def natural(self, theta: Float[Array, " p"]) -> tuple[MultinomialNatural, Float[Array, " K"]]:
        natural = self.family.natural(self.parameters(theta))
        return natural, self.family.log_normaliser(natural)

    def parameters(self, theta: Float[Array, " p"]) -> CellParameters:
        p = jnp.asarray(self.at.value.probability)
        moved = p * jnp.exp(jnp.zeros_like(p).at[self._places].set(theta))
        return self.at._replace(value=MultinomialValue(moved / jnp.sum(moved, axis=1, keepdims=True)))


def _with_first(log_odds: Float[Array, "K L"]) -> Float[Array, "K d"]:
    """With the first column's own, 0."""
    return jnp.concatenate([jnp.zeros_like(log_odds[:, :1]), log_odds], axis=1)
