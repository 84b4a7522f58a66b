"""What a user waits for: the first fit of a process, later ones, the whole sweep, missing cells, acceleration.

    python benchmarks/latency.py first|later|sweep|missing|accelerate [--data ../shared/data/classical/faithful.csv]

Each word is a measurement; run it in a fresh process, several times, and compare medians.
"""

import argparse
import statistics
import time
import warnings

import numpy as np

import noumena as nm

nm.GaussianMixture  # noqa: B018 - imports are not counted


def faithful(path: str) -> np.ndarray:
    return np.genfromtxt(path, delimiter=",", skip_header=1)[:, 1:]


def seconds(action) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def first(x: np.ndarray) -> None:
    took = seconds(lambda: nm.GaussianMixture(3, random_state=0).fit(x))
    print(f"first fit in a new process, {x.shape[0]} × {x.shape[1]}, K = 3, VVV: {took:.2f} s after imports")


def later(x: np.ndarray) -> None:
    nm.GaussianMixture(3, random_state=0).fit(x)
    took = [seconds(lambda s=s: nm.GaussianMixture(3, random_state=s).fit(x)) for s in range(20)]
    print(f"each later fit: median {1e3 * statistics.median(took):.0f} ms, most {1e3 * max(took):.0f} ms")


def sweep(x: np.ndarray) -> None:
    def run() -> None:
        nm.select(nm.GaussianMixture(random_state=0), x, n_components=range(1, 10), covariance="all")

    print(f"sweep of 9 sizes × 14 structures: {seconds(run):.1f} s in a new process, {seconds(run):.1f} s again")


def overlapping(rows: int, columns: int, components: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(components, columns)) * 2
    return means[rng.integers(components, size=rows)] + rng.normal(size=(rows, columns)), means


def missing(_: np.ndarray, rows: int = 100_000, columns: int = 16, components: int = 8) -> None:
    x, means = overlapping(rows, columns, components)
    holed = x.copy()
    holed[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan

    def iterations(table: np.ndarray, n: int) -> float:
        gm = nm.GaussianMixture(
            components,
            weights_init=np.full(components, 1 / components),
            means_init=means,
            covariances_init=np.tile(np.eye(columns), (components, 1, 1)),
            tol=0,
            max_iter=n,
            accelerate=None,
        )
        return seconds(lambda: gm.fit(table))

    to_first = iterations(holed, 1)
    iterations(x, 1)
    per_iteration = {"complete": [], "holed": []}
    for _ in range(7):  # in turn
        for name, table in (("complete", x), ("holed", holed)):
            per_iteration[name].append((iterations(table, 21) - iterations(table, 1)) / 20)
    complete, with_holes = (statistics.median(per_iteration[name]) for name in ("complete", "holed"))
    ratios = [b / a for a, b in zip(per_iteration["complete"], per_iteration["holed"], strict=True)]
    print(
        f"{rows:,} × {columns}, K = {components}: {1e3 * complete:.1f} ms an iteration, with 20% of cells missing "
        f"{1e3 * with_holes:.1f} ms (median ratio {statistics.median(ratios):.1f}); first fit of one iteration in the "
        f"process: {to_first:.1f} s"
    )


def accelerate(x: np.ndarray) -> None:
    """E-steps until the projected gain is below 1e-4 nats, over structures, sizes and tables with and without holes."""
    holed = x.copy()
    holed[np.random.default_rng(0).random(x.shape) < 0.2] = np.nan
    overlap, _ = overlapping(2000, 4, 5, seed=3)
    cases = [(table, k, c) for table in (x, holed, overlap) for k in (2, 3, 5) for c in ("VVV", "EEE", "VVI", "VEV")]
    counts: dict[str | None, list[int]] = {None: [], "squarem": [], "anderson": []}
    ends: dict[str | None, list[float]] = {name: [] for name in counts}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for table, k, c in cases:
            for name in counts:
                gm = nm.GaussianMixture(k, covariance=c, accelerate=name, random_state=0, max_iter=20_000).fit(table)
                counts[name].append(gm.n_iter_)
                ends[name].append(gm.log_likelihood_)
    plain, plain_end = np.array(counts[None]), np.array(ends[None])
    for name in ("squarem", "anderson"):
        ratio = plain / np.array(counts[name])
        away = np.array(ends[name]) - plain_end
        print(
            f"{name}: E-steps of plain EM / its own: median {np.median(ratio):.2f}, least {ratio.min():.2f}, most "
            f"{ratio.max():.2f}; in all {plain.sum()} / {sum(counts[name])}; "
            f"lower ends by over 0.01 nats in {(away < -0.01).sum()} of {len(cases)}, higher in {(away > 0.01).sum()}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {f.__name__: f for f in (first, later, sweep, missing, accelerate)}
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--data", default="../shared/data/classical/faithful.csv")
    arguments = parser.parse_args()
    kinds[arguments.kind](faithful(arguments.data))


if __name__ == "__main__":
    main()
