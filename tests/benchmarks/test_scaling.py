"""The model of many devices: what must hold of it, and that the document shows what it says now."""

from pathlib import Path

import pytest

from benchmarks.scaling import (
    LINKS,
    Bert,
    Chip,
    Workload,
    balanced_batch,
    forward_seconds,
    memory_bytes,
    step,
    tables,
    train_seconds,
)

ROOT = Path(__file__).parent.parent.parent
MODEL, CHIP = Bert(), Chip()


def test_the_document_holds_the_tables_as_they_are_computed():
    text = (ROOT / "docs" / "scaling.md").read_text("utf-8")
    assert len(tables()) == 3
    assert [table for table in tables() if table not in text] == []


def test_arithmetic_of_one_chip_is_that_of_the_measured_floors():
    """49,145 documents at the measured rate: 1.07 PFLOP, 1.4 s; three epochs of 29,487: 5.8 PFLOP."""
    flops = 49_145 * MODEL.forward_flops
    assert flops == pytest.approx(1.07e15, rel=0.05)
    assert 3 * 3 * 29_487 * MODEL.forward_flops == pytest.approx(5.8e15, rel=0.05)
    assert forward_seconds(49_145, 1, MODEL, CHIP) * CHIP.share == pytest.approx(1.4, abs=0.05)


def test_one_device_sends_nothing_and_many_send_three_times_the_weights_at_most():
    for link in LINKS:
        alone, many = step(16, 1, link, MODEL, CHIP), step(16, 1000, link, MODEL, CHIP)
        assert alone.reduce == alone.gather == 0
        weights = 2 * MODEL.parameters / link.bytes_per_second
        assert many.reduce + many.gather == pytest.approx(3 * weights, rel=0.01)


def test_at_the_balanced_batch_arithmetic_takes_as_long_as_traffic():
    for link in LINKS[1:]:  # over NVLink launches take longer than either
        documents = balanced_batch(8, link, MODEL, CHIP)
        one = step(documents, 8, link, MODEL, CHIP)
        assert one.compute == pytest.approx(one.reduce + one.gather, rel=1e-6)


def test_a_larger_batch_and_more_devices_never_take_longer_over_a_fast_link_and_memory_grows_with_the_batch():
    work = Workload()
    seconds = [train_seconds(documents, 8, LINKS[1], work, MODEL, CHIP) for documents in (16, 64, 256)]
    assert seconds == sorted(seconds, reverse=True)
    assert train_seconds(16, 8, LINKS[0], work, MODEL, CHIP) < train_seconds(16, 1, LINKS[0], work, MODEL, CHIP)
    assert memory_bytes(64, 8, MODEL) > memory_bytes(16, 8, MODEL) > memory_bytes(16, 64, MODEL)
