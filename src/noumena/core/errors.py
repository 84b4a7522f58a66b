"""What can go wrong, by name: every error says what is wrong, where, and what to do."""


class NoumenaError(Exception):
    """Base of every error this library raises on purpose."""


class DataError(NoumenaError, ValueError):
    """The table cannot be used as it is; the message names the column or row and the cure."""


class ColumnTypeError(DataError, TypeError):
    """A column holds values of a kind the model cannot take (text where numbers are needed)."""


class ColumnMismatchError(DataError):
    """The table's columns are not those the model was fitted on."""


class ModelFileError(NoumenaError, ValueError):
    """A saved model is truncated, altered, of a newer format, or not a model at all."""


class NoumenaWarning(UserWarning):
    """Base of every warning this library gives."""


class ConvergenceWarning(NoumenaWarning):
    """The fit ended before the stopping rule was met, or F fell where theory says that it cannot."""


class DegenerateWarning(NoumenaWarning):
    """A component collapsed or lost all its rows; the message names it and what was done."""
