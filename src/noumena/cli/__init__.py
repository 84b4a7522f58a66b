"""The command line: ``noumena fit``, ``predict``, ``impute``, ``score``, ``sample``, ``report``,
``query``.

No logic of its own: every command is a few calls of the public library. Importing it loads neither JAX nor scikit-learn
nor pyarrow, so that ``--help`` answers at once; the commands import what they need.
"""

from .app import app, main

__all__ = ["app", "main"]
