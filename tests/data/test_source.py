"""Rows grouped by their missing cells."""

import numpy as np
import pytest

from noumena.data.source import _MISSING_WORK, _PROGRAM_WORK, Source, _group_sizes
from noumena.data.summary import summarise
from noumena.data.table import read_table


@pytest.mark.parametrize("seed", range(6))
def test_the_groups_cost_least(seed):
    """Against all ways to cut 0 … 6 missing cells into groups."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 10 ** rng.integers(1, 7, size=7))
    rows[-1] += 1

    def cost(ends):
        below, total = -1, 0.0
        for end in ends:
            here = rows[below + 1 : end + 1].sum()
            total += here * (1 + _MISSING_WORK * end**2) + _PROGRAM_WORK * (here > 0)
            below = end
        return total

    ways = [[end for end in range(6) if cut >> end & 1] + [6] for cut in range(64)]
    assert cost(_group_sizes(rows)) == pytest.approx(min(cost(way) for way in ways))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("n", [10, 5_000])
def test_every_row_is_in_one_block(n):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    x[rng.random(x.shape) < 0.2] = np.nan
    table = read_table(x)
    source = Source(table, summarise(table), lambda missing: 64, weight=np.arange(1.0, n + 1))
    seen = np.concatenate([index[index >= 0] for _, index in source.indexed()])
    assert sorted(seen) == list(range(n))
    for block, index in source.indexed():
        used = index >= 0
        np.testing.assert_array_equal(np.asarray(block.x)[used], x[index[used]])
        np.testing.assert_array_equal(np.asarray(block.weight), np.where(used, index + 1.0, 0.0))
