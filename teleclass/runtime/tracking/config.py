"""What the user may say of tracking."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrackingConfig:
    """What MLflow is told.

    Parameters
    ----------
    enabled
        log to MLflow at all.
    experiment
        name of the MLflow experiment.
    run_name
        name of the run; MLflow makes one up when empty.
    tags
        tags of your own: NAME=VALUE, several separated by commas.
    every_steps
        training steps that are sent together, as one call costs 60 to 110 ms on SQLite.
    model
        log the trained model too, as ``mlflow models serve`` takes it; it is as large as classifier and encoder.
    system_metrics
        sample CPU, memory, disk, network and GPUs of each machine every ten seconds.
    """

    enabled: bool = True
    experiment: str = "teleclass"
    run_name: str = ""
    tags: str = ""
    every_steps: int = 50
    model: bool = True
    system_metrics: bool = True

    def __post_init__(self) -> None:
        if self.every_steps < 1:
            raise ValueError("tracking.every_steps must be 1 or more")
        self.own_tags()

    def own_tags(self) -> dict[str, str]:
        """The user's tags by name.

        Raises
        ------
        ValueError : a tag without a name or a value.
        """
        pairs = [one.partition("=") for one in self.tags.split(",") if one.strip()]
        if wrong := next(("".join(pair) for pair in pairs if not (pair[0].strip() and pair[2].strip())), None):
            raise ValueError(f"tracking.tags: {wrong.strip()!r} is not NAME=VALUE")
        return {name.strip(): value.strip() for name, _, value in pairs}
