"""Constructor parameters and sizes, checked: every refusal names the parameter, its value and what it may be."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, TypeVar, cast

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state

from ..core.errors import DataError
from ..families.normal_inverse_wishart import NormalInverseWishart
from .mixture_fitting import Problem

Estimator = TypeVar("Estimator", bound=BaseEstimator)


def copy_of(estimator: Estimator) -> Estimator:
    """An unfitted copy with the same parameters."""
    return cast(Estimator, clone(estimator))


def generator(random_state: Any) -> np.random.Generator:
    """NumPy's generator from scikit-learn's ``random_state``."""
    return np.random.default_rng(check_random_state(random_state).randint(2**31))


def integer(name: str, value: Any, least: int) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r} must be an integer of at least {least}")
    return int(value)


def real(name: str, value: Any, least: float) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or not float(value) >= least:
        raise ValueError(f"{name}={value!r} must be a number of at least {least}")
    return float(value)


def given_array(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    if value is None:
        return None
    array = np.asarray(value, dtype=float)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite")
    if name == "weights_init" and not (array > 0).all():
        raise ValueError("weights_init must be positive")
    if name == "covariances_init":
        for k, sigma in enumerate(array):
            if not np.allclose(sigma, sigma.T) or np.linalg.eigvalsh(sigma)[0] <= 0:
                raise ValueError(f"covariances_init[{k}] is not symmetric positive definite")
    return array


def normal_prior(prior: Any, mean: np.ndarray, variance: np.ndarray) -> Callable[[int], NormalInverseWishart | None]:
    """From a number of components to the prior of each, in the frame of the columns' means and standard deviations."""
    if isinstance(prior, str) and prior != "default":
        raise ValueError(f'prior={prior!r}: choose "default", a NormalInverseWishart or None')
    if isinstance(prior, NormalInverseWishart) and len(prior.mean.value) != len(mean):
        raise ValueError(f"the prior is for {len(prior.mean.value)} columns, the table has {len(mean)}")

    def framed(size: int) -> NormalInverseWishart | None:
        own = NormalInverseWishart.default(mean, variance, size) if isinstance(prior, str) else prior
        return own.framed(mean, np.sqrt(variance)) if own is not None else None

    return framed


def check_start(start: np.ndarray, n_rows: int, size: int) -> None:
    if start.ndim == 1:
        good = start.shape == (n_rows,) and np.isin(start, np.arange(size)).all()
    else:
        good = start.shape == (n_rows, size) and bool((start >= 0).all())
    if not good:
        raise ValueError(
            f"init_params as an array must hold labels 0..{size - 1}, shape ({n_rows},), or responsibilities, "
            f"shape ({n_rows}, {size}); got shape {start.shape}"
        )


def check_size(problem: Problem, size: int) -> None:
    """Refuse more components than rows, or than labels allow."""
    rows = problem.table.n_rows if problem.weight is None else int(np.count_nonzero(problem.weight))
    if rows < size:
        raise DataError(
            f"Expected n_samples >= n_components but got n_components = {size}, n_samples = {rows}: "
            "ask for fewer components"
        )
    if problem.label is not None and problem.label.max() >= size:
        raise DataError(
            f"y holds the label {problem.label.max()}, but the components are numbered 0 to {size - 1}: "
            f"raise n_components to {problem.label.max() + 1} or relabel"
        )
