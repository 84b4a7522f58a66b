"""Small fitted mixtures that the drawings and the report are tested on; fitted once."""

import numpy as np
import pandas as pd
import pytest

import noumena as nm

HOSTILE = "<script>alert(1)</script>"


def blobs(n: int, d: int, *, missing: float = 0.0, seed: int = 0) -> np.ndarray:
    """Two well separated groups, with cells missing at random."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    x[n // 2 :, : min(d, 2)] += 6.0
    x[rng.random(x.shape) < missing] = np.nan
    return x


@pytest.fixture(scope="session")
def holes():
    """A frame of 4 columns with hostile names and missing cells, one row wholly missing, and its mixture."""
    x = blobs(120, 4, missing=0.08)
    x[5] = np.nan
    frame = pd.DataFrame(x, columns=["bill_length_mm", "$cost_{x}$ [€]", HOSTILE, 'a"b & <i>c'])
    return nm.GaussianMixture(2, covariance="EEE", random_state=0).fit(frame), frame


@pytest.fixture(scope="session")
def wide():
    """Eight columns without names, complete."""
    x = blobs(90, 8)
    return nm.GaussianMixture(2, covariance="VVI", random_state=0).fit(x), x


@pytest.fixture(scope="session")
def narrow():
    """One column."""
    x = blobs(60, 1)
    return nm.GaussianMixture(2, covariance="E", random_state=0).fit(x), x


@pytest.fixture(scope="session")
def swept(holes):
    _, frame = holes
    return nm.select(nm.GaussianMixture(random_state=0), frame, n_components=[1, 2, 3], covariance=["EII", "EEE"])
