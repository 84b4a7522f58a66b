"""Drawings and the HTML report: the only place that draws. matplotlib is loaded when a name is first used."""

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "plot": ".plots",
    "plot_missing": ".plots",
    "plot_trace": ".plots",
    "ReportError": ".html",
    "write_report": ".html",
}

__all__ = ["ReportError", "plot", "plot_missing", "plot_trace", "write_report"]

if TYPE_CHECKING:
    from .html import ReportError as ReportError
    from .html import write_report as write_report
    from .plots import plot as plot
    from .plots import plot_missing as plot_missing
    from .plots import plot_trace as plot_trace


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
