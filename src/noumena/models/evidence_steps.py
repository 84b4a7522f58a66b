"""Ways up the evidence of a linear regression: EM, MacKay's fixed point, the gradient."""

from typing import final

import equinox as eqx
import numpy as np
from scipy.optimize import minimize

from ..core.accelerate import Accelerator, Vectors
from ..core.block import Block
from ..core.fit import fit
from ..core.lanes import stack
from ..core.result import Fit, Status, Trace
from .evidence_model import TINY, UNDETERMINED, EvidenceModel

#: Precisions that the gradient's search may reach, relative to where it starts: e to the power of ±.
_REACH = 40.0


@final
class MacKay(Accelerator):
    """MacKay's fixed point λ_g = γ_g/‖m_g‖², β = (ν − γ)/‖y − Xm‖², as the statistics that EM would have to see.

    Nothing keeps the evidence from falling at such a step (MacKay 1992, Neural Comput. 4:415); the loop takes it back
    and goes on with that of EM.
    """

    def __init__(self, group: np.ndarray) -> None:
        self._group, self._size = group, np.bincount(group)

    def propose(self, given: Vectors, gathered: Vectors) -> Vectors:
        groups, p = len(self._size), len(self._group)
        proposal = gathered.copy()
        for lane, (old, new) in enumerate(zip(given, gathered, strict=True)):
            residual, count = new[-2:]
            mean = new[2 * groups : 2 * groups + p]
            centred = np.bincount(self._group, mean**2)
            precision, noise = self._size / np.maximum(old[:groups], TINY), count / max(old[-2], TINY)
            effective = np.clip(self._size - precision * (new[:groups] - centred), 0.0, self._size)
            left, error = count - effective.sum(), residual - effective.sum() / noise
            known = effective > UNDETERMINED * self._size  # of the others γ is rounding
            proposal[lane, :groups][known] = (self._size * centred)[known] / effective[known]
            if left > 0 and error > 0:
                proposal[lane, -2] = error * count / left
        return proposal

    def rejected(self, lanes: np.ndarray) -> None:
        pass


def _by_gradient(model: EvidenceModel, block: Block, max_iter: int, tol: float) -> Fit:
    """Over log λ and log β by L-BFGS."""
    start = np.log(np.append(model.precision, model.noise))
    seen: list[float] = []
    place = lambda own: (own.precision, own.noise)  # noqa: E731

    def at(theta: np.ndarray) -> EvidenceModel:
        return eqx.tree_at(place, model, (np.exp(theta[:-1]), np.exp(theta[-1])))

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        moved = at(theta)
        value, stats = moved.gather(moved.natural(), block)
        return -value, -moved.slope(stats)

    seen.append(-objective(start)[0])
    most = min(start[-1] + _REACH, -np.log(model.least))
    found = minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(value - _REACH, value + _REACH) for value in start[:-1]] + [(start[-1] - _REACH, most)],
        callback=lambda intermediate_result: seen.append(-float(intermediate_result.fun)),
        # where λ goes to infinity, the slope against log λ is the gain that remains
        options={"maxiter": max_iter, "maxcor": 20, "ftol": 0.0, "gtol": tol},
    )
    trace = Trace(np.array(seen), np.ones(len(seen), dtype=bool))
    reached, value = at(found.x), -float(found.fun)
    status = Status.CONVERGED if found.status != 1 else Status.MAX_ITERATIONS
    return Fit(reached, value, value, Status.DEGENERATE if reached.degenerate() else status, trace)


def climb(method: str, model: EvidenceModel, block: Block, max_iter: int, tol: float) -> Fit:
    """Raise the evidence from a start by "em" (accelerated), "mackay" or "gradient"."""
    if method == "gradient":
        return _by_gradient(model, block, max_iter, tol)
    accelerate = "squarem" if method == "em" else MacKay(np.array(model.group))
    return fit(stack([model]), [block], max_iter=max_iter, tol=tol, accelerate=accelerate)[0]
