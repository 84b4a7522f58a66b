"""Figures as markup inside a page: no file beside it, no script, no font from anywhere."""

import io
import re
import warnings

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

#: Share of its natural size to which a figure shrinks on a narrow screen before it scrolls, so that words stay legible.
_SMALLEST = 0.8
#: And to which it grows on a wide one.
_LARGEST = 1.2


def embedded(figure: Figure, words: str) -> Markup:
    """The figure as inline SVG, with what it shows in words for those who cannot see it.

    Parameters
    ----------
    figure : Figure
    words : str
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        svg = _svg(figure, "path")
        if any("missing from font" in str(one.message) for one in caught):
            svg = _svg(figure, "none")  # a script that our font lacks: the browser has a font for it
    width, height = (72.0 * inches for inches in figure.get_size_inches())
    svg = svg[svg.index("<svg") :]
    # Names of groups repeat from figure to figure, and nothing refers to them. Other names are digests of what they
    # name, so that equal names mean equal things.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    style = f"min-width:{_SMALLEST * width:.0f}px;max-width:{_LARGEST * width:.0f}pt"
    head = f'<svg role="img" aria-label="{escape(words)}" viewBox="0 0 {width:.6g} {height:.6g}" style="{style}"'
    svg = re.sub(r"<svg\b[^>]*>", f'{head} xmlns:xlink="http://www.w3.org/1999/xlink">', svg, count=1)
    return Markup(svg)  # made by matplotlib, which escapes the names it writes


def _svg(figure: Figure, fonts: str) -> str:
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": fonts, "svg.hashsalt": "noumena", "savefig.bbox": "standard"}):
        figure.savefig(buffer, format="svg", dpi=200, transparent=True, metadata={"Date": None})
    return buffer.getvalue().decode()
