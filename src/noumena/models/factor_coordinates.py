"""Free coordinates of a factor model: what its standard errors are taken in."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..families.factor_chart import FactorNormalChart
from ..families.factor_structure import FactorParameters
from ..families.normal_chart import LOG_2PI
from .factor import FactorModel, FactorModelNatural


class FactorCoordinates(eqx.Module):
    """Those of its family, with one analyser."""

    family: FactorNormalChart

    @classmethod
    def around(cls, model: FactorModel) -> "FactorCoordinates":
        """Coordinates around an estimate in the form that `determined` gives it, in NumPy."""
        return cls(FactorNormalChart.around(model.family, jax.tree.map(lambda part: part[None], model.parameters)))

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return self.family.size

    @property
    def held(self) -> Bool[np.ndarray, " p"]:
        """Noise variances at their floor."""
        return self.family.held

    def natural(self, theta: Float[Array, " p"]) -> FactorModelNatural:
        """The model's natural parameters."""
        natural, normaliser = self.family.natural(theta)
        own = jax.tree.map(lambda part: part[0], natural)
        return FactorModelNatural(0.5 * self.family.family.structure.n_factors * LOG_2PI - normaliser[0], own)

    def parameters(self, theta: Float[np.ndarray, " p"]) -> FactorParameters:
        """The model's parameters, in NumPy."""
        return jax.tree.map(lambda part: np.asarray(part)[0], self.family.parameters(jnp.asarray(theta)))
