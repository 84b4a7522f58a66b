"""The multivariate t distribution: a normal with heavier tails, so that outlying rows pull less."""

from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.special import digamma

from ..core.block import Block
from ..core.model import Natural
from .chart import Chart
from .covariance import Structure
from .family import Family
from .gaussian_integral import gaussian_integral_parts
from .log_gamma import stirling_rest
from .normal import (
    Frame,
    Normal,
    NormalNatural,
    NormalParameters,
    energy_and_logdet,
    missing_gaussian,
    quadratic_form,
)
from .normal_chart import LOG_2PI
from .normal_inverse_wishart import NormalInverseWishart

#: Estimated degrees of freedom stay within these: at the upper end a t cannot be told from a normal (its kurtosis
#: exceeds that of a normal by 6/ν), at the lower end the density has no moment of any use.
LEAST, MOST = 0.1, 1e4
#: Where estimated degrees of freedom begin.
START = 10.0
_NEWTON_STEPS = 6
_ANY = Structure.named("VVV")

Freedom: TypeAlias = float | Literal["each", "common"]
"""Degrees of freedom: fixed, or estimated for each component, or estimated as one number for all."""


class StudentNatural(NamedTuple):
    """η = (Σ⁻¹μ, −½Σ⁻¹, −½μᵀΣ⁻¹μ, ν/2), the coefficients of T(x, w) = (wx, wxxᵀ, w, log w − w + 1).

    `StudentT.prepare` fills in ``packed``.
    """

    linear: Float[Any, "K d"]
    quadratic: Float[Any, "K d d"]
    weight: Float[Any, " K"]
    half_degrees: Float[Any, " K"]
    packed: Float[Any, "K features"] | None = None


class StudentParameters(NamedTuple):
    """K t distributions in the family's frame: locations μ, scale matrices Σ and degrees of freedom ν.

    The mean is μ where ν > 1, the covariance Σ ν / (ν − 2) where ν > 2. ``orientation`` and ``collapsed`` are those of
    `NormalParameters`.
    """

    mean: Float[Any, "K d"]
    scale: Float[Any, "K d d"]
    degrees: Float[Any, " K"]
    orientation: Float[Any, "d d"]
    collapsed: Bool[Any, " K"]

    def components(self, index: slice) -> "StudentParameters":
        """Those of some components."""
        return StudentParameters(
            self.mean[index], self.scale[index], self.degrees[index], self.orientation, self.collapsed[index]
        )


class StudentT(Family):
    """K multivariate t distributions t_ν(μ_k, Σ_k), as scale mixtures of normals.

    w ~ Gamma(ν/2, rate ν/2) and x | w ~ N(μ, Σ/w). The latent scale w is integrated out exactly; its expectation given
    a row is the weight that the row has in μ and Σ, small for an outlier (Lange, Little & Taylor 1989, JASA 84:881;
    Peel & McLachlan 2000, Stat. Comput. 10:339).

    `kl` is that of the joint density of x and w, an upper bound of the divergence between the densities of x.

    Parameters
    ----------
    frame : Frame
        Where its parameters live.
    structure : Structure
        What the Σ_k share.
    freedom : {"each", "common"} or float
        Degrees of freedom ν: estimated per component, estimated and common to all, or fixed. Estimates stay within
        [0.1, 1e4]; a fixed number may be any above 0.
    prior : NormalInverseWishart, optional
        Prior of μ and Σ of each component, in the frame; conjugate given w. There is none on ν.
    """

    holes_are_free: ClassVar[bool] = False

    frame: Frame
    structure: Structure = eqx.field(static=True)
    freedom: Freedom = eqx.field(static=True, default="each")
    prior: NormalInverseWishart | None = None

    @property
    def _normal(self) -> Normal:
        """The normal with this frame, structure and prior: what a t is, given w."""
        return Normal(self.frame, self.structure, self.prior)

    def for_bound(self) -> "StudentT":
        return StudentT(self.frame, _ANY)

    def natural(self, parameters: StudentParameters) -> StudentNatural:
        linear, quadratic, _ = self._normal.natural(_as_normal(parameters))
        # −ν/2, which multiplies w as well, goes with ν/2 · log w: log w − w + 1 is of order 1/ν, and so its expectation
        # and A keep their digits when ν is large
        weight = -0.5 * jnp.sum(jnp.asarray(parameters.mean) * linear, axis=1)
        return StudentNatural(linear, quadratic, weight, 0.5 * jnp.asarray(parameters.degrees))

    def prepare(self, natural: StudentNatural) -> StudentNatural:
        return natural._replace(packed=self._normal.prepare(_given_weight(natural)).packed)

    def log_normaliser(self, natural: StudentNatural) -> Float[Array, " K"]:
        # over x as for a normal of precision wJ, then over w as in `marginal`, with h(x, w) = w^(d/2 − 1)
        d = natural.linear.shape[1]
        energy, logdet = energy_and_logdet(_given_weight(natural))
        over_weight = _integral_over_weight(natural.half_degrees, natural.weight + energy, 0, jnp.zeros((), int))
        return over_weight - 0.5 * logdet + 0.5 * d * LOG_2PI

    def marginal(self, natural: StudentNatural, block: Block) -> Float[Array, "rows K"]:
        eta, e, x = _given_weight(natural), natural.half_degrees, jnp.asarray(block.x)
        d = x.shape[1]
        if block.columns is None:  # no pattern: no cell is missing
            u, log_jacobian = self.frame.enter_complete(x)
            exponent = quadratic_form(eta, u) + natural.weight
            return _integral_over_weight(e, exponent, d, jnp.asarray(d)) + log_jacobian
        u, hole, log_jacobian = self.frame.enter(x)
        pattern = jnp.asarray(block.pattern)
        b, a = missing_gaussian(eta, u, pattern, jnp.asarray(block.columns))
        # the missing cells given w: ∫ exp(w (bᵀv − ½ vᵀAv)) dv = exp(w ½ bᵀA⁻¹b) |A|^(−½) (2π/w)^(m/2), which leaves
        # w^(d_o/2 − 1) of w^(d/2 − 1)
        energy, logdet = gaussian_integral_parts(b, a, pattern)
        missing = jnp.sum(hole, axis=1)
        value = _integral_over_weight(e, quadratic_form(eta, u) + natural.weight + energy, d, d - missing)
        return value - 0.5 * logdet + (0.5 * LOG_2PI * missing + log_jacobian)[:, None]

    def entropy(self, natural: StudentNatural) -> Float[Array, " K"]:
        """−E log p(x), the latent scale integrated out.

        With a = (ν + d)/2 and e = ν/2 it is ½ log|Σ| + (d/2) log νπ + log Γ(e)/Γ(a) + a (ψ(a) − ψ(e)) (Kotz & Nadarajah
        2004, Multivariate t distributions, § 1.8), written with g as in `_integral_over_weight`, so that it tends to
        that of a normal as ν grows.
        """
        d = natural.linear.shape[1]
        _, logdet = energy_and_logdet(_given_weight(natural))  # of Σ⁻¹
        e, a = natural.half_degrees, natural.half_degrees + 0.5 * d
        slope = jax.grad(lambda at: jnp.sum(_stirling_rest(at)))
        weight = _stirling_rest(e) - _stirling_rest(a) + a * (slope(a) - slope(e))
        return 0.5 * d * (1 + LOG_2PI) - 0.5 * logdet + weight + jnp.sum(jnp.log(self.frame.scale.value))

    def maximise(
        self, count: Float[Array, " K"], stats: StudentNatural, previous: StudentParameters
    ) -> StudentParameters:
        alive = (count > 1e-8) & (stats.weight > 1e-8)
        n = jnp.where(alive, count, 1.0)
        mean = stats.linear / jnp.where(alive, stats.weight, 1.0)[:, None]
        # rows are weighted by w in the scatter but counted in its denominator: E log|Σ/w| has no w beside Σ
        scatter = stats.quadratic - jnp.einsum("ki,kj->kij", stats.linear, mean)
        denominator = n
        if self.prior is not None:  # its pseudo-rows stand beside rows of weight w, and are counted beside n
            mean, scatter, weight = self.prior.maximise(jnp.where(alive, stats.weight, 1.0), mean, scatter)
            denominator = n + weight - stats.weight
        found = self._normal.from_scatter(alive, denominator, mean, scatter, _as_normal(previous))
        degrees = self._degrees(alive, n, stats.half_degrees, jnp.asarray(previous.degrees))
        return StudentParameters(found.mean, found.covariance, degrees, found.orientation, found.collapsed)

    def _degrees(self, alive: Array, n: Array, stat: Array, previous: Array) -> Array:
        if self.freedom == "each":
            return jnp.where(alive, solve_degrees(-stat / n), previous)
        if self.freedom == "common":
            total = jnp.sum(jnp.where(alive, n, 0.0))
            mean = jnp.sum(jnp.where(alive, -stat, 0.0)) / jnp.where(total > 0, total, 1.0)
            return jnp.where(total > 0, solve_degrees(mean), previous)
        return jnp.full_like(previous, self.freedom)

    def log_prior(self, parameters: StudentParameters) -> Float[Array, " K"]:
        return self._normal.log_prior(_as_normal(parameters))

    def reported(self, parameters: StudentParameters) -> dict[str, Array]:
        location, scale = jnp.asarray(self.frame.location.value), jnp.asarray(self.frame.scale.value)
        return {
            "location": location + scale * parameters.mean,
            "scale": parameters.scale * scale[:, None] * scale,
            "degrees_of_freedom": jnp.asarray(parameters.degrees),
        }

    def chart(self, parameters: StudentParameters) -> Chart:
        return StudentChart(self, parameters, self._normal.chart(_as_normal(parameters)))

    def collapsed(self, parameters: StudentParameters) -> Bool[Array, " K"]:
        return parameters.collapsed

    def initial(self, n_components: int) -> StudentParameters:
        mean, scale, orientation, collapsed = self._normal.initial(n_components)
        degrees = START if isinstance(self.freedom, str) else float(self.freedom)
        return StudentParameters(mean, scale, np.full(n_components, degrees), orientation, collapsed)

    def statistics(
        self, x: np.ndarray, responsibilities: np.ndarray, given: np.ndarray | None = None
    ) -> StudentNatural:
        # w as it is before the row is seen, E[w] = 1: given the row it would weigh down the clusters away from the
        # frame's centre. So a start has the moments that one of normals has, and the initial ν.
        normal = self._normal.statistics(x, responsibilities)
        count = responsibilities.sum(axis=0)
        e = 0.5 * np.asarray(self.initial(1).degrees)
        return StudentNatural(normal.linear, normal.quadratic, count, count * (digamma(e) - np.log(e)))

    def n_parameters(self, n_components: int) -> int:
        degrees = {"each": n_components, "common": 1}
        return self._normal.n_parameters(n_components) + degrees.get(str(self.freedom), 0)

    def footprint(self, n_components: int, missing: int) -> int:
        return self._normal.footprint(n_components, missing) + 4 * n_components


class StudentChart(Chart):
    """That of the normals given a scale of 1, and the logarithms of the degrees of freedom that are estimated."""

    family: StudentT
    at: StudentParameters
    normal: Chart

    @property
    def _n_degrees(self) -> int:
        return {"each": len(self.at.degrees), "common": 1}.get(str(self.family.freedom), 0)

    @property
    def size(self) -> int:
        return self.normal.size + self._n_degrees

    @property
    def held(self) -> Bool[np.ndarray, " p"]:
        degrees = np.asarray(self.at.degrees)[: self._n_degrees]
        return np.concatenate([self.normal.held, (degrees >= 0.99 * MOST) | (degrees <= 1.01 * LEAST)])

    def _degrees(self, theta: Float[Array, " p"]) -> Float[Array, " K"]:
        log = jnp.broadcast_to(theta[self.normal.size :], self.at.degrees.shape) if self._n_degrees else 0.0
        return self.at.degrees * jnp.exp(log)

    def parameters(self, theta: Float[Array, " p"]) -> StudentParameters:
        normal = self.normal.parameters(theta[: self.normal.size])
        return self.at._replace(mean=normal.mean, scale=normal.covariance, degrees=self._degrees(theta))

    def natural(self, theta: Float[Array, " p"]) -> tuple[Natural, Float[Array, " K"]]:
        (linear, quadratic, _), normaliser = self.normal.natural(theta[: self.normal.size])
        mean = self.normal.parameters(theta[: self.normal.size]).mean
        half = 0.5 * self._degrees(theta)
        weight = -0.5 * jnp.sum(mean * linear, axis=1)
        # as in `StudentT.log_normaliser`: at the parameters of a t nothing is left of weight + energy
        over_weight = _integral_over_weight(half, jnp.zeros_like(half), 0, jnp.zeros((), int))
        return StudentNatural(linear, quadratic, weight, half), over_weight + normaliser + weight


def _as_normal(parameters: StudentParameters) -> NormalParameters:
    return NormalParameters(parameters.mean, parameters.scale, parameters.orientation, parameters.collapsed)


def _given_weight(natural: StudentNatural) -> NormalNatural:
    """η of the normal that x has at w = 1."""
    return NormalNatural(natural.linear, natural.quadratic, natural.packed)


def _integral_over_weight(
    e: Float[Array, " K"], exponent: Float[Array, "... K"], d: int, observed: Int[Array, "..."]
) -> Float[Array, "... K"]:
    """log ∫ w^(d_o/2 − 1) exp(w · exponent + e (log w − w + 1)) dw with d_o ≤ d observed cells.

    With a = e + d_o/2 and s = −exponent it is lgamma(a) − a log(e + s) + e. At the parameters of a t, s = δ/2 with δ
    the squared Mahalanobis distance of the observed cells. lgamma(a), a log(e + s) and e are each of order ν log ν,
    their sum is not: written with g(a) = lgamma(a) − a log a + a it is g(a) − a log1p((s − d_o/2)/a) − d_o/2, which
    tends to that of a normal as ν grows.
    """
    half = 0.5 * observed[..., None]
    a = e + half
    # one log gamma for each number of observed cells, not for each row
    g = _stirling_rest(e + 0.5 * jnp.arange(d + 1)[:, None])[observed]
    # s ≥ 0 but for rounding, where a component is tight and far from the frame's centre: the logarithm stays finite
    s = jnp.maximum(-exponent, -0.999 * e)
    return g - a * jnp.log1p((s - half) / a) - half


def _stirling_rest(a: Float[Array, "..."]) -> Float[Array, "..."]:
    return stirling_rest(a, jnp, jax.scipy.special)


def solve_degrees(gap: Float[Array, "..."]) -> Float[Array, "..."]:
    """ν within [LEAST, MOST] that maximises −e · gap − g(e), e = ν/2, where ``gap`` is the mean of E[w − log w − 1].

    That is log e − ψ(e) = gap, as for the shape of a gamma distribution. The left side falls from ∞ to 0 and lies
    between 1/(2e) and 1/e, so that its logarithm is all but linear in log e: Newton's steps there converge from
    anywhere. The objective is concave in e, so that its maximum within the bounds is the root or the nearer bound.
    """

    def log_gap(y: Array) -> Array:
        return jnp.log(-jax.grad(_stirling_rest)(jnp.exp(y)))

    def solve(gap: Array) -> Array:
        low, high = jnp.log(0.5 * jnp.asarray(LEAST, gap.dtype)), jnp.log(0.5 * jnp.asarray(MOST, gap.dtype))
        target = jnp.clip(jnp.log(jnp.maximum(gap, 0.1 / MOST)), log_gap(high), log_gap(low))

        def step(_: int, y: Array) -> Array:
            value, slope = jax.value_and_grad(log_gap)(y)
            return jnp.clip(y - (value - target) / slope, low, high)

        return 2 * jnp.exp(jax.lax.fori_loop(0, _NEWTON_STEPS, step, -target))

    return jnp.vectorize(solve)(gap)
