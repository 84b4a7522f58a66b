"""Seconds of a whole fit to the same log likelihood from the same start, here and in scikit-learn.

    python benchmarks/whole_fit.py                      # 200,000 × 8, K = 16
    python benchmarks/whole_fit.py --size 100000x4x6

Each library stops by its own rule, so each is run at several tolerances (gain of an iteration, as a share of the log
likelihood at the start). The mark is the lower of their best ends; of each, the fastest run counts that ends at most
1e-6 (relative) below the mark.
"""

import argparse

from peers import THREADS, Run, available  # first: it sets the threads

from iterations import simulate, size  # isort: skip

TOLERANCES = (1e-7, 1e-8)  # scikit-learn takes minutes at the second, and a quarter of an hour at 1e-9
WITHIN = 1e-6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size, default=(200_000, 8, 16), metavar="NxDxK")
    parser.add_argument("--peers", nargs="+", default=["noumena", "scikit-learn"])
    arguments = parser.parse_args()
    x, start = simulate(*arguments.size)
    print(f"{arguments.size}, {THREADS} threads, float64\n")
    runs: dict[str, list[Run]] = {}
    for tolerance in TOLERANCES:
        for peer in available():
            if peer.name in arguments.peers:
                run = peer.fit(x, *start, tolerance)
                runs.setdefault(peer.name, []).append(run)
                print(f"{peer.name:13} {tolerance:g}: {run.seconds:8.2f} s, ℓ = {run.log_likelihood:.4f}", flush=True)
    mark = min(max(run.log_likelihood for run in of_peer) for of_peer in runs.values())
    print(f"\nthe fastest run of each that ends at {mark:.4f} or higher, give or take {WITHIN * abs(mark):.2f} nats:")
    for name, of_peer in runs.items():
        seconds = min(run.seconds for run in of_peer if run.log_likelihood >= mark - WITHIN * abs(mark))
        print(f"{name:13} {seconds:8.2f} s")


if __name__ == "__main__":
    main()
