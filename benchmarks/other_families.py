"""Seconds per EM iteration of Student t mixtures and of mixed tables, here and in pomegranate.

    python benchmarks/other_families.py                 # both kinds, all sizes, 5 rounds, 2 threads, float64
    python benchmarks/other_families.py --kind mixed --size 200000x8x8 --rounds 7

A run of n iterations minus a run of one, after one run that compiles, in turn, medians. All begin at one point: the
parameters of noumena after its first iteration, which pomegranate is given. Before the clock runs, the log likelihood
there, as each library has it, is held against SciPy's densities.

Mixed tables are the same model in both (`IndependentComponents` inside `GeneralMixtureModel`), by the same algorithm,
so the log likelihoods after the same number of iterations must agree. Three things of pomegranate's are to know:

- `Categorical` looks its cells up as indices and so refuses the floats of a mixed table; `Levels` below casts them.
- `IndependentComponents` rounds the responsibilities to float32.
- `Gamma` ends its Newton steps at a change of 1e-4, sometimes before the first. Hence the tolerance in the comparison.

Student t mixtures are not the same in both. pomegranate's `StudentT` is a product of univariate t distributions
(covariance_type="diag"; "full" is inherited from the normal and does not work), its degrees of freedom are fixed whole
numbers, and its M-step is that of a normal: weighted means and variances, without the weights that the EM of a t
distribution gives to rows. So its log likelihood may fall. noumena's is the multivariate t with EM, with diagonal (VVI)
and with full (VVV) scale matrices, the same ν fixed. At one column the models are the same, the algorithms are not.
"""

import argparse
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

from peers import THREADS, clock, require  # first: it sets the threads

import numpy as np  # isort: skip
from scipy import special, stats  # isort: skip

import noumena  # isort: skip

# rows, columns, components: iterations in one timing
SIZES = {(10_000, 4, 3): 20, (10_000, 4, 8): 20, (200_000, 8, 3): 4, (200_000, 8, 8): 4}
SINGLE = {(10_000, 1, 3): 20, (200_000, 1, 3): 4}  # for Student t only
FREEDOM = 5
FAMILIES = ("normal", "exponential", "poisson", "bernoulli", "normal", "gamma", "poisson", "categorical")
LEVELS = 4


class Run(NamedTuple):
    seconds: float
    log_likelihood: float  # at its end


class Contender(NamedTuple):
    """One library.

    `run`: so many iterations from the common start, and the log likelihood after them. `judge`: that at the start, by
    SciPy; `own`: the same, by the library.
    """

    name: str
    run: Callable[[int], Run]
    judge: float
    own: float


def simulate(rows: int, columns: int, components: int, mixed: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A table, and responsibilities to start from: half the true component, half chance."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(components, size=rows, p=rng.dirichlet(np.full(components, 10.0)))
    x = np.empty((rows, columns))
    for j in range(columns):
        family = FAMILIES[j] if mixed else "t"
        mean = rng.normal(scale=2.0, size=components)[labels]
        positive = np.exp(0.4 * mean)
        if family == "t":
            x[:, j] = mean + rng.standard_t(FREEDOM, size=rows)
        elif family == "normal":
            x[:, j] = mean + rng.normal(size=rows)
        elif family == "exponential":
            x[:, j] = rng.exponential(positive)
        elif family == "gamma":
            x[:, j] = rng.gamma(3.0, positive)
        elif family == "poisson":
            x[:, j] = rng.poisson(3 * positive)
        elif family == "bernoulli":
            x[:, j] = rng.random(rows) < special.expit(mean)
        else:
            chance = rng.dirichlet(np.ones(LEVELS), size=components).cumsum(axis=1)
            x[:, j] = (rng.random((rows, 1)) > chance[labels]).sum(axis=1).clip(max=LEVELS - 1)
    return x, 0.5 * np.eye(components)[labels] + 0.5 * rng.dirichlet(np.ones(components), size=rows)


def log_density(x: np.ndarray, family: str, p: dict[str, Any]) -> np.ndarray:
    """Of each cell of a column in one component, by SciPy."""
    if family == "normal":
        return stats.norm.logpdf(x, p["mean"], p["standard_deviation"])
    if family == "exponential":
        return stats.expon.logpdf(x, scale=1 / p["rate"])
    if family == "gamma":
        return stats.gamma.logpdf(x, p["shape"], scale=1 / p["rate"])
    if family == "poisson":
        return stats.poisson.logpmf(x, p["rate"])
    if family == "bernoulli":
        return stats.bernoulli.logpmf(x, p["probability"])
    return np.log(p["probability"])[x.astype(int)]


def log_likelihood(weights: np.ndarray, densities: list[np.ndarray]) -> float:
    """Σ_n log Σ_k π_k p_k(x_n), from log p_k(x_n) for each k."""
    return float(special.logsumexp(np.log(weights) + np.stack(densities, axis=1), axis=1).sum())


def ours(x: np.ndarray, r: np.ndarray, make: Callable[..., Any]) -> tuple[Callable[[int], Run], Any]:
    """Iterations after the first, and the fit after the first."""

    def fitted(n: int) -> tuple[float, Any]:
        model = make(n_components=r.shape[1], init_params=r, tol=0.0, max_iter=n, accelerate=None, random_state=0)
        return clock(lambda: model.fit(x))

    first = fitted(1)[1]  # compiles

    def run(n: int) -> Run:
        seconds, model = fitted(1 + n)
        return Run(seconds, model.log_likelihood_)

    return run, first


def theirs(
    x: np.ndarray, weights: np.ndarray, components: Callable[[], list[Any]]
) -> tuple[Callable[[int], Run], float]:
    """Iterations, and the log likelihood before the first."""
    import torch
    from pomegranate.gmm import GeneralMixtureModel

    torch.set_num_threads(THREADS)
    data = torch.from_numpy(x)

    def run(n: int) -> Run:
        # as in peers.py: no checks in the loop, and float64 for the buffers that take torch's default
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            model = GeneralMixtureModel(
                components(), priors=torch.tensor(weights), max_iter=n, tol=float("-inf"), check_data=False
            )
            with torch.no_grad():
                seconds, _ = clock(lambda: model.fit(data))
                return Run(seconds, float(model.log_probability(data).sum()))
        finally:
            torch.set_default_dtype(before)

    return run, run(0).log_likelihood


def of_mixed(x: np.ndarray, r: np.ndarray) -> list[Contender]:
    import torch
    from pomegranate import distributions

    class Levels(distributions.Categorical):
        def log_probability(self, X):
            return super().log_probability(X.long())

    made = {
        "normal": lambda p: distributions.Normal(p["mean"], p["standard_deviation"] ** 2, "diag", check_data=False),
        "exponential": lambda p: distributions.Exponential(1 / p["rate"], check_data=False),
        "gamma": lambda p: distributions.Gamma(p["shape"], p["rate"], check_data=False),
        "poisson": lambda p: distributions.Poisson(p["rate"], check_data=False),
        "bernoulli": lambda p: distributions.Bernoulli(p["probability"], check_data=False),
        "categorical": lambda p: Levels(p["probability"], check_data=False),
    }
    families = FAMILIES[: x.shape[1]]
    run, first = ours(x, r, lambda **own: noumena.Mixture(dict(enumerate(families)), **own))
    columns = [(family, first.parameters_[f"x{j}"]) for j, family in enumerate(families)]

    def components() -> list[Any]:
        return [
            distributions.IndependentComponents(
                [made[family]({name: torch.tensor(v[k : k + 1]) for name, v in p.items()}) for family, p in columns]
            )
            for k in range(r.shape[1])
        ]

    densities = [
        sum(
            log_density(x[:, j], family, {name: value[k] for name, value in p.items()})
            for j, (family, p) in enumerate(columns)
        )
        for k in range(r.shape[1])
    ]
    judge = log_likelihood(first.weights_, densities)
    their_run, their_start = theirs(x, first.weights_, components)
    return [
        Contender("noumena", run, judge, first.log_likelihood_),
        Contender("pomegranate", their_run, judge, their_start),
    ]


def of_t(x: np.ndarray, r: np.ndarray) -> list[Contender]:
    import torch
    from pomegranate.distributions import StudentT

    found, firsts = [], []
    for structure in ("V",) if x.shape[1] == 1 else ("VVI", "VVV"):
        make = lambda structure=structure, **own: noumena.StudentTMixture(  # noqa: E731
            covariance=structure, degrees_of_freedom=float(FREEDOM), **own
        )
        run, first = ours(x, r, make)
        both = zip(first.locations_, first.scales_, strict=True)
        densities = [stats.multivariate_t.logpdf(x, location, scale, df=FREEDOM) for location, scale in both]
        judge = log_likelihood(first.weights_, densities)
        found.append(Contender(f"noumena {structure}", run, judge, first.log_likelihood_))
        firsts.append(first)
    weights, locations = firsts[0].weights_, firsts[0].locations_
    squares = np.stack([np.diag(scale) for scale in firsts[0].scales_])

    def components() -> list[Any]:
        return [
            StudentT(torch.tensor(FREEDOM), torch.tensor(location), torch.tensor(square), "diag", check_data=False)
            for location, square in zip(locations, squares, strict=True)
        ]

    both = zip(locations, np.sqrt(squares), strict=True)
    densities = [stats.t.logpdf(x, FREEDOM, location, scale).sum(axis=1) for location, scale in both]
    run, start = theirs(x, weights, components)
    return [*found, Contender("pomegranate diag", run, log_likelihood(weights, densities), start)]


def measure(kind: str, size: tuple[int, int, int], n: int, rounds: int) -> None:
    rows, columns, components = size
    x, r = simulate(*size, mixed=kind == "mixed")
    contenders = (of_mixed if kind == "mixed" else of_t)(x, r)
    for each in contenders:
        if abs(each.own - each.judge) > 1e-9 * abs(each.judge):
            print(f"{each.name} begins at ℓ = {each.own:.6f}, SciPy has {each.judge:.6f}: the comparison is void")
    # of n iterations from the common start; wakes thread pools, too
    ends = {each.name: each.run(n).log_likelihood for each in contenders}
    seconds: dict[str, list[float]] = {each.name: [] for each in contenders}
    for turn in range(rounds):
        first = turn % len(contenders)
        for each in contenders[first:] + contenders[:first]:
            # as in iterations.py: ours are short beside what a fit does once, so more of them
            many = 10 * n if each.name.startswith("noumena") else n
            shortest = each.run(1).seconds
            seconds[each.name].append((each.run(many).seconds - shortest) / (many - 1))
    medians = {name: median(values) for name, values in seconds.items()}
    label = ", ".join(FAMILIES[:columns]) if kind == "mixed" else f"Student t, ν = {FREEDOM}"
    print(f"\n### {rows:,} × {columns}, K = {components}: {label}\n")
    print(f"{THREADS} threads, float64, {rounds} rounds\n")
    print(f"| | ms / iteration (median) | lowest – highest | × {contenders[0].name} | ℓ at the start | ℓ after {n} |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for each in contenders:
        values, own = seconds[each.name], medians[each.name]
        print(
            f"| {each.name} | {1e3 * own:.3f} | {1e3 * min(values):.3f} – {1e3 * max(values):.3f} "
            f"| {own / medians[contenders[0].name]:.2f} | {each.judge:.4f} | {ends[each.name]:.4f} |",
            flush=True,
        )
    if kind == "mixed":
        apart = abs(ends["noumena"] - ends["pomegranate"]) / abs(ends["noumena"])
        if apart > (1e-6 if "gamma" in FAMILIES[:columns] else 1e-9):
            print(f"\nafter the same iterations they are {apart:.1e} (relative) apart: not the same algorithm")


def size(text: str) -> tuple[int, int, int]:
    rows, columns, components = (int(part) for part in text.split("x"))
    return rows, columns, components


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("student-t", "mixed"), action="append", help="default: both")
    parser.add_argument("--size", type=size, action="append", metavar="NxDxK", help="rows x columns x components")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each library (default 5)")
    arguments = parser.parse_args()
    require("pomegranate", "pomegranate")
    warnings.simplefilter("ignore")  # of fits that are stopped early on purpose
    for kind in arguments.kind or ("student-t", "mixed"):
        known = SIZES | (SINGLE if kind == "student-t" else {})
        for each in arguments.size or known:
            measure(kind, each, known.get(each, 4), arguments.rounds)


if __name__ == "__main__":
    main()
