"""Topics: the shipped list, and files with their faults."""

import csv
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from agents import ConfigError
from arena.topics import File, Shipped, Source

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("ARENA_DATA", ROOT.parent / "shared" / "data"))
ROWS = [
    {"id": n, "topic": topic}
    for n, topic in enumerate(["Is ice wet?", "Why is glass clear?", "Do ants nap?"])
]
TOPICS = [row["topic"] for row in ROWS]


def write(path: Path, text: str) -> str:
    """Write a file and give its path."""
    path.write_text(text, encoding="utf-8")
    return str(path)


def jsonl(path: Path, rows: Sequence[object]) -> str:
    """Write one JSON value per line."""
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def shipped_lines() -> list[str]:
    """The lines of the shipped file that are not its header."""
    lines = (ROOT / "arena" / "topics.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def refuses(source: Source, message: str, count: int = 1) -> None:
    """Assert that the source raises ConfigError with the message."""
    with pytest.raises(ConfigError, match=message):
        source(count, 0, {})


# The shipped list


def test_the_shipped_list_holds_at_least_120_topics_and_no_two_alike() -> None:
    """Not even in other case or with other punctuation."""
    lines = shipped_lines()
    assert len(lines) >= 120
    assert len({re.sub(r"\W+", " ", line.casefold()) for line in lines}) == len(lines)


def test_every_shipped_topic_is_one_sentence() -> None:
    """Begins with a capital, ends with its only full stop or question mark, has 5 to 40 words."""
    sentence = re.compile(r"[A-Z][^.?!]*[.?]")
    assert [line for line in shipped_lines() if not sentence.fullmatch(line)] == []
    assert [line for line in shipped_lines() if not 5 <= len(line.split()) <= 40] == []


def test_no_word_opens_a_third_of_the_shipped_topics() -> None:
    """The list is not one form filled in many times."""
    openings = Counter(line.split()[0] for line in shipped_lines())
    assert max(openings.values()) < len(shipped_lines()) / 3


def test_the_shipped_source_gives_the_whole_list_in_the_order_of_the_seed() -> None:
    """All topics, another order for each of thirty seeds, the same order again for the same seed."""
    count = len(shipped_lines())
    orders = [Shipped()(count, seed, {}) for seed in range(30)]
    assert all(sorted(order) == sorted(shipped_lines()) for order in orders)
    assert len({tuple(order) for order in orders}) == 30
    assert Shipped()(count, 7, {}) == orders[7]


def test_more_topics_begin_with_the_fewer() -> None:
    """A run that is made longer keeps its first dialogues."""
    assert Shipped()(20, 3, {})[:5] == Shipped()(5, 3, {})


def test_the_order_does_not_depend_on_the_hash_seed_of_the_process() -> None:
    """Two fresh interpreters with different PYTHONHASHSEED draw the same."""
    code = "from arena.topics import Shipped; print(Shipped()(8, 1, {}))"
    out = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": value, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for value in ("1", "2")
    }
    assert out == {f"{Shipped()(8, 1, {})}\n"}


def test_more_topics_than_the_shipped_list_has_are_refused_with_both_numbers() -> None:
    """No topic comes twice in silence."""
    count = len(shipped_lines())
    refuses(Shipped(), f"the shipped list has {count} distinct topics, {count + 1} were asked", count + 1)


@pytest.mark.parametrize("count", [0, -3])
def test_fewer_than_one_topic_is_refused(count: int) -> None:
    """Nothing to talk about is no run."""
    refuses(Shipped(), f"must be 1 or more, got {count}", count)


# Files


def test_jsonl_json_and_csv_give_the_same_topics(tmp_path: Path) -> None:
    """One table in three formats, in the order of the file."""
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "topic"])
        writer.writeheader()
        writer.writerows(ROWS)
    jsonl(tmp_path / "t.jsonl", ROWS)
    write(tmp_path / "t.json", json.dumps(ROWS, indent=2))
    for suffix in ("csv", "jsonl", "json"):
        assert File(str(tmp_path / f"t.{suffix}"), "topic", shuffle=False)(3, 0, {}) == TOPICS


def test_a_files_order_is_drawn_by_the_seed(tmp_path: Path) -> None:
    """Seeds give all orders of three topics; the same seed gives the same."""
    source = File(jsonl(tmp_path / "t.jsonl", ROWS), "topic")
    orders = [tuple(source(3, seed, {})) for seed in range(60)]
    assert len(set(orders)) == 6
    assert tuple(source(3, 5, {})) == orders[5]


def test_the_first_text_of_a_list_is_the_topic(tmp_path: Path) -> None:
    """As in files of prompts whose column holds the user's turns."""
    path = jsonl(tmp_path / "t.jsonl", [{"turns": ["Is ice wet?", "Why?"]}])
    assert File(path, "turns")(1, 0, {}) == ["Is ice wet?"]


def test_topics_that_differ_in_case_and_spacing_count_once(tmp_path: Path) -> None:
    """The first writing stays; punctuation makes another topic."""
    rows = [{"t": text} for text in ("Is ice wet?", " is  ICE wet? ", "Is ice wet", "Why?")]
    path = jsonl(tmp_path / "t.jsonl", rows)
    assert File(path, "t", shuffle=False)(3, 0, {}) == ["Is ice wet?", "Is ice wet", "Why?"]
    refuses(File(path, "t"), r"t\.jsonl' has 3 distinct topics, 4 were asked for; ask for no more", 4)


def test_home_variables_and_relative_paths_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three ways to name one file."""
    jsonl(tmp_path / "t.jsonl", ROWS)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TOPIC_FOLDER", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in ("~/t.jsonl", "$TOPIC_FOLDER/t.jsonl", "${TOPIC_FOLDER}/t.jsonl", "t.jsonl", "./t.jsonl"):
        assert len(File(path, "topic")(3, 0, {})) == 3


def test_line_separators_and_line_breaks_inside_values_are_text(tmp_path: Path) -> None:
    """U+2028 in JSON and a quoted line break in CSV end no row; blank lines are no rows."""
    line = '{"t": "One\u2028topic"}\r\n\r\n{"t": "Two"}\n'
    assert File(write(tmp_path / "t.jsonl", line), "t", False)(2, 0, {}) == ["One\u2028topic", "Two"]
    text = '\ufefft,u\n"One\ntopic",1\n\nTwo,2\n'
    assert File(write(tmp_path / "t.csv", text), "t", False)(2, 0, {}) == ["One\ntopic", "Two"]


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The expanded path, and where relative ones start."""
    monkeypatch.chdir(tmp_path)
    refuses(File("no.jsonl", "t"), rf"'no\.jsonl': No such file or directory; give its path.*{tmp_path.name}")
    refuses(File("$NOT_SET_HERE/no.csv", "t"), r"'\$NOT_SET_HERE/no\.csv'.*set the environment variables")
    (tmp_path / "folder.json").mkdir()
    refuses(File("folder.json", "t"), "folder.json': Is a directory")


def test_another_suffix_is_refused_with_the_allowed_ones() -> None:
    """Before the file is looked for."""
    refuses(File("t.xlsx", "t"), r"ends in \.jsonl, \.json, \.csv, got 't\.xlsx'; convert")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "t.jsonl",
            '{"t": "a"}\n{"t": b}\n',
            r"t\.jsonl', line 2: not JSON \(Expecting value, column 7\): '\{.*mend",
        ),
        ("t.jsonl", '{"t": "a"}\n\n"b"\n', r"t\.jsonl', line 3: 'b' is no object"),
        ("t.jsonl", '{"t": "a"}\n{"t": "b"', r"line 2: not JSON"),
        ("t.json", '[{"t": "a"},\n {"t": }]', r"t\.json', line 2: not JSON"),
        ("t.json", '{"t": "a"}', r"t\.json' holds \{'t': 'a'\}; a \.json topic file is a list of objects"),
        ("t.json", '[{"t": "a"}, 5]', r"t\.json', entry 2: 5 is no object"),
        ("t.csv", "t,u\na,1\nb,2,3\n", r"t\.csv', line 3: 3 fields under a header of 2; put fields"),
        ("t.csv", "t,u\na\n", r"line 2: 1 fields under a header of 2"),
        ("t.csv", 't,u\n"a"b,1\n', r"t\.csv', line 2: not CSV"),
        ("t.csv", "", r"t\.csv' has 0 distinct topics, 1 were asked"),
        ("t.jsonl", "", r"t\.jsonl' has 0 distinct topics"),
    ],
)
def test_a_broken_row_is_refused_by_file_and_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    """Also where enough good rows stand before it."""
    refuses(File(write(tmp_path / name, text), "t"), message)


def test_a_file_that_is_not_utf8_is_refused_by_line(tmp_path: Path) -> None:
    """Latin-1 is not guessed."""
    (tmp_path / "t.csv").write_bytes(b"t\nfine\ncaf\xe9\n")
    refuses(File(str(tmp_path / "t.csv"), "t"), r"t\.csv', line 3: not UTF-8; save the file as UTF-8")


@pytest.mark.parametrize("name", ["t.jsonl", "t.json", "t.csv"])
def test_a_missing_column_is_answered_with_those_there_are_and_the_nearest(tmp_path: Path, name: str) -> None:
    """In every format."""
    texts = {
        "t.jsonl": '{"id": 1, "topic": "a"}',
        "t.json": '[{"id": 1, "topic": "a"}]',
        "t.csv": "id,topic\n1,a",
    }
    path = write(tmp_path / name, texts[name])
    refuses(File(path, "topics"), r"no column 'topics'; there is 'id', 'topic'; did you mean 'topic'\?$")
    refuses(File(path, "zzz"), "no column 'zzz'; there is 'id', 'topic'$")


@pytest.mark.parametrize("value", ["", "  ", None, 5, [], [""], [7], {"a": "b"}])
def test_an_empty_value_or_one_that_is_no_text_is_refused_by_line(tmp_path: Path, value: object) -> None:
    """With what was found."""
    path = jsonl(tmp_path / "t.jsonl", [{"t": "a"}, {"t": value}])
    refuses(File(path, "t"), rf"line 2: column 't' holds {re.escape(repr(value))}; a topic is a text")


@pytest.mark.parametrize(
    ("name", "distinct"),
    [("vicuna_bench", 80), ("mt_bench", 80), ("expertqa_questions", 1759), ("debate_topics", 169)],
)
def test_real_prompt_files_are_topic_files(name: str, distinct: int) -> None:
    """All rows of four published sets are read; one more than there are is refused."""
    path = DATA / "prompts" / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"needs {path}; set ARENA_DATA")
    source = File(str(path), "turns")
    topics = source(distinct, 0, {})
    assert len(set(topics)) == distinct
    assert source(8, 0, {}) == topics[:8] != source(8, 1, {})
    refuses(source, f"has {distinct} distinct topics, {distinct + 1} were asked", distinct + 1)
    refuses(File(str(path), "turn"), "no column 'turn'; there is 'id', .*did you mean 'turns'")
