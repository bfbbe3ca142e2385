"""Reading transcripts: what is shown of a run, in each form, and what is answered to a mistake."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from example_run import CONTROL, HOSTILE, ILLEGIBLE, TRUNCATED, Example, Missing, add_draft, shown


def test_the_reward_is_spelled_out_with_its_numbers(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Six words: rating 5.5, R 0. Three words: rating 4, R -1/3. Every cosine is 0.5."""
    text = shown(capsys, example, "d0000")
    assert "rating   4.00 by ada, R -0.333 = (4.00 - 5.5) / 4.5\n" in text
    assert "reward   0.000 = (1 - 0.4) x -0.333 + 0.4 x 0.500\n" in text
    assert "rating   5.50 by ada, R 0.000 = (5.50 - 5.5) / 4.5\n" in text
    assert "reward   0.200 = (1 - 0.4) x 0.000 + 0.4 x 0.500\n" in text


def test_without_zeta_the_reward_is_the_rating_alone(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the normalisation that the run was made with."""
    Example(zeta=0, normalisation="ancestor").write(runs / "a")
    text = shown(capsys)
    assert "rating   4.00 by bob\n" in text
    assert "reward   -0.200 = (4.00 - 5) / 5\n" in text


def test_nothing_missing_is_a_reward_without_a_cosine(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The judge's word is shown, and no number that was not there."""
    Example(missing=Missing("", "nothing_missing")).write(runs / "a")
    text = shown(capsys)
    assert "missing  (nothing missing)\n" in text
    assert "reward   -0.200 = (1 - 0.4) x -0.333\n" in text
    assert "cosine" not in text


def test_a_control_arm_shows_the_cosine_that_counted(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That with the WIM of another answer: 0.25, where its own is 0.5."""
    Example().write(runs / "a")
    verdicts = runs / "a" / "verdicts.jsonl"
    rows = [json.loads(row) for row in verdicts.read_text().splitlines()]
    for row in rows:
        row |= {"scale": "rating+wim_shuffled", "reward": row["reward"] - 0.4 * (0.5 - 0.25)}
    verdicts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = shown(capsys, "a", "d0000")
    assert "reward   -0.100 = (1 - 0.4) x -0.333 + 0.4 x 0.250\n" in text


def test_numbers_that_do_not_give_the_reward_are_called_so(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong equation would be worse than none."""
    Example().write(runs / "a")
    config = runs / "a" / "config.json"
    config.write_text(config.read_text().replace("centred", "ancestor"))
    text = shown(capsys, "a", "d0000")
    assert "reward   0.200000, but rating, cosine and zeta 0.4 on record give 0.260000\n" in text


def test_the_cosine_comes_with_its_controls(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Shuffled, topic, and how much the text repeats."""
    text = shown(capsys, example)
    assert "missing  the cost of heat\n" in text
    assert "cosine   0.500 (controls: shuffled 0.250, topic 0.125), echo 0.00\n" in text


def test_drafts_carry_what_came_of_them(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The longer draft is said and chosen; a seat that wrote one draft needs no letters."""
    text = shown(capsys, example, "d0000")
    assert " a  rejected  3 tokens, bob@3\n" in text
    assert " b  said  chosen  6 tokens, bob@3\n" in text
    assert "    pair: b over a by 0.2, and bob was trained in this step\n" in text
    own_turn = text[text.index(" 0  ada") : text.index(" 1  bob")]
    assert own_turn.splitlines()[1] == "    melting ice flows"


def test_a_truncated_draft_is_flagged_and_the_reason_for_no_pair_given(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cut at the token limit."""
    Example(bob=lambda prompt, draft: f"it is {TRUNCATED}").write(runs / "a")
    text = shown(capsys)
    assert " a  said  truncated  3 tokens" in text
    assert "no pair: fewer than two drafts with a reward are not truncated" in text


def test_a_failure_is_shown_with_its_reason_and_what_there_was(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the draft that it belongs to."""
    Example(bob=lambda prompt, draft: ILLEGIBLE if draft else "fine").write(runs / "a")
    text = shown(capsys, "a", "d0000")
    bad = text[text.index(f"    {ILLEGIBLE}\n") :]
    assert "failed   rating_absent (by scripted)" in bad
    assert "what there was: I would [[rather not]]" in bad
    assert "no pair: fewer than two drafts have a reward" in bad


def test_performances_are_judged_at_the_end(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One verdict per seat: 12 words are rated 7."""
    end = shown(capsys, example, "d0000").partition("the whole performances")[2]
    assert "    bob\n      rating   7.00 by ada" in end
    assert "    ada\n      rating   5.50 by bob" in end


def test_piped_text_has_no_codes_no_more_than_100_columns_and_every_word(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A word longer than the line is folded, not cut."""
    long = "w" * 250
    Example(ada=lambda prompt, draft: f"short {long} words " * 20).write(runs / "a")
    text = shown(capsys, "a", "d0000")
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert "".join(text.split()).count(long) == 40
    assert not any(line.endswith(" ") for line in text.splitlines())


@pytest.mark.parametrize("form", [[], ["--md"], ["--json"], ["--as", "bob"], ["--where", "turn=0"]])
def test_no_text_can_command_the_terminal(
    form: list[str], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Topic, replies, what is missing: in every form."""
    said = Example(
        topics=[HOSTILE],
        ada=lambda prompt, draft: HOSTILE,
        bob=lambda p, d: HOSTILE,
        missing=Missing(HOSTILE),
    )
    said.write(runs / "a")
    text = shown(capsys, "a", *form)
    assert not CONTROL.search(text)
    if not form:
        assert "[2J]52;c;cm0gLXJm [/x] [red]ab <script>" in text


def test_the_alarms_of_a_run_stand_above_its_dialogues(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name; their texts are in the report."""
    info = {"conf": "example", "status": "done", "alarms": {"ties": "half are ties", "length": "it grows"}}
    Example(info=info).write(runs / "a")
    assert "· done · ALARMS: ties, length ·" in shown(capsys)


def test_a_run_that_fell_silent_is_dead(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Running is believed for two minutes."""
    Example(info={"conf": "example", "status": "running"}).write(runs / "a")
    assert "· running, last heard of 0 s ago ·" in shown(capsys)
    path = runs / "a" / "run.json"
    info = json.loads(path.read_text())
    long_ago = datetime.now(UTC) - timedelta(minutes=10)
    path.write_text(json.dumps(info | {"heartbeat": long_ago.isoformat()}))
    assert "dead: it says running, but was last heard of 10 minutes ago" in " ".join(shown(capsys).split())


def test_a_running_job_is_read_as_far_as_it_has_come(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A draft without a verdict, and a line that is being written."""
    Example().write(runs / "a")
    add_draft(runs / "a", "d0000.04a", "ada", "Just now")
    with (runs / "a" / "turns.jsonl").open("ab") as table:
        table.write(b'{"id": "d0000.04b", "dia')
    text = shown(capsys, "a")
    assert text.startswith("d0000  glaciers\n")
    assert "    not decided yet\n    Just now\n" in text


def test_the_topic_is_known_before_the_first_turn_is_decided(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the list that the run began with."""
    (runs / "a").mkdir(parents=True)
    add_draft(runs / "a", "d0001.00a", "bob", "Just now")
    assert shown(capsys).startswith("d0001  (the topic is not on record yet)\n")
    (runs / "a" / "topics.json").write_text('["glaciers", "tariffs"]')
    assert shown(capsys).startswith("d0001  tariffs\n")
