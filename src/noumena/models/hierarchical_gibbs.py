"""Gibbs sampling of the hierarchical normal model: posteriors of the local and the global unknowns."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from .hierarchical_normal import Units


class Draws(NamedTuple):
    """Draws from p(θ, μ, τ | y), in the units of y.

    Attributes
    ----------
    mean, spread : array, shape (chains, n)
        μ and τ.
    effects : array, shape (chains, n, J)
        θ.
    """

    mean: Float[np.ndarray, "chains n"]
    spread: Float[np.ndarray, "chains n"]
    effects: Float[np.ndarray, "chains n J"]


def gibbs(units: Units, n_chains: int, n_draws: int, n_warmup: int, rng: np.random.Generator) -> Draws:
    """Chains side by side, from overdispersed starts, under a prior flat in μ and in τ ≥ 0 (BDA3, section 5.4).

    One sweep draws

    - θ given μ, τ (BDA3, eq. 5.17);
    - μ given θ, τ: N(θ̄, τ²/J);
    - τ given θ, μ: τ² ~ scaled inverse χ² with J − 1 degrees of freedom, from Σ(θ_j − μ)²/(J − 1) (BDA3, eq. 11.19);
    - then, with η = (θ − μ)/τ held, μ and τ given η and y, both normal, τ cut off at 0.

    The last two change θ with them. Without them chains stick where τ is near 0, since θ then leaves τ no room (Yu &
    Meng 2011, J. Comput. Graph. Stat. 20:531: interweaving).
    """
    y, precision, n_units = units.y, 1 / units.variance, len(units.y)
    scale = max(float(np.std(y)), float(np.sqrt(units.variance.min())))
    spread = scale * np.exp(rng.uniform(-2, 2, n_chains))
    mean = units.pooled(spread[:, None])[0] + scale * rng.standard_normal(n_chains)
    out = Draws(np.empty((n_chains, n_draws)), np.empty((n_chains, n_draws)), np.empty((n_chains, n_draws, n_units)))
    for sweep in range(-n_warmup, n_draws):
        effect, variance = units.effects(mean[:, None], spread[:, None])
        effect = effect + np.sqrt(variance) * rng.standard_normal((n_chains, n_units))
        mean = effect.mean(axis=1) + spread / np.sqrt(n_units) * rng.standard_normal(n_chains)
        squares = np.sum((effect - mean[:, None]) ** 2, axis=1)
        spread = np.sqrt(squares / rng.chisquare(n_units - 1, n_chains))
        eta = (effect - mean[:, None]) / spread[:, None]
        total = precision.sum()
        mean = (y - spread[:, None] * eta) @ precision / total + rng.standard_normal(n_chains) / np.sqrt(total)
        information = eta**2 @ precision
        spread = _positive_normal(((y - mean[:, None]) * eta) @ precision / information, information**-0.5, rng)
        if sweep >= 0:
            out.mean[:, sweep], out.spread[:, sweep] = mean, spread
            out.effects[:, sweep] = mean[:, None] + spread[:, None] * eta
    return out


def _positive_normal(mean: np.ndarray, deviation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """N(mean, deviation²) cut off at 0, by inversion from the upper tail, which keeps its digits."""
    above = ndtr(mean / deviation)  # probability of more than 0
    draw = mean - deviation * ndtri(above * (1 - rng.random(len(mean))))
    return np.maximum(draw, np.finfo(float).tiny)
