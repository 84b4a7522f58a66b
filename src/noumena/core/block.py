"""What a model sees of a table: pieces of rows, with weights and known labels."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int


class Block(eqx.Module):
    """Rows of a table, cut into pieces of equal size.

    A block travels with a leading axis of pieces, which the E-step scans over; a model's ``bound`` sees one piece,
    without that axis. Rows that only fill up the last piece have weight 0.

    Attributes
    ----------
    x : array, shape (pieces, rows, d)
        Observed values in the table's own units; a missing cell is NaN.
    weight : array, shape (pieces, rows)
        Non-negative weight of each row.
    label : array of int, shape (pieces, rows), or None
        Known value of the row's discrete latent variable, −1 where unknown; None where none is known.
    pattern : array of int, shape (pieces, rows), or None
        Which of the piece's missing patterns the row has; None where no cell is missing, or where the model does not
        ask for patterns.
    columns : array of int, shape (pieces, patterns, m), or None
        The missing columns of each pattern in rising order; places that a pattern does not need hold d, d + 1, …, each
        its own. Rows that share a pattern share what depends on it alone. With as many patterns as rows, row i has
        pattern i.
    given : array, shape (pieces, rows, p), or None
        What the row's density is conditional on: covariates, without missing cells.
    complete : bool
        Whether it is known that no cell of ``x`` is missing.
    """

    x: Float[Array | np.ndarray, "*pieces rows d"]
    weight: Float[Array | np.ndarray, "*pieces rows"]
    label: Int[Array | np.ndarray, "*pieces rows"] | None = None
    pattern: Int[Array | np.ndarray, "*pieces rows"] | None = None
    columns: Int[Array | np.ndarray, "*pieces patterns m"] | None = None
    given: Float[Array | np.ndarray, "*pieces rows p"] | None = None
    complete: bool = eqx.field(static=True, default=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of ``x``."""
        return self.x.shape
