"""Transcripts in other forms: as a model saw them, filtered, cut, as JSON and as Markdown."""

import json
import re
from pathlib import Path

import pytest
from example_run import ILLEGIBLE, Example, shown


def test_as_shows_what_the_model_heard(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The very messages that the agent was given last, of both seats and both openers."""
    seats = Example().write(runs / "a")
    for seat, agent in seats.items():
        lines = shown(capsys, "a", "all", "--as", seat, "--json").splitlines()
        heard = [json.loads(line)["messages"] for line in lines]
        assert len(heard) == 2
        for messages in heard:
            assert messages == max((p for p in agent.heard if p[0] == messages[0]), key=len)


def test_as_is_readable_text_too(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Roles as headings, in order."""
    text = shown(capsys, example, "d0000", "--as", "ada")
    roles = re.findall(r"^(system|user|assistant) ─+$", text, re.MULTILINE)
    assert roles == ["system", "user", "assistant", "user"]
    assert "    You know glaciers.\n" in text
    assert "    Ask about glaciers.\n" in text


def test_as_can_be_cut_to_the_last_messages(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And says so."""
    text = shown(capsys, example, "d0000", "--as", "ada", "-n", "1")
    assert "(3 earlier messages not shown)" in text
    assert "You know" not in text


def test_n_keeps_the_last_turns(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of four."""
    text = shown(capsys, example, "d0000", "-n", "1")
    assert "(3 earlier turns not shown)" in text
    assert re.findall(r"^ (\d)  (\w+) ─", text, re.MULTILINE) == [("3", "bob")]


def test_all_shows_every_dialogue_in_order(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By id."""
    text = shown(capsys, example, "all")
    assert re.findall(r"^(d\d+)  (\w+)$", text, re.MULTILINE) == [("d0000", "glaciers"), ("d0001", "tariffs")]


def test_where_counts_what_it_found_over_all_dialogues(
    example: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bob wrote two drafts in each of four turns, half of them of three words."""
    text = shown(capsys, example, "--where", "speaker=bob and rating<5", "-n", "3")
    assert len(re.findall(r"^d\d{4}\.\d\da  bob ─", text, re.MULTILINE)) == 3
    assert text.endswith("4 of 12 drafts match speaker=bob and rating<5; shown: the first 3\n")


def test_where_keeps_to_a_dialogue_that_is_named(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Two turns of bob in each."""
    assert "2 of 6 drafts match" in shown(capsys, example, "d0001", "--where", "speaker=bob and rating<5")


def test_json_has_one_object_per_draft_with_verdict_and_marks(
    example: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Turn, verdict and what came of it, joined."""
    rows = [json.loads(line) for line in shown(capsys, example, "d0000", "--json").splitlines()]
    assert [row["id"] for row in rows] == [f"d0000.{n}" for n in ("00a", "01a", "01b", "02a", "03a", "03b")]
    best = rows[2]
    assert (best["said"], best["chosen"], best["rejected"], best["outcome"]) == (True, True, False, "pair")
    assert (best["rating"], best["cosine"], best["zeta"], best["judge"]) == (5.5, 0.5, 0.4, "ada")
    assert best["reward"] == pytest.approx(0.2)


def test_json_of_a_draft_without_a_verdict_says_why(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No number stands for a failure."""
    Example(ada=lambda prompt, draft: ILLEGIBLE).write(runs / "a")
    row = json.loads(shown(capsys, "a", "d0000", "--json").splitlines()[0])
    assert (row["judged"], row["rating"], row["reward"]) == (False, None, None)
    assert row["failures"] == ["rating_absent"]


def test_markdown_quotes_what_was_said_and_loads_nothing(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A heading of a model stays in its quotation, HTML is text, an image is a link."""
    Example(ada=lambda prompt, draft: "# Mine\n\n<b>x</b> ![i](http://x)").write(runs / "a")
    text = shown(capsys, "a", "d0000", "--md")
    assert text.startswith("# d0000: glaciers\n\nruns/a · conf example · done · ada opens\n\n## 0 ada\n\n")
    assert "> # Mine\n>\n> &lt;b>x&lt;/b> !\\[i](http://x)\n" in text
    assert "### draft b, said, chosen, 6 tokens, bob@3\n" in text
    assert "- reward: 0.200 = (1 - 0.4) x 0.000 + 0.4 x 0.500\n" in text
