"""The classifier: a BERT encoder and a label-matching head (TELEClass, section 3.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from teleclass.model.batching import PackedTokens, PaddedTokens, TokenBatch
from teleclass.model.loss import masked_bce
from teleclass.model.packed import hidden_states, is_packable, mean_of_tokens
from teleclass.model.weights import lacks_weights, needed


class LabelMatchingConfig(PreTrainedConfig):
    """Configuration of :class:`LabelMatchingClassifier`.

    Parameters
    ----------
    backbone : the BERT configuration, as a dictionary with its ``model_type``.
    n_classes, class_dimension : shape of the class vectors.
    """

    model_type = "teleclass_label_matching"

    def __init__(
        self, backbone: dict[str, Any] | None = None, n_classes: int = 2, class_dimension: int = 2, **kwargs: Any
    ):
        self.backbone = backbone or {"model_type": "bert"}
        self.n_classes = n_classes
        self.class_dimension = class_dimension
        super().__init__(**kwargs)


class LabelMatchingClassifier(PreTrainedModel):
    """Scores a document against every class by matching its vector with the class vectors.

    The document vector is the mean of BERT's last hidden states, projected into the space of the class vectors;
    a logit is the scaled cosine of the two, plus a bias a class. The class vectors start as the labelling's own, and
    are trained.
    """

    config_class = LabelMatchingConfig
    base_model_prefix = "backbone"

    def __init__(self, config: LabelMatchingConfig):
        super().__init__(config)
        backbone_config = AutoConfig.for_model(**config.backbone)
        self.backbone = AutoModel.from_config(backbone_config, **_without_pooler(backbone_config))
        self.projection = nn.Linear(backbone_config.hidden_size, config.class_dimension)
        self.class_vectors = nn.Parameter(torch.empty(config.n_classes, config.class_dimension))
        self.class_bias = nn.Parameter(torch.zeros(config.n_classes))
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            nn.init.normal_(self.class_vectors, std=self.config.class_dimension**-0.5)

    @classmethod
    def from_backbone(cls, folder: Path, n_classes: int, class_dimension: int) -> LabelMatchingClassifier:
        """A classifier over a pretrained BERT with a head still to be set, see :mod:`teleclass.model.head`."""
        backbone_config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        # A dtype kept here would round the weights again at every load; the folder's path says nothing elsewhere.
        backbone = backbone_config.to_dict() | {"dtype": "float32"}
        backbone.pop("_name_or_path", None)
        config = LabelMatchingConfig(backbone=backbone, n_classes=n_classes, class_dimension=class_dimension)
        model = cls(config)
        loaded: Any = AutoModel.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, output_loading_info=True,
            **_without_pooler(backbone_config),
        )  # fmt: skip
        model.backbone = loaded[0]
        if missing := needed(loaded[1]["missing_keys"]):
            raise lacks_weights(folder, missing)
        return model

    @property
    def is_packable(self) -> bool:
        """Whether batches may be packed, see :mod:`teleclass.model.packed`; if not they must be padded."""
        return is_packable(self.backbone.config)

    def document_features(self, batch: TokenBatch) -> torch.Tensor:
        """Mean of the last hidden states over a document's tokens, shape (documents, hidden size)."""
        if isinstance(batch, PackedTokens):
            return mean_of_tokens(hidden_states(self.backbone, batch), batch)
        hidden = self.backbone(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
        mask = batch.mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)

    def class_matrix(self) -> torch.Tensor:
        """Unit class vectors times the scale, (D, C): what a unit document vector is multiplied with, in fp32."""
        return (self.log_scale.float().exp() * nn.functional.normalize(self.class_vectors.float(), dim=1)).T

    def logits(self, features: torch.Tensor, class_matrix: torch.Tensor) -> torch.Tensor:
        """Logits (documents, C) of :meth:`document_features`."""
        with torch.autocast(features.device.type, enabled=False):  # a bf16 cosine is off by .004, times 20
            weight, bias = self.projection.weight.float(), self.projection.bias.float()
            documents = nn.functional.normalize(nn.functional.linear(features.float(), weight, bias), dim=1)
            return documents @ class_matrix + self.class_bias.float()

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        targets: torch.Tensor | None = None,
        counted: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
        batch: TokenBatch | None = None,
    ) -> torch.Tensor:
        """Logits (documents, C), or with targets the loss of :func:`teleclass.model.loss.masked_bce`.

        Documents come as ``batch``, or as padded ``input_ids`` with their mask.
        """
        if batch is None:
            if input_ids is None:
                raise ValueError("give a batch, or input_ids and attention_mask")
            mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            batch = PaddedTokens(input_ids, mask)
        features = self.document_features(batch)
        with torch.autocast(features.device.type, enabled=False):
            logits = self.logits(features, self.class_matrix())
        if targets is None or counted is None or weights is None:
            return logits
        return masked_bce(logits, targets, counted, weights)


def _without_pooler(config: Any) -> dict[str, bool]:
    """BERT's pooling layer is never used here and would only cost gradients that are zero."""
    return {"add_pooling_layer": False} if config.model_type in ("bert", "roberta", "mpnet", "xlm-roberta") else {}


AutoConfig.register(LabelMatchingConfig.model_type, LabelMatchingConfig)
AutoModel.register(LabelMatchingConfig, LabelMatchingClassifier)
