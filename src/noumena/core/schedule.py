"""How the statistics of one iteration are gathered. Full for now: every block, every iteration."""

import abc
from collections.abc import Iterable
from typing import final

from jaxtyping import Array, Float

from .block import Block
from .expectation import expectation
from .model import Model, Natural


class Schedule(abc.ABC):
    """Gathers F and S for the current parameters of a stack of models."""

    #: Whether F of successive iterations may be compared: then a fall is an error, and acceleration is allowed.
    monotone: bool

    @abc.abstractmethod
    def gather(self, models: Model, blocks: Iterable[Block]) -> tuple[Float[Array, " lanes"], Natural]:
        """F and S, in the shapes of `expectation`."""


@final
class Full(Schedule):
    """All blocks at each iteration: exact EM."""

    monotone = True

    def gather(self, models: Model, blocks: Iterable[Block]) -> tuple[Float[Array, " lanes"], Natural]:
        return expectation(models, blocks)
