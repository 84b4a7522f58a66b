"""What the page of a regression by augmentation says in sentences: the model, how the fit ended, what to be wary of."""

from typing import Any

import numpy as np

from ..core.result import Status
from ..families.student_t import LEAST, MOST
from .augmented import Answers, FittedAugmented
from .digits import count, number, percent
from .style import shown
from .words import Warned, closing_warnings, few_rows

_KINDS = {
    "normal": "Linear regression",
    "student_t": "Student t regression",
    "laplace": "Median regression",
    "tobit": "Tobit regression",
    "probit": "Probit regression",
    "logit": "Logit regression",
    "ordered_probit": "Ordered probit regression",
    "multinomial_probit": "Multinomial probit regression",
    "multinomial_logit": "Multinomial logit regression",
}
_MODELS = {
    "normal": "{y} is normal about the linear predictor.",
    "student_t": "{y} has a Student t distribution about the linear predictor, with {dof} degrees of freedom.",
    "laplace": "{y} has a Laplace distribution, of which the linear predictor is the median.",
    "asymmetric_laplace": "{y} has an asymmetric Laplace distribution, of which the linear predictor is the {quantile} "
    "quantile.",
    "tobit": "The uncensored {y} is normal about the linear predictor.",
    "probit": "A latent response, normal about the linear predictor, is above 0 for {last}.",
    "logit": "The linear predictor is the log odds of {last}.",
    "ordered_probit": "A latent response, normal about the linear predictor, falls between the class’s thresholds.",
    "multinomial_probit": "The class is that of the largest latent utility, each normal about its linear predictor; "
    "that of {first} is 0.",
    "multinomial_logit": "Each linear predictor is the log odds of a class against {first}.",
}
#: A row is all but impossible if one like it would be met in less than this share of such tables.
_IMPOSSIBLE = 0.01
#: A scale below this share of the response's deviation is none.
_NO_SCALE = 1e-5
_MOST_NAMED = 8


def headline(fitted: FittedAugmented, answers: Answers) -> str:
    """What was fitted: Tobit regression of hours on 7 columns in 753 rows."""
    kind = _KINDS.get(fitted.kind) or f"{fitted.estimator.quantile:g} quantile regression"
    on = count(len(fitted.columns), "column")
    return f"{kind} of {shown(answers.response)} on {on} in {count(answers.n_rows, 'row')}"


def structure(fitted: FittedAugmented) -> str:
    """Likelihood, prior, weights, missing covariates."""
    estimator = fitted.estimator
    name = shown(fitted.response)
    classes = [shown(one) for one in fitted.classes] or [""]
    told = _MODELS[fitted.kind].format(
        y=name,
        first=classes[0],
        last=classes[-1],
        quantile=f"{getattr(estimator, 'quantile', 0.5):g}",
        dof=number(getattr(estimator, "dof_", 0.0), digits=3),
    )
    parts = [told[0].upper() + told[1:] if fitted.response == "the response" else told, _prior(fitted)]
    if fitted.uncertain:
        exact = getattr(estimator, "bound_is_exact_", False)
        parts.append("The weights have a normal posterior" + ("." if exact else " (mean field)."))
    elif estimator.prior != "flat":
        parts.append("The weights are at the maximum of their posterior density.")
    if estimator.missing is not None:
        parts.append("Missing cells of covariates are integrated out under a joint normal.")
    return " ".join(parts)


def _prior(fitted: FittedAugmented) -> str:
    estimator, prior = fitted.estimator, fitted.estimator.prior
    if prior == "flat":
        return "No prior: maximum likelihood." if not fitted.uncertain else "A flat prior."
    if prior == "ard":
        return "Each weight has a normal prior of its own variance, found by the evidence (ARD)."
    size = number(float(getattr(estimator, "penalty_", estimator.penalty)), digits=3)
    found = ", found by the evidence" if estimator.hyperparameters == "evidence" else ""
    of = ", for columns scaled to standard deviation 1" if estimator.standardize else ""
    named = {
        "ridge": f"Ridge prior of precision {size}",
        "laplace": f"Laplace prior (LASSO) of rate {size}",
        "group_laplace": f"Laplace prior of groups (group LASSO) of rate {size}",
        "student_t": f"Student t prior with {estimator.prior_dof:g} degrees of freedom and 1/scale {size}",
        "horseshoe": f"Horseshoe prior of 1/scale {size}",
    }
    return f"{named[prior]}{found}{of}."


def outcome(estimator: Any) -> str:
    """How the fit ended, in one sentence."""
    status, steps = estimator.status_, count(int(estimator.n_iter_), "iteration")
    if status is Status.CONVERGED:
        return f"The fit converged after {steps}: {status.message}."
    message = status.message
    if status is Status.DEGENERATE:
        message = "the covariates meet every response exactly, so that the scale goes to 0"
    return f"The fit ended as “{status.value.replace('_', ' ')}” after {steps}: {message}."


def warnings_in_words(
    fitted: FittedAugmented, answers: Answers, holes: list[Warned], problem: str | None
) -> list[Warned]:
    """Everything that should be known before the numbers are used; the gravest first.

    Parameters
    ----------
    fitted : FittedAugmented
    answers : Answers
    holes : list of Warned
        What is to be said of missing cells.
    problem : str, or None
        Why there are no standard errors.
    """
    estimator = fitted.estimator
    told = [] if estimator.status_.ok else [Warned(outcome(estimator), grave=True)]
    told += _edges(fitted, answers)
    if not fitted.coef.any():
        told.append(Warned("Every coefficient is exactly 0: under this prior the rows do not need any column."))
    told += _separated(fitted, answers) + _impossible(fitted, answers)
    if fitted.kind == "tobit":
        share = float(answers.each @ answers.censored / answers.each.sum())
        if share > 0.5:
            told.append(
                Warned(
                    f"{percent(share)} of the responses are censored: what is said of them rests on normal residuals."
                )
            )
    if estimator.prior == "flat":
        told += few_rows(
            estimator.n_parameters_, float(answers.each.sum()), answers.n_rows, "fewer columns, or a prior,"
        )
    otherwise = "weighted or censored otherwise" if fitted.kind == "tobit" else "weighted"
    told += holes
    return told + closing_warnings(estimator, answers.log_likelihood, None, problem, what="model", otherwise=otherwise)


def _edges(fitted: FittedAugmented, answers: Answers) -> list[Warned]:
    """Parameters of the likelihood that ran to the end of their range."""
    estimator, told = fitted.estimator, []
    if hasattr(estimator, "scale_") and estimator.status_ is not Status.DEGENERATE:
        ends = np.where(np.isfinite(answers.y), answers.y, np.nan)
        spread = float(np.nanstd(ends))
        if estimator.scale is None and estimator.scale_ < _NO_SCALE * spread:
            told.append(
                Warned(
                    f"The scale of the residuals is {number(estimator.scale_, digits=2)}, next to nothing beside the "
                    "responses: the columns meet them exactly, and the likelihood means nothing.",
                    grave=True,
                )
            )
    if hasattr(estimator, "dof_") and estimator.dof is None:
        dof = estimator.dof_
        if dof >= 0.99 * MOST:
            told.append(
                Warned(
                    "The degrees of freedom ran to the end of their range: the residuals have no heavier tails than a "
                    'normal distribution. likelihood="normal" says the same with one parameter less.'
                )
            )
        elif dof <= 1.01 * LEAST:
            told.append(
                Warned(
                    "The degrees of freedom ran to the lower end of their range: most responses are met all but "
                    "exactly, and the rest lie anywhere. Standard errors mean little.",
                    grave=True,
                )
            )
        elif dof <= 1:
            told.append(
                Warned(
                    f"With {number(dof, digits=3)} degrees of freedom residuals have no mean: coefficients tell "
                    "of the centre of the distribution."
                )
            )
    return told


def _separated(fitted: FittedAugmented, answers: Answers) -> list[Warned]:
    """Classes without overlap, to which only a prior gives finite weights."""
    if not fitted.classes:
        return []
    counted = answers.each > 0
    given, code = answers.prediction[counted], answers.y[counted, 0].astype(int)
    if len(fitted.classes) == 2:
        second = given[:, 1]
        apart = bool((code == 1).any() and (code == 0).any() and second[code == 1].min() > second[code == 0].max())
    else:
        apart = bool((given.argmax(axis=1) == code).all())
    if not apart:
        return []
    return [
        Warned(
            "The columns tell the classes apart without error: without the prior the weights would have no finite "
            "maximum, and how large they are is what the prior says."
        )
    ]


def _impossible(fitted: FittedAugmented, answers: Answers) -> list[Warned]:
    """Rows that the model all but rules out."""
    counted = answers.each > 0
    tail = np.where(counted, _tail(fitted, answers), 1.0)
    rows = np.flatnonzero(tail * np.count_nonzero(counted) < _IMPOSSIBLE)
    if not len(rows):
        return []
    named = ", ".join(f"{row:,}" for row in rows[np.argsort(tail[rows], kind="stable")][:_MOST_NAMED])
    more = f" and {len(rows) - _MOST_NAMED:,} more" if len(rows) > _MOST_NAMED else ""
    one = len(rows) == 1
    cure = "Were classes mixed up there?" if fitted.classes else "Were mistakes made there?"
    if fitted.kind == "normal":
        cure += ' Such rows pull at the coefficients; likelihood="student_t" gives them less weight.'
    return [
        Warned(
            f"{'Row' if one else 'Rows'} {named}{more} {'has' if one else 'have'} a response that the model all but "
            f"rules out: one like it would be met in less than one of {1 / _IMPOSSIBLE:.0f} such tables. {cure}"
        )
    ]


def _tail(fitted: FittedAugmented, answers: Answers) -> np.ndarray:
    """The probability of a response as unexpected as each row's, shape (n_rows,)."""
    if fitted.classes:
        own = answers.observed_probability[:, None]
        return np.where(answers.prediction <= own, answers.prediction, 0.0).sum(axis=1)
    distribution = fitted.estimator.predict_distribution(answers.X)
    below, above = distribution.cdf(answers.y[:, -1]), 1 - distribution.cdf(answers.y[:, 0])
    return np.minimum(2 * np.minimum(below, above), 1.0)
