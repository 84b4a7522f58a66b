"""Factor analysis and principal components: noumena against scikit-learn on the same rows.

    python benchmarks/factors.py analysis                   # 100,000 × 100, 10 factors
    python benchmarks/factors.py components                 # 1,000,000 × 100, 10 factors
    python benchmarks/factors.py missing                    # 50,000 × 50, 5 factors, 20% missing: seconds an iteration
    python benchmarks/factors.py memory array|FILE          # peak memory; a Parquet FILE is written first

Programs run in turn; CPU seconds, of all threads, are there for busy machines. The log likelihoods are those of
`log_likelihood` below, of either library's mean and covariance. `OMP_NUM_THREADS=1` leaves all programs one thread: on
a busy machine the threads of BLAS wait for each other.
"""

import argparse
import resource
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from peers import THREADS  # first: it sets the threads

import numpy as np  # isort: skip
from scipy.linalg import solve_triangular  # isort: skip
from sklearn.decomposition import PCA  # isort: skip
from sklearn.decomposition import FactorAnalysis as TheirAnalysis  # isort: skip

import noumena as nm  # isort: skip


def rows(n: int, d: int, q: int, seed: int = 0) -> np.ndarray:
    """q factors with loadings of every size, noise of each column's own."""
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(q, d)) * np.linspace(1.5, 0.5, q)[:, None]
    noise = rng.uniform(0.5, 1.5, size=d)
    out = np.empty((n, d))
    for begin in range(0, n, 5_000):  # so that making the rows takes no more memory than they do
        part = out[begin : begin + 5_000]
        rng.standard_normal(out=part)
        part *= noise
        part += rng.standard_normal((len(part), q)) @ loadings + 3
    return out


def log_likelihood(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    """Σ_n log N(x_n | μ, Σ) by a Cholesky factor, in slices; one judge for all."""
    factor, total = np.linalg.cholesky(covariance), 0.0
    for begin in range(0, len(x), 50_000):
        white = solve_triangular(factor, (x[begin : begin + 50_000] - mean).T, lower=True)
        total += float(np.sum(white**2))
    constant = len(mean) * np.log(2 * np.pi) + 2 * np.log(np.diag(factor)).sum()
    return -0.5 * (total + len(x) * constant)


def now() -> np.ndarray:
    """Seconds of the clock, and of the CPU in all threads."""
    return np.array([perf_counter(), process_time()])


def in_turn(runs: dict[str, Callable[[], Any]], rounds: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Medians of the seconds of each, wall and CPU, and its last outcome."""
    seconds: dict[str, list[np.ndarray]] = {name: [] for name in runs}
    outcomes: dict[str, Any] = {}
    for _ in range(rounds):
        for name, run in runs.items():
            begin = now()
            outcomes[name] = run()
            seconds[name].append(now() - begin)
    return {name: np.median(all_of, axis=0) for name, all_of in seconds.items()}, outcomes


def told(x: np.ndarray, seconds: dict[str, np.ndarray], outcomes: dict[str, Any], iterations: bool) -> None:
    own = seconds["noumena"]
    for name, model in outcomes.items():
        wall, cpu = seconds[name]
        steps = f", {model.n_iter_} iterations" if iterations else ""
        print(
            f"  {name:32} {wall:8.3f} s ({wall / own[0]:7.2f} ×), CPU {cpu:8.3f} s ({cpu / own[1]:7.2f} ×), "
            f"log likelihood {log_likelihood(x, model.mean_, model.get_covariance()):.4f}{steps}",
            flush=True,
        )


def analysis(n: int, d: int, q: int, rounds: int) -> None:
    x = rows(n, d, q)
    runs: dict[str, Callable[[], Any]] = {"noumena": lambda: nm.FactorAnalysis(q).fit(x)}
    for method in ("lapack", "randomized"):
        for tol in (1e-2, 1e-6):  # theirs is the gain of the last step in nats, 0.01 by default
            runs[f"scikit-learn {method}, tol={tol:g}"] = lambda method=method, tol=tol: TheirAnalysis(
                q, svd_method=method, tol=tol, max_iter=10_000, random_state=0
            ).fit(x)
    runs["noumena"]()  # imports and programs are not counted
    print(f"factor analysis, {n:,} × {d}, {q} factors, {THREADS} threads, medians of {rounds} runs in turn")
    told(x, *in_turn(runs, rounds), iterations=True)


def components(n: int, d: int, q: int, rounds: int) -> None:
    x = rows(n, d, q)
    runs: dict[str, Callable[[], Any]] = {"noumena": lambda: nm.ProbabilisticPCA(q).fit(x)}
    for solver in ("full", "randomized", "covariance_eigh"):
        runs[f"scikit-learn {solver}"] = lambda solver=solver: PCA(q, svd_solver=solver, random_state=0).fit(x)
    nm.ProbabilisticPCA(q).fit(x[:1000])
    print(f"principal components, {n:,} × {d}, {q} factors, {THREADS} threads, medians of {rounds} runs in turn")
    told(x, *in_turn(runs, rounds), iterations=False)


def missing(n: int, d: int, q: int, rounds: int) -> None:
    """Beyond the first iterations, so that reading, start and summary are not counted."""
    x = rows(n, d, q)
    x[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan

    def run(iterations: int) -> np.ndarray:
        begin = now()
        nm.FactorAnalysis(q, tol=0, max_iter=iterations, accelerate=None).fit(x)
        return now() - begin

    run(1)
    each = [(run(12) - run(2)) / 10 for _ in range(rounds)]
    begin = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fa = nm.FactorAnalysis(q).fit(x)
    whole = perf_counter() - begin
    wall, cpu = np.median(each, axis=0)
    print(
        f"20% missing, {n:,} × {d}, {q} factors: {wall:.3f} s an iteration (CPU {cpu:.3f} s), medians of {rounds}; "
        f"a whole fit {whole:.1f} s, {fa.n_iter_} iterations, {fa.status_.value}"
    )


def peak() -> float:
    """Peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(where: str, n: int, d: int, q: int) -> None:
    nm.ProbabilisticPCA(2).fit(rows(1000, 5, 2))  # what libraries take to load is not the data's doing
    if where == "array":
        table: Any = rows(n, d, q)
        label, size = "in memory", table.nbytes / 2**20
    else:
        table = Path(where)
        if not table.exists():
            write(table, n, d, q)
            print(f"wrote {table}; run again to measure")
            return
        label, size = "Parquet", table.stat().st_size / 2**20
    before, begin = peak(), perf_counter()
    nm.ProbabilisticPCA(q).fit(table)
    print(
        f"{n:,} × {d} {label} ({size:.0f} MB): {perf_counter() - begin:.2f} s, {peak() - before:.0f} MB beyond "
        f"{'data and ' if where == 'array' else ''}libraries, {peak():.0f} MB in all"
    )


def write(path: Path, n: int, d: int, q: int) -> None:
    """Row groups of 100,000 rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(f"x{j}", pa.float64()) for j in range(d)])
    with pq.ParquetWriter(path, schema, compression="snappy") as writer:
        for begin in range(0, n, 100_000):
            block = rows(min(100_000, n - begin), d, q, seed=begin)
            writer.write_table(pa.table(dict(zip(schema.names, block.T, strict=True)), schema=schema))


SIZES = {
    "analysis": (100_000, 100, 10, 5),
    "components": (1_000_000, 100, 10, 3),
    "missing": (50_000, 50, 5, 5),
    "memory": (1_000_000, 100, 10, 1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=SIZES)
    parser.add_argument("where", nargs="?", default="array", help="for memory: array, or a Parquet file")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int)
    asked = parser.parse_args()
    n, d, q, rounds = SIZES[asked.kind]
    n, rounds = asked.rows or n, asked.rounds or rounds
    if asked.kind == "memory":
        memory(asked.where, n, d, q)
    else:
        {"analysis": analysis, "components": components, "missing": missing}[asked.kind](n, d, q, rounds)


if __name__ == "__main__":
    main()
