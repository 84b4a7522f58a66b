"""Gaussian mixtures with full covariances, in other libraries and in ours, behind one face.

All peers get the same table, the same start and float64, and answer two questions:

- `iterate`: how long does one EM iteration take? An exact number of iterations, without set-up, copies and compilation.
- `fit`: how long does a whole fit take, under the peer's own stopping rule?

Log likelihoods are those of `log_likelihood` below at the final parameters: one judge for all, so that a peer that is
fast because it computes something else is seen.
"""

import os

# Thread pools read these when they are created, hence before numpy is imported. XLA reads NPROC.
THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC"):
    os.environ.setdefault(_name, str(THREADS))

import warnings  # noqa: E402
from abc import abstractmethod  # noqa: E402
from collections.abc import Callable  # noqa: E402
from concurrent.futures import ProcessPoolExecutor  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from functools import cache  # noqa: E402
from importlib import import_module  # noqa: E402
from multiprocessing import get_context  # noqa: E402
from time import perf_counter  # noqa: E402
from typing import Any, NamedTuple, Protocol, final  # noqa: E402

import numpy as np  # noqa: E402
from scipy.linalg import solve_triangular  # noqa: E402

MANY = 100_000  # iterations that a whole fit may take: its tolerance is to end it


class Parameters(NamedTuple):
    """Mixture with K components over d columns."""

    weights: np.ndarray  # (K,), sum 1
    means: np.ndarray  # (K, d)
    covariances: np.ndarray  # (K, d, d)


class Run(NamedTuple):
    seconds: float
    log_likelihood: float  # of the whole table, at `parameters`
    parameters: Parameters


def log_likelihood(x: np.ndarray, parameters: Parameters, rows: int = 50_000) -> float:
    """Σ_n log Σ_k π_k N(x_n | μ_k, Σ_k) by Cholesky factors, in slices of `rows` rows."""
    d = x.shape[1]
    total = 0.0
    factors = np.linalg.cholesky(parameters.covariances)  # Σ = L Lᵀ
    for first in range(0, len(x), rows):
        block = x[first : first + rows]
        joint = np.empty((len(block), len(parameters.weights)))
        for k, (weight, mean, factor) in enumerate(zip(*parameters[:2], factors, strict=True)):
            white = solve_triangular(factor, (block - mean).T, lower=True)  # L⁻¹ (x − μ)
            log_determinant = 2 * np.log(np.diag(factor)).sum()
            joint[:, k] = np.log(weight) - 0.5 * (d * np.log(2 * np.pi) + log_determinant + (white**2).sum(0))
        total += np.logaddexp.reduce(joint, axis=1).sum()
    return float(total)


def clock(action: Callable[[], Any]) -> tuple[float, Any]:
    begin = perf_counter()
    result = action()
    return perf_counter() - begin, result


def beyond_first(seconds: float, n_iterations: int) -> float:
    """Seconds of n iterations, from those of iterations 2 … n."""
    if n_iterations < 2:
        raise ValueError("this peer is timed by the difference of two runs: n_iterations must be 2 or more")
    return seconds * n_iterations / (n_iterations - 1)


class Peer(Protocol):
    """One library.

    `n_iterations`: at least 2, for some peers are timed by the difference of two runs.
    `target_tolerance`: stop when an iteration gains less than this share of |log likelihood at the start|. The
    libraries' own tolerances differ in meaning (per row or in total), so each class converts.
    """

    name: str

    @abstractmethod
    def iterate(
        self, x: np.ndarray, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, n_iterations: int
    ) -> Run: ...

    @abstractmethod
    def fit(
        self, x: np.ndarray, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, target_tolerance: float
    ) -> Run: ...


@final
@dataclass(frozen=True)
class ScikitLearn(Peer):
    """A run with n iterations minus a run with 1: both check the table, start, and end with one more E-step."""

    name: str = "scikit-learn"

    def __post_init__(self) -> None:
        require("sklearn", "scikit-learn")

    def _run(self, x, start: Parameters, max_iter: int, tol: float) -> tuple[float, Parameters]:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        model = GaussianMixture(
            n_components=len(start.weights),
            reg_covar=0.0,
            tol=tol,
            max_iter=max_iter,
            init_params="random_from_data",  # the cheapest; all it finds is replaced by the given start
            weights_init=start.weights,
            means_init=start.means,
            precisions_init=np.linalg.inv(start.covariances),
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of iterations is the purpose
            seconds, _ = clock(lambda: model.fit(x))
        return seconds, Parameters(model.weights_, model.means_, model.covariances_)

    def iterate(self, x, weights, means, covariances, n_iterations):
        start = Parameters(weights, means, covariances)
        # tol=0: its test is abs(change) < tol, which nothing meets.
        shortest, _ = self._run(x, start, max_iter=1, tol=0.0)
        longer, parameters = self._run(x, start, max_iter=n_iterations, tol=0.0)
        return Run(beyond_first(longer - shortest, n_iterations), log_likelihood(x, parameters), parameters)

    def fit(self, x, weights, means, covariances, target_tolerance):
        start = Parameters(weights, means, covariances)
        per_row = target_tolerance * abs(log_likelihood(x, start)) / len(x)
        seconds, parameters = self._run(x, start, MANY, per_row)
        return Run(seconds, log_likelihood(x, parameters), parameters)


@final
@dataclass(frozen=True)
class Pomegranate(Peer):
    """`fit` of a model that holds the start: its loop is nothing but iterations, so its wall time is the figure."""

    name: str = "pomegranate"

    def __post_init__(self) -> None:
        require("torch", "torch --index-url https://download.pytorch.org/whl/cpu")
        require("pomegranate", "pomegranate")

    def _run(self, x, start: Parameters, max_iter: int, tol: float) -> tuple[float, Parameters]:
        import torch
        from pomegranate.distributions import Normal
        from pomegranate.gmm import GeneralMixtureModel

        if torch.get_num_threads() != THREADS:
            torch.set_num_threads(THREADS)
        # Some of its buffers (the sums of the responsibilities) take torch's default type whatever the data are;
        # left at float32 they leave errors of 1e-7 in the weights.
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            normals = [
                Normal(torch.tensor(mean), torch.tensor(covariance), covariance_type="full")
                for mean, covariance in zip(start.means, start.covariances, strict=True)
            ]
            # check_data=False: its own switch to leave checks out of the loop.
            model = GeneralMixtureModel(
                normals, priors=torch.tensor(start.weights), max_iter=max_iter, tol=tol, check_data=False
            )
            data = torch.from_numpy(x)
            with torch.no_grad():
                seconds, _ = clock(lambda: model.fit(data))
        finally:
            torch.set_default_dtype(before)
        return seconds, Parameters(
            model.priors.numpy(),
            np.stack([normal.means.numpy() for normal in normals]),
            np.stack([normal.covs.numpy() for normal in normals]),
        )

    def iterate(self, x, weights, means, covariances, n_iterations):
        # tol=-inf: its test is improvement < tol.
        seconds, parameters = self._run(x, Parameters(weights, means, covariances), n_iterations, float("-inf"))
        return Run(seconds, log_likelihood(x, parameters), parameters)

    def fit(self, x, weights, means, covariances, target_tolerance):
        start = Parameters(weights, means, covariances)
        total = target_tolerance * abs(log_likelihood(x, start))
        seconds, parameters = self._run(x, start, MANY, total)
        return Run(seconds, log_likelihood(x, parameters), parameters)


@final
@dataclass(frozen=True)
class Gmmx(Peer):
    """One compiled while-loop, compiled ahead of the clock (`lower().compile()`): its number of iterations is static.

    As published it refuses float64 by one check of the type; `float64=True` lifts that check and nothing else.

    It runs in a process of its own, for with a pool of two threads its program can wait for ever (jaxlib 0.10.2,
    100,000 × 32, K = 32): it solves two batches of triangular systems at once, each call waits inside a thread of
    XLA's pool for tasks in that same pool, and no thread is left to do them. Two more threads (`NPROC`) prevent that;
    the process stays bound to as many cores as the other peers have threads.
    """

    name: str = "gmmx"
    float64: bool = True

    def __post_init__(self) -> None:
        require("gmmx", "gmmx")

    def _run(self, x, start: Parameters, max_iter: int, tol: float) -> tuple[float, Parameters]:
        return _gmmx_process().submit(_gmmx_run, x, start, max_iter, tol, self.float64).result(timeout=1800)

    def iterate(self, x, weights, means, covariances, n_iterations):
        # tol=0: it goes on while abs(change) >= tol.
        seconds, parameters = self._run(x, Parameters(weights, means, covariances), n_iterations, 0.0)
        return Run(seconds, log_likelihood(x, parameters), parameters)

    def fit(self, x, weights, means, covariances, target_tolerance):
        start = Parameters(weights, means, covariances)
        per_row = target_tolerance * abs(log_likelihood(x, start)) / len(x)
        seconds, parameters = self._run(x, start, MANY, per_row)
        return Run(seconds, log_likelihood(x, parameters), parameters)


@final
@dataclass(frozen=True)
class Noumena(Peer):
    """Ours, from a start given whole (weights, means and covariances).

    The public path, as scikit-learn's: a run with n iterations minus a run with 1, after one run that compiles.
    """

    name: str = "noumena"

    def __post_init__(self) -> None:
        require("noumena", "-e .")
        if not hasattr(import_module("noumena"), "GaussianMixture"):
            raise ImportError("noumena is skipped: it has no GaussianMixture yet")

    def _run(self, x, start: Parameters, **settings) -> tuple[float, Parameters]:
        import noumena

        model = noumena.GaussianMixture(
            n_components=len(start.weights),
            covariance="VVV",
            weights_init=start.weights,
            means_init=start.means,
            covariances_init=start.covariances,
            n_init=1,
            **settings,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of max_iter, as above
            seconds, _ = clock(lambda: model.fit(x))
        return seconds, Parameters(model.weights_, model.means_, model.covariances_)

    def iterate(self, x, weights, means, covariances, n_iterations):
        start = Parameters(weights, means, covariances)
        plain = {"tol": 0.0, "accelerate": None}  # tol=0 runs exactly max_iter iterations
        self._run(x, start, max_iter=1, **plain)
        shortest, _ = self._run(x, start, max_iter=1, **plain)
        # iterations are short beside what a fit does once: more of them, or the difference would be that of the rest
        many = 10 * n_iterations
        longer, _ = self._run(x, start, max_iter=many, **plain)
        _, parameters = self._run(x, start, max_iter=n_iterations, **plain)
        seconds = beyond_first(longer - shortest, many) * n_iterations / many
        return Run(seconds, log_likelihood(x, parameters), parameters)

    def fit(self, x, weights, means, covariances, target_tolerance):
        start = Parameters(weights, means, covariances)
        settings = {"max_iter": MANY, "tol": target_tolerance * abs(log_likelihood(x, start))}
        self._run(x, start, **(settings | {"max_iter": 1}))  # compiles
        seconds, parameters = self._run(x, start, **settings)
        return Run(seconds, log_likelihood(x, parameters), parameters)


def _gmmx_run(x, start: Parameters, max_iter: int, tol: float, float64: bool) -> tuple[float, Parameters]:
    import gmmx
    import jax

    if float64:
        gmmx.gmm.check_shape = _check_shape_only  # in this process only
    kind = np.float64 if float64 else np.float32
    with jax.enable_x64(float64):
        weights, means, covariances = (np.asarray(part, kind) for part in start)
        model = gmmx.GaussianMixtureModelJax.from_squeezed(means=means, covariances=covariances, weights=weights)
        fitter = gmmx.EMFitter(max_iter=max_iter, tol=tol, reg_covar=0.0)
        data = jax.block_until_ready(jax.device_put(np.asarray(x, kind)))
        key = (max_iter, tol, data.shape, len(weights))
        if key not in _COMPILED:
            _COMPILED[key] = gmmx.EMFitter.fit.lower(fitter, data, model).compile()
        seconds, result = clock(lambda: jax.block_until_ready(_COMPILED[key](fitter, data, model)))
    fitted = result.gmm
    parts = (fitted.weights_numpy, fitted.means_numpy, fitted.covariances.values_numpy)
    return seconds, Parameters(*(np.asarray(part, float) for part in parts))


@cache
def _gmmx_process() -> ProcessPoolExecutor:
    """One spawned process; it inherits the environment of its start, hence the change and its undoing."""
    before = os.environ["NPROC"]
    os.environ["NPROC"] = str(THREADS + 2)
    try:
        process = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_bind)
        process.submit(_bind).result()
    finally:
        os.environ["NPROC"] = before
    return process


def _bind() -> None:
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


PEERS = (Noumena, ScikitLearn, Pomegranate, Gmmx)
_COMPILED: dict[tuple, Any] = {}


def require(module: str, package: str) -> None:
    try:
        import_module(module)
    except ImportError as error:
        raise ImportError(f"a peer is left out: {module} is missing: pip install {package}") from error


def available() -> list[Peer]:
    """The peers that can run here; one line for each that cannot."""
    found: list[Peer] = []
    for peer in PEERS:
        try:
            found.append(peer())
        except ImportError as reason:
            print(reason)
    return found


def _check_shape_only(array, expected) -> None:
    """gmmx's `check_shape` without its check of the type."""
    if len(array.shape) != len(expected) or any(m not in (None, n) for n, m in zip(array.shape, expected, strict=True)):
        raise ValueError(f"Expected shape {expected}, got {array.shape}")
