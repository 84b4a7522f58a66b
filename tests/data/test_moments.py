"""Moments in one pass against NumPy, and the rows that stand for a table."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noumena.data import moments as module
from noumena.data.moments import moments
from noumena.data.table import read_table


def table(n: int = 500, d: int = 4, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


def by_numpy(x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Twice over the rows, in extended precision."""
    wide, w = x.astype(np.longdouble), weight.astype(np.longdouble)
    mean = w @ wide / w.sum()
    away = wide - mean
    return mean.astype(float), ((away * w[:, None]).T @ away / w.sum()).astype(float)


@pytest.mark.parametrize("slab_cells", [4, 100, 2_000_000], ids="slabs of {} cells".format)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("kind", ["array", "fortran", "float32", "parquet"])
def test_against_numpy(slab_cells, weighted, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SLAB_CELLS", slab_cells)
    monkeypatch.setattr(module, "_PIECE_CELLS", slab_cells // 4)
    x = table()
    if kind == "float32":
        x = x.astype(np.float32)
    source = np.asfortranarray(x) if kind == "fortran" else x
    if kind == "parquet":
        source = tmp_path / "table.parquet"
        pq.write_table(pa.table({f"x{j}": column for j, column in enumerate(x.T)}), source, row_group_size=77)
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 3, size=len(x)) * rng.random(len(x)) if weighted else np.ones(len(x))
    found = moments(read_table(source), weight if weighted else None)
    mean, covariance = by_numpy(x, weight)
    assert found.n_rows == np.sum(weight > 0)
    np.testing.assert_allclose(found.weight, weight.sum(), rtol=1e-14)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-13)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-12)
    np.testing.assert_array_equal(found.covariance, found.covariance.T)


@pytest.mark.parametrize("slab_cells", [100, 2_000_000])
def test_a_common_offset_of_a_million_costs_no_digits(slab_cells, monkeypatch):
    """The rows themselves are rounded at 1e6 · 1.1e-16 each, independently: 1e-10/√n of a standard deviation."""
    monkeypatch.setattr(module, "_SLAB_CELLS", slab_cells)
    x = np.random.default_rng(2).integers(-1000, 1000, size=(400, 3)) / 256.0  # offsets of which are exact
    plain, moved = moments(read_table(x)), moments(read_table(x + 1e6))
    np.testing.assert_allclose(moved.mean - 1e6, plain.mean, atol=1e-9)
    np.testing.assert_allclose(moved.covariance, plain.covariance, rtol=1e-13, atol=1e-13)


def test_a_row_of_weight_zero_is_not_there():
    x = table()
    x[3, 1] = np.nan
    weight = np.ones(len(x))
    weight[[3, 70]] = 0.0
    found, kept = moments(read_table(x), weight), moments(read_table(np.delete(x, [3, 70], axis=0)))
    np.testing.assert_allclose(found.covariance, kept.covariance, rtol=1e-13)
    assert found.n_rows == kept.n_rows


@pytest.mark.parametrize("row", [0, 250, 499])
def test_a_hole_anywhere_is_seen(row, monkeypatch):
    monkeypatch.setattr(module, "_SLAB_CELLS", 100)
    x = table()
    x[row, 2] = np.nan
    assert moments(read_table(x)) is None
    assert moments(read_table(x), np.full(len(x), 0.5)) is None


@pytest.mark.parametrize("units", [np.ones(4), 10.0 ** np.array([8, -8, 0, 3])], ids=["alike", "apart"])
def test_a_few_rows_stand_for_the_table(units):
    """Moments and any quadratic function's sum, each column to the digits of its own unit."""
    found = moments(read_table(table() * units + units))
    rows, weight = found.rows()
    assert rows.shape == (8, 4)
    assert weight.sum() == pytest.approx(found.weight, rel=1e-14)
    mean, covariance = by_numpy(rows, weight)
    np.testing.assert_allclose(mean / units, found.mean / units, rtol=1e-12)
    both = np.outer(units, units)
    np.testing.assert_allclose(covariance / both, found.covariance / both, rtol=1e-11, atol=1e-12)
    x = table() * units + units
    rng = np.random.default_rng(3)
    square, linear = rng.normal(size=(4, 4)), rng.normal(size=4)

    def total(x, w):
        u = x / units
        return w @ (np.einsum("ni,ij,nj->n", u, square, u) + u @ linear + 1)

    assert total(rows, weight) == pytest.approx(total(x, np.ones(len(x))), rel=1e-11)


def test_rows_of_columns_that_depend_on_each_other():
    x = table(d=2)
    x = np.column_stack([x, x[:, 0] - x[:, 1], np.full(len(x), 3.0)])
    rows, weight = moments(read_table(x)).rows()
    mean, covariance = by_numpy(rows, weight)
    np.testing.assert_allclose(covariance, np.cov(x.T, bias=True), atol=1e-12)
    np.testing.assert_allclose(rows[:, 3], 3.0)
    np.testing.assert_allclose(mean, x.mean(axis=0), atol=1e-13)
