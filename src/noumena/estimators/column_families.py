"""The families of a mixed table's columns: as users name them, as the columns suggest them, as they are made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np

from ..data.coded import Levels, holds_numbers
from ..data.columns import from_arrow
from ..families.bernoulli import Bernoulli
from ..families.beta import Beta
from ..families.binomial import Binomial
from ..families.categorical import Categorical
from ..families.cells import Cells
from ..families.covariance import Structure
from ..families.diagonal_normal import DiagonalNormal
from ..families.exponential import Exponential
from ..families.gamma import Gamma
from ..families.log_normal import LogNormal
from ..families.multinomial import Multinomial
from ..families.negative_binomial import NegativeBinomial
from ..families.normal import Frame, Normal
from ..families.normal_inverse_wishart import NormalInverseWishart
from ..families.poisson import Poisson
from ..families.von_mises import VonMises
from ..families.zero_inflated_poisson import ZeroInflatedPoisson
from .parameters import integer

#: Families of single columns, by the names that users write.
CELLS: dict[str, type[Cells]] = {
    "bernoulli": Bernoulli,
    "beta": Beta,
    "binomial": Binomial,
    "categorical": Categorical,
    "exponential": Exponential,
    "gamma": Gamma,
    "log-normal": LogNormal,
    "negative-binomial": NegativeBinomial,
    "poisson": Poisson,
    "von-mises": VonMises,
    "zero-inflated-poisson": ZeroInflatedPoisson,
}
#: Families whose cells are whole numbers.
COUNTED = ("bernoulli", "binomial", "multinomial", "negative-binomial", "poisson", "zero-inflated-poisson")
#: Families whose columns may hold anything, and are coded.
CODED = ("bernoulli", "categorical")
#: Families whose likelihood has no maximum on a column of one value.
CONTINUOUS = ("normal", "log-normal", "gamma", "beta", "von-mises")
FAMILIES = ("normal", "multinomial", *CELLS)
#: Families of a tuple of columns, which are dependent given the component.
_JOINT = ("normal", "multinomial")
#: Columns of whole numbers that average more than this are not taken for counts unless it is said.
_MOST_COUNTED = 20


@final
@dataclass(frozen=True)
class Part:
    """Columns that share a family: ``joint`` where these are dependent given the component."""

    family: str
    columns: tuple[int, ...]
    joint: bool


class Named(NamedTuple):
    """What users say of columns.

    Attributes
    ----------
    columns : list
        Those that have a family, by name or position.
    parts : list of Part
        By position among ``columns``.
    trials : dict
        From the position of a binomial column to its number of trials, where it is said.
    """

    columns: list[Any]
    parts: list[Part]
    trials: dict[int, int]


def named(families: Mapping[Any, str | tuple[str, int]]) -> Named:
    """Families by column or tuple of columns, checked."""
    wanted: list[Any] = []
    kinds: dict[tuple[int, ...], str] = {}
    joint: dict[tuple[int, ...], str] = {}
    of_trials: dict[int, int] = {}
    for key, said in families.items():
        own = key if isinstance(key, tuple) else (key,)
        family, trials = _family_and_trials(key, said)
        if family == "multinomial" and len(own) < 2:
            raise ValueError(
                f"families[{key!r}]={said!r}: name all columns that a total is shared out over, as a tuple, "
                '{("a", "b"): "multinomial"}; for one column it is "binomial"'
            )
        places = tuple(range(len(wanted), len(wanted) + len(own)))
        if trials is not None:
            of_trials.update(dict.fromkeys(places, trials))
        (joint if isinstance(key, tuple) and family in _JOINT else kinds)[places] = family
        wanted += own
    if not wanted:
        raise ValueError("families is empty: name at least one column, or pass None to take them all")
    return Named(wanted, parts(kinds, joint), of_trials)


def _family_and_trials(key: Any, said: Any) -> tuple[str, int | None]:
    """What the user says of a column: a family's name, or that of the binomial with its number of trials."""
    if isinstance(said, tuple | list) and len(said) == 2 and said[0] == "binomial":
        return "binomial", integer(f"the trials of families[{key!r}]", said[1], 1)
    if not isinstance(said, str) or said not in FAMILIES:
        raise ValueError(f'families[{key!r}]={said!r}: choose among {", ".join(FAMILIES)}, or ("binomial", trials)')
    return said, None


def inferred(array: Any) -> str:
    """The family that a column's type and values suggest."""
    from pyarrow import types

    if types.is_boolean(array.type):
        return "bernoulli"
    if not holds_numbers(array):
        return "categorical"
    values = from_arrow(array)
    values = values[~np.isnan(values)]
    # whole numbers beside missing cells come as floats from pandas: the values say more than the type
    if len(values) == 0 or values.min() < 0 or not np.array_equal(values, np.floor(values)):
        return "normal"
    if values.max() <= 1:
        return "bernoulli"
    # whole numbers far from 0 are measurements (grams, years) more often than counts
    return "poisson" if values.min() <= 1 and values.mean() <= _MOST_COUNTED else "normal"


def parts(kinds: Mapping[tuple[int, ...], str], joint: Mapping[tuple[int, ...], str]) -> list[Part]:
    """Columns of one family make one part, which the E-step treats at once; ``joint`` groups are parts of their own."""
    together: dict[str, list[int]] = {}
    for columns, family in kinds.items():
        together.setdefault(family, []).extend(columns)
    single = [Part(family, tuple(columns), False) for family, columns in together.items()]
    return single + [Part(family, columns, True) for columns, family in joint.items()]


def cells_of(
    part: Part, sample: np.ndarray, levels: Mapping[int, Levels], trials: Mapping[int, int], prior: str | None
) -> Cells | Multinomial:
    """The family of a part that is not normal, from rows of its columns."""
    if part.family == "categorical":
        family = Categorical.of(sample, levels=tuple(len(levels[j]) for j in part.columns))
    elif part.family == "binomial":
        family = Binomial.of(sample, trials=np.array([trials[j] for j in part.columns]))
    elif part.family == "multinomial":
        family = Multinomial.of(sample)
    else:
        family = CELLS[part.family].of(sample)
    return family.with_prior(1.0) if prior == "default" else family


def normal_of(
    part: Part, structure: Structure, mean: np.ndarray, variance: np.ndarray, size: int, prior: str | None
) -> Normal | DiagonalNormal:
    """The family of a normal part, from the moments of all columns."""
    own = list(part.columns)
    location, scale = mean[own], np.sqrt(variance[own])
    chosen = NormalInverseWishart.default(location, scale**2, size).framed(location, scale) if prior else None
    if part.joint and not structure.diagonal:
        return Normal(Frame.of(location, scale), structure, chosen)
    return DiagonalNormal(Frame.of(location, scale), structure if part.joint else Structure.named("VVI"), chosen)
