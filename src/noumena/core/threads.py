"""Who computes on which core: blocks on several threads, BLAS on one."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from itertools import chain, islice
from typing import TypeVar

import jax
from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Blocks computed at once. XLA spreads each operation of a program over the cores by itself, and the cores meet after
#: each; programs side by side need not wait for each other, which made E-steps 1.15 times as fast on two cores.
WORKERS = min(4, int(os.environ.get("NPROC") or os.cpu_count() or 1))  # XLA reads NPROC for the size of its pool


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(WORKERS, thread_name_prefix="noumena")


def side_by_side(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``function`` of each item, in their order; up to `WORKERS` of them are computed at once, no more are taken in.

    Parameters
    ----------
    function : callable
        Returns JAX arrays; called with the caller's setting of 64-bit numbers.
    items : iterable
        May be longer than memory.
    """
    wide = jax.config.jax_enable_x64  # type: ignore[attr-defined]

    def call(item: Item) -> Result:
        with jax.enable_x64(wide):  # a setting of each thread
            return jax.block_until_ready(function(item))

    rest = iter(items)
    first = list(islice(rest, 2))
    if len(first) < 2:
        yield from map(function, first)  # nothing to wait for: JAX goes on while Python does
        return
    if WORKERS == 1:
        yield from map(call, chain(first, rest))
        return
    running = deque(_pool().submit(call, item) for item in first)
    try:
        for item in rest:
            if len(running) == WORKERS:
                yield running.popleft().result()
            running.append(_pool().submit(call, item))
        while running:
            yield running.popleft().result()
    finally:
        for one in running:
            one.cancel()


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all loaded libraries: once


def one_blas_thread() -> AbstractContextManager[object]:
    """Let BLAS use a single thread, as a context manager.

    The factorisations of an M-step are LAPACK calls. After one, OpenBLAS's other threads spin for some 20 ms in case of
    a further call, on cores that the E-step's program could use: at 32 columns an E-step took 1.4 times as long.
    """
    return _blas().limit(limits=1, user_api="blas")
