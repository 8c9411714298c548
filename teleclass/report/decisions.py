"""What the phases decided, as their completion markers say it, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from teleclass.report.page import Sentence
from teleclass.runtime.artifacts import Marker

FORMS = {
    "class texts": "Documents were compared with the class texts alone, without soft EM",
    "corpus prior": "Soft EM learnt from the corpus how common each class is (corpus prior)",
    "uniform prior": "Soft EM took all paths to be equally common (uniform prior)",
    "both": "Soft EM was fitted twice, with a learnt and with a uniform prior, and both count (both)",
}


def decisions(phases: Mapping[str, Marker], repairs: Sequence[str] = ()) -> list[Sentence]:
    """A sentence a decision, those that were not wished for (fallbacks) first.

    Parameters
    ----------
    repairs : what was mended in the data folder, a sentence a file.
    """
    tags = {name: value for marker in phases.values() for name, value in marker.tags.items()}
    mended = [Sentence("repair", f"Mended, as asked for: {text}.", True) for text in repairs]
    found = mended + _of_labelling(tags) + _of_training(tags, phases)
    known = {"precision_asked", "precision_used", "label_reason", *(_TAGS)}
    found += [Sentence(name.replace("_", " "), f"{value}.") for name, value in tags.items() if name not in known]
    found += [
        Sentence(name, "Something that this phase asked for did not answer; a second run tries it again.", True)
        for name, marker in phases.items()
        if marker.is_partial
    ]
    return sorted(found, key=lambda sentence: not sentence.is_fallback)


_TAGS = {
    "label_choice": "label model",
    "label_terms": "key terms",
    "label_core_classes": "core classes",
    "label_refinement": "refinement",
    "augment_way": "augmentation",
}


def _of_labelling(tags: Mapping[str, str]) -> list[Sentence]:
    found = []
    for name, label in _TAGS.items():
        if (value := tags.get(name)) is None:
            continue
        text, is_fallback = f"{value[:1].upper()}{value[1:]}.", False
        if name == "label_choice":
            reason = tags.get("label_reason", "")
            text = f"{FORMS.get(value, value)}{': ' * bool(reason)}{reason}."
            is_fallback = value == "class texts" and "asked for" not in reason
        elif name == "label_terms":
            text = f"Classes are described by {value}."
        elif name == "label_core_classes":
            text = f"The classes that a document is mainly about: {value}."
        elif name == "label_refinement":
            text = f"Core classes were {value}."
        found.append(Sentence(label, text, is_fallback))
    return found


def _of_training(tags: Mapping[str, str], phases: Mapping[str, Marker]) -> list[Sentence]:
    found = []
    asked, used = tags.get("precision_asked"), tags.get("precision_used")
    if asked and used:
        text = f"{used} was used, as asked." if asked in (used, "auto") else (
            f"{asked} was asked for and {used} was used: {asked} is not supported, or slow, on this device."
        )  # fmt: skip
        found.append(Sentence("precision", text, is_fallback=asked not in (used, "auto")))
    metrics = {name: value for marker in phases.values() for name, value in marker.metrics.items()}
    if skipped := int(metrics.get("train/total_skipped_steps", 0)):
        steps = int(metrics.get("train/steps", 0))
        text = f"{skipped:,} of {steps:,} optimizer steps were skipped, as gradients overflowed under loss scaling."
        found.append(Sentence("skipped steps", text, is_fallback=True))
    if still := int(metrics.get("label/still_starved_classes", 0)):
        starved = int(metrics.get("label/starved_classes", 0))
        text = f"{still:,} of {starved:,} starved classes have too few training documents even after augmentation."
        found.append(Sentence("starved classes", text, is_fallback=True))
    return found
