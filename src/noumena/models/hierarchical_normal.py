"""The hierarchical normal model: y_j ~ N(θ_j, s_j²) with s_j known, θ_j ~ N(μ, τ²) (Gelman et al. 2013, BDA3, ch. 5).

The one row that the models see is the table of units: y in ``Block.x``, s² in ``Block.given``. Marginally
y_j ~ N(μ, v_j) with v_j = s_j² + τ².
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core.block import Block
from ..core.fit import fit
from ..core.lanes import stack
from ..core.model import Model
from ..core.result import Status, Trace

#: τ² of the starts, relative to the larger of the variance of y and the mean of s²: there may be several maxima.
_STARTS = (10.0, 1.0, 0.1, 0.01)
#: τ² is held above this share of the smallest s²; the edge itself is judged apart.
_FLOOR = 1e-12
_LOG_2PI = float(np.log(2 * np.pi))


@final
@dataclass(frozen=True)
class Units:
    """What is known of each unit.

    Attributes
    ----------
    y : array, shape (J,)
    variance : array, shape (J,)
        s², in (units of y)².
    """

    y: Float[np.ndarray, " J"]
    variance: Float[np.ndarray, " J"]

    def block(self) -> Block:
        """The units as the one row of a block."""
        return Block(self.y[None, None], np.ones((1, 1)), given=self.variance[None, None])

    @classmethod
    def of(cls, block: Block) -> "Units":
        """NumPy's arrays, from a block with its axis of pieces."""
        assert block.given is not None
        return cls(np.asarray(block.x)[0, 0], np.asarray(block.given)[0, 0])

    def pooled(self, spread: Any) -> tuple[Any, Any]:
        """Mean and variance of μ given y and τ, under a flat prior: those weighted by 1/v (BDA3, eq. 5.20).

        For one τ, or several of shape (..., 1).
        """
        weight = 1 / (self.variance + np.asarray(spread) ** 2)
        total = weight.sum(axis=-1)
        return (weight @ self.y) / total, 1 / total

    def effects(self, mean: Any, spread: Any) -> tuple[Any, Any]:
        """Mean and variance of each θ_j given y, μ and τ (BDA3, eq. 5.17)."""
        between = np.asarray(spread) ** 2
        share = between / (self.variance + between)
        return mean + share * (self.y - mean), share * self.variance

    def log_likelihood(self, mean: float, spread: float) -> float:
        """log p(y | μ, τ)."""
        v = self.variance + spread**2
        return float(-0.5 * np.sum(np.log(v) + (self.y - mean) ** 2 / v + _LOG_2PI))

    def restricted(self, spread: float) -> float:
        """log ∫ p(y | μ, τ) dμ = log p(y | μ̂, τ) + ½ log 2πV_μ, μ of density 1 in units of y (BDA3, eq. 5.21)."""
        mean, variance = self.pooled(spread)
        return self.log_likelihood(mean, spread) + 0.5 * float(_LOG_2PI + np.log(variance))


class MeanNatural(NamedTuple):
    """η of θ_j ~ N(μ, τ²), by what each multiplies.

    Attributes
    ----------
    effects : array, shape ()
        μ/τ², of Σθ_j.
    squares : array, shape ()
        −1/(2τ²), of Σθ_j².
    count : array, shape ()
        −μ²/(2τ²) − ½ log 2πτ², of J.
    """

    effects: Any
    squares: Any
    count: Any


class HierarchicalModel(Model):
    """μ and τ² are parameters: maximum likelihood.

    Attributes
    ----------
    mean, between : array, shape ()
        μ and τ².
    least : float
        τ² is held above it.
    """

    compiled: ClassVar[bool] = False

    mean: Any
    between: Any
    least: float = eqx.field(static=True)

    def natural(self) -> MeanNatural:
        mean, between = np.asarray(self.mean, float), np.asarray(self.between, float)
        return MeanNatural(mean / between, -0.5 / between, -0.5 * (mean**2 / between + np.log(between) + _LOG_2PI))

    def bound(self, natural: MeanNatural, block: Block) -> Float[Array, " rows"]:
        assert block.given is not None
        y, within = jnp.asarray(block.x), jnp.asarray(block.given)
        curvature, linear = 1 / within - 2 * natural.squares, y / within + natural.effects
        completed = linear**2 / curvature - y**2 / within - jnp.log(within * curvature)
        return jnp.sum(natural.count + 0.5 * completed, axis=1)

    def gather(self, natural: MeanNatural, block: Block) -> tuple[float, MeanNatural]:
        units = Units.of(block)
        spread = float(np.sqrt(-0.5 / natural.squares))
        mean = float(natural.effects) * spread**2
        effect, variance = units.effects(mean, spread)
        stats = MeanNatural(effect.sum(), np.sum(effect**2 + variance), float(len(effect)))
        return units.log_likelihood(mean, spread), stats

    def update(self, stats: MeanNatural) -> Self:
        """μ = Σ E[θ_j] / J, τ² = Σ E[(θ_j − μ)²] / J."""
        mean = stats.effects / stats.count
        between = np.maximum(stats.squares / stats.count - mean**2, self.least)
        return eqx.tree_at(lambda model: (model.mean, model.between), self, (np.asarray(mean), np.asarray(between)))


class SpreadNatural(NamedTuple):
    """η of θ_j − μ ~ N(0, τ²): −1/(2τ²) of Σ(θ_j − μ)², and −½ log 2πτ² of J."""

    squares: Any
    count: Any


class RestrictedModel(Model):
    """μ is a latent variable with a flat prior, and only τ² a parameter: restricted maximum likelihood (REML).

    Attributes
    ----------
    between : array, shape ()
        τ².
    least : float
        It is held above that.
    """

    compiled: ClassVar[bool] = False

    between: Any
    least: float = eqx.field(static=True)

    def natural(self) -> SpreadNatural:
        between = np.asarray(self.between, float)
        return SpreadNatural(-0.5 / between, -0.5 * (np.log(between) + _LOG_2PI))

    def bound(self, natural: SpreadNatural, block: Block) -> Float[Array, " rows"]:
        assert block.given is not None
        y, within = jnp.asarray(block.x), jnp.asarray(block.given)
        between = -0.5 / natural.squares
        weight = 1 / (within + between)
        total = weight.sum(axis=1, keepdims=True)
        away = y - jnp.sum(weight * y, axis=1, keepdims=True) / total
        constant = natural.count + 0.5 * (jnp.log(between) + _LOG_2PI)  # 0 at the η of any τ
        rows = constant + 0.5 * (jnp.log(weight) - _LOG_2PI - weight * away**2)
        return jnp.sum(rows, axis=1) + 0.5 * (_LOG_2PI - jnp.log(total[:, 0]))

    def gather(self, natural: SpreadNatural, block: Block) -> tuple[float, SpreadNatural]:
        units = Units.of(block)
        spread = float(np.sqrt(-0.5 / natural.squares))
        mean, uncertain = units.pooled(spread)
        effect, variance = units.effects(mean, spread)
        # θ_j − μ = (τ²/v_j)(y_j − μ) + noise, and μ itself is uncertain
        share = variance / units.variance
        squares = np.sum((effect - mean) ** 2 + variance + share**2 * uncertain)
        return units.restricted(spread), SpreadNatural(squares, float(len(effect)))

    def update(self, stats: SpreadNatural) -> Self:
        """τ² = Σ E[(θ_j − μ)²] / J."""
        between = np.maximum(stats.squares / stats.count, self.least)
        return eqx.tree_at(lambda model: model.between, self, np.asarray(between))


@final
@dataclass(frozen=True)
class HierarchicalFit:
    """Point estimates of the global unknowns.

    Attributes
    ----------
    mean : float
        μ; its posterior mean given τ where it was integrated out.
    spread : float
        τ, 0 at the edge.
    log_likelihood : float
        log p(y | μ, τ), or log p(y | τ) where μ was integrated out; exact.
    at_edge : bool
        Whether the maximum lies at τ = 0.
    status : Status
    trace : Trace
        Of the best start; the last entry is the step to the edge, where it was taken.
    """

    mean: float
    spread: float
    log_likelihood: float
    at_edge: bool
    status: Status
    trace: Trace


def maximise(units: Units, *, restricted: bool, tol: float, max_iter: int, accelerate: str | None) -> HierarchicalFit:
    """(Restricted) maximum likelihood by EM from several starts, and the edge τ = 0 beside them.

    Towards the edge EM creeps, τ² falling as 1 over the number of steps; the likelihood there is therefore compared.
    """
    centre = float(np.average(units.y, weights=1 / units.variance))
    centred = Units(units.y - centre, units.variance)  # Σθ² − (Σθ)²/J would lose an offset's digits
    scale = max(float(np.var(units.y)), float(np.mean(units.variance)))
    least = _FLOOR * float(units.variance.min())
    starts = [np.asarray(start * scale) for start in _STARTS]
    models: list[Model] = [
        RestrictedModel(start, least) if restricted else HierarchicalModel(np.zeros(()), start, least)
        for start in starts
    ]
    fits = fit(stack(models), [centred.block()], max_iter=max_iter, tol=tol, accelerate=accelerate)
    best = max(fits, key=lambda one: one.bound)
    pooled = float(centred.pooled(0.0)[0])
    edge = centred.restricted(0.0) if restricted else centred.log_likelihood(pooled, 0.0)
    if edge >= best.bound:
        trace = Trace(np.append(best.trace.objective, edge), np.append(best.trace.accepted, True))
        return HierarchicalFit(centre + pooled, 0.0, edge, True, best.status, trace)
    spread = float(np.sqrt(best.model.between))  # type: ignore[attr-defined]
    mean = float(centred.pooled(spread)[0]) if restricted else float(best.model.mean)  # type: ignore[attr-defined]
    return HierarchicalFit(centre + mean, spread, best.bound, False, best.status, best.trace)


def standard_errors(units: Units, mean: float, spread: float, *, restricted: bool) -> tuple[float, float]:
    """Of μ and τ, from the observed information; NaN for τ at the edge, where μ's is that given τ = 0.

    With t = τ², w = 1/v and r = y − μ: −∂²ℓ/∂μ² = Σw, −∂²ℓ/∂μ∂t = Σw²r, −∂²ℓ/∂t² = Σ(w³r² − w²/2), and
    −∂²ℓ/∂τ² = −4t ∂²ℓ/∂t² where ∂ℓ/∂t = 0. For the restricted likelihood, with P = diag(w) − wwᵀ/Σw,
    −∂²ℓ/∂t² = yᵀPPPy − ½ tr PP (Harville 1977, J. Am. Stat. Assoc. 72:320), and μ's is that given τ.
    """
    w, r = 1 / (units.variance + spread**2), units.y - mean
    total = w.sum()
    if spread == 0:
        return float(total**-0.5), float("nan")
    if restricted:
        a = w * r
        curvature = w @ a**2 - (w @ a) ** 2 / total
        curvature -= 0.5 * (w @ w - 2 * np.sum(w**3) / total + (w @ w / total) ** 2)
        information = np.diag([total, 4 * spread**2 * curvature])
    else:
        cross = 2 * spread * (w**2 @ r)
        curvature = 4 * spread**2 * (w**3 @ r**2 - 0.5 * w @ w)
        information = np.array([[total, cross], [cross, curvature]])
    variances = np.diagonal(np.linalg.inv(information))
    if not (variances > 0).all():  # no inner maximum: the fit was stopped on its way
        return float(total**-0.5), float("nan")
    return float(np.sqrt(variances[0])), float(np.sqrt(variances[1]))
