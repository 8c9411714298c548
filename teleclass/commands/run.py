"""``teleclass run``: the experiment, as run_experiment.py does it."""

from __future__ import annotations


def main(arguments: list[str]) -> int:
    from teleclass.pipeline import main as run_experiment

    return run_experiment(arguments, "teleclass run")
