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
    label : array of int, shape (pieces, rows)
        Known value of the row's discrete latent variable, −1 where unknown.
    missing : int
        No row of the block has more missing cells than this. Static: programs are compiled for it.
    """

    x: Float[Array | np.ndarray, "*pieces rows d"]
    weight: Float[Array | np.ndarray, "*pieces rows"]
    label: Int[Array | np.ndarray, "*pieces rows"]
    missing: int = eqx.field(static=True, default=0)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of ``x``: what decides, with ``missing``, which compiled program runs."""
        return self.x.shape
