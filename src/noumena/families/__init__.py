"""Exponential families, one per file: natural and mean parameters, log-normalisers, conjugate priors, M-steps."""
