"""Laws of mixtures, over families that are not normal and over products of families."""

from dataclasses import dataclass

import jax
import numpy as np
import pytest
from scipy import stats

from blocks import holes
from noumena.core.block import Block
from noumena.core.expectation import expectation
from noumena.core.fit import fit, rounding
from noumena.core.lanes import lane, stack
from noumena.core.result import Status
from noumena.data.source import Source
from noumena.data.summary import summarise
from noumena.data.table import read_table
from noumena.families.bernoulli import Bernoulli
from noumena.families.categorical import Categorical
from noumena.families.covariance import Structure
from noumena.families.diagonal_normal import DiagonalNormal
from noumena.families.factor_normal import FactorNormal
from noumena.families.factor_structure import FactorStructure
from noumena.families.family import Family
from noumena.families.gamma import Gamma
from noumena.families.multinomial import Multinomial
from noumena.families.negative_binomial import NegativeBinomial
from noumena.families.normal import Frame, Normal
from noumena.families.poisson import Poisson
from noumena.families.product import Product
from noumena.families.student_t import StudentT
from noumena.models.mixture import Mixture, MixtureNatural, evaluate

pytestmark = pytest.mark.usefixtures("float64")
K = 3
FREE = Structure.named("VVV")


def table(n: int = 90, seed: int = 0) -> np.ndarray:
    """Three groups: two pairs of measurements, a duration, a count, a bit and a category."""
    rng = np.random.default_rng(seed)
    z = rng.integers(K, size=n)
    return np.column_stack(
        [
            rng.normal(size=(n, 2)) + 2 * z[:, None],
            rng.normal(size=(n, 2)) * 10 - 30 * z[:, None],
            rng.gamma(2 + z, 1.0),
            rng.poisson(1 + 3 * z),
            rng.random(n) < 0.2 + 0.3 * z,
            (z + rng.integers(2, size=n)) % 3,
        ]
    )


def frame(x: np.ndarray) -> Frame:
    return Frame.of(np.nanmean(x, axis=0), np.nanstd(x, axis=0))


def product(x: np.ndarray) -> Family:
    """Two multivariate normals, whose columns lie apart, and a part of every other kind."""
    columns = ((0, 2), (4,), (3, 1), (5,), (6,), (7,))
    parts = [x[:, list(own)] for own in columns]
    return Product(
        (
            Normal(frame(parts[0]), FREE),
            Gamma.of(parts[1]),
            Normal(frame(parts[2]), FREE),
            NegativeBinomial.of(parts[3]),
            Bernoulli.of(parts[4]),
            Categorical.of(parts[5]),
        ),
        columns,
    )


def beside_counts(x: np.ndarray) -> Family:
    """Principal components, whose columns have one scale, and Poisson counts."""
    alike = Frame.of(np.nanmean(x[:, :2], axis=0), np.full(2, np.nanstd(x[:, :2])))
    return Product((FactorNormal(alike, FactorStructure(1, (0, 0))), Poisson.of(x[:, 2:])), ((0, 1), (2,)))


@dataclass(frozen=True)
class Case:
    name: str
    columns: tuple[int, ...]
    family: object

    def rows(self, n: int = 90, missing: float = 0.2, seed: int = 0) -> np.ndarray:
        return holes(table(n, seed)[:, list(self.columns)], missing, seed + 1)

    def start(self, x: np.ndarray, seed: int) -> Mixture:
        family, rng = self.family(x), np.random.default_rng(seed)
        blank = Mixture(family, np.full(K, 1 / K), family.initial(K), np.ones(K, dtype=bool))
        r = rng.dirichlet(np.ones(K), size=len(x))
        return blank.update(MixtureNatural(r.sum(axis=0), family.statistics(x, r)))


def blocks(model: Mixture, x: np.ndarray, weight: np.ndarray | None = None) -> list[Block]:
    read = read_table(x)
    coupled = model.family.coupled(x.shape[1])
    return list(Source(read, summarise(read, weight), lambda missing: 32, weight=weight, coupled=coupled))


CASES = [
    Case("product", tuple(range(8)), product),
    Case(
        "product of cells",
        (5, 6, 7),
        lambda x: Product((Poisson.of(x[:, :2]), Categorical.of(x[:, 2:])), ((0, 1), (2,))),
    ),
    Case(
        "diagonal beside counts",
        (0, 2, 5),
        lambda x: Product(
            (DiagonalNormal(frame(x[:, :2]), Structure.named("VVI")), Poisson.of(x[:, 2:])), ((0, 1), (2,))
        ),
    ),
    Case("categorical", (6, 7), Categorical.of),
    Case("multinomial", (5, 6, 7), Multinomial.of),
    Case(
        "multinomial beside measurements, prior",
        (0, 5, 6, 7),
        lambda x: Product((Normal(frame(x[:, :1]), FREE), Multinomial.of(x[:, 1:]).with_prior(2.0)), ((0,), (1, 2, 3))),
    ),
    Case("student t", (0, 1, 2), lambda x: StudentT(frame(x), FREE)),
    Case("factor analysers", (0, 1, 2, 3), lambda x: FactorNormal(frame(x), FactorStructure(1, (0, 1, 2, 3)))),
    Case("equal noise beside counts", (0, 1, 5), beside_counts),
]
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
SUM = {"rtol": 1e-10, "atol": 1e-9}


def close(a, b, **tolerance) -> None:
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(left, right, **tolerance)


@cases
@pytest.mark.parametrize("accelerate", [pytest.param(None, marks=pytest.mark.slow), "squarem"])
def test_the_objective_never_falls(case, accelerate):
    x = case.rows()
    model = case.start(x, 2)
    outcome = fit(stack([model]), blocks(model, x), max_iter=40, tol=0.0, accelerate=accelerate)[0]
    kept = outcome.trace.objective[outcome.trace.accepted]
    assert outcome.status in (Status.COMPLETED, Status.DEGENERATE)
    assert np.diff(kept).min() >= -rounding(np.array([outcome.objective]))[0]
    assert kept[-1] - kept[0] > 1e-3


@cases
def test_statistics_do_not_depend_on_order_or_repetition(case):
    x = case.rows()
    model = case.start(x, 3)
    weight = np.arange(len(x)) % 3
    order = np.random.default_rng(4).permutation(len(x))
    weighted = expectation(stack([model]), blocks(model, x, weight.astype(float)))
    close(weighted, expectation(stack([model]), blocks(model, x[order], weight[order].astype(float))), **SUM)
    close(weighted, expectation(stack([model]), blocks(model, np.repeat(x, weight, axis=0))), **SUM)


@cases
def test_a_wholly_missing_row_has_the_prior_as_posterior(case):
    model = case.start(case.rows(), 5)
    for block in blocks(model, np.full((4, len(case.columns)), np.nan)):
        bound, posterior = evaluate(model, block)
        np.testing.assert_allclose(bound, 0.0, atol=1e-11)
        np.testing.assert_allclose(posterior, np.broadcast_to(np.asarray(model.weights), posterior.shape), rtol=1e-10)


@cases
def test_missing_columns_are_as_if_they_were_not_there(case):
    """Rows grouped by what they miss count as each does by itself."""
    x = case.rows(missing=0.0)
    model = case.start(x, 6)
    x[::2, 0] = np.nan
    x[1::3, -1] = np.nan
    together = expectation(stack([model]), blocks(model, x))
    apart = [expectation(stack([model]), blocks(model, row[None])) for row in x]
    close(together, jax.tree.map(lambda *parts: sum(parts), *apart), **SUM)


@cases
def test_relabelling_the_components_changes_nothing(case):
    x = case.rows()
    model = case.start(x, 7)
    order = np.roll(np.arange(K), 1)
    turned = Mixture(model.family, model.weights[order], model.parameters.components(order), model.active)
    total, stats = expectation(stack([model]), blocks(model, x))
    other, turned_stats = expectation(stack([turned]), blocks(model, x))
    np.testing.assert_allclose(total, other, rtol=1e-12)
    np.testing.assert_allclose(stats.constant[0][order], turned_stats.constant[0], **SUM)


@cases
def test_lanes_do_not_touch_each_other(case):
    x = case.rows()
    models = [case.start(x, seed) for seed in (8, 9)]
    together = fit(stack(models), blocks(models[0], x), max_iter=6, tol=0.0)
    for model, beside in zip(models, together, strict=True):
        alone = fit(stack([model]), blocks(model, x), max_iter=6, tol=0.0)[0]
        np.testing.assert_allclose(alone.trace.objective, beside.trace.objective, rtol=1e-9)
        assert lane(stack([beside.model]), 0).weights.shape == (K,)


@cases
def test_statistics_of_complete_rows_are_the_same_without_looking_for_holes(case):
    x = case.rows(missing=0.0)
    model = case.start(x, 10)
    known = blocks(model, x)
    assert all(block.complete for block in known)
    unknown = [Block(b.x, b.weight, b.label, b.pattern, b.columns, complete=False) for b in known]
    close(expectation(stack([model]), known), expectation(stack([model]), unknown), **SUM)


def test_entropies_and_divergences_of_a_product_are_sums_over_its_parts():
    """The diagonal normal's by SciPy, in the units of the data; one part by itself is the same family."""
    x = CASES[2].rows(missing=0.0)
    model = CASES[2].start(x, 12)
    family, (bells, counts) = model.family, model.parameters.parts
    natural, turned = family.natural(model.parameters), family.natural(model.parameters.components(np.array([1, 2, 0])))
    sd = np.sqrt(bells.variance) * family.parts[0].frame.scale.value
    expected = stats.norm.entropy(scale=sd).sum(axis=1) + stats.poisson.entropy(counts.value.rate).sum(axis=1)
    np.testing.assert_allclose(family.entropy(natural), expected, rtol=1e-12)

    mean, rate = np.asarray(bells.mean), np.asarray(counts.value.rate)
    variance, to = np.asarray(bells.variance), [1, 2, 0]
    normal = 0.5 * (
        variance / variance[to] + (mean - mean[to]) ** 2 / variance[to] - 1 - np.log(variance / variance[to])
    )
    poisson = rate * np.log(rate / rate[to]) - rate + rate[to]
    np.testing.assert_allclose(family.kl(natural, turned), normal.sum(axis=1) + poisson.sum(axis=1), rtol=1e-10)


@pytest.mark.slow
def test_the_density_of_a_product_is_the_product_of_its_parts_densities():
    """Each part by itself over its own columns, row by row, so that each has its own missing patterns."""
    case = CASES[0]
    x = case.rows(n=40)
    model = case.start(x, 11)
    family, parameters = model.family, model.parameters
    total = np.zeros((len(x), K))
    for part, own, columns in zip(family.parts, parameters.parts, family.columns, strict=True):
        alone = Mixture(part, model.weights, own, model.active)
        natural = part.natural(own)
        for n, row in enumerate(x[:, list(columns)]):
            block = jax.tree.map(lambda array: array[0], blocks(alone, row[None])[0])
            total[n] += np.asarray(part.log_density(natural, block))[0]
    whole = np.log(np.asarray(model.weights)) + total
    expected = np.logaddexp.reduce(whole, axis=1)
    found, _ = expectation(stack([model]), blocks(model, x))
    np.testing.assert_allclose(found[0], expected.sum(), rtol=1e-11)
