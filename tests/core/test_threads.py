"""Blocks on several threads give what one thread gives, in order."""

import jax
import jax.numpy as jnp
import pytest

from noumena.core import threads
from noumena.core.threads import one_blas_thread, side_by_side


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_results_come_in_the_order_of_the_items(monkeypatch, workers, n):
    monkeypatch.setattr(threads, "WORKERS", workers)
    assert [int(value) for value in side_by_side(lambda i: jnp.asarray(i) ** 2, range(n))] == [i**2 for i in range(n)]


@pytest.mark.parametrize("wide", [False, True])
def test_threads_compute_with_the_callers_precision(monkeypatch, wide):
    monkeypatch.setattr(threads, "WORKERS", 2)
    with jax.enable_x64(wide):
        kinds = {value.dtype for value in side_by_side(lambda i: jnp.ones(2) * i, range(4))}
    assert kinds == {jnp.dtype("float64" if wide else "float32")}


def test_no_more_items_are_taken_in_than_are_computed(monkeypatch):
    monkeypatch.setattr(threads, "WORKERS", 2)
    taken, given = [], []

    def items():
        for i in range(20):
            taken.append(i)
            yield i

    for value in side_by_side(jnp.asarray, items()):
        given.append(int(value))
        assert len(taken) - len(given) <= 3  # two running, and one read ahead


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(threads, "WORKERS", 2)

    def fail(i):
        if i == 3:
            raise RuntimeError("block 3")
        return jnp.asarray(i)

    with pytest.raises(RuntimeError, match="block 3"):
        list(side_by_side(fail, range(9)))


def test_blas_has_one_thread_inside_and_its_own_again_outside():
    counts = lambda: [pool["num_threads"] for pool in threads._blas().info() if pool["user_api"] == "blas"]  # noqa: E731
    before = counts()
    with one_blas_thread():
        assert set(counts()) == {1}
    assert counts() == before
