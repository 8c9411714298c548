"""The measurement of evaluate and its report, in miniature."""

import re

import pytest
from conftest import write_course_layout

from benchmarks.report import main

pytestmark = pytest.mark.slow


def test_one_line_tells_seconds_and_bytes(tmp_path, capsys):
    data = write_course_layout(tmp_path / "data")
    assert main([str(data), "--documents", "300"]) == 0
    line = capsys.readouterr().out
    found = re.fullmatch(r"300 documents, 7 classes: evaluate .* CPU, .* wall; report.html ([\d,]+) bytes\n", line)
    assert found, line
    assert 100_000 < int(found[1].replace(",", "")) < 3_000_000
