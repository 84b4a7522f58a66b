"""Fitted estimators as files: arrays and JSON in one zip archive, never code.

``noumena.json`` holds the format's number, the class, its parameters and fitted values, and the SHA-256 of every array
file; its own digest is the archive's comment. A file is written beside its target and then moved, so that what was
there before is replaced whole or not at all.
"""

import dataclasses
import hashlib
import importlib
import io
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..core.errors import ModelFileError, NoumenaError

FORMAT = 1
_HEADER = "noumena.json"
#: Classes that may be read, and where they live: nothing else in a file is ever imported.
_CLASSES = {
    "AugmentedClassifier": "noumena.estimators.augmented_classifier",
    "AugmentedRegressor": "noumena.estimators.augmented_regressor",
    "GaussianMixture": "noumena.estimators.gaussian_mixture",
    "Mixture": "noumena.estimators.mixture",
    "BernoulliMixture": "noumena.estimators.cell_mixtures",
    "PoissonMixture": "noumena.estimators.cell_mixtures",
    "LatentClassAnalysis": "noumena.estimators.latent_class",
    "BayesianPCA": "noumena.estimators.bayesian_pca",
    "FactorAnalysis": "noumena.estimators.factor_analysis",
    "MixtureOfFactorAnalyzers": "noumena.estimators.mixture_of_factor_analyzers",
    "HierarchicalNormal": "noumena.estimators.hierarchical_normal",
    "ProbabilisticPCA": "noumena.estimators.probabilistic_pca",
    "BayesianNetwork": "noumena.estimators.bayesian_network",
    "RegressionMixture": "noumena.estimators.regression_mixture",
    "StudentTMixture": "noumena.estimators.student_t_mixture",
}
#: Packages whose plain records (families, their parameters) may be read field by field.
_RECORDS = ("noumena.families.", "noumena.models.", "noumena.core.model", "noumena.data.coded", "noumena.data.design")


class OutputError(NoumenaError, OSError):
    """A file cannot be written; what was there before is untouched."""


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    OutputError
        Naming the path; nothing was changed.
    """
    target = Path(path)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            temporary = file.name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # as an ordinary new file, not the private one of tempfile
        os.replace(temporary, target)
    except BaseException as error:  # an interrupt too leaves nothing behind
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        reason = error.strerror or str(error)
        cure = "choose a folder that exists and may be written to"
        raise OutputError(f"cannot write {target}: {reason}; {cure}") from error


def save(estimator: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Store a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    path : path
        An existing file is replaced.

    Raises
    ------
    OutputError
        Where the file cannot be written.
    """
    check_is_fitted(estimator)
    from noumena import __version__

    arrays: dict[str, np.ndarray] = {}
    state = estimator._to_state()  # type: ignore[attr-defined]
    header: dict[str, Any] = {
        "format": FORMAT,
        "written_by": f"noumena {__version__}",
        "class": type(estimator).__name__,
        "parameters": _encode(estimator.get_params(deep=False), "parameters", arrays),
        "state": _encode(state, "state", arrays),
    }
    files = {name: _npy(array) for name, array in arrays.items()}
    header["sha256"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    text = json.dumps(header, indent=1, ensure_ascii=False).encode()  # the order of a pattern's factors is theirs
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_HEADER, text)
        for name, content in files.items():
            archive.writestr(f"arrays/{name}.npy", content)
        archive.comment = hashlib.sha256(text).hexdigest().encode()
    write_atomically(path, buffer.getvalue())


def load(path: str | os.PathLike[str]) -> Any:
    """Read a stored estimator.

    Parameters
    ----------
    path : path
        Of a file that ``save`` wrote.

    Returns
    -------
    estimator
        Fitted, as it was.

    Raises
    ------
    ModelFileError
        Where the file is missing, truncated, altered, written by a newer version, or no model.
    """
    where = os.fspath(path)
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read {where}: {error.strerror or error}; check the path") from error
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            text, digest = archive.read(_HEADER), archive.comment.decode("ascii", "replace")
            header = json.loads(text)
            _check_header(header, text, digest, where)
            arrays = {name: _array(archive, name, sha, where) for name, sha in header["sha256"].items()}
    except KeyError as error:
        raise ModelFileError(f"{where} is not a stored model: {error.args[0]}") from error
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(
            f"{where} is truncated, damaged or not a stored model ({error}): take another copy or fit again"
        ) from error
    name = header["class"]
    if name not in _CLASSES:
        raise ModelFileError(f"{where} holds a {name!r}, which this version does not know: update noumena")
    kind = getattr(importlib.import_module(_CLASSES[name]), name)
    estimator = kind(**_decode(header["parameters"], arrays))
    estimator._from_state(_decode(header["state"], arrays))
    return estimator


def _check_header(header: Any, text: bytes, digest: str, where: str) -> None:
    if not isinstance(header, dict) or not isinstance(header.get("format"), int):
        raise ModelFileError(f"{where} is not a stored model: its header has no format number")
    if header["format"] > FORMAT:
        raise ModelFileError(
            f"{where} has format {header['format']}, written by {header.get('written_by', 'a newer version')}; "
            f"this version reads up to {FORMAT}: update noumena"
        )
    if hashlib.sha256(text).hexdigest() != digest:
        raise ModelFileError(f"{where} was altered after it was written: take another copy or fit again")


def _array(archive: zipfile.ZipFile, name: str, sha: str, where: str) -> np.ndarray:
    content = archive.read(f"arrays/{name}.npy")
    if hashlib.sha256(content).hexdigest() != sha:
        raise ModelFileError(f"{where} was altered after it was written (array {name}): take another copy or fit again")
    return np.load(io.BytesIO(content), allow_pickle=False)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _encode(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """JSON for a value; numeric arrays go into ``arrays`` and leave a reference."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        return {"strings": [str(item) for item in value]}
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": name}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encode(item, f"{name}.{key}", arrays) for key, item in value.items()}}
    if isinstance(value, dict):  # keys that are tuples of columns, say
        return {"pairs": _encode([list(pair) for pair in value.items()], name, arrays)}
    if _is_record(type(value)):
        fields = _fields(value)
        kind = f"{type(value).__module__}:{type(value).__name__}"
        return {"record": kind, "fields": _encode(fields, name, arrays)}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_encode(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return None  # a generator's state is no parameter of the model
    raise ModelFileError(f"{name} is a {type(value).__name__}, which cannot be stored as data")


def _decode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "pairs" in value:
        return dict(map(tuple, _decode(value["pairs"], arrays)))
    if "strings" in value:
        return np.array(value["strings"], dtype=object)
    if "dict" in value:
        return {key: _decode(item, arrays) for key, item in value["dict"].items()}
    if "list" in value:
        return [_decode(item, arrays) for item in value["list"]]
    if "tuple" in value:
        return tuple(_decode(item, arrays) for item in value["tuple"])
    if "record" in value:
        module, _, name = str(value["record"]).partition(":")
        kind = getattr(importlib.import_module(module), name, None) if module.startswith(_RECORDS) else None
        if kind is not None and _is_record(kind):
            return _record(kind, _decode(value["fields"], arrays))
    raise ModelFileError(f"unknown kind of value in a stored model: {sorted(value)}")


def _is_record(kind: type) -> bool:
    """Whether a class is nothing but named fields, and ours."""
    plain = dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")
    return plain and kind.__module__.startswith(_RECORDS)


def _fields(value: Any) -> dict[str, Any]:
    names = getattr(value, "_fields", None) or [field.name for field in dataclasses.fields(value)]
    return {name: getattr(value, name) for name in names}


def _record(kind: type, fields: dict[str, Any]) -> Any:
    if hasattr(kind, "_fields"):
        return kind(**fields)
    record = object.__new__(kind)  # as it was, without what its constructor makes of arguments
    for name, value in fields.items():
        object.__setattr__(record, name, value)
    return record
