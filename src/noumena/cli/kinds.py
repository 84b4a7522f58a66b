"""Which options go with which model, and the estimator that they describe."""

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal

import typer

import noumena

from .options import Kind
from .training import Training

ESTIMATORS = {
    Kind.gaussian: noumena.GaussianMixture,
    Kind.mixture: noumena.Mixture,
    Kind.latent_class: noumena.LatentClassAnalysis,
    Kind.bernoulli: noumena.BernoulliMixture,
    Kind.poisson: noumena.PoissonMixture,
    Kind.student_t: noumena.StudentTMixture,
    Kind.regression: noumena.RegressionMixture,
    Kind.network: noumena.BayesianNetwork,
    Kind.factors: noumena.FactorAnalysis,
    Kind.pca: noumena.ProbabilisticPCA,
    Kind.bayesian_pca: noumena.BayesianPCA,
    Kind.factor_mixture: noumena.MixtureOfFactorAnalyzers,
}
#: Models whose columns may hold text.
TABULAR = (Kind.mixture, Kind.latent_class)
#: Models of one set of factors for all rows.
FACTORS = (Kind.factors, Kind.pca, Kind.bayesian_pca)


@dataclass(frozen=True)
class Asked:
    """The options that do not go with every model.

    Attributes
    ----------
    covariance : list of str or "all", or None
    families : list of (columns, family)
    degrees_of_freedom : str or float, or None
    prior : str, float or None
    noise : str or None
    covariates : list of str
    response, response_family : str or None
    regressors, concomitant : list of str
    structure : str or None
    hidden : dict
        From nodes that are never observed to their numbers of states.
    factors : list of int, or None
        Numbers of factors to try.
    rotation : str or None
    starts, columns, labels : bool
        Whether they are asked for.
    criterion : str
    of_mixtures : list of str
        Options for mixtures alone that are asked for.
    """

    covariance: Sequence[str] | Literal["all"] | None
    families: list[tuple[tuple[str, ...], str]]
    degrees_of_freedom: str | float | None
    prior: str | float | None
    noise: str | None
    covariates: list[str]
    response: str | None
    response_family: str | None
    regressors: list[str]
    concomitant: list[str]
    structure: str | None
    hidden: dict[str, int | None]
    factors: list[int] | None
    rotation: str | None
    starts: bool
    columns: bool
    labels: bool
    criterion: str
    of_mixtures: list[str]

    def check(self, asked: Kind) -> None:
        """Refuse what the model has not: its estimator has no such parameter.

        Raises
        ------
        typer.BadParameter
            Naming the option and the models that take it.
        """
        for option, parameter, given in (
            ("--covariance", "covariance", self.covariance is not None),
            ("--family", "families", bool(self.families)),
            ("--degrees-of-freedom", "degrees_of_freedom", self.degrees_of_freedom is not None),
            ("--prior", "prior", self.prior is not None),
            ("--noise", "noise", self.noise is not None),
            ("--covariates", "covariates", bool(self.covariates)),
            ("--response", "family", self.response is not None),
            ("--response-family", "family", self.response_family is not None),
            ("--regressors", "regressors", bool(self.regressors)),
            ("--concomitant", "concomitant", bool(self.concomitant)),
            ("--structure", "structure", self.structure is not None),
            ("--hidden", "hidden", bool(self.hidden)),
            ("--factors", "n_factors", self.factors is not None),
            ("--rotation", "rotation", self.rotation is not None),
            ("--n-init", "n_init", self.starts),
        ):
            takers = [
                one.value for one, estimator in ESTIMATORS.items() if parameter in signature(estimator).parameters
            ]
            if given and asked.value not in takers:
                raise typer.BadParameter(
                    f"{asked.value} has none: leave it out, or choose --model {' or '.join(takers)}",
                    param_hint=f"'{option}'",
                )
        if asked is Kind.regression:
            if self.response is None:
                raise typer.BadParameter(
                    "regression needs the column that is to be explained: --response COLUMN", param_hint="'--response'"
                )
            if self.columns:
                raise typer.BadParameter("regression has --regressors and --concomitant", param_hint="'--columns'")
            if self.labels:
                raise typer.BadParameter("regression takes no known components: leave it out", param_hint="'--labels'")
        if isinstance(self.prior, float) and asked is not Kind.network:
            raise typer.BadParameter("a count is for networks: write default or none", param_hint="'--prior'")
        if asked is Kind.network:
            self._check_network()
        if asked in FACTORS:
            self._check_factors(asked)
        if asked is Kind.factor_mixture and self.factors is not None and len(self.factors) > 1:
            raise typer.BadParameter(
                "a mixture tries numbers of components: give one number of factors", param_hint="'--factors'"
            )
        joint = any(len(columns) > 1 and family == "normal" for columns, family in self.families)
        if asked is Kind.mixture and self.covariance is not None and not joint:
            raise typer.BadParameter(
                "in a mixture it is for columns that share a normal: name them, as in --family length,width=normal",
                param_hint="'--covariance'",
            )

    def _check_factors(self, asked: Kind) -> None:
        if asked is Kind.bayesian_pca and self.factors is not None and len(self.factors) > 1:
            raise typer.BadParameter(
                "bayesian-pca finds the number of factors by itself: give the most that there may be",
                param_hint="'--factors'",
            )
        others = [option for option in self.of_mixtures if option != "--criterion"]
        if others:
            raise typer.BadParameter(f"{asked.value} has none: leave it out", param_hint=f"'{others[0]}'")
        if self.criterion not in ("bic", "aic"):
            raise typer.BadParameter("numbers of factors are chosen by bic or aic", param_hint="'--criterion'")

    def _check_network(self) -> None:
        if self.structure is None:
            raise typer.BadParameter(
                'a network needs its edges: --structure "a->c,b->c", or a .bif or .csv file of them, or hill-climbing '
                "to learn them",
                param_hint="'--structure'",
            )
        if self.prior == "default":
            raise typer.BadParameter(
                "the prior of a network is a count for each entry of its tables: write --prior 1, say",
                param_hint="'--prior'",
            )
        if self.of_mixtures:
            raise typer.BadParameter("a network has none: leave it out", param_hint=f"'{self.of_mixtures[0]}'")


def estimator_for(
    kind: Kind, asked: Asked, data: Training, given: dict[str, Any], **common: Any
) -> tuple[Any, Sequence[str] | Literal["all"] | None]:
    """The estimator, and the covariance structures to try: None where it has none.

    Parameters
    ----------
    kind : Kind
    asked : Asked
        Checked.
    data : Training
    given : dict
        Parameters that have defaults of their own in each estimator.
    **common
        Parameters that every estimator has.
    """
    own: dict[str, Any] = {}
    if asked.prior is not None:
        own["prior"] = asked.prior
    if asked.noise is not None:
        own["noise"] = asked.noise
    if asked.degrees_of_freedom is not None:
        own["degrees_of_freedom"] = asked.degrees_of_freedom
    if asked.covariates:
        own["covariates"] = asked.covariates
    if kind is Kind.regression:
        own["family"] = asked.response_family or "normal"
        own["regressors"], own["concomitant"] = list(data.names), asked.concomitant or None
    if kind is Kind.factor_mixture and asked.factors is not None:
        own["n_factors"] = asked.factors[0]
    if kind is Kind.mixture and asked.families:
        own["families"] = _families(asked.families, data)
    estimator = ESTIMATORS[kind](**own, **given, **common)
    if kind in (Kind.gaussian, Kind.student_t):
        return estimator, asked.covariance or ["VVV"]
    return estimator, asked.covariance


def _families(asked: list[tuple[tuple[str, ...], str]], data: Training) -> dict[Any, str]:
    """Those asked for, and for the other columns those that their types and values suggest."""
    from ..data.columns import positions
    from ..estimators.column_families import inferred

    positions([name for columns, _ in asked for name in columns], data.names, len(data.names))  # refuses unknown ones
    of_column = {name: (columns, family) for columns, family in asked for name in columns}
    chosen: dict[Any, str] = {}
    for name in data.names:  # in the order of the table
        columns, family = of_column.get(name, ((name,), ""))
        chosen[columns if columns[1:] else name] = family or inferred(data.rows[name])
    return chosen
