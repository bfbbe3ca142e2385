"""Rows of the tables: what goes in comes out, and every reader takes them as they are."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from example_session import hold
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import ArenaError, Dialogue, Message, Reply, Turn
from arena.loop import Exchange
from arena.records import (
    Row,
    abstention_of,
    exchange_row,
    failure_row,
    line,
    metrics_row,
    now,
    preference_row,
    turn_of,
    turn_row,
    verdict_of,
    verdict_row,
)
from arena.report import report
from arena.rundir import TABLES, RunFolder, rows
from arena.train.online_dpo import Update
from rewards.verdict import Preference, Verdict

ANY = st.text(st.characters(exclude_categories=()))
"""Every text that Python can hold: control characters, line separators, lone surrogates."""

NAMES = st.sampled_from(["ada", "bob", "cyd"])
COSINES = st.floats(-1, 1)

TURNS = st.builds(
    Turn,
    id=st.sampled_from(["d0000.00a", "d0012.34z", "d9999.99ab"]),
    parent=st.sampled_from(["", "d0000.00a"]),
    speaker=NAMES,
    reply=st.builds(
        Reply,
        text=ANY,
        finish=st.sampled_from(["stop", "length", "human"]),
        ids=st.lists(st.integers(0, 300_000)).map(tuple),
        tokens_in=st.integers(0, 10_000),
        thinking=ANY,
    ),
    adapter=st.sampled_from(["", "ada@12"]),
)

WITH_WIM = st.builds(
    Verdict,
    id=st.just("d0000.00a"),
    judge=NAMES,
    rating=st.floats(1, 10),
    wim=ANY,
    wim_status=st.just("ok"),
    cosine=COSINES,
    cosine_shuffled=st.none() | COSINES,
    cosine_topic=COSINES,
    echo=st.floats(0, 1),
    reward=COSINES,
    scale=st.sampled_from(["rating", "rating+wim"]),
    raw=ANY,
)
WITHOUT = st.builds(
    Verdict,
    id=st.just("d0000.ada"),
    judge=NAMES,
    rating=st.floats(1, 10),
    wim_status=st.sampled_from(["not_asked", "nothing_missing", "absent", "empty", "placeholder"]),
    reward=COSINES,
    scale=st.sampled_from(["rating", "nothing_missing"]),
    raw=ANY,
)
ABSTAINING = st.builds(
    Verdict,
    id=st.just("d0000.00a"),
    judge=NAMES,
    status=st.sampled_from(["rating_absent", "wim_empty", "empty_answer"]),
    raw=ANY,
)

VERDICT = Verdict("d0000.00a", "smollm", rating=7.0, reward=1.0, scale="rating", raw="[[7]]")
PAIR = Preference(
    (Message(role="system", content="S"), Message(role="user", content="Q")),
    Reply("good"),
    Reply("bad"),
    1.0,
    "d0000.00b",
    "d0000.00a",
)
TURN = Turn("d0000.00a", "", "ada", Reply("bad", ids=(5, 6), tokens_in=9))
EXCHANGE = Exchange(Dialogue("d0000", "ice", "ada"), (TURN,), (VERDICT,), TURN, PAIR, "pair")
UPDATE = asdict(Update(3, 0.5, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 2.0))

ROWS: dict[str, Row] = {
    "turns": turn_row(TURN, step=0, model="m", seed=1),
    "verdicts": verdict_row(VERDICT, judge="bob", about="draft", zeta=0, step=0),
    "failures": failure_row("d0000.00a", "rating_absent", "draft", "well", by="bob", step=0),
    "exchanges": exchange_row(EXCHANGE, seat="ada", judge="bob", step=0),
    "preferences": preference_row(PAIR, seat="ada", judge="bob", step=0),
    "metrics": metrics_row(UPDATE, seat="ada", step=0),
}


def written(row: Row) -> Row:
    """The row as a reader gets it."""
    found: Row = json.loads(line(row))
    return found


def clean(text: str) -> str:
    """A text as it is kept: half a pair of surrogates becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


@settings(deadline=None)
@given(TURNS)
def test_a_turn_is_read_back_as_it_was(turn: Turn) -> None:
    """But for lone surrogates, which no file can hold."""
    row = written(turn_row(turn, step=3, model="m", seed=5))
    reply = replace(turn.reply, text=clean(turn.text), thinking=clean(turn.reply.thinking))
    assert turn_of(row) == replace(turn, reply=reply)


@settings(deadline=None)
@given(WITH_WIM | WITHOUT)
def test_a_verdict_is_read_back_as_it_was(verdict: Verdict) -> None:
    """With and without a cosine, with and without its shuffled control."""
    row = written(verdict_row(verdict, judge="bob", about="draft", zeta=0.4, step=3))
    assert verdict_of(row) == replace(verdict, wim=clean(verdict.wim), raw=clean(verdict.raw))


@settings(deadline=None)
@given(ABSTAINING)
def test_an_abstention_is_read_back_as_it_was(verdict: Verdict) -> None:
    """It is a row of failures, with what the judge wrote."""
    row = written(failure_row(verdict.id, verdict.status, "draft", verdict.raw, by=verdict.judge, step=3))
    assert abstention_of(row) == replace(verdict, raw=clean(verdict.raw))


@settings(deadline=None)
@given(ANY)
def test_a_row_is_one_line_of_utf8(text: str) -> None:
    """Whatever a model says."""
    data = line({"schema": "x/1", "id": "a", "content": text})
    assert data.count(b"\n") == 1 and data.endswith(b"\n")
    assert json.loads(data.decode("utf-8"))["content"] == clean(text)


def test_texts_are_written_as_they_are_read() -> None:
    """Letters of all scripts can be read in the file."""
    assert "Gletscher, 冰川".encode() in line({"id": "a", "content": "Gletscher, 冰川"})


def test_the_place_of_a_turn_is_read_from_its_id() -> None:
    """`d0012.34ab`: dialogue d0012, turn 34."""
    row = turn_row(replace(TURN, id="d0012.34ab"), step=0, model="m", seed=0)
    assert (row["dialogue"], row["turn"]) == ("d0012", 34)


def test_tokens_are_counted_and_kept() -> None:
    """So that a replay trains on the tokens that were sampled."""
    assert (ROWS["turns"]["tokens_in"], ROWS["turns"]["tokens_out"], ROWS["turns"]["ids"]) == (9, 2, "5 6")


@pytest.mark.parametrize("name", ROWS)
def test_the_schema_comes_first(name: str) -> None:
    """With its version."""
    assert re.fullmatch(r"arena\.[a-z]+/1", ROWS[name]["schema"])
    assert list(ROWS[name])[:2] == ["schema", "id"]


@pytest.mark.parametrize("name", ROWS)
def test_no_value_is_null_or_an_empty_list(name: str) -> None:
    """A column of nulls has no type."""
    assert all(value is not None and value != [] for value in ROWS[name].values())


def types(row: Row) -> dict[str, type]:
    """Column -> type, as a reader of JSON sees it."""
    return {key: type(value) for key, value in written(row).items()}


@settings(deadline=None)
@given(WITH_WIM | WITHOUT)
def test_every_verdict_has_the_same_columns_of_the_same_types(verdict: Verdict) -> None:
    """A rating of 7 is written 7.0."""
    row = verdict_row(verdict, judge="bob", about="performance", zeta=1, step=-1)
    assert types(row) == types(ROWS["verdicts"])


@settings(deadline=None)
@given(TURNS)
def test_every_turn_has_the_same_columns_of_the_same_types(turn: Turn) -> None:
    """Absent texts are empty ones."""
    assert types(turn_row(turn, step=-1, model="", seed=0)) == types(ROWS["turns"])


def test_an_exchange_without_a_pair_has_the_same_columns() -> None:
    """Its ids are empty texts."""
    row = exchange_row(replace(EXCHANGE, preference=None, outcome="tie"), seat="ada", judge="bob", step=0)
    assert types(row) == types(ROWS["exchanges"])
    assert (row["chosen"], row["rejected"]) == ("", "")


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("verdicts", ["rating", "cosine", "cosine_shuffled", "cosine_topic", "echo", "zeta", "reward"]),
        ("preferences", ["margin"]),
        ("metrics", ["loss", "margin", "accuracy", "kl", "grad_norm", "seconds"]),
    ],
)
def test_whole_numbers_of_a_measure_have_a_point(name: str, columns: list[str]) -> None:
    """Else a second file with fractions does not fit the first."""
    text = line(ROWS[name]).decode()
    for column in columns:
        assert re.search(rf'"{column}": -?\d+\.\d+[,}}]', text), column


def test_times_have_milliseconds_and_a_zone() -> None:
    """To the second they would be read as another type."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now())


def test_preferences_have_the_columns_of_trl() -> None:
    """Conversational: prompt with the persona, one assistant message each."""
    row = ROWS["preferences"]
    assert row["prompt"] == [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]
    assert row["chosen"] == [{"role": "assistant", "content": "good"}]
    assert row["rejected"] == [{"role": "assistant", "content": "bad"}]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_refused_by_name(value: float) -> None:
    """A loss that has overflowed is no row, and no traceback of a library."""
    with pytest.raises(ArenaError, match=r"row 'ada@3' is not written: \{'loss': -?(nan|inf)\}"):
        line(metrics_row({**UPDATE, "loss": value}, seat="ada", step=3))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with rows in every table and its README."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    hold(folder)
    with_report = RunFolder(folder, "", {"judge.zeta": 0.4})
    (folder / "README.md").write_text(report(with_report, "whole", {}), encoding="utf-8")
    with_report.close()
    return folder


@pytest.mark.parametrize("name", TABLES)
def test_every_table_of_a_run_obeys_the_rules(run: Path, name: str) -> None:
    """Same keys and types in every row, the schema first, nothing null, unique ids."""
    found = list(rows(run / f"{name}.jsonl"))
    assert found
    first = {key: type(value) for key, value in found[0].items()}
    for row in found:
        assert next(iter(row)) == "schema"
        assert {key: type(value) for key, value in row.items()} == first
        assert None not in row.values() and [] not in row.values()
        assert not any(isinstance(value, dict) for value in row.values())
    assert len({row["id"] for row in found}) == len(found)


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """`datasets.load_dataset` with a cache of its own and without progress bars."""
    import datasets

    datasets.disable_progress_bars()
    cache = tmp_path_factory.mktemp("datasets")

    def loaded(*arguments: Any, **options: Any) -> Any:
        return datasets.load_dataset(*arguments, **options, split="train", cache_dir=str(cache))

    return loaded


@pytest.mark.parametrize("name", TABLES)
def test_datasets_loads_every_table_as_it_is(run: Path, load: Callable[..., Any], name: str) -> None:
    """Value by value."""
    path = run / f"{name}.jsonl"
    assert load("json", data_files=str(path)).to_list() == list(rows(path))


@pytest.mark.parametrize("name", TABLES)
def test_datasets_loads_every_table_by_the_card(run: Path, load: Callable[..., Any], name: str) -> None:
    """The README of the folder names them, and other files do not disturb."""
    assert len(load(str(run), name)) == len(list(rows(run / f"{name}.jsonl")))


@pytest.mark.slow
def test_trl_takes_the_preferences_for_a_conversation(run: Path, load: Callable[..., Any]) -> None:
    """As they come out of `datasets`."""
    from trl.data_utils import is_conversational

    example = load(str(run), "preferences")[0]
    assert {"prompt", "chosen", "rejected"} <= example.keys()
    assert is_conversational({key: example[key] for key in ("prompt", "chosen", "rejected")})


def test_a_hostile_text_survives_datasets(tmp_path: Path, load: Callable[..., Any]) -> None:
    """Control characters, line separators, quotes, half a surrogate."""
    text = 'a\x00b\x1b[2J\r\n\u2028\x85\ud83d"\\ end'
    reply = Reply(text)
    path = tmp_path / "turns.jsonl"
    path.write_bytes(line(turn_row(replace(TURN, reply=reply), step=0, model="m", seed=0)) * 2)
    assert load("json", data_files=str(path))["content"][0] == clean(text)
