"""Numbers as people read them: as many digits as they carry, no more."""

import math

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def decimals_for(scale: float, digits: int = 3) -> int:
    """Decimals that show ``digits`` significant digits of a number of this size.

    >>> decimals_for(5.46), decimals_for(802.0)
    (2, 0)
    """
    if not math.isfinite(scale) or scale == 0:
        return digits - 1
    return max(0, digits - 1 - math.floor(math.log10(abs(scale))))


def significant(value: float, scale: float, digits: int = 3) -> float:
    """The value without the digits before the point that a number of the size of ``scale`` does not support.

    >>> significant(3777350.2, 110531.0), significant(4201.75, 43.36)
    (3777000.0, 4201.75)
    """
    if not (math.isfinite(value) and math.isfinite(scale)) or scale < 10**digits:
        return value
    return round(value, digits - 1 - math.floor(math.log10(scale)))


def number(value: float | None, decimals: int | None = None, *, digits: int = 4) -> str:
    """A number as a table cell shows it: true minus, thousands set apart, powers of ten where very large or small.

    Parameters
    ----------
    value : float or None
        None and NaN are shown as a dash.
    decimals : int, optional
        By default so many that ``digits`` significant digits show.

    Examples
    --------
    >>> number(-5190.1464, 1), number(0.00000123), number(43.9219)
    ('−5,190.1', '1.230×10⁻⁶', '43.92')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    value = float(value)
    decimals = decimals_for(value, digits) if decimals is None else decimals
    if value and (abs(value) >= 1e9 or decimals > 7):
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        text = f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    else:
        text = f"{value:,.{decimals}f}"
        if not any(c in "123456789" for c in text):
            text = text.lstrip("-")
    return text.replace("-", "−")


def plus_minus(value: float, error: float) -> tuple[str, str]:
    """An estimate and its standard error, both to the second significant digit of the error.

    >>> plus_minus(4201.75, 43.36)
    ('4,202', '43')
    """
    if not math.isfinite(error) or error <= 0:
        return number(value), number(error if error == 0 else math.nan)
    decimals = decimals_for(error, 2)
    if decimals > 7 or abs(value) >= 1e9:  # powers of ten: as many digits as the error supports
        digits = 2 + max(0, math.floor(math.log10(max(abs(value), error))) - math.floor(math.log10(error)))
        return number(value, digits=digits), number(error, digits=2)
    return number(value, decimals), number(error, decimals)


def percent(share: float) -> str:
    """A share in percent; a small or nearly whole one is never rounded to none or all.

    >>> percent(0.5), percent(0.0002), percent(0.9999), percent(0.0)
    ('50%', '<0.1%', '>99.9%', '0%')
    """
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    if share < 0.001:
        return "<0.1%"
    if share > 0.999:
        return ">99.9%"
    return f"{share:.0%}" if 0.0995 <= share <= 0.9 else f"{share:.1%}"


def count(n: int, one: str, many: str | None = None) -> str:
    """A number and its noun.

    >>> count(1, "row"), count(2, "row"), count(1200, "row")
    ('1 row', '2 rows', '1,200 rows')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"
