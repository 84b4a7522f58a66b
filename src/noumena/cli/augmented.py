"""Regressions by augmentation on the command line: what stored ones say of rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..estimators.augmented_classifier import AugmentedClassifier
from ..report.fitted import level_name
from .conditional import rows_of, say_lacking


def predicted(estimator: Any, path: Path, *, probabilities: bool) -> pa.Table:
    """What is expected of each row's response, or its most probable class and the probabilities of all."""
    rows = rows_of(estimator, path, None)
    answer: dict[str, Any] = {}
    if isinstance(estimator, AugmentedClassifier):
        chances = estimator.predict_proba(rows.table)
        answer["class"] = np.array([level_name(one) for one in estimator.classes_])[chances.argmax(axis=1)]
        if probabilities:
            levels = zip(estimator.classes_, chances.T, strict=True)
            answer |= {f"probability_{level_name(one)}": column for one, column in levels}
    else:
        answer["expected"] = estimator.predict(rows.table)
    say_lacking(rows.lacking, "left empty")
    return pa.table({name: rows.spread(values) for name, values in answer.items()})
