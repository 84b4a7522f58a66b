"""What every test may use: float64 for JAX, and the real tables."""

from pathlib import Path

import jax
import numpy as np
import pytest

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(autouse=True, scope="module")
def programs_dropped():
    """Forget compiled programs after each file: each holds memory maps, of which Linux allows a process 65,530.

    The suite compiles several thousand; where maps run out, the compiler dies of a segmentation fault.
    """
    yield
    jax.clear_caches()


@pytest.fixture
def float64():
    """Double precision inside the test; the package's public functions see to it themselves."""
    with jax.enable_x64(True):
        yield


def real_path(name: str) -> Path:
    """A file of real data; skips where it is not at hand."""
    path = REAL_DATA / name
    if not path.exists():
        pytest.skip(f"real data set {name} is not at hand (looked beside the repository, in shared/data)")
    return path


def real_table(name: str, columns: list[int] | None = None) -> np.ndarray:
    """Numeric columns of a table with published results."""
    return np.genfromtxt(real_path(name), delimiter=",", skip_header=1, usecols=columns, missing_values="NA").astype(
        float
    )
