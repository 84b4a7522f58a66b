"""Latent class analysis here and in StepMix: seconds per EM iteration, and whole fits from 20 starts.

    python benchmarks/latent_classes.py                         # both sizes, with and without 20% missing answers
    python benchmarks/latent_classes.py --whole                 # fits from 20 starts at 10,000 × 20 items, 4 classes
    python benchmarks/latent_classes.py --whole large --missing 0 --rounds 1   # at 100,000 × 40 items, 8 classes

Per iteration: a run of n iterations minus a run of one, both from one start, in turn, medians. Whole fits: each library
with its own starts and its own stopping rule; the log likelihoods they end at are printed beside the seconds.
"""

import argparse
import warnings
from statistics import median

from peers import THREADS, clock  # first: it sets the threads

import numpy as np  # isort: skip

import noumena  # isort: skip

# rows, items, levels, classes: iterations in one timing
SIZES = {(10_000, 20, 2, 4): 40, (100_000, 40, 4, 8): 8}


def simulate(rows: int, items: int, levels: int, classes: int, missing: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(classes, 5.0))
    chance = rng.dirichlet(np.full(levels, 1.0), size=(classes, items)).cumsum(axis=2)
    z = rng.choice(classes, size=rows, p=share)
    x = (rng.random((rows, items))[:, :, None] > chance[z]).sum(axis=2).clip(max=levels - 1).astype(float)
    x[rng.random(x.shape) < missing] = np.nan
    return x


def ours(x: np.ndarray, classes: int, **settings) -> tuple[float, float]:
    seconds, model = clock(lambda: noumena.LatentClassAnalysis(classes, random_state=0, **settings).fit(x))
    return seconds, model.log_likelihood_


def stepmix(
    x: np.ndarray, classes: int, n_init: int, max_iter: int, progress_bar: int = 0, **settings
) -> tuple[float, float]:
    from stepmix.stepmix import StepMix

    kind = ("binary" if np.nanmax(x) == 1 else "categorical") + ("_nan" if np.isnan(x).any() else "")
    model = StepMix(
        classes,
        measurement=kind,
        n_init=n_init,
        max_iter=max_iter,
        random_state=0,
        progress_bar=progress_bar,
        verbose=0,
        **settings,
    )
    seconds, _ = clock(lambda: model.fit(x))
    return seconds, model.score(x) * len(x)


def iterations(x: np.ndarray, classes: int, n: int, rounds: int) -> dict[str, list[float]]:
    plain = {"n_init": 1, "tol": 0.0, "accelerate": None, "init_params": "random"}
    endless = {"n_init": 1, "abs_tol": 0.0, "rel_tol": 0.0}
    runs = {
        "noumena": lambda count: ours(x, classes, max_iter=count, **plain)[0],
        "StepMix": lambda count: stepmix(x, classes, max_iter=count, **endless)[0],
    }
    runs["noumena"](2)  # compiles
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            many = 10 * n if name == "noumena" else n
            found[name].append((run(many) - run(1)) / (many - 1))
    return found


def whole(x: np.ndarray, classes: int, starts: int, rounds: int, label: str) -> None:
    """Fits of both in turn; the first of ours compiles and is told apart."""
    first, end = ours(x, classes, n_init=starts)
    print(f"  noumena, with compilation: {first:.2f} s, ℓ = {end:.4f}", flush=True)
    seconds: dict[str, list[float]] = {"noumena": [], "StepMix": []}
    ends: dict[str, float] = {}
    for _ in range(rounds):
        for name in seconds:
            if name == "noumena":
                took, ends[name] = ours(x, classes, n_init=starts)
            else:
                # its own bar: one start after the other, minutes at the larger size
                bar = int(len(x) > 10_000)
                took, ends[name] = stepmix(x, classes, n_init=starts, max_iter=1000, progress_bar=bar)
            seconds[name].append(took)
            print(f"  {name}: {took:.2f} s, ℓ = {ends[name]:.4f}", flush=True)
    own, other = median(seconds["noumena"]), median(seconds["StepMix"])
    print(
        f"{label}, {starts} starts: noumena {own:.2f} s ({first:.2f} s with compilation), ℓ = {ends['noumena']:.4f}; "
        f"StepMix {other:.1f} s, ℓ = {ends['StepMix']:.4f}; ratio {other / own:.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each library (default 3)")
    parser.add_argument("--whole", choices=("small", "large", "both"), nargs="?", const="small", help="whole fits")
    parser.add_argument("--starts", type=int, default=20, help="of a whole fit (default 20)")
    parser.add_argument("--missing", type=float, nargs="+", default=[0.0, 0.2], help="shares of the answers")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of fits that are stopped early on purpose
    print(f"{THREADS} threads, float64")
    for missing in arguments.missing:
        for (size, n), name in zip(SIZES.items(), ("small", "large"), strict=True):
            rows, items, levels, classes = size
            if arguments.whole not in (None, name, "both"):
                continue
            x = simulate(*size, missing)
            label = f"{rows:,} × {items} items of {levels} levels, {classes} classes, {missing:.0%} missing"
            if arguments.whole:
                whole(x, classes, arguments.starts, arguments.rounds, label)
                continue
            found = {name: median(values) for name, values in iterations(x, classes, n, arguments.rounds).items()}
            print(
                f"{label}: noumena {1e3 * found['noumena']:.2f} ms, StepMix {1e3 * found['StepMix']:.2f} ms an "
                f"iteration; ratio {found['StepMix'] / found['noumena']:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
