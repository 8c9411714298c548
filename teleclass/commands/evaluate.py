"""``teleclass evaluate``: labels from any file against gold, by the experiment's metrics."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from teleclass.runtime.console import set_up_console


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="teleclass evaluate",
        description="Compare labels with a data folder's gold, by the metrics of the experiment. Documents that have "
        "gold and no labels count as wrong.",
    )
    add = parser.add_argument
    add("--data_dir", required=True, type=Path, help="folder of taxonomy, documents and gold")
    add("--labels", required=True, type=Path, help="CSV with id and labels (or class_ids), as submission.csv")
    add("--split", choices=("train", "test"), default="test", help="whose gold is read (test)")
    add("--json", action="store_true", help="print the metrics as JSON")
    options = parser.parse_args(arguments)
    set_up_console()
    from teleclass.data.dataset import read_dataset
    from teleclass.data.submission import read_submission
    from teleclass.phases.evaluate import evaluate_labels
    from teleclass.report.glossary import meaning
    from teleclass.runtime.table import Table, print_table

    data = read_dataset(options.data_dir)
    metrics = evaluate_labels(data, read_submission(options.labels, data.taxonomy), options.split)
    if options.json:
        print(json.dumps(metrics, indent=1, sort_keys=True))
        return 0
    rows = [[name, f"{value:.4f}", meaning(name.replace("train/", "test/"))] for name, value in metrics.items()]
    print_table(Table(["metric", "value", "meaning"], rows, right=[1], folded=[2]))
    return 0
