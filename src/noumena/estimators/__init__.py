"""The face a user meets: scikit-learn estimators. Validation, columns and fitted attributes; no mathematics."""
