"""Coverage of the intervals of augmented regressions, by simulation."""

import numpy as np
import pytest
from scipy import stats

import noumena as nm

pytestmark = pytest.mark.slow

#: Tables drawn for each likelihood.
TABLES = 200
#: Coverage counts as nominal within so many binomial standard deviations: over the 25 intervals below, a false failure
#: has probability 25 · 6e-5 = 0.002, were intervals exact. Wald intervals are off by some 1/n themselves: 300 rows.
DEVIATIONS = 4.0
LEVEL = 0.9


def _within(covered: np.ndarray) -> bool:
    deviation = np.sqrt(LEVEL * (1 - LEVEL) / TABLES)
    return bool(np.all(np.abs(covered - LEVEL) < DEVIATIONS * deviation))


def _drawn(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariates, the response, and the response without censoring."""
    x = rng.normal(size=(300, 2))
    f = 0.5 + x @ [1.0, -0.5]
    noise = {
        "student_t": lambda: 0.7 * rng.standard_t(5, 300),
        "laplace": lambda: rng.laplace(size=300),
        "logit": lambda: rng.logistic(size=300),
    }.get(kind, lambda: rng.normal(size=300))()
    z = f + noise
    if kind in ("probit", "logit"):
        return x, (z > 0).astype(int), z
    return x, np.clip(z, -1.0, 1.5) if kind == "tobit" else z, z


@pytest.mark.parametrize("kind", ["normal", "student_t", "laplace", "tobit", "probit", "logit"])
def test_wald_intervals_cover_the_truth(kind):
    rng = np.random.default_rng(12)
    truth, reach = np.array([0.5, 1.0, -0.5]), stats.norm.ppf(0.5 + LEVEL / 2)
    hits = np.zeros(3)
    settings = {"lower": -1.0, "upper": 1.5} if kind == "tobit" else {}
    for _ in range(TABLES):
        x, y, _ = _drawn(kind, rng)
        if kind in ("probit", "logit"):
            model = nm.AugmentedClassifier(kind, accelerate="newton").fit(x, y)
        else:
            model = nm.AugmentedRegressor(kind, **settings).fit(x, y)
        errors = model.standard_errors(x, y)
        found = np.array([model.intercept_, *model.coef_])
        hits += np.abs(found - truth) < reach * np.array([errors.intercept, *errors.coef])
    assert _within(hits / TABLES), hits / TABLES


def test_intervals_of_posteriors_cover_weights_drawn_from_the_prior():
    """A normal likelihood of known scale and a ridge: exact, so that coverage over prior and rows is the level."""
    rng = np.random.default_rng(13)
    reach, hits = stats.norm.ppf(0.5 + LEVEL / 2), np.zeros(3)
    new = 0
    for _ in range(TABLES):
        x, weights = rng.normal(size=(20, 3)), rng.normal(size=3)
        y = x @ weights + 0.8 * rng.normal(size=20)
        model = nm.AugmentedRegressor(prior="ridge", weights="posterior", scale=0.8, fit_intercept=False).fit(x, y)
        hits += np.abs(model.coef_ - weights) < reach * np.sqrt(np.diag(model.covariance_))
        other = rng.normal(size=(1, 3))
        low, high = model.predict_interval(other, LEVEL)
        new += bool(low[0] < other[0] @ weights + 0.8 * rng.normal() < high[0])
    assert _within(np.append(hits, new) / TABLES), (hits / TABLES, new / TABLES)


@pytest.mark.parametrize("kind", ["normal", "student_t", "laplace"])
def test_predictive_intervals_cover_new_responses(kind):
    """At 300 rows the estimates' own error, which is left out, moves the level by less than 0.005."""
    rng = np.random.default_rng(14)
    hits = 0
    for _ in range(TABLES):
        x, y, _ = _drawn(kind, rng)
        low, high = nm.AugmentedRegressor(kind).fit(x[:-1], y[:-1]).predict_interval(x[-1:], LEVEL)
        hits += bool(low[0] < y[-1] < high[0])
    assert _within(np.array([hits / TABLES]))
