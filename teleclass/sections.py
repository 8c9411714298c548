"""What phases are handed of several sections of the configuration."""

from __future__ import annotations

from dataclasses import fields

from teleclass.config import ExperimentConfig
from teleclass.phases import label, train
from teleclass.report.card import CardOptions


def label_options(config: ExperimentConfig) -> label.LabelOptions:
    """The sections that the label phase is handed."""
    return label.LabelOptions(**{one.name: getattr(config, one.name) for one in fields(label.LabelOptions)})


def card_options(config: ExperimentConfig) -> CardOptions:
    """What the model card says of the configuration."""
    return CardOptions(
        config.encoder.model, config.training.model, config.prediction.classifier_weight,
        config.prediction.max_tokens or config.training.max_tokens, config.training.epochs, config.seed,
    )  # fmt: skip


def relabelling(config: ExperimentConfig) -> train.Relabelling:
    """What self-training is told of the other sections."""
    return train.Relabelling(config.decoding, config.prediction.classifier_weight, config.expansion.weight_floor)
