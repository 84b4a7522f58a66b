"""``noumena query``: what a Bayesian network says of its nodes, given others."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Debug, Force, Model, equations, names


class Method(StrEnum):
    exact = "exact"
    loopy = "loopy"
    mean_field = "mean-field"


def query(
    model: Model,
    evidence: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NODE=STATE,...",
            show_default=False,
            help="What is known. May be given again. [default: nothing]",
        ),
    ] = None,
    nodes: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", show_default=False, help="Nodes to tell of. [default: all that are not known]"),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(
            help="Loopy belief propagation and mean field are approximations, for networks too large for exact answers."
        ),
    ] = Method.exact,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Write node, state and probability to a .csv or .parquet file; - is stdout, as CSV. "
            "[default: a table to read, on stdout]",
        ),
    ] = None,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Say how probable the states of a network's nodes are.

    \b
    Examples:
    noumena query asia.noumena --evidence dysp=yes,smoke=no --nodes bronc
    noumena query asia.bif --evidence dysp=yes --out marginals.csv

    All other nodes are summed out, exactly unless --method says otherwise. A stored MODEL is one of
    `noumena fit --model network`.
    """
    import pyarrow as pa

    from ..core.errors import NoumenaError
    from ..report.fitted import level_name
    from ..report.network import is_network
    from .network import print_marginals, state_meant
    from .tables import check_output, write_table
    from .terminal import console
    from .use import load_model

    if out is not None:
        check_output(out, model, force=force)
    estimator = load_model(model)
    if not is_network(estimator):
        raise NoumenaError(
            f"{model} holds a {type(estimator).__name__}, and questions are for Bayesian networks: `noumena predict` "
            "says what it can of the rows of a table"
        )
    known: dict[str, Any] = {}
    for node, said in equations(evidence or (), "--evidence"):
        state = state_meant(estimator.states_.get(node, ()), said)
        known[node] = said if state is None else state  # refused by the network, in its words
    wanted = names(nodes) or [node for node in estimator.nodes_ if node not in known]
    marginals = estimator.query(wanted, evidence=known, method=method.value)
    if out is not None:
        rows = [(node, level_name(s), chance) for node, own in marginals.items() for s, chance in own.items()]
        columns = zip(*rows, strict=True) if rows else ((), (), ())
        write_table(pa.table(dict(zip(("node", "state", "probability"), map(list, columns), strict=True))), out)
        return
    if known:
        said = ", ".join(f"{node} = {level_name(state)}" for node, state in known.items())
        probable = {
            Method.exact: lambda: f", of probability {estimator.probability(known):.6g}",
            Method.loopy: lambda: "",
            Method.mean_field: lambda: f", of log probability {estimator.lower_bound(known):.6g} nats at least",
        }
        console().print(f"given {said}{probable[method]()}\n", soft_wrap=True)
    print_marginals(marginals)
