"""The width of a model's vectors, read without loading it."""

import json
import shutil

from teleclass.model.encoding import embedding_dimension


def test_the_width_is_read_through_dense_and_double_pooling(tmp_path, tiny_model):
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    modules = json.loads((copy / "modules.json").read_text())
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    (copy / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    assert embedding_dimension(copy) == 64
    (copy / "2_Dense").mkdir()
    (copy / "2_Dense" / "config.json").write_text(json.dumps({"in_features": 64, "out_features": 7}))
    modules.append({"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (copy / "modules.json").write_text(json.dumps(modules))
    assert embedding_dimension(copy) == 7
