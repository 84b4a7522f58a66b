"""The package as a whole: imports point left, importing is light, every name leads somewhere."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import noumena

ROOT = Path(noumena.__file__).parent

#: What each room may import of ours, itself included.
ROOMS = {
    "core": {"core"},
    "families": {"core", "families"},
    "models": {"core", "families", "models"},
    "data": {"core", "data"},
    "datasets": {"datasets"},
    "estimators": {"core", "families", "models", "data", "estimators"},
    "report": {"core", "families", "models", "data", "estimators", "report"},
    "cli": {"core", "families", "models", "data", "estimators", "report", "cli"},
}
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def rooms_imported(path: Path) -> set[str]:
    """Rooms of ours that a module imports anywhere, also inside functions."""
    found = set()
    depth = len(path.relative_to(ROOT).parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")
            if node.level == depth and node.level:  # from ..room import name, or from .. import room
                found |= {module[0]} if module[0] else {alias.name for alias in node.names}
            elif node.level == 0 and module[0] == "noumena" and len(module) > 1:
                found.add(module[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("noumena.")}
    return found & set(ROOMS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_left(path):
    room = path.relative_to(ROOT).parts[0]
    assert rooms_imported(path) - {room} <= ROOMS[room]


def test_the_arrow_test_sees_imports():
    assert rooms_imported(ROOT / "estimators" / "mixture_fitting.py") >= {"core", "data", "models", "families"}
    assert "report" in set().union(*(rooms_imported(path) for path in (ROOT / "cli").rglob("*.py")))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_idea(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 480


def test_every_public_name_is_there():
    for name in noumena.__all__:
        assert getattr(noumena, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        noumena.nothing  # noqa: B018


HEAVY = ("jax", "sklearn", "scipy", "pandas", "pyarrow", "matplotlib", "equinox", "typer", "narwhals")


def test_importing_is_light():
    """What makes an import slow is left to the first use of a name."""
    code = f"import sys, noumena; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_users_jax_configuration_is_left_alone():
    code = """
import jax, jax.numpy as jnp, numpy as np, noumena as nm
before = dict(jax.config.values)
x = np.random.default_rng(0).normal(size=(50, 2))
gm = nm.GaussianMixture(2, random_state=0, max_iter=3, tol=0).fit(x)
assert gm.means_.dtype == np.float64
assert dict(jax.config.values) == before
assert jnp.asarray(1.0).dtype == jnp.float32
print("ok")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "ok", done.stderr
