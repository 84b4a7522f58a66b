"""Rows of an augmented regression: covariates, dense or sparse, in coordinates that suit least squares."""

import abc
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float


class Features(abc.ABC):
    """z of each row: its covariates, centred and scaled, after a 1 where there is an intercept."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """(rows, p)."""

    @abc.abstractmethod
    def predictors(self, weights: Float[np.ndarray, "K p"]) -> Float[np.ndarray, "rows K"]:
        """zᵀw_k of each row."""

    @abc.abstractmethod
    def gram(self, weight: Float[np.ndarray, " rows"] | None) -> Float[np.ndarray, "p p"]:
        """Σ weight · zzᵀ; weights may be negative, None is 1."""

    @abc.abstractmethod
    def project(self, values: Float[np.ndarray, "rows K"]) -> Float[np.ndarray, "K p"]:
        """Σ values ⊗ z."""

    @abc.abstractmethod
    def spread(self, covariance: Float[np.ndarray, "p p"]) -> Float[np.ndarray, " rows"]:
        """zᵀCz of each row."""


@final
@dataclass(frozen=True)
class DenseFeatures(Features):
    """The rows z as they are.

    Attributes
    ----------
    z : array, shape (rows, p)
    """

    z: Float[np.ndarray, "rows p"]

    @property
    def shape(self) -> tuple[int, int]:
        return self.z.shape  # type: ignore[return-value]

    def predictors(self, weights: np.ndarray) -> np.ndarray:
        return self.z @ weights.T

    def gram(self, weight: np.ndarray | None) -> np.ndarray:
        return self.z.T @ (self.z if weight is None else weight[:, None] * self.z)

    def project(self, values: np.ndarray) -> np.ndarray:
        return values.T @ self.z

    def spread(self, covariance: np.ndarray) -> np.ndarray:
        return np.einsum("np,np->n", self.z @ covariance, self.z)


@final
@dataclass(frozen=True)
class SparseFeatures(Features):
    """Rows of a sparse matrix x, with z = (x − location)/scale never formed.

    Attributes
    ----------
    x : CSR matrix, shape (rows, p without the intercept)
    location, scale : array, shape (p,)
        0 and 1 for the intercept.
    intercept : bool
    """

    x: Any
    location: Float[np.ndarray, " p"]
    scale: Float[np.ndarray, " p"]
    intercept: bool

    @property
    def shape(self) -> tuple[int, int]:
        return self.x.shape[0], len(self.location)

    @property
    def _first(self) -> int:
        return int(self.intercept)

    def predictors(self, weights: np.ndarray) -> np.ndarray:
        raw = weights / self.scale
        constant = (weights[:, 0] if self.intercept else 0.0) - raw @ self.location
        return self.x @ raw[:, self._first :].T + constant

    def _raw(self, values: np.ndarray) -> np.ndarray:
        """Σ values ⊗ (1, x), shape (K, p)."""
        found = (self.x.T @ values).T
        return np.concatenate([values.sum(axis=0)[:, None], found], axis=1) if self.intercept else found

    def gram(self, weight: np.ndarray | None) -> np.ndarray:
        weight = np.ones(self.shape[0]) if weight is None else weight
        i, p = self._first, self.shape[1]
        total, sums = weight.sum(), np.asarray(self.x.T @ weight)
        raw = np.empty((p, p))
        raw[i:, i:] = (self.x.multiply(weight[:, None]).tocsr().T @ self.x).toarray()
        if self.intercept:
            raw[0, 0], raw[0, 1:], raw[1:, 0] = total, sums, sums
        full = np.concatenate([[total], sums]) if self.intercept else sums
        cross = np.outer(self.location, full)
        return (raw - cross - cross.T + total * np.outer(self.location, self.location)) / np.outer(
            self.scale, self.scale
        )

    def project(self, values: np.ndarray) -> np.ndarray:
        return (self._raw(values) - np.outer(values.sum(axis=0), self.location)) / self.scale

    def spread(self, covariance: np.ndarray) -> np.ndarray:
        raw = covariance / np.outer(self.scale, self.scale)
        i = self._first
        shift = -raw @ self.location + (raw[:, 0] if self.intercept else 0.0)  # C(e − l), e the intercept's place
        base = -self.location @ shift + (shift[0] if self.intercept else 0.0)
        slopes = raw[i:, i:]
        quadratic = np.asarray(self.x.multiply(self.x @ slopes).sum(axis=1)).ravel()
        return quadratic + 2 * (self.x @ shift[i:]) + base


@dataclass(frozen=True)
class Rows:
    """A block of rows.

    Attributes
    ----------
    y : array, shape (rows, columns)
        As the likelihood has it.
    weight : array, shape (rows,), or None
        None is 1.
    features : Features
        Of missing covariates, their expectations given the others.
    hidden : array, shape (rows,), or None
        Variance that missing covariates leave to the linear predictor at the estimate; None where all are complete.
    hole : array of bool, shape (rows, covariates), or None
        Which of them are missing.
    """

    y: Float[np.ndarray, "rows columns"]
    weight: Float[np.ndarray, " rows"] | None
    features: Features
    hidden: Float[np.ndarray, " rows"] | None = None
    hole: Bool[np.ndarray, "rows covariates"] | None = None

    @cached_property
    def gram(self) -> Float[np.ndarray, "p p"]:
        """Σ weight · zzᵀ."""
        return self.features.gram(self.weight)

    @property
    def total(self) -> float:
        """Σ weight."""
        return float(len(self.y) if self.weight is None else self.weight.sum())

    def weighted(self, values: np.ndarray) -> np.ndarray:
        """``values`` of each row times its weight."""
        if self.weight is None:
            return values
        return values * (self.weight if values.ndim == 1 else self.weight[:, None])


@dataclass(frozen=True)
class Moments:
    """All that a normal likelihood needs of the rows: they are read once.

    Attributes
    ----------
    gram : array, shape (p, p)
        Σ weight · zzᵀ.
    pull : array, shape (1, p)
        Σ weight · yz.
    square, total : float
        Σ weight · y² and Σ weight.
    """

    gram: Float[np.ndarray, "p p"]
    pull: Float[np.ndarray, "1 p"]
    square: float
    total: float

    @classmethod
    def of(cls, rows: list[Rows]) -> "Moments":
        """Of blocks of rows."""
        return cls(
            np.sum([block.gram for block in rows], axis=0),
            np.sum([block.features.project(block.weighted(block.y)) for block in rows], axis=0),
            float(sum(block.weighted(block.y[:, 0] ** 2).sum() for block in rows)),
            sum(block.total for block in rows),
        )
