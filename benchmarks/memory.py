"""Peak memory of fits on tables that are large, or larger than memory.

Each measurement runs in a process of its own, so that its peak resident memory is its own:

    python benchmarks/memory.py in-memory            2,000,000 × 16 array, K = 16: memory beyond the data
    python benchmarks/memory.py parquet FILE         20,000,000 × 16 Parquet file (written first if it is not there)
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

COMPONENTS, COLUMNS = 16, 16


def peak() -> float:
    """Peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rows(n: int, seed: int) -> np.ndarray:
    """Rows around 16 overlapping centres."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(COMPONENTS, COLUMNS)) * 2
    out = np.empty((n, COLUMNS))
    for begin in range(0, n, 50_000):  # in place, so that making the rows takes no more memory than they do
        part = out[begin : begin + 50_000]
        rng.standard_normal(out=part)
        part += centres[rng.integers(COMPONENTS, size=len(part))]
    return out


def fit(table: object, iterations: int) -> float:
    """Seconds of a fit of so many plain iterations."""
    import noumena as nm

    begin = time.perf_counter()
    nm.GaussianMixture(COMPONENTS, tol=0, max_iter=iterations, accelerate=None, random_state=0).fit(table)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["in-memory", "parquet"])
    parser.add_argument("file", nargs="?", default="large.parquet")
    parser.add_argument("--rows", type=int, help="2,000,000 in memory and 20,000,000 in Parquet by default")
    parser.add_argument("--iterations", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.kind == "in-memory":
        n = arguments.rows or 2_000_000
        # the same machinery on a small table first: what libraries take to load and compile is not the data's doing
        fit(rows(70_000, seed=1), 1)
        table = rows(n, seed=2)
        before = peak()
        seconds = fit(table, arguments.iterations)
        print(
            f"{n:,} × {COLUMNS} in memory ({table.nbytes / 2**20:.0f} MB), K = {COMPONENTS}: {seconds:.1f} s for "
            f"{arguments.iterations} iterations, {peak() - before:.0f} MB beyond data and libraries"
        )
        return
    path, n = Path(arguments.file), arguments.rows or 20_000_000
    if not path.exists():
        write(path, n)
        print(f"wrote {path}, {path.stat().st_size / 2**20:.0f} MB; run again to measure", file=sys.stderr)
        return
    seconds = fit(path, arguments.iterations)
    print(
        f"{path.name}, {path.stat().st_size / 2**20:.0f} MB: {seconds:.1f} s for {arguments.iterations} iterations, "
        f"peak resident memory {peak():.0f} MB in all"
    )


def write(path: Path, n: int) -> None:
    """A Parquet file of row groups of a million rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(f"x{j}", pa.float64()) for j in range(COLUMNS)])
    with pq.ParquetWriter(path, schema, compression="snappy") as writer:
        for chunk in range(0, n, 1_000_000):
            block = rows(min(1_000_000, n - chunk), seed=chunk)
            writer.write_table(pa.table(dict(zip(schema.names, block.T, strict=True)), schema=schema))


if __name__ == "__main__":
    main()
