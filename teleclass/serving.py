"""What ``mlflow models serve`` runs: MLflow keeps this file as the model's code, and the model's folder beside it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class ServedClassifier(PythonModel):
    """Files the texts of a column ``text``: label names, ids, probabilities, paths and confidence of each."""

    def load_context(self, context: PythonModelContext) -> None:
        from teleclass import TELEClassifier

        self.classifier = TELEClassifier.from_pretrained(context.artifacts["model"])

    # MLflow would take annotations here for the types of single rows.
    def predict(self, context, model_input, params=None) -> Any:
        import pandas as pd

        texts = model_input["text"].tolist()
        return pd.DataFrame([asdict(one) for one in self.classifier.predictions(texts)])


set_model(ServedClassifier())
