"""Factor analysis: exploratory with rotations, or confirmatory with loadings that are 0."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..core.expectation import expectation
from ..core.lanes import stack
from ..data.columns import positions
from ..data.table import Table
from ..families.factor_chart import determined, standardised, uncorrelated
from ..families.factor_structure import LEAST_NOISE, FactorParameters, FactorStructure
from ..families.normal_chart import LOG_2PI
from ..models.factor import FactorModel
from ..models.factor_measures import FitMeasures, fit_measures
from ..models.rotation import ROTATIONS, Rotated, canonical, in_order, rotated
from ..models.standard_errors import InformationError, StandardErrors
from .factor_errors import errors_of
from .factor_estimator import FactorEstimator, begun, n_factors_of, replaced
from .factor_rows import FactorRows
from .mixture_fitter import double_precision
from .parameters import real


class FactorAnalysis(FactorEstimator):
    """Factor analysis by maximum likelihood, of tables with missing cells.

    x = μ + Λz + ε with q factors z ~ N(0, Φ) and independent noise ε_j ~ N(0, ψ_j): the factors explain the
    correlations of the columns, the noise what each has for itself. Missing cells, in any pattern, are integrated out
    exactly.

    Parameters
    ----------
    n_factors : int, optional
        q; 1 by default, or what ``pattern`` says.
    noise_structure : {"diagonal", "isotropic"} or sequence of int, default="diagonal"
        A noise variance for each column, one for all of them (probabilistic PCA), or one for each group: a sequence of
        group numbers, one for each column.
    pattern : mapping or array, optional
        Confirmatory analysis: which loadings are free, all others being 0. From the name of a factor to its columns, or
        an array of truth values, shape (d, q).
    correlated : bool, default=True
        Whether the factors of a pattern may correlate.
    rotation : {"varimax", "promax", "oblimin", None}, default=None
        Of factors without a pattern. None is the canonical rotation, in which ΛᵀΨ⁻¹Λ is diagonal; oblimin has γ = 0
        (quartimin), promax the power 4. Rows are normalised as Kaiser does, and columns are standardised.
    min_noise : float, default=0.005
        Least noise variance of a column, as a share of the column's variance; 1e-10 where it is less. A column that
        ends there (a Heywood case) is warned of.
    tol : float, default=1e-6
        Projected remaining gain in total log likelihood, in nats, at which the fit has converged. 0 runs exactly
        ``max_iter`` iterations.
    max_iter : int, default=10000
    accelerate : {"squarem", "anderson", None}, default="squarem"
    random_state : int, RandomState or None
        For `sample` and draws of `impute`; the fit begins with a closed form.
    verbose : int, default=0

    Attributes
    ----------
    loadings_ : array, shape (d, q)
        Λ, in the units of the columns.
    standardized_loadings_ : array, shape (d, q)
        Of columns of variance 1.
    factor_correlations_ : array, shape (q, q)
        Φ.
    factor_names_ : tuple of str
    noise_variance_ : array, shape (d,)
        ψ.
    communalities_ : array, shape (d,)
        Share of each column's variance that the factors explain.
    mean_ : array, shape (d,)
    log_likelihood_ : float
        log p(observed cells) of the training rows, in nats.
    n_parameters_ : int
    trace_, status_, converged_, n_iter_
        As in `GaussianMixture`.

    References
    ----------
    Rubin & Thayer (1982), Psychometrika 47:69; Liu, Rubin & Wu (1998), Biometrika 85:755.

    Examples
    --------
    >>> import numpy as np
    >>> import noumena as nm
    >>> rng = np.random.default_rng(0)
    >>> ability = rng.normal(size=(500, 1))
    >>> x = ability @ [[1.0, 0.8, 0.6]] + rng.normal(size=(500, 3)) * 0.5
    >>> x[rng.random(x.shape) < 0.1] = np.nan
    >>> fa = nm.FactorAnalysis(1).fit(x)
    >>> fa.loadings_[:, 0].round(1)
    array([1. , 0.8, 0.6])
    """

    factor_correlations_: np.ndarray
    noise_variance_: np.ndarray
    factor_names_: tuple[str, ...]

    def __init__(
        self,
        n_factors: int | None = None,
        *,
        noise_structure: str | Sequence[int] = "diagonal",
        pattern: Any = None,
        correlated: bool = True,
        rotation: str | None = None,
        min_noise: float = 0.005,
        tol: float = 1e-6,
        max_iter: int = 10_000,
        accelerate: str | None = "squarem",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.noise_structure = noise_structure
        self.pattern = pattern
        self.correlated = correlated
        self.rotation = rotation
        self.min_noise = min_noise
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.random_state = random_state
        self.verbose = verbose

    def _structure(self, d: int, names: list[str]) -> FactorStructure:
        if self.rotation is not None and self.rotation not in ROTATIONS:
            raise ValueError(f"rotation={self.rotation!r}: choose among {', '.join(ROTATIONS)}, or None")
        floor = real("min_noise", self.min_noise, 0.0)
        if floor >= 1:
            raise ValueError(f"min_noise={floor} is a share of a column's variance: below 1")
        free = None
        if self.pattern is not None:
            if self.rotation is not None:
                raise ValueError("a pattern leaves nothing to rotate: drop rotation or pattern")
            free = self._free_loadings(d, names)
        q = len(free[0]) if free is not None else n_factors_of(1 if self.n_factors is None else self.n_factors, d, d)
        if free is not None and self.n_factors not in (None, q):
            raise ValueError(f"n_factors={self.n_factors}, but the pattern has {q} factors: drop one of the two")
        return FactorStructure(
            q, noise_groups(self.noise_structure, d), free, bool(self.correlated), max(floor, LEAST_NOISE)
        )

    def _free_loadings(self, d: int, names: list[str]) -> tuple[tuple[bool, ...], ...]:
        if isinstance(self.pattern, Mapping):
            free = np.zeros((d, len(self.pattern)), dtype=bool)
            own = names if hasattr(self, "feature_names_in_") else None
            for k, columns in enumerate(self.pattern.values()):
                free[positions(columns, None if own is None else tuple(own), d), k] = True
        else:
            free = np.asarray(self.pattern)
            if free.ndim != 2 or len(free) != d or free.dtype.kind not in "biu" or not np.isin(free, (0, 1)).all():
                raise ValueError(f"pattern must be a mapping or truth values of shape ({d}, q), got shape {free.shape}")
            free = free.astype(bool)
        names_of = list(self.pattern) if isinstance(self.pattern, Mapping) else range(free.shape[1])
        for name, column in zip(names_of, free.T, strict=True):
            if not column.any():
                raise ValueError(f"factor {name!r} has no free loading in pattern: give it columns, or leave it out")
        for j in range(free.shape[1]):
            for k in range(j):
                if np.array_equal(free[:, j], free[:, k]):
                    raise ValueError(
                        f"factors {names_of[k]!r} and {names_of[j]!r} have the same free loadings, so that nothing "
                        "tells them apart: give each a column of its own"
                    )
        return tuple(tuple(map(bool, row)) for row in free)

    def _begin(self, rows: FactorRows, structure: FactorStructure) -> FactorModel:
        return begun(rows, structure)

    def _presented(self, model: FactorModel) -> FactorModel:
        if model.structure.free is not None:
            own = standardised(model.parameters)
            sign = np.where(np.sum(own.loadings**3, axis=0) < 0, -1.0, 1.0)
            turned = own.latent * np.outer(sign, sign) + 0.0  # no zeros with a sign
            return replaced(model, own._replace(loadings=own.loadings * sign, latent=turned))
        own = model.parameters._replace(
            loadings=uncorrelated(model.parameters), latent=np.eye(model.structure.n_factors)
        )
        return replaced(model, _turned(own, self._rotation_of(own)))

    def _rotation_of(self, own: FactorParameters, start: Rotated | None = None) -> Rotated:
        """The rotation of uncorrelated factors that the estimator asks for."""
        scale = np.sqrt(np.sum(own.loadings**2, axis=1) + own.noise)[:, None]
        if self.rotation is None:
            _, turn = canonical(own.loadings, own.noise)
            if start is not None:  # the same factors as in the rotation nearby, not their mirror images
                turn = turn * np.where(np.sum(turn * start.transformation, axis=0) < 0, -1.0, 1.0)
            return Rotated(own.loadings @ turn, np.eye(len(turn)), turn)
        if start is not None:
            return rotated(own.loadings / scale, self.rotation, start.transformation)
        first = canonical(own.loadings, own.noise)[1]
        found = in_order(rotated(own.loadings @ first / scale, self.rotation))
        return Rotated(found.loadings, found.correlations, first @ found.transformation)

    def _describe(self) -> None:
        own, (_, scale) = self._model.parameters, self._location_and_scale()
        self.noise_variance_ = own.noise * scale**2
        self.factor_correlations_ = own.latent
        named = list(self.pattern) if isinstance(self.pattern, Mapping) else range(1, own.loadings.shape[1] + 1)
        self.factor_names_ = tuple(name if isinstance(name, str) else f"factor {name}" for name in named)

    def fit_measures(self, X: Any, sample_weight: Any = None) -> FitMeasures:
        """The likelihood-ratio test against a normal without structure, RMSEA, CFI, TLI and SRMR.

        Parameters
        ----------
        X : table
            The rows that the model was fitted on; where cells are missing, the normal without structure is fitted to
            the same observed cells.
        sample_weight : array, shape (n_rows,), optional
        """
        rows = self._rows(X, sample_weight)
        with double_precision():
            total, _ = expectation(stack([self._for_rows(rows.complete)]), rows.blocks)
        # of a file, the columns of the fit alone
        free, diagonal, covariance = _without_factors(rows, self._table(X), sample_weight)
        implied = self.get_covariance()
        return fit_measures(float(total[0]), free, diagonal, rows.weight, self.n_parameters_, implied, covariance)

    def standard_errors(self, X: Any, sample_weight: Any = None) -> StandardErrors:
        """Standard errors from the observed information.

        Those of rotated loadings take into account that the rotation is estimated too (Jennrich 1973, Psychometrika
        38:593): they are derived along the rotation, by differences.

        Parameters
        ----------
        X : table
            The rows that the model was fitted on.
        sample_weight : array, shape (n_rows,), optional

        Returns
        -------
        StandardErrors
            ``mean``, ``loadings``, ``standardized_loadings``, ``noise_variance``, ``communalities``,
            ``factor_correlations``. A noise variance at its floor has none: NaN; nor has what is fixed: 0.

        Raises
        ------
        InformationError
            Where the information has no inverse: the factors are not determined by these rows.
        """
        check_is_fitted(self)
        structure = self._model.structure
        if structure.n_within > structure.n_moments:
            raise InformationError(
                f"{structure.n_within} loadings, noise variances and correlations of factors are not determined by the "
                f"{structure.n_moments} variances and covariances of {structure.n_columns} columns: use fewer factors"
            )
        rows = self._rows(X, sample_weight)
        with double_precision():
            model = self._for_rows(rows.complete)
            model = replaced(model, determined(model.parameters, model.structure))
            start = None if structure.free is not None else self._aligned(model.parameters)
            return errors_of(model, rows, lambda own: self._seen(own, start))

    def _aligned(self, own: FactorParameters) -> Rotated:
        """The map from the coordinates' factors to the fitted ones."""
        turn = np.linalg.lstsq(own.loadings, self._model.parameters.loadings, rcond=None)[0]
        return Rotated(self._model.parameters.loadings, self._model.parameters.latent, turn)

    def _seen(self, own: FactorParameters, start: Rotated | None) -> dict[str, np.ndarray]:
        """What users see of these parameters."""
        if start is not None:
            own = _turned(own, self._rotation_of(own, start))
        return self._general(own) | {
            "noise_variance": own.noise * self._location_and_scale()[1] ** 2,
            "factor_correlations": own.latent,
        }


def _without_factors(rows: FactorRows, table: Table, sample_weight: Any) -> tuple[float, float, np.ndarray]:
    """Log likelihoods of a normal without structure and of one without correlations; the first one's covariance."""
    from .gaussian_mixture import GaussianMixture

    if rows.complete:
        scale = np.asarray(rows.frame.scale.value)
        covariance = rows.covariance * np.outer(scale, scale)
        constant = len(covariance) * (LOG_2PI + 1)
        logdets = np.linalg.slogdet(rows.covariance)[1] + 2 * np.sum(np.log(scale)), np.sum(np.log(np.diag(covariance)))
        free, diagonal = (-0.5 * rows.weight * (float(logdet) + constant) for logdet in logdets)
        return free, diagonal, covariance
    wide = GaussianMixture(tol=1e-7, max_iter=10_000).fit(table, sample_weight=sample_weight)
    diagonal = GaussianMixture(covariance="VVI", tol=1e-7).fit(table, sample_weight=sample_weight)
    return wide.log_likelihood_, diagonal.log_likelihood_, wide.covariances_[0]


def _turned(own: FactorParameters, found: Rotated) -> FactorParameters:
    return own._replace(loadings=own.loadings @ found.transformation, latent=found.correlations)


def noise_groups(noise: Any, d: int) -> tuple[int, ...]:
    """Group numbers 0, 1, … of the columns.

    Raises
    ------
    ValueError
        For a name that is not known, or groups that are not one number for each column.
    """
    if isinstance(noise, str):
        if noise not in ("diagonal", "isotropic"):
            known = '"diagonal", "isotropic", or a group number for each column'
            raise ValueError(f"noise_structure={noise!r}: choose {known}")
        return tuple(range(d)) if noise == "diagonal" else (0,) * d
    groups = list(noise)
    if len(groups) != d:
        raise ValueError(f"noise_structure has {len(groups)} group numbers for {d} columns: one for each")
    order = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    return tuple(order[group] for group in groups)
