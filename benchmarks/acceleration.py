"""E-steps of plain EM, SQUAREM and Anderson mixing on Hasselblad's death notices, from one start.

    python benchmarks/acceleration.py

Counts 0 … 9 with their frequencies, two Poissons: a table on which EM crawls. The start is that of the R package
SQUAREM's demonstration (Varadhan & Roland 2008, Scand. J. Statist. 35:335, have the table), where plain EM takes 2,909
evaluations until the parameters move by less than 1e-8. EM in NumPy, below, takes as many: the problem is the same.

An estimator takes a start as responsibilities. Those of the start are one E-step, which every count has in it; E-steps
whose outcome was taken back count as well. To within 1e-6 and 1e-8 nats of the maximum: fits that go on regardless.
"""

import warnings

import numpy as np
from scipy.special import gammaln, logsumexp

import noumena as nm

COUNTS = np.arange(10.0)
DAYS = np.array([162, 267, 271, 185, 111, 61, 27, 8, 3, 1.0])
WEIGHTS, RATES = np.array([0.4462944, 0.5537056]), np.array([5.3433981, 0.8713513])  # the start
MAXIMUM = -1989.945859883
WITHIN = (1e-6, 1e-8)
TOLERANCE = 1e-7  # of the estimator's own stopping rule
ENOUGH = 4_000


def e_step(weights: np.ndarray, rates: np.ndarray) -> tuple[float, np.ndarray]:
    """Log likelihood, and responsibilities (10, 2)."""
    joint = np.log(weights) + COUNTS[:, None] * np.log(rates) - rates - gammaln(COUNTS + 1)[:, None]
    total = logsumexp(joint, axis=1, keepdims=True)
    return float(DAYS @ total[:, 0]), np.exp(joint - total)


def reference() -> tuple[np.ndarray, int]:
    """EM in NumPy: log likelihoods, and the E-steps until (weight, rates) move by less than 1e-8."""
    weights, rates, objectives, still = WEIGHTS, RATES, [], 0
    for steps in range(1, ENOUGH + 1):
        value, r = e_step(weights, rates)
        objectives.append(value)
        each = DAYS @ r
        after = each / DAYS.sum(), (DAYS * COUNTS) @ r / each
        moved = np.hypot(after[0][0] - weights[0], np.linalg.norm(after[1] - rates))
        weights, rates = after
        still = still or (steps if moved < 1e-8 else 0)
    return np.array(objectives), still


def fitted(accelerate: str | None, tol: float) -> nm.PoissonMixture:
    model = nm.PoissonMixture(2, init_params=e_step(WEIGHTS, RATES)[1], accelerate=accelerate, tol=tol, max_iter=ENOUGH)
    return model.fit(COUNTS[:, None], sample_weight=DAYS)


def reached(objectives: np.ndarray, within: float) -> int:
    """E-steps until the log likelihood is so near its maximum."""
    near = objectives >= MAXIMUM - within
    if not near.any():
        raise ValueError(f"not within {within:g} of the maximum: {objectives.max():.9f}")
    return int(near.argmax()) + 1


def main() -> None:
    warnings.simplefilter("ignore")  # of fits that go on regardless
    objectives, still = reference()
    print(f"start: weights {WEIGHTS}, rates {RATES}, ℓ = {objectives[0]:.6f}; maximum {objectives.max():.9f}")
    print(f"EM in NumPy: {still} E-steps until the parameters move by less than 1e-8\n")
    print(f"| E-steps | within {WITHIN[0]:g} | within {WITHIN[1]:g} | stops at tol={TOLERANCE:g} | below the maximum |")
    print("| --- | ---: | ---: | ---: | ---: |")
    print(f"| EM in NumPy | {' | '.join(f'{reached(objectives, within):,}' for within in WITHIN)} | — | — |")
    for label, accelerate in (("plain EM", None), ("SQUAREM", "squarem"), ("Anderson", "anderson")):
        trace = fitted(accelerate, 0.0).trace_.objective
        own = fitted(accelerate, TOLERANCE)
        counts = [1 + reached(trace, within) for within in WITHIN] + [1 + len(own.trace_)]
        print(f"| {label} | {' | '.join(f'{n:,}' for n in counts)} | {MAXIMUM - own.log_likelihood_:.1e} |")
        if not own.converged_:
            print(f"\n{label} ended {own.status_.value}\n")


if __name__ == "__main__":
    main()
