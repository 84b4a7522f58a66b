"""The evidence of prior and noise precisions of a linear regression, as a model whose latent variables are the weights.

With w integrated out, y ~ N(0, XΛ⁻¹Xᵀ + I/β) (Bishop 2006, Pattern Recognition and Machine Learning, section 3.5). The
one row that this model sees is the second moments of the table.
"""

from typing import Any, ClassVar, NamedTuple, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs  # pyright: ignore[reportAttributeAccessIssue]

from ..core.block import Block
from ..core.model import Model

#: Residual variance is held above this share of the response's own, where the columns explain it without error.
FLOOR = 1e-10
#: Noise precision above this share of its bound is held there: where the columns explain y without error, the evidence
#: of a ridge is flat on the way to the bound.
HELD = 0.99
#: A group whose weights are determined by less than this share is as good as absent.
UNDETERMINED = 1e-10
#: Expected squares below this come from extrapolation only.
TINY = 1e-300
_LOG_2PI = float(np.log(2 * np.pi))


class Rows(NamedTuple):
    """A table with the second moments of the data in as few rows as there are columns, and what no column explains.

    Squares of its residuals add up without cancelling, as moments would not where the columns explain nearly all.

    Attributes
    ----------
    root : array, shape (q, p), or (p,) where it is diagonal
        Columns.
    response : array, shape (q,)
    rest : float
        yᵀy − ‖response‖².
    count : float
        ν, the number of rows; one less where the intercept is integrated out.
    constant : float
        What the log evidence has beside: −½ log of the total weight where the intercept is integrated out.
    gram : array, shape (p, p), or (p,)
        XᵀX.
    cross : array, shape (p,)
        Xᵀy.
    """

    root: Any
    response: Any
    rest: Any
    count: Any
    constant: Any
    gram: Any
    cross: Any

    @classmethod
    def of(cls, root: Any, response: Any, rest: Any, count: Any, constant: Any) -> "Rows":
        """NumPy's arrays or JAX's."""
        if root.ndim == 1:
            return cls(root, response, rest, count, constant, root * root, root * response)
        return cls(root, response, rest, count, constant, root.T @ root, root.T @ response)

    @property
    def square(self) -> Any:
        """yᵀy."""
        return self.response @ self.response + self.rest

    @property
    def least_square(self) -> float:
        """The floor of the residual sum of squares."""
        return float(FLOOR * self.square)

    @property
    def least(self) -> float:
        """The floor of the residual variance."""
        return self.least_square / float(self.count)

    def errors(self, mean: Any) -> Any:
        """Residuals at these weights, shape (q,)."""
        return self.response - (self.root * mean if self.root.ndim == 1 else self.root @ mean)

    def columns(self, some: np.ndarray) -> "Rows":
        """With some of the columns only."""
        root = self.root if self.root.ndim == 2 else np.diag(self.root)
        return Rows.of(root[:, some], *self[1:5])

    def block(self) -> Block:
        """The one row that the model sees: these numbers next to each other."""
        row = np.concatenate([np.ravel(self.root), self.response, [self.rest, self.count, self.constant]])
        return Block(row[None, None], weight=np.ones((1, 1)))

    @classmethod
    def read(cls, row: Any, p: int, diagonal: bool) -> "Rows":
        """From the row of a block."""
        q = p if diagonal else (len(row) - 3) // (p + 1)
        root = row[:p] if diagonal else row[: q * p].reshape(q, p)
        return cls.of(root, row[-q - 3 : -3], row[-3], row[-2], row[-1])


class Posterior(NamedTuple):
    """p(w | y, Λ, β) = N(mean, Σ).

    Attributes
    ----------
    mean : array, shape (p,)
    covariance : array, shape (p, p), or (p,) where the columns are orthogonal
    free : array, shape (p,)
        λ_j Σ_jj: 1 where the rows say nothing of a weight, 0 where they determine it. The sum of 1 − λ_j Σ_jj is the
        number of effective parameters γ (MacKay 1992, Neural Comput. 4:415).
    log_determinant : float
        log |I + βΛ^(−½)XᵀXΛ^(−½)|.
    error : float
        ‖y − Xm‖².
    penalty : float
        mᵀΛm.
    """

    mean: np.ndarray
    covariance: np.ndarray
    free: np.ndarray
    log_determinant: float
    error: float
    penalty: float

    @property
    def variance(self) -> np.ndarray:
        """Of each weight."""
        return self.covariance if self.covariance.ndim == 1 else np.diagonal(self.covariance)


def posterior(rows: Rows, prior_variance: Float[np.ndarray, " p"], noise: float) -> Posterior:
    """The posterior of the weights; one whose prior variance is 0 is exactly 0.

    With D = Λ^(−½), Σ = D (I + βD XᵀX D)⁻¹ D: what is inverted has no eigenvalue below 1.
    """
    root = np.sqrt(prior_variance)
    if len(root) == 0:
        return Posterior(root, np.zeros((0, 0)), root, 0.0, float(rows.square), 0.0)
    if rows.gram.ndim == 1:
        inner = 1 + noise * prior_variance * rows.gram
        scaled = noise * root * rows.cross / inner  # D⁻¹m
        free, covariance, log_determinant = 1 / inner, prior_variance / inner, float(np.log(inner).sum())
    else:
        inner = noise * root[:, None] * rows.gram * root
        inner[np.diag_indices_from(inner)] += 1.0
        factor, _ = dpotrf(inner, lower=1, overwrite_a=1)
        scaled, _ = dpotrs(factor, noise * root * rows.cross, lower=1)
        log_determinant = 2 * float(np.log(np.diagonal(factor)).sum())
        inverse, _ = dpotri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        free, covariance = np.diagonal(inverse), root[:, None] * inverse * root
    mean = root * scaled
    errors = rows.errors(mean)
    return Posterior(
        mean, covariance, free, log_determinant, float(errors @ errors + rows.rest), float(scaled @ scaled)
    )


def log_evidence(rows: Rows, found: Posterior, noise: float) -> float:
    """½ [ν log(β/2π) − log |I + βΛ⁻¹XᵀX| − β‖y − Xm‖² − mᵀΛm], constants kept (Bishop 2006, eqs. 3.82 and 3.86)."""
    fit = noise * found.error + found.penalty
    return float(0.5 * (rows.count * (np.log(noise) - _LOG_2PI) - found.log_determinant - fit) + rows.constant)


class EvidenceNatural(NamedTuple):
    """η of p(y, w | Λ, β), and what each multiplies: the names are those of the statistics.

    Attributes
    ----------
    squares : array, shape (groups,)
        −λ_g/2, of ‖w_g‖².
    columns : array, shape (groups,)
        ½ log(λ_g/2π), of the number of columns in the group.
    weights : array, shape (p,)
        0, of w itself: the prior has no mean, but the statistic tells E[w] from its spread.
    residual : array, shape ()
        −β/2, of ‖y − Xw‖².
    count : array, shape ()
        ½ log(β/2π), of ν.
    """

    squares: Any
    columns: Any
    weights: Any
    residual: Any
    count: Any


class EvidenceModel(Model):
    """y | w ~ N(Xw, I/β), w_j ~ N(0, 1/λ_g) for the columns j of group g.

    Attributes
    ----------
    precision : array, shape (groups,)
        λ, in 1 / (units of the weights)².
    noise : array, shape ()
        β, in 1 / (units of y)².
    group : tuple of int
        Of each column.
    diagonal : bool
        Whether the columns are orthogonal: an E-step then takes O(p).
    least : float
        Residual variance is held above it, in (units of y)².
    """

    compiled: ClassVar[bool] = False

    precision: Any
    noise: Any
    group: tuple[int, ...] = eqx.field(static=True)
    diagonal: bool = eqx.field(static=True)
    least: float = eqx.field(static=True)

    def natural(self) -> EvidenceNatural:
        precision, noise = np.asarray(self.precision, float), np.asarray(self.noise, float)
        return EvidenceNatural(
            -0.5 * precision,
            0.5 * (np.log(precision) - _LOG_2PI),
            np.zeros(len(self.group)),
            -0.5 * noise,
            0.5 * (np.log(noise) - _LOG_2PI),
        )

    def bound(self, natural: EvidenceNatural, block: Block) -> Float[Array, " rows"]:
        rows, group = Rows.read(jnp.asarray(block.x)[0], len(self.group), self.diagonal), np.array(self.group)
        noise, prior = -2 * natural.residual, -2 * natural.squares[group]
        linear = noise * rows.cross + natural.weights
        gram = jnp.diag(rows.gram) if self.diagonal else rows.gram
        curvature = noise * gram + jnp.diag(prior)
        completed = linear @ jnp.linalg.solve(curvature, linear) - jnp.linalg.slogdet(curvature)[1]
        normalisers = natural.count * rows.count + natural.columns @ np.bincount(group)
        row = normalisers + natural.residual * rows.square + 0.5 * (completed + len(group) * _LOG_2PI) + rows.constant
        return row[None]

    def gather(self, natural: EvidenceNatural, block: Block) -> tuple[float, EvidenceNatural]:
        rows, group = Rows.read(np.asarray(block.x)[0, 0], len(self.group), self.diagonal), np.array(self.group)
        noise, prior = -2 * float(natural.residual), -2 * np.asarray(natural.squares)[group]
        found = posterior(rows, 1 / prior, noise)
        spread = np.sum(1 - found.free) / noise  # tr(XᵀXΣ)
        squares = np.bincount(group, found.mean**2 + found.variance)
        stats = EvidenceNatural(squares, np.bincount(group).astype(float), found.mean, found.error + spread, rows.count)
        return log_evidence(rows, found, noise), stats

    def update(self, stats: EvidenceNatural) -> Self:
        """λ_g = p_g / E‖w_g‖², β = ν / E‖y − Xw‖² (Bishop 2006, eqs. 9.63 and 9.68)."""
        residual = max(float(stats.residual), self.least * float(stats.count))
        precision = stats.columns / np.maximum(stats.squares, TINY)
        place = lambda model: (model.precision, model.noise)  # noqa: E731
        return eqx.tree_at(place, self, (precision, np.asarray(stats.count / residual)))

    def slope(self, stats: EvidenceNatural) -> Float[np.ndarray, " groups+1"]:
        """∂/∂log λ_g = ½ (p_g − λ_g E‖w_g‖²) and ∂/∂log β = ½ (ν − β E‖y − Xw‖²) of the log evidence."""
        precision, noise = np.asarray(self.precision), float(self.noise)
        return 0.5 * np.append(stats.columns - precision * stats.squares, stats.count - noise * stats.residual)

    def degenerate(self) -> bool:
        return bool(self.noise * self.least > HELD)
