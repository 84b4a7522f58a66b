"""Bayesian networks on the command line: the tables that they take, the fit, what it says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import typer

import noumena

from ..core.errors import DataError
from ..data.columns import unique_names
from ..data.files import arrow_table
from ..estimators.network_size import NetworkError
from ..report.digits import count
from ..report.fitted import level_name
from .edges import Edges, edges_from
from .outcome import INTERRUPTED
from .summary import interrupted, status_line
from .terminal import at_work, console, printed_to, say
from .training import Training, coded_training, known_columns, read_column

_MOST_LINES = 40
_DUE = "answers with few levels"


def fit_network(
    table: Path,
    *,
    structure: str,
    hidden: Mapping[str, int | None],
    columns: Sequence[str],
    drop: Sequence[str],
    weights: str | None,
    out: Path,
    report: Path | None,
    **settings: Any,
) -> None:
    """What `noumena fit --model network` does.

    Parameters
    ----------
    table : Path
    structure : str
        As `edges_from` takes it.
    hidden : mapping
        From nodes that are never observed to their numbers of states; None for those that the structure's file tells.
    columns, drop : sequence of str
    weights : str, optional
        Column with the weight of each row.
    out : Path
    report : Path, optional
    **settings
        Of the estimator.
    """
    edges = edges_from(structure)
    unknown = [name for name, size in hidden.items() if size is None and name not in edges.states]
    if unknown:
        raise typer.BadParameter(
            f"how many states {unknown[0]!r} has is not known: write {unknown[0]}=2, say", param_hint="'--hidden'"
        )
    with at_work("reading the table"):
        data = _training(table, edges, hidden, columns, drop, weights)
    estimator = noumena.BayesianNetwork(
        edges.structure,
        hidden={name: edges.states[name] if size is None else size for name, size in hidden.items()} or None,
        states={name: edges.states[name] for name in data.names if name in edges.states} or None,
        **settings,
    )
    with at_work("fitting") as show:
        estimator.set_params(verbose=int(show is not None))
        with printed_to(show):
            estimator.fit(data.rows, sample_weight=data.weight)
        estimator.set_params(verbose=0)
    estimator.save(out)
    _print_summary(estimator, data)
    say(f"{out}: the model")
    if interrupted(estimator, None):
        rest = f"; the report was not written: noumena report {out} {table}" if report is not None else ""
        say(f"these are the best parameters so far{rest}", head="interrupted:", style="bold yellow")
        raise typer.Exit(INTERRUPTED)
    if report is not None:
        with at_work("writing the report"):
            noumena.write_report(estimator, data.rows, report, sample_weight=data.weight)
        say(f"{report}: the report; open it in a browser")


def _training(
    path: Path,
    edges: Edges,
    hidden: Mapping[str, Any],
    columns: Sequence[str],
    drop: Sequence[str],
    weights: str | None,
) -> Training:
    """The columns of the nodes; those that hold what a network takes, where the nodes are not said."""
    if not edges.nodes:
        data = coded_training(path, columns=columns, drop=drop, weights=weights, labels=None, covariates=(), items=True)
        if data.left_out:
            say(f"left out, for they do not hold {_DUE}: {', '.join(data.left_out)}", head="note:", style="bold")
        return data
    table = arrow_table(path)
    everything = unique_names(table.column_names)
    known_columns(path, {*columns, *drop, *([] if weights is None else [weights])}, everything)
    wanted = list(columns) or [name for name in everything if name in edges.nodes and name not in (*drop, weights)]
    both = [name for name in wanted if name in hidden]
    if both:
        raise DataError(f"{path} has a column {both[0]!r}: leave it out with --drop {both[0]}, or do not hide the node")
    lacking = [node for node in edges.nodes if node not in wanted and node not in hidden]
    if lacking:
        raise DataError(
            f"{path} has no column {_some(list(map(repr, lacking)), 8)}, which the structure has: add it, or say that "
            f"it is never observed, and how many states it has, --hidden {lacking[0]}=2"
        )
    left_out = [name for name in everything if name not in (*wanted, *drop, weights)]
    if left_out and not columns:
        say(f"left out, for the structure has no such node: {', '.join(left_out)}", head="note:", style="bold")
    rows = spelled(table.select(wanted), edges.states)
    weight = None if weights is None else read_column(path, weights)
    return Training(rows, table.num_rows, tuple(wanted), (), weight, None, _DUE)


def rows_for(estimator: Any, path: Path, without: Sequence[str] = ()) -> pa.Table:
    """The columns of a file that are nodes of a network, in the spelling of its states."""
    table = arrow_table(path)
    nodes = [name for name in seen_nodes(estimator) if name not in without]
    known = [name for name in table.column_names if name in nodes]
    if not known:
        raise DataError(f"{path} has no column of the network's nodes, which are {_some(nodes)}")
    return spelled(table.select(known), estimator.states_)


def spelled(table: pa.Table, states: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Columns whose values are states in another spelling with the states themselves.

    A file of text tells no truth values from words: ``TRUE`` in a CSV file is read as a truth value, though it may be
    the name of a state.
    """
    for place, name in enumerate(table.column_names):
        own = states.get(name)
        values = [value for value in table[name].unique().to_pylist() if value is not None and value != ""]
        if own is None or all(value in own and type(value) is type(own[own.index(value)]) for value in values):
            continue
        meant = {value: state_meant(own, value) for value in values}
        if None not in meant.values():
            cells = [meant.get(value) for value in table[name].to_pylist()]
            table = table.set_column(place, name, pa.array(cells))
    return table


def state_meant(states: Sequence[Any], said: Any) -> Any:
    """The state that is written like this, in letters of any case where that leaves no doubt; None if there is none."""
    for folded in (str, lambda text: text.casefold()):
        found = [state for state in states if folded(level_name(state)) == folded(level_name(said))]
        if len(found) == 1:
            return found[0]
    return None


def seen_nodes(estimator: Any) -> list[str]:
    """The nodes that a table has columns of."""
    return [name for name in estimator.nodes_ if name not in (estimator.hidden or {})]


def predicted(estimator: Any, path: Path, target: str | None, *, probabilities: bool) -> pa.Table:
    """The most probable state of a node in each row, and the probabilities of all, given the other cells."""
    if target is None:
        raise typer.BadParameter(f"name the node to predict, one of {_some(estimator.nodes_)}", param_hint="'--target'")
    if target not in estimator.nodes_:
        raise typer.BadParameter(
            f"the network has no node {target!r}: choose among {_some(estimator.nodes_)}", param_hint="'--target'"
        )
    chances = estimator.predict_proba(rows_for(estimator, path, without=[target]), target)
    states = estimator.states_[target]
    columns: dict[str, Any] = {target: [states[best] for best in chances.argmax(axis=1)]}
    if probabilities:
        columns |= {f"probability_{level_name(state)}": own for state, own in zip(states, chances.T, strict=True)}
    return pa.table(columns)


def print_marginals(marginals: Mapping[str, Mapping[Any, float]]) -> None:
    """A line for each state of each node."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("node", overflow="fold")
    table.add_column("state", overflow="fold")
    table.add_column("probability", justify="right")
    for name, chances in marginals.items():
        for i, (state, chance) in enumerate(chances.items()):
            table.add_row(name if i == 0 else "", level_name(state), f"{chance:.6f}")
    console().print(table)


def _print_summary(estimator: Any, data: Training) -> None:
    edges = [f"{parent} -> {child}" for child, own in estimator.parents_.items() for parent in own]
    weight = data.n_rows if data.weight is None else float(data.weight.sum())
    bic = -2 * estimator.log_likelihood_ + estimator.n_parameters_ * np.log(weight)
    learned = f", learned by {estimator.structure}" if isinstance(estimator.structure, str) else ""
    hidden = [f"{name} ({count(len(estimator.states_[name]), 'state')})" for name in estimator.hidden or {}]
    lines = [
        f"network of {count(len(estimator.nodes_), 'node')} and {count(len(edges), 'edge')}{learned}",
        f"rows            {data.n_rows:,}" + ("" if data.weight is None else f" (total weight {weight:,.6g})"),
        f"edges           {_some(edges) or 'none'}",
        *([f"never observed  {', '.join(hidden)}"] if hidden else []),
        f"log likelihood  {estimator.log_likelihood_:.4f} (exact, nats)",
        f"BIC             {bic:.4f} (lower is better; {count(estimator.n_parameters_, 'parameter')})",
        f"status          {status_line(estimator)}",
        "",
    ]
    console().print("\n".join(lines), soft_wrap=True)
    shown: dict[str, Mapping[Any, float]] = {}
    try:
        marginals = estimator.query()
    except NetworkError:  # less is summed over in the rows, where something is seen
        console().print("its marginals are out of reach: noumena query --method tells of nodes approximately")
        return
    for name, chances in marginals.items():
        if sum(map(len, shown.values())) + len(chances) > _MOST_LINES:
            break
        shown[name] = chances
    print_marginals(shown)
    if len(shown) < len(estimator.nodes_):
        left = count(len(estimator.nodes_) - len(shown), "node")
        console().print(f"{left} more: noumena query tells of all", soft_wrap=True)


def _some(names: Sequence[str], most: int = _MOST_LINES) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
