"""How a command ends: exit codes, errors and warnings as one line each on stderr."""

import functools
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

import typer

from ..core.errors import NoumenaError, NoumenaWarning
from .terminal import say

INTERRUPTED = 130  # 128 + SIGINT, as shells have it

P = ParamSpec("P")

#: What the library's messages call the things that have another name here.
_OPTIONS = {
    "n_components": "--components",
    "n_factors": "--factors",
    "covariance": "--covariance",
    "max_iter": "--max-iter",
    "n_init": "--n-init",
    "init_params": "--init",
    "tol": "--tol",
    "sample_weight": "the weight (--weights)",
    'give the estimator prior="default"': "add --prior default",
    'prior="default"': "--prior default",
    "encode it as numbers": "name others with --columns",
    "columns=": "--columns",
    "give the column another family": "drop it, or give it another family (--model mixture, --family)",
    'give it the family "categorical"': "name another with --family",
    "degrees_of_freedom": "--degrees-of-freedom",
    "give the mixture another family": "choose another --response-family",
    'hidden={"…": 2}': "--hidden NAME=2",
    'method="structural-em"': "--structure structural-em",
}
_WORD = re.compile(
    # neither within a longer word nor within a path
    r"(?<![\w./\\-])(" + "|".join(map(re.escape, sorted(_OPTIONS, key=len, reverse=True))) + r")(?![\w/\\-]|\.\w)"
)

#: Messages whose words are scikit-learn's, because its estimator checks look for them.
_PLAIN = (
    (
        re.compile(r"Found array with (\d+) sample\(s\) \(shape=.*?\)\) while a minimum of (\d+) is required\."),
        r"too few rows in the table: \1, where at least \2 must be given",
    ),
    (
        re.compile(r"Found array with 0 feature\(s\) \(shape=.*?\)\) while a minimum of 1 is required\."),
        "the table has no column that holds numbers.",
    ),
    (
        re.compile(r"Expected n_samples >= n_components but got n_components = (\d+), n_samples = "),
        r"\1 components for so few rows as ",
    ),
    (
        re.compile(r"^y does not hold numbers \(unknown label type\): a (\w+) regression needs them"),
        r"the response does not hold numbers, which a \1 regression needs: choose another --response-family (logistic "
        r"takes two values of any kind)",
    ),
    (re.compile(r"^y (is|has) "), r"the response \1 "),
)


def one_line(message: object) -> str:
    """A message of the library on one line, in plain words, with options in place of Python parameters."""
    text = " ".join(str(message).split())
    for pattern, plain in _PLAIN:
        text = pattern.sub(plain, text)
    return _WORD.sub(lambda found: _OPTIONS[found[0]], text)


def in_words(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command's errors and warnings be told in one line each, and its exit code say how it ended."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        debug = bool(kwargs.get("debug"))
        try:
            with _warnings_in_words(everything=debug):
                command(*args, **kwargs)
        except KeyboardInterrupt:
            say("interrupted: no file was left half written")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.BadParameter, BrokenPipeError):
            raise  # typer's own affairs
        except Exception as error:
            if debug:
                raise
            say(_told(error), style="bold red", head="error:")
            raise typer.Exit(1) from None

    return run


def _told(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory: give fewer rows or columns, or Parquet, which is not held in memory whole"
    # The library refuses parameters by ValueError, in sentences as good as those of its own errors.
    if isinstance(error, NoumenaError | ValueError | OSError):
        return one_line(error)
    return f"unexpected {type(error).__name__}: {one_line(error)}; run again with --debug and report the traceback"


@contextmanager
def _warnings_in_words(*, everything: bool) -> Iterator[None]:
    """Show our own warnings as sentences, each once; those of other libraries are for developers."""
    seen: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        text = one_line(message)
        if text not in seen:
            seen.add(text)
            say(text, style="yellow", head="warning:")

    with warnings.catch_warnings():
        if not everything:
            warnings.simplefilter("ignore")
        warnings.simplefilter("always", NoumenaWarning)
        warnings.showwarning = show
        yield
