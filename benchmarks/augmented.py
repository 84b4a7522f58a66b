"""Augmented regressions against other libraries: the LASSO, and a probit of a million rows.

    python benchmarks/augmented.py lasso
    python benchmarks/augmented.py probit

Peers run in turn on the same rows, in this process; medians of ``--rounds``. statsmodels is needed for the probit.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import noumena as nm


def timed(run: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Median seconds, and the last outcome."""
    taken, found = [], None
    for _ in range(rounds):
        begin = time.perf_counter()
        found = run()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken), found


def lasso(rounds: int) -> None:
    """2,000 × 500, 20 weights that matter; each penalty as scikit-learn has it."""
    from sklearn.linear_model import Lasso

    rng = np.random.default_rng(0)
    n, p = 2000, 500
    x, weights = rng.normal(size=(n, p)), np.zeros(p)
    weights[:20] = 2 * rng.normal(size=20)
    y = x @ weights + 3 * rng.normal(size=n)

    def objective(model: Any, alpha: float) -> float:
        return float(np.mean((y - model.predict(x)) ** 2) / 2 + alpha * np.abs(model.coef_).sum())

    for alpha in (0.05, 0.2, 1.0):
        peer, theirs = timed(lambda alpha=alpha: Lasso(alpha=alpha, tol=1e-8, max_iter=100_000).fit(x, y), rounds)
        best = objective(theirs, alpha)
        print(f"alpha {alpha}: scikit-learn {peer:.3f} s, {np.sum(theirs.coef_ == 0)} zeros")
        for accelerate in ("squarem", "anderson", None):
            own = nm.AugmentedRegressor(prior="laplace", penalty=alpha * n, scale=1.0, accelerate=accelerate)
            seconds, ours = timed(lambda own=own: own.fit(x, y), rounds)
            print(
                f"  {accelerate or 'plain EM':8s} {seconds:.3f} s, {seconds / peer:.1f} × scikit-learn, {ours.n_iter_} "
                f"iterations, {np.sum(ours.coef_ == 0)} zeros, objective {objective(ours, alpha) - best:+.1e}"
            )


def probit(rounds: int, n: int) -> None:
    """n × 20, against Newton's method in statsmodels."""
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 20))
    y = (0.3 + x @ rng.normal(size=20) * 0.3 + rng.normal(size=n) > 0).astype(float)
    peer, theirs = timed(lambda: sm.Probit(y, sm.add_constant(x)).fit(disp=0), rounds)
    print(f"statsmodels {peer:.2f} s, log likelihood {theirs.llf:.6f}")
    for accelerate in ("newton", "squarem", None):
        seconds, ours = timed(lambda a=accelerate: nm.AugmentedClassifier("probit", accelerate=a).fit(x, y), rounds)
        print(
            f"{accelerate or 'plain EM':8s} {seconds:.2f} s, {peer / seconds:.2f} × statsmodels' speed, {ours.n_iter_} "
            f"iterations, log likelihood {ours.log_likelihood_:.6f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("lasso", "probit"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    chosen = parser.parse_args()
    lasso(chosen.rounds) if chosen.what == "lasso" else probit(chosen.rounds, chosen.rows)
