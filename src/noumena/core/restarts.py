"""Many starts side by side: first as short runs, then the best ones to convergence."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from .block import Block
from .fit import fit
from .lanes import stack
from .model import Model
from .result import Fit, Status, Trace

#: Iterations of the short runs. Most of what tells good starts from bad ones shows in the first few.
SHORT = 10


def fit_best(
    starts: Model, groups: np.ndarray, blocks: Iterable[Block], *, max_iter: int, keep: float = 0.25, **options: Any
) -> dict[Any, Fit]:
    """The best fit of each group of starts.

    Parameters
    ----------
    starts : Model
        A stack.
    groups : array, shape (lanes,)
        Lanes of one group compete (the starts of one number of components, say).
    blocks : iterable of Block
    max_iter : int
        Most iterations of a lane, those of the short run included.
    keep : float
        Share of each group that goes on to convergence; at least one.
    **options
        Passed to `noumena.core.fit.fit`.

    Returns
    -------
    dict
        From group to its best `Fit`: the highest objective among the lanes that did not degenerate, if there are any
        among all of the group.
    """
    names, counts = np.unique(groups, return_counts=True)
    if counts.max() == 1:
        fits = fit(starts, blocks, max_iter=max_iter, **options)
        return dict(zip(groups.tolist(), fits, strict=True))
    short_iter = min(SHORT, max_iter)
    options_short = {**options, "tol": 0.0, "accelerate": None}
    short = fit(starts, blocks, max_iter=short_iter, **options_short)
    best: dict[Any, Fit] = {}
    chosen: list[int] = []
    for name in names:
        members = np.flatnonzero(groups == name)
        ordered = sorted(members.tolist(), key=lambda i: _merit(short[i]), reverse=True)
        chosen += _unlike(ordered, short)[: max(1, int(np.ceil(keep * len(members))))]
    if short_iter == max_iter or any(short[i].status is Status.INTERRUPTED for i in chosen):
        finished = [_out_of_iterations(short[i], options["tol"]) for i in chosen]
    else:
        options.pop("start", None)
        finished = _finished(short, chosen, blocks, max_iter - short_iter, options, groups)
        # where all that went on ran into an edge, the others get their turn
        ended = {
            groups[i].item() for i, one in zip(chosen, finished, strict=True) if one.status is not Status.DEGENERATE
        }
        rest = [i for i in range(len(groups)) if groups[i].item() not in ended and i not in chosen]
        if rest and not any(one.status is Status.INTERRUPTED for one in finished):
            finished += _finished(short, rest, blocks, max_iter - short_iter, options, groups)
            chosen += rest
    for i, one in zip(chosen, finished, strict=True):
        name = groups[i].item()
        if name not in best or _merit(one) > _merit(best[name]):
            best[name] = one
    return best


def _finished(
    short: list[Fit],
    chosen: list[int],
    blocks: Iterable[Block],
    max_iter: int,
    options: dict[str, Any],
    groups: np.ndarray,
) -> list[Fit]:
    """Some lanes, from where their short runs ended."""
    long = fit(stack([short[i].model for i in chosen]), blocks, max_iter=max_iter, rivals=groups[chosen], **options)
    return [_joined(short[i], one) for i, one in zip(chosen, long, strict=True)]


def _out_of_iterations(short: Fit, tol: float) -> Fit:
    """A short run that is all there will be: its iterations were the most allowed, and not what was asked for."""
    ended = Status.MAX_ITERATIONS if short.status is Status.COMPLETED and tol > 0 else short.status
    return replace(short, status=ended)


def _merit(fit: Fit) -> tuple[bool, float]:
    """What fits are ranked by: a degenerate one comes after every other, for its likelihood is a spike, not a fit."""
    return fit.status is not Status.DEGENERATE, fit.objective if np.isfinite(fit.objective) else -np.inf


def _unlike(ordered: list[int], fits: list[Fit]) -> list[int]:
    """Lanes from best to worst, those last that are about to end where a better one does."""
    first: list[int] = []
    for i in ordered:
        same = any(abs(fits[i].objective - fits[j].objective) <= 1e-4 * (1 + abs(fits[j].objective)) for j in first)
        if not same:
            first.append(i)
    return first + [i for i in ordered if i not in first]


def _joined(short: Fit, long: Fit) -> Fit:
    trace = Trace(
        np.concatenate([short.trace.objective, long.trace.objective[1:]]),
        np.concatenate([short.trace.accepted, long.trace.accepted[1:]]),
    )
    return Fit(long.model, long.objective, long.bound, long.status, trace)
