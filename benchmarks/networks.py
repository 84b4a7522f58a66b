"""EM on Bayesian networks with missing cells: noumena, pyAgrum and pgmpy on the same rows from the same tables.

    python benchmarks/networks.py --network alarm.bif.gz                    # against pyAgrum
    python benchmarks/networks.py --converge asia.bif.gz --rows 1000        # both to the end
    python benchmarks/networks.py --hidden                                  # a hidden node, against pgmpy
    python benchmarks/networks.py --large alarm.bif.gz                      # 1,000,000 rows; posteriors of ALARM
    python benchmarks/networks.py --random                                  # 223 nodes in large cliques
    python benchmarks/networks.py --recover alarm.bif.gz                    # KL(truth ‖ learned) as rows grow

Seconds an iteration are the difference of two runs of different numbers of iterations: what comes before the first one
is in neither; CPU seconds, of all threads, are there for busy machines. pyAgrum starts at the shares of the rows in
which a table's nodes are all seen, with smoothing counts, and so does noumena with a prior; pyAgrum mixes these with
random tables by default (noise 0.1), which is switched off but for `--converge`. All log likelihoods are noumena's, of
either library's tables.
"""

import argparse
import resource
import tempfile
import warnings
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from peers import THREADS  # first: it sets the threads

import numpy as np  # isort: skip
import pandas as pd  # isort: skip

import noumena as nm  # isort: skip


def rows_of(path: str, n: int, missing: float) -> tuple[nm.BayesianNetwork, pd.DataFrame]:
    """A network, and rows drawn from it with holes."""
    truth = nm.BayesianNetwork.from_bif(path)
    return truth, with_holes(truth.sample(n, random_state=0).to_pandas(), missing, 1)


def with_holes(frame: pd.DataFrame, missing: float, seed: int) -> pd.DataFrame:
    return frame.mask(np.random.default_rng(seed).random(frame.shape) < missing)


def now() -> np.ndarray:
    """Seconds of the clock, and of the CPU in all threads."""
    return np.array([perf_counter(), process_time()])


def ours(truth: nm.BayesianNetwork, frame: pd.DataFrame, iterations: int) -> tuple[np.ndarray, nm.BayesianNetwork]:
    network = nm.BayesianNetwork(
        truth.parents_, states=truth.states_, prior=1.0, accelerate=None, tol=0.0, max_iter=iterations, random_state=0
    )
    begin = now()
    network.fit(frame)
    return now() - begin, network


def pyagrum(
    truth: nm.BayesianNetwork, frame: pd.DataFrame, iterations: int, noise: float = 0.0
) -> tuple[np.ndarray, int, nm.BayesianNetwork]:
    """Seconds by both clocks, iterations, and what was learned."""
    import pyagrum as gum

    template = gum.BayesNet()
    for name in truth.nodes_:
        template.add(gum.LabelizedVariable(name, name, list(truth.states_[name])))
    for name, parents in truth.parents_.items():
        for parent in parents:
            template.addArc(parent, name)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.csv"
        frame.fillna("?").to_csv(data, index=False)
        learner = gum.BNLearner(str(data), template, ["?"])
        learner.setNumberOfThreads(THREADS)
        learner.useSmoothingPrior(1.0)  # a pseudo-count for every entry, as ours: some parents' states never occur
        learner.useEMWithRateCriterion(1e-12, noise)
        learner.EMsetMaxIter(iterations)
        learner.EMsetMaxTime(1e9)
        begin = now()
        found = learner.learnParameters(template.dag())
        seconds = now() - begin
    tables = {name: as_ours(found, truth, name) for name in truth.nodes_}
    learned = nm.BayesianNetwork.from_tables(truth.parents_, tables, truth.states_)
    return seconds, learner.EMnbrIterations(), learned


def as_ours(found: Any, truth: nm.BayesianNetwork, name: str) -> np.ndarray:
    """A table of pyAgrum's with axes and states in our order."""
    wanted = [*truth.parents_[name], name]
    axes = list(reversed(found.cpt(name).names))
    table = np.asarray(found.cpt(name).toarray()).transpose([axes.index(node) for node in wanted])
    for axis, node in enumerate(wanted):
        labels = list(found.variable(node).labels())
        table = table.take([labels.index(state) for state in truth.states_[node]], axis=axis)
    return table


def penalised(network: nm.BayesianNetwork, frame: pd.DataFrame) -> tuple[float, float]:
    """The log likelihood of the observed cells, and that with Σ log θ, the log of the prior but for its constant."""
    value = network.log_likelihood(frame)
    return value, value + sum(float(np.log(table).sum()) for table in network.tables_.values())


def label(path: str, truth: nm.BayesianNetwork, frame: pd.DataFrame) -> str:
    share = frame.isna().to_numpy().mean()
    return f"{Path(path).name.split('.')[0]}: {len(truth.nodes_)} nodes, {len(frame):,} rows, {share:.0%} missing"


def against_pyagrum(path: str, n: int, missing: float, rounds: int, last: int) -> None:
    truth, frame = rows_of(path, n, missing)
    first = ours(truth, frame, 1)[0]
    mine = each(truth, frame, rounds)
    before = pyagrum(truth, frame, 1)[0]
    after, count, found = pyagrum(truth, frame, last)
    theirs = (after - before) / (count - 1)
    mine = np.median([mine, each(truth, frame, rounds)], axis=0)
    _, network = ours(truth, frame, count)
    apart = max(float(np.abs(found.tables_[name] - table).max()) for name, table in network.tables_.items())
    ratio = theirs / mine
    print(
        f"{label(path, truth, frame)}: an iteration of noumena {mine[0]:.4f} s (CPU {mine[1]:.4f} s; {first[0]:.2f} s "
        f"to the first), of pyAgrum {theirs[0]:.1f} s (CPU {theirs[1]:.1f} s; {before[0]:.0f} s to the first); ratio "
        f"{ratio[0]:.0f} (CPU {ratio[1]:.0f}); after {count} iterations log likelihood {network.log_likelihood_:.6f} "
        f"and {found.log_likelihood(frame):.6f}, tables {apart:.0e} apart",
        flush=True,
    )


def each(truth: nm.BayesianNetwork, frame: pd.DataFrame, rounds: int) -> np.ndarray:
    """Seconds an iteration, by both clocks."""
    return np.median([(ours(truth, frame, 31)[0] - ours(truth, frame, 1)[0]) / 30 for _ in range(rounds)], axis=0)


def converge(path: str, n: int, missing: float) -> None:
    """From each library's own start, to the end."""
    truth, frame = rows_of(path, n, missing)
    seconds, count, theirs = pyagrum(truth, frame, 100_000, noise=0.1)
    begin = perf_counter()
    network = nm.BayesianNetwork(truth.parents_, states=truth.states_, prior=1.0, tol=1e-9).fit(frame)
    mine = perf_counter() - begin
    told = {
        f"noumena ({mine:.2f} s, {network.n_iter_} iterations)": penalised(network, frame),
        f"pyAgrum ({seconds[0]:.1f} s, {count} iterations)": penalised(theirs, frame),
    }
    print(f"{label(path, truth, frame)}, to the end:", flush=True)
    for who, (value, with_prior) in told.items():
        print(f"  {who}: log likelihood {value:.9f}, with the prior {with_prior:.9f}", flush=True)


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
    for iterations in (1, 11):
        network = nm.BayesianNetwork(parents, accelerate=None, tol=0.0, max_iter=iterations, random_state=0)
        begin = now()
        network.fit(frame)
        times.append(now() - begin)
    (first, cpu), (more, _) = times[0], (times[1] - times[0]) / 10
    print(
        f"1,000,000 rows × 20 nodes, 10% missing: {more:.2f} s an iteration, {first:.1f} s to the first (CPU {cpu:.1f} "
        f"s); peak {memory() - before:.0f} MB beyond the table of {x.nbytes / 1e6:.0f} MB",
        flush=True,
    )
    alarm, frame = rows_of(path, 100_000, 0.3)
    begin = perf_counter()
    alarm.posterior(frame)
    print(f"posteriors of all nodes of ALARM, 100,000 rows: {perf_counter() - begin:.1f} s", flush=True)


def random_network(
    seed: int, nodes: int = 223, arcs: int = 338, most: int = 6, window: int = 40
) -> dict[str, list[str]]:
    """Parents at random among the nodes shortly before: the size of ANDES (Conati et al. 1997), and its degrees."""
    rng = np.random.default_rng(seed)
    parents: list[set[int]] = [set() for _ in range(nodes)]
    while sum(map(len, parents)) < arcs:
        child = int(rng.integers(1, nodes))
        if len(parents[child]) < most:
            parents[child].add(int(rng.integers(max(0, child - window), child)))
    return {f"n{v}": [f"n{p}" for p in sorted(own)] for v, own in enumerate(parents)}


def large_cliques(n: int, missing: float) -> None:
    for seed in range(3):
        parents = random_network(seed)
        rng = np.random.default_rng(seed)
        tables = {name: rng.dirichlet(np.ones(2), size=[2] * len(own)) for name, own in parents.items()}
        truth = nm.BayesianNetwork.from_tables(parents, tables, dict.fromkeys(parents, ("no", "yes")))
        plan = truth._model.plan
        frame = with_holes(truth.sample(n, random_state=0).to_pandas(), missing, 1)
        before = memory()
        first = ours(truth, frame, 1)[0]
        more = each(truth, frame, 1)
        most = memory() - before
        begin = perf_counter()
        truth.score_samples(frame)
        score = perf_counter() - begin
        begin = perf_counter()
        truth.posterior(frame)
        print(
            f"random network {seed}: 223 binary nodes, 338 arcs, largest clique of {int(np.log2(plan.largest))} nodes, "
            f"{sum(plan.sizes):,} entries in all for a row that shows nothing; {n:,} rows, {missing:.0%} missing: "
            f"{first[0]:.1f} s to the first iteration (CPU {first[1]:.1f} s), {more[0]:.2f} s each (CPU {more[1]:.2f} "
            f"s), at most {most:.0f} MB; densities of all rows in {score:.1f} s, posteriors in "
            f"{perf_counter() - begin:.1f} s",
            flush=True,
        )


def recover(path: str, missing: float) -> None:
    """KL(truth ‖ learned) of the whole joint, exact: Σ over tables and parents' states of p(parents) · KL(row)."""
    truth = nm.BayesianNetwork.from_bif(path)
    for seed in range(3):
        for n in (1000, 5000, 50_000):
            frame = with_holes(truth.sample(n, random_state=seed).to_pandas(), missing, seed)
            begin = perf_counter()
            learned = nm.BayesianNetwork(truth.parents_, states=truth.states_, prior=1.0).fit(frame)
            seconds = perf_counter() - begin
            distance = 0.0
            for name, parents in truth.parents_.items():
                p, q = truth.tables_[name], learned.tables_[name]
                each = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0) / q), 0.0).sum(axis=-1)
                distance += float(((truth.joint(parents) if parents else 1.0) * each).sum())
            print(
                f"{label(path, truth, frame)}, seed {seed}: KL {distance:.5f} nats, times rows {distance * n:.0f} "
                f"({truth.n_parameters_} parameters; {seconds:.1f} s)",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="*", default=[], help="BIF files")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--missing", type=float, default=0.3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-iterations", type=int, default=3, help="of pyAgrum's longer run")
    parser.add_argument("--converge", nargs="*", default=[], metavar="NETWORK", help="BIF files")
    parser.add_argument("--hidden", action="store_true")
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--recover", metavar="NETWORK", help="BIF file")
    parser.add_argument("--large", metavar="ALARM", help="BIF file of ALARM")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of fits that are stopped early on purpose
    print(f"{THREADS} threads, float64")
    for path in arguments.network:
        against_pyagrum(path, arguments.rows, arguments.missing, arguments.rounds, arguments.peer_iterations)
    for path in arguments.converge:
        converge(path, arguments.rows, arguments.missing)
    if arguments.hidden:
        hidden(arguments.rounds)
    if arguments.large:
        large(arguments.large)
    if arguments.random:
        large_cliques(arguments.rows, arguments.missing)
    if arguments.recover:
        recover(arguments.recover, 0.2)


if __name__ == "__main__":
    main()
