"""Files of JSON lines: what counts as a line, and how every fault is told."""

import re
from pathlib import Path

import pytest

from agents import ConfigError
from arena import jsonl


def written(tmp_path: Path, data: bytes | str) -> Path:
    """A file of these bytes."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def refuses(path: Path, message: str) -> None:
    """Assert that reading the file to its end raises ConfigError with the message."""
    with pytest.raises(ConfigError, match=message):
        list(jsonl.rows(path, "list of things"))


def test_each_line_is_a_row_with_its_number(tmp_path: Path) -> None:
    """Counted from 1; the last line needs no line break."""
    assert list(jsonl.rows(written(tmp_path, '{"a": 1}\n{"a": 2}'))) == [(1, {"a": 1}), (2, {"a": 2})]


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    """Nothing is said about it here: who needs rows counts them."""
    assert list(jsonl.rows(written(tmp_path, ""))) == []


def test_empty_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    """So that numbers are those of an editor."""
    assert [n for n, _ in jsonl.rows(written(tmp_path, '\n{"a": 1}\n \t\n\n{"a": 2}\n\n'))] == [2, 5]


def test_a_byte_order_mark_and_carriage_returns_are_no_text(tmp_path: Path) -> None:
    """As editors on Windows write them."""
    path = written(tmp_path, b'\xef\xbb\xbf{"a": "b"}\r\n{"a": "c"}\r\n')
    assert list(jsonl.rows(path)) == [(1, {"a": "b"}), (2, {"a": "c"})]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0c", "\x1c"])
def test_a_separator_inside_a_text_ends_no_line(tmp_path: Path, mark: str) -> None:
    """`str.splitlines` would break each of these rows in two; control characters come escaped."""
    text = mark if ord(mark) > 0x20 else f"\\u{ord(mark):04x}"
    path = written(tmp_path, f'{{"a": "One{text}text"}}\n{{"a": "b"}}\n')
    assert list(jsonl.rows(path)) == [(1, {"a": f"One{mark}text"}), (2, {"a": "b"})]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            '{"a": 1}\n{"a": }\n',
            r"line 2: not JSON \(Expecting value, column 7\): '\{\"a\": \}'; mend or remove",
        ),
        ('\n\n{"a": 1', r"line 3: not JSON \(Expecting ',' delimiter, column 8\)"),
        ('{"a": 1} {"a": 2}\n', r"line 1: not JSON \(Extra data, column 10\)"),
        ("[1, 2]\n", r"line 1: \[1, 2\] is no object with named columns; mend or remove"),
        ("null\n", "line 1: None is no object"),
        (b'{"a": 1}\r\n\r\n{"a": "caf\xe9"}\n', "line 3: not UTF-8; save the file as UTF-8"),
    ],
)
def test_a_bad_line_is_told_by_file_and_number(tmp_path: Path, data: bytes | str, message: str) -> None:
    """What was found, and what to do."""
    path = written(tmp_path, data)
    refuses(path, f"^{re.escape(repr(str(path)))}, {message}")


def test_a_long_bad_line_is_cut_in_the_message(tmp_path: Path) -> None:
    """An error is one line on a screen."""
    with pytest.raises(ConfigError) as caught:
        list(jsonl.rows(written(tmp_path, '{"a": ' + "x" * 9000)))
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_a_file_that_cannot_be_read_is_named_with_what_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where relative paths start."""
    monkeypatch.chdir(tmp_path)
    where = f"give its path in full or from {re.escape(repr(str(tmp_path)))}"
    refuses(Path("gone.jsonl"), rf"^cannot read the list of things 'gone\.jsonl': No such file.*{where}")
    refuses(tmp_path, "cannot read the list of things .*: Is a directory")


def test_home_and_variables_of_a_path_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable may stand for the home."""
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("ROWS", "~/rows")
    assert jsonl.expanded("$ROWS/a.jsonl") == Path("/home/ada/rows/a.jsonl")
    assert jsonl.expanded("a.jsonl") == Path("a.jsonl")


def test_a_missing_column_is_answered_with_those_there_are() -> None:
    """And the nearest, if one is near."""
    assert jsonl.cell("here", {"turns": 1}, "turns") == 1
    with pytest.raises(
        ConfigError, match=r"^here: no column 'turn'; there is 'id', 'turns'; did you mean 'turns'\?$"
    ):
        jsonl.cell("here", {"id": 0, "turns": 1}, "turn")
    with pytest.raises(ConfigError, match="^here: no column 'zzz'; there is 'id'$"):
        jsonl.cell("here", {"id": 0}, "zzz")
