"""One row per model: every law of tests/test_laws.py runs on every row."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from noumena.core.model import Model
from noumena.families.covariance import STRUCTURES, Structure
from noumena.families.diagonal_normal import DiagonalNormal
from noumena.families.normal import Frame, Normal
from noumena.families.normal_inverse_wishart import NormalInverseWishart
from noumena.models.mixture import Mixture, MixtureNatural


@dataclass(frozen=True)
class Row:
    """A model with what the laws need of it.

    Attributes
    ----------
    name : str
    start : callable
        From rows, shape (n, d), NaN where missing, and a generator, to a model to begin with.
    discrete : bool
        Whether its latent variable is one of K components.
    """

    name: str
    start: Callable[[np.ndarray, np.random.Generator], Model]
    discrete: bool = True


def gaussian_mixture(
    structure: str, n_components: int = 3, prior: bool = False, kind: type | None = None
) -> Callable[[np.ndarray, np.random.Generator], Model]:
    """Start of a Gaussian mixture from random responsibilities."""

    def start(x: np.ndarray, rng: np.random.Generator) -> Model:
        code = Structure.named(structure)
        location, variance = np.nanmean(x, axis=0), np.nanvar(x, axis=0)
        scale = np.sqrt(variance)
        chosen = (
            NormalInverseWishart.default(location, variance, n_components).framed(location, scale) if prior else None
        )
        family_kind = kind or (DiagonalNormal if code.diagonal else Normal)
        family = family_kind(Frame.of(location, scale), code, chosen)
        active = np.ones(n_components, dtype=bool)
        blank = Mixture(family, np.full(n_components, 1 / n_components), family.initial(n_components), active)
        r = rng.dirichlet(np.full(n_components, 0.5), size=len(x))
        return blank.update(MixtureNatural(r.sum(axis=0), family.statistics(x, r)))

    return start


REGISTRY = [
    *(Row(f"gaussian mixture {name}", gaussian_mixture(name)) for name in STRUCTURES),
    Row("gaussian mixture VVV, prior", gaussian_mixture("VVV", prior=True)),
    Row("gaussian mixture EEE, prior", gaussian_mixture("EEE", prior=True)),
    Row("gaussian mixture VVI, prior", gaussian_mixture("VVI", prior=True)),
    Row("gaussian mixture, one component", gaussian_mixture("VVV", n_components=1)),
]
