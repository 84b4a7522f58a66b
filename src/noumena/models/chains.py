"""What draws of Markov chains are worth: R̂, effective sample sizes, Monte Carlo standard errors.

As in Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Anal. 16:667, for one quantity in several chains.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import rankdata


def r_hat(draws: Float[np.ndarray, "chains n"]) -> float:
    """Rank-normalised split R̂, of the values and of their distance from the median; the larger of the two.

    1 where chains agree; draws of which it exceeds 1.01 should not be used. NaN for a constant.
    """
    folded = np.abs(draws - np.median(draws))
    return max(_between_and_within(_normal_scores(_split(draws))), _between_and_within(_normal_scores(_split(folded))))


def effective_sample_size(draws: Float[np.ndarray, "chains n"]) -> float:
    """The number of independent draws whose mean is as precise, by Geyer's initial monotone sequence.

    N M / (−1 + 2 Σ_t (ρ_2t + ρ_2t+1)), the sum ending where pairs of autocorrelations become negative (eqs. 10 to 14 of
    the paper above; Geyer 1992, Stat. Sci. 7:473); at most N M log₁₀ N M. NaN for a constant.
    """
    halves = _split(draws)
    m, n = halves.shape
    away = halves - halves.mean(axis=1, keepdims=True)
    padded = 2 * n  # so that the ends do not meet
    spectrum = np.abs(np.fft.rfft(away, padded)) ** 2
    covariance = np.fft.irfft(spectrum, padded)[:, :n].mean(axis=0) / n
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + np.var(halves.mean(axis=1), ddof=1)
    if total <= 0:
        return float("nan")
    rho = 1 - (within - covariance * n / (n - 1)) / total
    rho[0] = 1.0
    pairs = rho[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    first_negative = int(np.argmax(pairs < 0)) if (pairs < 0).any() else len(pairs)
    time = -1 + 2 * np.minimum.accumulate(pairs[: max(first_negative, 1)]).sum()
    return float(m * n / max(time, 1 / np.log10(m * n)))


def monte_carlo_error(draws: Float[np.ndarray, "chains n"]) -> float:
    """Standard error of the mean of these draws as an estimate of the expectation."""
    return float(np.std(draws, ddof=1) / np.sqrt(effective_sample_size(draws)))


def summary(draws: Float[np.ndarray, "chains n"]) -> dict[str, float]:
    """Mean, standard deviation, median and central 95% interval of the draws, and what they are worth."""
    lower, median, upper = np.quantile(draws, [0.025, 0.5, 0.975]).tolist()
    return {
        "mean": float(draws.mean()),
        "standard_deviation": float(np.std(draws, ddof=1)),
        "lower": lower,
        "median": median,
        "upper": upper,
        "monte_carlo_error": monte_carlo_error(draws),
        "effective_draws": effective_sample_size(draws),
        "r_hat": r_hat(draws),
    }


def _split(draws: np.ndarray) -> np.ndarray:
    """Each chain as two: a chain that drifts disagrees with itself."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def _normal_scores(draws: np.ndarray) -> np.ndarray:
    """Ranks, as quantiles of the normal distribution: heavy tails do no harm."""
    return ndtri((rankdata(draws, axis=None).reshape(draws.shape) - 0.375) / (draws.size + 0.25))


def _between_and_within(draws: np.ndarray) -> float:
    """√((n − 1)/n + B/(n W)) (eqs. 1 to 4)."""
    n = draws.shape[1]
    within = np.var(draws, axis=1, ddof=1).mean()
    if within <= 0:
        return float("nan")
    return float(np.sqrt((n - 1) / n + np.var(draws.mean(axis=1), ddof=1) / within))
