"""EM on Bayesian networks with missing cells: noumena, pyAgrum and pgmpy on the same rows from the same tables.

    python benchmarks/networks.py --network alarm.bif.gz                    # against pyAgrum
    python benchmarks/networks.py --hidden                                  # a hidden node, against pgmpy
    python benchmarks/networks.py --large                                   # 1,000,000 rows; posteriors of ALARM

Both libraries run plain EM from their own starts. Seconds an iteration are the difference of two runs, or, for pyAgrum,
the whole run over the iterations that it reports.
"""

import argparse
import resource
import tempfile
import warnings
from pathlib import Path
from statistics import median
from time import perf_counter

from peers import THREADS  # first: it sets the threads

import numpy as np  # isort: skip
import pandas as pd  # isort: skip

import noumena as nm  # isort: skip


def rows_of(path: str, n: int, missing: float) -> tuple[nm.BayesianNetwork, pd.DataFrame]:
    """A network, and rows drawn from it with holes."""
    truth = nm.BayesianNetwork.from_bif(path)
    frame = truth.sample(n, random_state=0).to_pandas().astype(str)
    return truth, frame.mask(np.random.default_rng(1).random(frame.shape) < missing)


def ours(truth: nm.BayesianNetwork, frame: pd.DataFrame, iterations: int) -> tuple[float, float]:
    states = {name: list(map(str, own)) for name, own in truth.states_.items()}
    network = nm.BayesianNetwork(
        truth.parents_, states=states, prior=1.0, accelerate=None, tol=0.0, max_iter=iterations, random_state=0
    )
    begin = perf_counter()
    network.fit(frame)
    return perf_counter() - begin, network.log_likelihood_


def pyagrum(truth: nm.BayesianNetwork, frame: pd.DataFrame, iterations: int) -> tuple[float, int]:
    import pyagrum as gum

    template = gum.BayesNet()
    for name in truth.nodes_:
        template.add(gum.LabelizedVariable(name, name, list(map(str, truth.states_[name]))))
    for name, parents in truth.parents_.items():
        for parent in parents:
            template.addArc(parent, name)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.csv"
        frame.fillna("?").to_csv(data, index=False)
        learner = gum.BNLearner(str(data), template, ["?"])
        learner.setNumberOfThreads(THREADS)
        learner.useSmoothingPrior(1.0)  # a pseudo-count for every entry, as ours: some parents' states never occur
        learner.useEM(1e-12)
        learner.EMsetMaxIter(iterations)
        learner.EMsetMaxTime(1e9)
        begin = perf_counter()
        learner.learnParameters(template.dag())
        seconds = perf_counter() - begin
    return seconds, learner.EMnbrIterations()


def against_pyagrum(path: str, n: int, missing: float, rounds: int) -> None:
    truth, frame = rows_of(path, n, missing)
    label = f"{Path(path).name.split('.')[0]}: {len(truth.nodes_)} nodes, {n:,} rows, {missing:.0%} missing"
    begin = perf_counter()
    ours(truth, frame, 1)
    first = perf_counter() - begin
    mine = [(ours(truth, frame, 31)[0] - ours(truth, frame, 1)[0]) / 30 for _ in range(rounds)]
    seconds, count = pyagrum(truth, frame, 2)
    theirs = seconds / max(count, 1)
    print(
        f"{label}: noumena {median(mine):.4f} s an iteration ({first:.2f} s to the first), pyAgrum {theirs:.1f} s "
        f"({count} iterations); ratio {theirs / median(mine):.0f}",
        flush=True,
    )


def hidden(rounds: int) -> None:
    """A hidden node with 8 states over 10 observed children of 3 states, 20,000 rows."""
    rng = np.random.default_rng(0)
    chance = rng.dirichlet(np.ones(3), size=(8, 10)).cumsum(axis=2)
    which = rng.integers(8, size=20_000)
    x = (rng.random((20_000, 10, 1)) > chance[which]).sum(axis=2).clip(max=2)
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(10)])
    parents = {name: ["h"] for name in frame.columns} | {"h": []}

    def fit(iterations: int) -> float:
        network = nm.BayesianNetwork(
            parents, hidden={"h": 8}, n_init=1, accelerate=None, tol=0.0, max_iter=iterations, random_state=0
        )
        begin = perf_counter()
        network.fit(frame)
        return perf_counter() - begin

    fit(2)
    mine = median([(fit(21) - fit(1)) / 20 for _ in range(rounds)])
    from pgmpy.estimators import ExpectationMaximization
    from pgmpy.models import DiscreteBayesianNetwork

    model = DiscreteBayesianNetwork([("h", name) for name in frame.columns], latents={"h"})
    learner = ExpectationMaximization(model, frame)
    times = []
    for iterations in (1, 3):
        begin = perf_counter()
        learner.get_parameters(
            latent_card={"h": 8}, max_iter=iterations, atol=0.0, seed=0, show_progress=False, n_jobs=1
        )
        times.append(perf_counter() - begin)
    theirs = (times[1] - times[0]) / 2
    print(
        f"hidden node: noumena {mine:.4f} s an iteration, pgmpy {theirs:.1f} s; ratio {theirs / mine:.0f}", flush=True
    )


def memory() -> float:
    """Most memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def large(path: str) -> None:
    rng = np.random.default_rng(0)
    nodes = [f"n{i}" for i in range(20)]
    parents = {name: [nodes[j] for j in rng.choice(i, min(i, 2), replace=False)] for i, name in enumerate(nodes)}
    states = dict.fromkeys(nodes, ("a", "b", "c"))
    tables = {name: rng.dirichlet(np.ones(3), size=[3] * len(own)) for name, own in parents.items()}
    truth = nm.BayesianNetwork.from_tables(parents, tables, states)
    drawn = np.stack(
        [np.asarray(column.to_pylist()) for column in truth.sample(100_000, random_state=0).columns], axis=1
    )
    codes = np.searchsorted(["a", "b", "c"], drawn).astype(float)
    x = np.tile(codes, (10, 1))
    x[rng.random(x.shape) < 0.1] = np.nan
    frame = pd.DataFrame(x, columns=nodes)
    del drawn, codes
    before = memory()
    times = []
    for iterations in (1, 4):
        network = nm.BayesianNetwork(parents, accelerate=None, tol=0.0, max_iter=iterations, random_state=0)
        begin = perf_counter()
        network.fit(frame)
        times.append(perf_counter() - begin)
    print(
        f"1,000,000 rows × 20 nodes, 10% missing: {(times[1] - times[0]) / 3:.2f} s an iteration, {times[0]:.1f} s to "
        f"the first; peak {memory() - before:.0f} MB beyond the table of {x.nbytes / 1e6:.0f} MB",
        flush=True,
    )
    alarm, frame = rows_of(path, 100_000, 0.3)
    begin = perf_counter()
    alarm.posterior(frame)
    print(f"posteriors of all nodes of ALARM, 100,000 rows: {perf_counter() - begin:.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="*", default=[], help="BIF files")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--missing", type=float, default=0.3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hidden", action="store_true")
    parser.add_argument("--large", metavar="ALARM", help="BIF file of ALARM")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of fits that are stopped early on purpose
    print(f"{THREADS} threads, float64")
    for path in arguments.network:
        against_pyagrum(path, arguments.rows, arguments.missing, arguments.rounds)
    if arguments.hidden:
        hidden(arguments.rounds)
    if arguments.large:
        large(arguments.large)


if __name__ == "__main__":
    main()
