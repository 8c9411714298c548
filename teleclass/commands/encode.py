"""``teleclass encode``: documents and classes to vectors, with no experiment around it."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from teleclass.runtime.console import duration, log, set_up_console


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="teleclass encode",
        description="Write document_embeddings.npy and class_embeddings.npy into OUTPUT/intermediate.",
    )
    parser.add_argument("--data_dir", required=True, help="folder of taxonomy and documents")
    parser.add_argument("--output", required=True, help="folder that the vectors are written to")
    parser.add_argument("--devices", default="auto", help="for example cuda:0,cuda:1 or cpu,cpu")
    parser.add_argument("--model", default="bundled", help="'bundled', a folder, or a hub name")
    parser.add_argument("--max_tokens", type=int, default=0, help="texts are cut here; 0: the model's own limit")
    parser.add_argument("--tokens_per_batch", type=int, default=0, help="padded tokens a device computes at once")
    options = parser.parse_args(arguments)
    set_up_console()
    from teleclass.data.dataset import read_dataset
    from teleclass.model.embedding import EncoderConfig
    from teleclass.phases.encode import check, encode_folder

    encoder = EncoderConfig(options.model, options.devices, options.max_tokens, options.tokens_per_batch)
    data = read_dataset(Path(options.data_dir))
    check(data, encoder)
    started = time.perf_counter()
    summary = encode_folder(data, Path(options.output), encoder)
    log.info("encoded in %s: %s", duration(time.perf_counter() - started), summary)
    return 0
