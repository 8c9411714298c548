"""Measurements of teleclass beside what a user would pick today; run from the source tree, not installed."""
