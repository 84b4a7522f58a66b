"""Hyperparameters of a linear regression by evidence: noumena against scikit-learn's BayesianRidge and ARDRegression.

    python benchmarks/evidence.py                                           # 10,000 × 200, half of the weights 0

Every run reads the rows. All begin where they do by default and end by their own rules, scikit-learn's at defaults too.
The evidence of each outcome is that of `log_evidence` below: of the centred response, as scikit-learn has it.
"""

import argparse
from statistics import median

from peers import THREADS, clock  # first: it sets the threads

import numpy as np  # isort: skip
from sklearn.linear_model import ARDRegression, BayesianRidge  # isort: skip

from noumena.models.evidence import maximise_evidence  # isort: skip
from noumena.models.second_moments import SecondMoments  # isort: skip


def rows(n: int, p: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated columns far from 0; half of the weights are 0."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) @ (np.eye(p) + 0.05 * rng.normal(size=(p, p))) + 3
    weights = rng.normal(size=p) * (rng.random(p) < 0.5)
    return x, 4 + x @ weights + noise * rng.normal(size=n)


def log_evidence(x: np.ndarray, y: np.ndarray, precision: np.ndarray, noise: float) -> float:
    """log N(y − ȳ | 0, XΛ⁻¹Xᵀ + I/β), X centred, by the matrix determinant lemma; one judge for all."""
    kept = np.isfinite(precision)
    away, response = (x - x.mean(axis=0))[:, kept] / np.sqrt(precision[kept]), y - y.mean()
    inner = np.eye(kept.sum()) + noise * away.T @ away
    projected = away.T @ response
    fit = noise * response @ response - noise**2 * projected @ np.linalg.solve(inner, projected)
    return -0.5 * (len(y) * np.log(2 * np.pi / noise) + np.linalg.slogdet(inner)[1] + fit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--columns", type=int, default=200)
    parser.add_argument("--noise", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    x, y = rows(asked.rows, asked.columns, asked.noise)
    p = asked.columns

    def ours(group: np.ndarray | None, method: str) -> tuple[np.ndarray, float]:
        found = maximise_evidence(SecondMoments.of(x, y), group, method=method, intercept="profiled")
        return found.precision if group is not None else np.full(p, found.precision[0]), found.noise_precision

    def ridge() -> tuple[np.ndarray, float]:
        model = BayesianRidge().fit(x, y)
        return np.full(p, model.lambda_), model.alpha_

    def relevance() -> tuple[np.ndarray, float]:
        model = ARDRegression().fit(x, y)
        return np.where(model.coef_ == 0, np.inf, model.lambda_), model.alpha_

    for label, group, peer in (("BayesianRidge", None, ridge), ("ARDRegression", np.arange(p), relevance)):
        runs = {f"noumena, {m}": lambda m=m, g=group: ours(g, m) for m in ("coordinate", "em", "mackay", "gradient")}
        runs = {f"scikit-learn {label}": peer} | runs
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        outcomes = {name: run() for name, run in runs.items()}  # compiles and warms up
        for _ in range(asked.rounds):
            for name, run in runs.items():
                seconds[name].append(clock(run)[0])
        print(f"{asked.rows:,} × {p}, {THREADS} threads, medians of {asked.rounds} alternating runs")
        theirs = median(seconds[f"scikit-learn {label}"])
        for name, (precision, noise) in outcomes.items():
            own = median(seconds[name])
            print(
                f"  {name:27} {1e3 * own:7.1f} ms ({1e3 * min(seconds[name]):.1f} to {1e3 * max(seconds[name]):.1f}), "
                f"ratio {theirs / own:5.1f}, log evidence {log_evidence(x, y, precision, noise):.6f}, "
                f"{np.isinf(precision).sum()} pruned",
                flush=True,
            )


if __name__ == "__main__":
    main()
