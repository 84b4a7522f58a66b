"""What the page of a Bayesian network shows."""

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.table import ArrayTable
from ..estimators.inputs import row_weights
from ..estimators.network_answers import NetworkAnswers
from ..models.network_queries import posteriors
from .digits import count, number, percent
from .embed import embedded
from .fitted import level_name
from .network import network_plot, refuse_unfitted
from .plots import plot_holes, plot_trace
from .provenance import parameters, program, versions
from .rows import Missing, missing_patterns
from .style import shown
from .words import Warned, fit_warnings, outcome

#: What is listed at most: rows, the cells of one, nodes, tables, rows of one table and columns of it.
_MOST_ROWS, _MOST_CELLS, _MOST_NODES, _MOST_TABLES, _MOST_TABLE_ROWS, _MOST_STATES = 20, 20, 100, 60, 40, 12


@dataclass(frozen=True)
class Answered:
    """A network and the rows to tell of.

    Attributes
    ----------
    network : NetworkAnswers
    codes : array, shape (n_rows, nodes)
        NaN where a cell is missing.
    weight : array, shape (n_rows,)
        1 for each row where they are not weighted.
    log_density : array, shape (n_rows,)
    """

    network: NetworkAnswers
    codes: np.ndarray
    weight: np.ndarray
    log_density: np.ndarray

    @property
    def possible(self) -> np.ndarray:
        return np.isfinite(self.log_density)

    @property
    def log_likelihood(self) -> float:
        """Of the rows that are possible at all."""
        return float(self.weight[self.possible] @ self.log_density[self.possible])

    @property
    def observed_nodes(self) -> list[int]:
        hidden = self.network.hidden or {}
        return [v for v, name in enumerate(self.network.nodes_) if name not in hidden]

    @property
    def learned(self) -> bool:
        """Whether the tables come from a fit: known ones have no likelihood of their own."""
        return bool(np.isfinite(self.network.log_likelihood_))

    def seen(self, node: int) -> np.ndarray:
        """Weight of the rows that hold each combination of the parents' states and the node's, all observed."""
        graph = self.network._model.graph
        cells = self.codes[:, graph.scopes[node]]
        complete = ~np.isnan(cells).any(axis=1)
        found = np.zeros([graph.states[v] for v in graph.scopes[node]])
        np.add.at(found, tuple(cells[complete].astype(int).T), self.weight[complete])
        return found


def contents(network: NetworkAnswers, X: Any, title: str | None, sample_weight: Any) -> dict[str, Any]:
    """Everything that the page of a network shows, by the names of the template."""
    refuse_unfitted(network, "the report")
    network.query()  # refuses networks too large for exact answers, of which all here is made
    log_density = network.score_samples(X)
    codes = network._rows(X)
    weight = row_weights(sample_weight, len(codes))
    rows = Answered(network, codes, np.ones(len(codes)) if weight is None else weight, log_density)
    observed = rows.observed_nodes
    names = [network.nodes_[v] for v in observed]
    missing = missing_patterns(ArrayTable(array=codes[:, observed], names=tuple(names)))
    headline = _headline(rows)
    return {
        "title": title or headline,
        "headline": headline,
        "outcome": outcome(network) if rows.learned else "Its tables were given, not learned.",
        "learned": rows.learned,
        "structure": _structure(network),
        "figures": _figures(rows, missing),
        "warnings": _warnings(rows, missing),
        "drawing": embedded(network_plot(network), f"{count(len(network.nodes_), 'node')} and what they depend on"),
        "hidden": list(network.hidden or {}),
        "marginals": _marginals(rows),
        "more_nodes": max(len(network.nodes_) - _MOST_NODES, 0),
        "tables": [_table(rows, v) for v in range(min(len(network.nodes_), _MOST_TABLES))],
        "more_tables": max(len(network.nodes_) - _MOST_TABLES, 0),
        "surprising": _surprising(rows),
        "cells": names[:_MOST_CELLS],
        "more_cells": max(len(names) - _MOST_CELLS, 0),
        "holes": _holes_in_words(missing),
        "missing_plot": embedded(plot_holes(missing, names), "Share of missing cells per column, and row patterns")
        if missing.per_column.any()
        else None,
        "trace_plot": embedded(plot_trace(network), "Objective of the fit at every iteration")
        if rows.learned
        else None,
        # sections that mixtures have
        "selection": None,
        "covariances": [],
        "too_many": None,
        "parameters": parameters(network),
        "code": _program(rows, X, weight),
        "versions": versions(),
        "made": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    }


def _edges(network: NetworkAnswers) -> int:
    return sum(map(len, network.parents_.values()))


def _headline(rows: Answered) -> str:
    """What it is, as a title: Bayesian network of 8 nodes and 8 edges, 5,000 rows."""
    nodes, edges = count(len(rows.network.nodes_), "node"), count(_edges(rows.network), "edge")
    return f"Bayesian network of {nodes} and {edges}, {count(len(rows.codes), 'row')}"


def _structure(network: NetworkAnswers) -> str:
    told = []
    asked = getattr(network, "structure", None)
    if isinstance(asked, str):
        told.append(f"The edges were learned ({asked}).")
    hidden = [f"{shown(name)} ({count(len(network.states_[name]), 'state')})" for name in network.hidden or {}]
    if hidden:
        told.append(f"Never observed: {', '.join(hidden)}; the numbers of its states mean nothing by themselves.")
    return " ".join(told)


def _figures(rows: Answered, missing: Missing) -> list[dict[str, str]]:
    network, n = rows.network, float(rows.weight.sum())
    bic = -2 * rows.log_likelihood + network.n_parameters_ * np.log(n)
    possible = bool(rows.possible.all())
    figures = [
        (
            "log likelihood",
            number(rows.log_likelihood, 1) if possible else "−∞",
            "exact",
            "nats, of the observed cells",
        ),
        ("BIC", number(bic, 1) if possible else "∞", "exact", "lower is better"),
        ("per row", number(rows.log_likelihood / n, 3) if possible else "−∞", "exact", "log likelihood, nats"),
        ("free parameters", f"{network.n_parameters_:,}", "", f"in {count(len(network.nodes_), 'table')}"),
        ("iterations", f"{network.n_iter_:,}" if rows.learned else "–", "", network.status_.value.replace("_", " ")),
        ("missing cells", percent(missing.share), "", f"{count(missing.complete_rows, 'complete row')}"),
    ]
    return [dict(zip(("name", "value", "kind", "note"), figure, strict=True)) for figure in figures]


def _warnings(rows: Answered, missing: Missing) -> list[Warned]:
    network, told = rows.network, []
    if rows.learned:
        told += fit_warnings(network)
    impossible = np.flatnonzero(~rows.possible)
    if len(impossible):
        which = ", ".join(f"{row:,}" for row in impossible[:8]) + (" …" if len(impossible) > 8 else "")
        told.append(
            Warned(
                f"{count(len(impossible), 'row')} ({which}) cannot occur under the network: its tables give them the "
                "probability 0. The likelihood is 0, too; a prior count at the fit would keep it above.",
                grave=True,
            )
        )
    if rows.learned and not np.isclose(rows.log_likelihood, network.log_likelihood_, rtol=1e-7, atol=1e-6):
        told.append(
            Warned(
                "These are not the rows that the network was learned from, or they were weighted then: its own log "
                f"likelihood was {number(network.log_likelihood_, 2)}, that of these rows is "
                f"{number(rows.log_likelihood, 2)}."
            )
        )
    if rows.learned and rows.weight.sum() < 5 * network.n_parameters_:
        told.append(
            Warned(
                f"{count(network.n_parameters_, 'free parameter')} for {count(len(rows.codes), 'row')}: fewer than 5 "
                "rows for each. Fewer edges or states, or a prior, will generalise better."
            )
        )
    told += _unseen(rows)
    share = missing.per_column / missing.n_rows
    most = np.flatnonzero(share > 0.5)
    if len(most):
        names = [network.nodes_[v] for v in rows.observed_nodes]
        which = ", ".join(f"{shown(names[j])} ({percent(float(share[j]))})" for j in most[:8])
        told.append(
            Warned(
                f"More than half of the cells are missing in {which}{' and more' if len(most) > 8 else ''}: what is "
                "said there rests on few values, and on their being missing at random."
            )
        )
    return told


def _unseen(rows: Answered) -> list[Warned]:
    """Combinations of parents' states that no row shows, where the parents can be seen."""
    network, observed = rows.network, {*rows.observed_nodes}
    total = never = 0
    for v, scope in enumerate(network._model.graph.scopes):
        if rows.learned and {*scope} <= observed and len(scope) > 1:
            combinations = rows.seen(v).sum(axis=-1)
            total, never = total + combinations.size, never + int((combinations == 0).sum())
    if not never:
        return []
    return [
        Warned(
            f"{never:,} of {count(total, 'combination')} of parents’ states stand in no row with all their cells: what "
            "the tables say there comes from rows with missing cells, from the prior, or from nothing."
        )
    ]


def _marginals(rows: Answered) -> list[dict[str, Any]]:
    """A line for each state: its probability under the network, and its share of the observed cells."""
    network, lines = rows.network, []
    for v, (name, chances) in enumerate(list(network.query().items())[:_MOST_NODES]):
        codes = rows.codes[:, v]
        seen = ~np.isnan(codes)
        total = float(rows.weight[seen].sum())
        weights = np.bincount(codes[seen].astype(int), rows.weight[seen], minlength=len(chances))
        kept = {*np.argsort([-chance for chance in chances.values()], kind="stable")[:_MOST_STATES].tolist()}
        for i, (state, chance) in enumerate(chances.items()):
            if i not in kept:
                continue
            share = float(weights[i]) / total if total else None
            away = 0.0 if share is None else chance - share
            lines.append(
                {
                    "name": name if i == min(kept) else "",
                    "state": level_name(state),
                    "chance": number(chance, 4),
                    "width": round(100 * chance, 1),
                    "share": "–" if share is None else number(share, 4),
                    "cells": f"{weights[i]:,.6g}" if total else "–",
                    "tint": min(round(abs(away) * 200), 30),
                    "side": "above" if away > 0 else "below",
                }
            )
        if len(kept) < len(chances):
            lines[-1]["state"] += f" (the {len(kept)} most probable of {len(chances)} states)"
    return lines


def _table(rows: Answered, node: int) -> dict[str, Any]:
    """p(node | parents), a line for each combination of the parents' states; of many, those that are seen most."""
    network = rows.network
    name = network.nodes_[node]
    parents, states, table = network.parents_[name], network.states_[name], network.tables_[name]
    seen = rows.seen(node).sum(axis=-1)
    places = list(np.ndindex(table.shape[:-1]))
    if len(places) > _MOST_TABLE_ROWS:
        best = np.argsort(-seen.ravel(), kind="stable")[:_MOST_TABLE_ROWS]
        places = [places[i] for i in sorted(best.tolist())]
    hidden = {*(network.hidden or {})} & {name, *parents}
    return {
        "name": name,
        "title": f"{name} given {', '.join(parents)}" if parents else name,
        "parents": list(parents),
        "states": [level_name(state) for state in states[:_MOST_STATES]],
        "more_states": max(len(states) - _MOST_STATES, 0),
        "rows": [
            {
                "given": [level_name(network.states_[p][code]) for p, code in zip(parents, place, strict=True)],
                "chances": [
                    {"text": number(float(chance), 4), "tint": round(30 * float(chance))}
                    for chance in table[place][:_MOST_STATES]
                ],
                "seen": "–" if hidden else f"{seen[place]:,.6g}",
            }
            for place in places
        ],
        "more_rows": seen.size - len(places),
    }


def _surprising(rows: Answered) -> list[dict[str, Any]]:
    """The rows of the lowest density, and in each the cell that the others make least probable."""
    network, nodes = rows.network, rows.observed_nodes
    some = np.flatnonzero(~np.isnan(rows.codes).all(axis=1))
    lowest = some[np.argsort(rows.log_density[some], kind="stable")[:_MOST_ROWS]]
    asked = [(int(row), v) for row in lowest for v in nodes if not np.isnan(rows.codes[row, v])]
    blanked = np.array([rows.codes[row] for row, _ in asked]).reshape(-1, len(network.nodes_))
    blanked[np.arange(len(asked)), [v for _, v in asked]] = np.nan
    _, found = posteriors(network._model, blanked) if asked else (None, [])
    least: dict[int, tuple[float, int]] = {}
    for i, (row, v) in enumerate(asked):
        chance = float(found[v][i, int(rows.codes[row, v])])
        least[row] = min(least.get(row, (np.inf, -1)), (chance, v))
    told = []
    for row in lowest.tolist():
        chance, v = least[row]
        state = level_name(network.states_[network.nodes_[v]][int(rows.codes[row, v])])
        told.append(
            {
                "row": f"{row:,}",
                "log_density": number(float(rows.log_density[row]), 2),
                "least": f"{network.nodes_[v]} = {state}",
                "chance": number(chance, digits=2),
                "cells": [_cell(rows, row, node) for node in nodes[:_MOST_CELLS]],
            }
        )
    return told


def _cell(rows: Answered, row: int, node: int) -> str | None:
    code = rows.codes[row, node]
    return None if np.isnan(code) else level_name(rows.network.states_[rows.network.nodes_[node]][int(code)])


def _holes_in_words(missing: Missing) -> str:
    if missing.share == 0:
        return f"No cell is missing in {count(missing.n_rows, 'row')}."
    return (
        f"{percent(missing.share)} of the cells are missing; {missing.complete_rows:,} of "
        f"{count(missing.n_rows, 'row')} are complete. Missing cells and nodes that are never observed are summed out "
        "exactly, in the fit and in every number on this page: nothing was filled in to fit."
    )


def _program(rows: Answered, X: Any, weight: np.ndarray | None) -> str:
    code = program(rows.network, X, weight, None)
    if rows.learned:
        return code
    known = "estimator = ...  # its tables are known: nm.BayesianNetwork.from_bif, from_tables or nm.load"
    return "\n".join(known if line.startswith("estimator = ") else line for line in code.splitlines())
