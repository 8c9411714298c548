"""Tables at the terminal: rich where it can show them, plain elsewhere."""

from __future__ import annotations

import io

import pytest

from teleclass.runtime.table import Table, plain_table, print_table, rich_console

TABLE = Table(("phase", "time"), (("encode", "4.0 s"), ("total", "10.0 s")), right=(1,), total=1)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return Terminal()


def test_a_pipe_gets_aligned_plain_text_with_its_prefix():
    stream = io.StringIO()
    print_table(TABLE, stream, "# ")
    assert stream.getvalue() == "# phase     time\n# encode   4.0 s\n# total   10.0 s\n"


def test_a_terminal_gets_richs_table_with_the_same_cells(terminal):
    print_table(TABLE, terminal)
    printed = terminal.getvalue()
    assert "\x1b[1m" in printed
    assert "─" in printed
    for cell in ("phase", "encode", "4.0 s", "10.0 s"):
        assert cell in printed


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("CI", "true"), ("TERM", "dumb")])
def test_a_terminal_that_wants_it_plain_gets_it_plain(terminal, monkeypatch, name, value):
    assert rich_console(terminal) is not None
    monkeypatch.setenv(name, value)
    print_table(TABLE, terminal)
    assert terminal.getvalue().splitlines() == plain_table(TABLE)
