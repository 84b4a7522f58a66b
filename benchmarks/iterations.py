"""Seconds per EM iteration of a Gaussian mixture with full covariances, here and in the peers.

    python benchmarks/iterations.py                     # all sizes, 5 rounds, 2 threads, float64
    python benchmarks/iterations.py --size 200000x8x16 --rounds 7 --peers noumena scikit-learn
    OMP_NUM_THREADS=8 python benchmarks/iterations.py   # with other threads

The peers take turns (another one first in each round), so that a disturbance of the machine meets all of them;
medians are compared, never best with worst.
"""

import argparse
from statistics import median

from peers import THREADS, Parameters, Peer, available, clock  # first: it sets the threads

import jax  # isort: skip
import numpy as np  # isort: skip

# rows, columns, components: iterations in one timing (about a second of scikit-learn, more where rounding would show)
SIZES = {(200_000, 8, 16): 4, (200_000, 16, 16): 4, (100_000, 32, 32): 4, (10_000, 2, 3): 200}


def simulate(rows: int, columns: int, components: int, seed: int = 0) -> tuple[np.ndarray, Parameters]:
    """Rows of overlapping normals, and a start.

    Two means are about 3 standard deviations apart in every dimension: the posterior of a row is spread over a few
    components, as in data that call for EM. The start is every peer's: random rows as means, the table's covariance.
    """
    rng = np.random.default_rng(seed)
    means = rng.normal(scale=3 / np.sqrt(2 * columns), size=(components, columns))
    factors = np.eye(columns) + rng.normal(scale=0.3 / np.sqrt(columns), size=(components, columns, columns))
    labels = rng.choice(components, size=rows, p=rng.dirichlet(np.full(components, 10.0)))
    x = rng.normal(size=(rows, columns))
    for k in range(components):
        x[labels == k] = x[labels == k] @ factors[k].T + means[k]
    start = Parameters(
        np.full(components, 1 / components),
        x[rng.choice(rows, size=components, replace=False)],
        np.tile(np.cov(x, rowvar=False), (components, 1, 1)),
    )
    return x, start


def product_rate(repetitions: int = 10, side: int = 2048) -> float:
    """Flops per second of JAX's float64 matrix product: the best, for it is the machine's capacity that is asked."""
    with jax.enable_x64(True):
        a = jax.random.normal(jax.random.key(0), (side, side), dtype="float64")
        product = jax.jit(lambda a: a @ a)
        product(a).block_until_ready()
        return 2 * side**3 / min(clock(lambda: product(a).block_until_ready())[0] for _ in range(repetitions))


def flops(rows: int, columns: int, components: int) -> int:
    """Two products of a rows × P by a P × components matrix, P quadratic features: 4 N P K."""
    features = 1 + columns + columns * (columns + 1) // 2
    return 4 * rows * features * components


def measure(peers: list[Peer], size: tuple[int, int, int], n_iterations: int, rounds: int) -> None:
    x, start = simulate(*size)
    for peer in peers:
        peer.iterate(x, *start, n_iterations)  # compiles, wakes thread pools, touches pages: not counted
    seconds: dict[str, list[float]] = {peer.name: [] for peer in peers}
    judged: dict[str, float] = {}
    rate = 0.0
    for turn in range(rounds):
        rate = max(rate, product_rate())
        first = turn % len(peers)
        for peer in peers[first:] + peers[:first]:
            run = peer.iterate(x, *start, n_iterations)
            seconds[peer.name].append(run.seconds / n_iterations)
            judged[peer.name] = run.log_likelihood
    medians = {name: median(values) for name, values in seconds.items()}
    ours = medians.get("noumena")
    rows, columns, components = size
    print(f"\n### {rows:,} × {columns}, K = {components}\n")
    print(
        f"{THREADS} threads, float64, {rounds} rounds of {n_iterations} iterations; "
        f"matrix product {rate / 1e9:.1f} GFlop/s; an iteration is {flops(*size) / 1e9:.3f} GFlop\n"
    )
    print(f"| peer | s / iteration (median) | lowest – highest | × noumena | of product | ℓ after {n_iterations} |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, value in medians.items():
        ratio = f"{value / ours:.2f}" if ours else "—"
        share = flops(*size) / (value * rate)
        spread = f"{min(seconds[name]):.5f} – {max(seconds[name]):.5f}"
        print(f"| {name} | {value:.5f} | {spread} | {ratio} | {share:.1%} | {judged[name]:.6f} |", flush=True)
    best = max(judged.values())
    for name, value in judged.items():
        # Same start, same number of EM iterations: the same point, or the comparison is void.
        if abs(value - best) > 1e-9 * abs(best):
            print(f"\n{name} is elsewhere: {value - best:.3g} from the best after the same iterations")


def size(text: str) -> tuple[int, int, int]:
    rows, columns, components = (int(part) for part in text.split("x"))
    return rows, columns, components


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size, action="append", metavar="NxDxK", help="rows x columns x components")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each peer (default 5)")
    parser.add_argument("--iterations", type=int, help="EM iterations in one timing (default: by size)")
    parser.add_argument("--peers", nargs="+", help="only these, by name")
    arguments = parser.parse_args()
    peers = [peer for peer in available() if not arguments.peers or peer.name in arguments.peers]
    if not peers:
        parser.error("none of these peers is available here")
    for each in arguments.size or SIZES:
        measure(peers, each, arguments.iterations or SIZES.get(each, 4), arguments.rounds)


if __name__ == "__main__":
    main()
