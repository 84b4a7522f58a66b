"""Tables as blocks, without going through an estimator."""

import numpy as np

from noumena.core.block import Block
from noumena.data.source import Source
from noumena.data.summary import summarise
from noumena.data.table import read_table


def blocks_of(
    x: np.ndarray,
    weight: np.ndarray | None = None,
    label: np.ndarray | None = None,
    rows_per_piece: int = 64,
    split: bool = True,
) -> list[Block]:
    """The blocks of a table of rows."""
    table = read_table(x)
    source = Source(
        table,
        summarise(table, weight),
        lambda missing: rows_per_piece,
        weight=weight,
        label=label,
        coupled=None if split else (),
    )
    return list(source)


def holes(x: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A copy with this share of its cells missing at random."""
    out = x.copy()
    out[np.random.default_rng(seed).random(x.shape) < share] = np.nan
    return out


def clusters(n: int = 90, d: int = 3, k: int = 3, seed: int = 0, spread: float = 2.0) -> np.ndarray:
    """Rows around k centres, each with a covariance of its own."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(k, d)) * spread
    root = rng.normal(size=(k, d, d)) * 0.4 + np.eye(d)
    which = rng.integers(k, size=n)
    return centre[which] + np.einsum("nij,nj->ni", root[which], rng.normal(size=(n, d)))
