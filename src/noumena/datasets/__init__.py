"""A small real table to try things on: its source and licence stand in README.md beside it."""

from pathlib import Path


def penguins_path() -> Path:
    """Path of the Palmer penguins: 344 birds, 4 measurements with missing cells, species, island, sex and year.

    A CSV file, 19 missing cells marked NA. Data of K. Gorman and the Palmer Station LTER, CC0.

    Examples
    --------
    >>> import noumena as nm
    >>> nm.penguins_path().name
    'penguins.csv'
    """
    return Path(__file__).with_name("penguins.csv")
