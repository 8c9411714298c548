"""``teleclass predict``: labels for new texts by a trained model."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path

from teleclass.runtime.console import duration, log, progress, set_up_console


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="teleclass predict",
        description="File new texts with a model that an experiment trained. Memory does not grow with their number.",
    )
    add = parser.add_argument
    add("--model", required=True, type=Path, help="the model's folder, for example outputs/model")
    add("--input", required=True, type=Path, help=".txt (a text a line), .tsv (id<TAB>text), .csv, .jsonl or .parquet")
    add("--output", required=True, type=Path, help="labels: .csv, .jsonl or .parquet")
    add("--text_column", default="text", help="in CSV, JSON lines and parquet")
    add("--id_column", default="", help="in the same; rows are numbered from 0 without it")
    add("--devices", default="auto", help="for example cuda:0,cuda:1 or cpu,cpu; every device by default")
    add("--classifier_weight", type=float, help="share of the classifier against the label model; 1 is twice as fast")
    add("--tokens_per_batch", type=int, default=0, help="padded tokens a device computes at once")
    options = parser.parse_args(arguments)
    set_up_console()
    from teleclass.data.documents import DocumentFile
    from teleclass.data.label_file import check_label_file, label_file
    from teleclass.filing import file_texts
    from teleclass.model.embedding import parse_devices
    from teleclass.model_folder import read_settings

    documents = DocumentFile(options.input, options.text_column, options.id_column)
    check_label_file(options.output)
    read_settings(options.model)
    started = time.perf_counter()
    count = 0
    filed = file_texts(
        documents,
        options.model,
        parse_devices(options.devices),
        options.classifier_weight,
        options.tokens_per_batch,
    )
    with label_file(options.output) as labels:
        for identity, prediction in progress(filed, unit="documents", what="predicting"):
            labels.write({"id": identity, **asdict(prediction)})
            count += 1
    seconds = time.perf_counter() - started
    log.info(
        "%s documents filed in %s (%.0f a second): %s", f"{count:,}", duration(seconds), count / seconds, options.output
    )
    return 0
