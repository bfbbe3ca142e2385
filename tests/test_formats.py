"""Formats: small rows of every data set, good ones and each fault."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from agents import ConfigError
from agents.dialogue import Message
from arena.corpus.entry import Record, unframed
from arena.corpus.formats import FORMATS
from arena.corpus.preferences import ARGUE, CLAIM
from arena.corpus.rankings import SUMMARISE
from arena.corpus.reading import Corpus
from arena.corpus.sentiment import NEUTRAL
from arena.problems import Problem
from rewards.verdict import Example, Preference, Ranking, Review

Row = dict[str, Any]

TALK = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: which?\n\nAssistant:"
ASKED = [("user", "hi"), ("assistant", "hello"), ("user", "which?")]
USER, HELLO, WHICH = ({"role": role, "content": text} for role, text in ASKED)
POST = {"post": "I lost my cat.", "title": "Cat", "subreddit": "pets"}
POSTED = "SUBREDDIT: r/pets\n\nTITLE: Cat\n\nPOST: I lost my cat.\n\nTL;DR:"
SHP: Row = {
    "history": "why?", "human_ref_A": "so", "human_ref_B": "thus", "labels": 0, "score_A": 2, "score_B": 8,
}  # fmt: skip
WEBGPT: Row = {
    "question": {"full_text": "why?"}, "answer_0": "so [1]", "answer_1": "thus", "score_0": 0.5,
    "score_1": -0.5,
}  # fmt: skip
PAIR: Row = {"prompt": "q", "a": "one", "b": "two", "label": "b"}
UKP: Row = {**PAIR, "prompt": f"{CLAIM}ban bottles : no", "group": "bottles"}
HARMLESS: Row = {**PAIR, "prompt": TALK.strip()}
ULTRA: Row = {
    "instruction": "q",
    "completions": [
        {"response": "good", "overall_score": 2, "fine-grained_score": 4.5},
        {"response": "bad", "overall_score": 10, "fine-grained_score": 1.0},
        {"response": "fair", "overall_score": 7, "fine-grained_score": 4.5},
    ],
}
BINARISED: Row = {
    "prompt": "hi", "messages": [], "score_chosen": 8.0, "score_rejected": 7.5,
    "chosen": [USER, HELLO], "rejected": [USER, {"role": "assistant", "content": "no"}],
}  # fmt: skip
PREFERENCE: Row = {
    "schema": "arena.preference/1", "id": "d0001.00a>d0001.00b", "prompt": [USER], "chosen": [HELLO],
    "rejected": [{"role": "assistant", "content": "no"}], "chosen_id": "d0001.00a",
    "rejected_id": "d0001.00b", "margin": 0.25, "kind": "critique",
}  # fmt: skip
EXAMPLE: Row = {
    "schema": "arena.example/1", "id": "d0001.02a#chain", "prompt": [USER], "completion": [HELLO],
    "weight": 0.5, "revisions": 2,
}  # fmt: skip
PROBLEM: Row = {
    "schema": "arena.problem/1", "id": "d0001", "task": "qa", "prompt": [USER], "reference": "",
    "where": "mine.jsonl, line 3",
}  # fmt: skip
SUMMARY: Row = {"article": "long", "response": "short", "scores": {"fluency": 4, "relevance": 2}}


def corpus(folder: Path, *rows: object, **settings: Any) -> Corpus:
    """The file `rows.jsonl` with these rows."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Corpus([str(path)], **settings)


def said(prompt: tuple[Message, ...]) -> list[tuple[str, str]]:
    """Messages as (role, content)."""
    return [(message["role"], message["content"]) for message in prompt]


PAIRS: list[tuple[str, Row, list[tuple[str, str]], str, str, float, str]] = [
    ("pairs", PAIR, [("user", "q")], "two", "one", 1.0, "b"),
    ("pairs", {**PAIR, "label": "a"}, [("user", "q")], "one", "two", 1.0, "a"),
    ("pairs", {"messages": [USER], "chosen": "x", "rejected": "y"}, ASKED[:1], "x", "y", 1.0, "chosen"),
    ("ukp", UKP, [("user", f"{ARGUE}ban bottles : no")], "two", "one", 1.0, "b"),
    ("hh_rlhf", HARMLESS, ASKED, "two", "one", 1.0, "b"),
    ("hh_rlhf", {"chosen": TALK + " this", "rejected": TALK + " that"}, ASKED, "this", "that", 1.0, "chosen"),
    (
        "hh_rlhf",
        {"prompt": TALK, "chosen": " say\n\nHuman: no", "rejected": " that", "response": " this"},
        ASKED, "say\n\nHuman: no", "that", 1.0, "chosen",
    ),
    ("shp", SHP, [("user", "why?")], "thus", "so", math.log(4), "B"),
    ("webgpt", WEBGPT, [("user", "why?")], "so [1]", "thus", 1.0, "0"),
    (
        "tldr_comparisons",
        {"info": POST, "summaries": [{"text": " no cat"}, {"text": " cat gone"}], "choice": 1},
        [("user", POSTED)], "cat gone", "no cat", 1.0, "1",
    ),
    (
        "tldr_comparisons",
        {"info": {"article": "News."}, "summaries": [{"text": "a"}, {"text": "b"}], "choice": 0},
        [("user", "Article: News.\n\nTL;DR:")], "a", "b", 1.0, "0",
    ),
    ("dpo", {"prompt": "q", "chosen": "x", "rejected": "y"}, [("user", "q")], "x", "y", 1.0, "chosen"),
    (
        "dpo",
        {"prompt": [USER, HELLO, WHICH], "chosen": [HELLO], "rejected": [{**HELLO, "content": "no"}]},
        ASKED, "hello", "no", 1.0, "chosen",
    ),
    (
        "dpo",
        {"chosen": [USER, HELLO], "rejected": [USER, {"role": "assistant", "content": "no"}]},
        ASKED[:1], "hello", "no", 1.0, "chosen",
    ),
    ("dpo", BINARISED, ASKED[:1], "hello", "no", 0.5, "chosen"),
]  # fmt: skip
"""Form, row, prompt, chosen, rejected, margin, how the id of the chosen side ends."""


@pytest.mark.parametrize(("form", "row", "prompt", "chosen", "rejected", "margin", "side"), PAIRS)
def test_a_row_becomes_a_pair(
    form: str,
    row: Row,
    prompt: list[tuple[str, str]],
    chosen: str,
    rejected: str,
    margin: float,
    side: str,
    tmp_path: Path,
) -> None:
    """By its form, and in the same way by its columns alone."""
    [pair] = corpus(tmp_path, row, form=form).read(Preference)
    assert said(pair.prompt) == prompt
    assert (pair.chosen.text, pair.rejected.text) == (chosen, rejected)
    assert pair.margin == pytest.approx(margin)
    assert (pair.chosen_id, pair.kind) == (f"rows:1.{side}", "rows")
    assert pair.rejected_id.startswith("rows:1.") and pair.rejected_id != pair.chosen_id
    assert corpus(tmp_path, row).read(Preference) == [pair]


EXAMPLES: list[tuple[str, Row, list[tuple[str, str]], str]] = [
    ("tldr", {"prompt": "POST: x\n\nTL;DR:", "label": " short"}, [("user", "POST: x\n\nTL;DR:")], "short"),
    ("tldr", {**POST, "summary": "short"}, [("user", POSTED)], "short"),
    ("alpaca", {"instruction": "add", "input": "1, 2", "output": "3"}, [("user", "add\n\n1, 2")], "3"),
    (
        "alpaca",
        {"instruction": "which?", "output": "this", "system": "be", "history": [["hi", "hello"]]},
        [("system", "be"), *ASKED], "this",
    ),
    ("chat", {"messages": [USER, HELLO, WHICH, {**HELLO, "content": "it"}]}, ASKED, "it"),
    ("chat", {"messages": [USER, HELLO, WHICH]}, ASKED[:1], "hello"),
    ("prompt_completion", {"prompt": "q", "completion": " x"}, [("user", "q")], "x"),
    ("prompt_completion", {"prompt": [USER], "completion": [HELLO]}, ASKED[:1], "hello"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "row", "prompt", "completion"), EXAMPLES)
def test_a_row_becomes_an_example(
    form: str, row: Row, prompt: list[tuple[str, str]], completion: str, tmp_path: Path
) -> None:
    """Its prompt is a problem too, with the completion as reference."""
    [example] = corpus(tmp_path, row, form=form).read(Example)
    assert (said(example.prompt), example.completion) == (prompt, completion)
    assert (example.id, example.weight) == ("rows:1", 1.0)
    assert corpus(tmp_path, row).read(Example) == [example]
    [problem] = corpus(tmp_path, row).read(Problem)
    assert (problem.prompt, problem.reference) == (example.prompt, completion)
    assert problem.where == "rows.jsonl, line 1"


def test_every_answer_of_a_shared_chat_is_an_example(tmp_path: Path) -> None:
    """With what was said before it."""
    turns = [("system", "be"), ("human", "hi"), ("gpt", "hello"), ("human", "which?"), ("gpt", "it")]
    row = {"conversations": [{"from": name, "value": text} for name, text in turns]}
    first, second = corpus(tmp_path, row).read(Example)
    assert (first.id, first.completion, second.id, second.completion) == (
        "rows:1.1", "hello", "rows:1.2", "it",
    )  # fmt: skip
    assert said(second.prompt) == [("system", "be"), *ASKED]


def test_scored_completions_are_a_ranking_pairs_and_an_example(tmp_path: Path) -> None:
    """By the fine-grained scores; equal ones make no pair."""
    data = corpus(tmp_path, ULTRA)
    [ranking] = data.read(Ranking)
    assert [reply.text for reply in ranking.replies] == ["good", "bad", "fair"]
    assert (ranking.id, ranking.rewards) == ("rows:1", (4.5, 1.0, 4.5))
    pairs = [(p.chosen.text, p.rejected.text, p.margin, p.chosen_id) for p in data.read(Preference)]
    assert pairs == [("good", "bad", 3.5, "rows:1.0"), ("fair", "bad", 3.5, "rows:1.2")]
    [best] = data.read(Example)
    assert (best.completion, best.id) == ("good", "rows:1.0")


def test_overall_scores_are_taken_where_a_fine_grained_one_is_missing(tmp_path: Path) -> None:
    """Of all completions: scores of two kinds are on no one scale."""
    first, *others = ULTRA["completions"]
    row = {**ULTRA, "completions": [{**first, "fine-grained_score": None}, *others]}
    assert corpus(tmp_path, row).read(Ranking)[0].rewards == (2.0, 10.0, 7.0)


def test_summaries_are_ranked_by_article(tmp_path: Path) -> None:
    """By the mean of their aspects, wherever their rows stand; the same words count once."""
    rows = [
        SUMMARY,
        {"article": "other", "response": "alone", "scores": {"fluency": 1}},
        {**SUMMARY, "response": "shorter", "scores": {"fluency": 5, "relevance": 5}},
        SUMMARY,
    ]
    data = corpus(tmp_path, *rows)
    [ranking] = data.read(Ranking)
    assert ranking.id == "rows:1" and said(ranking.prompt) == [("user", f"{SUMMARISE}long")]
    assert [reply.text for reply in ranking.replies] == ["short", "shorter"]
    assert ranking.rewards == (3.0, 5.0)
    assert dict(data.skipped) == {"fewer than two answers": 1}
    assert [pair.margin for pair in data.read(Preference)] == [2.0]
    assert [example.completion for example in data.read(Example)] == ["shorter"]
    assert [(p.task, p.where) for p in data.read(Problem)] == [
        ("summary", "rows.jsonl, line 1"), ("summary", "rows.jsonl, line 2"),
    ]  # fmt: skip


def test_sentences_are_paired_with_those_of_the_same_length(tmp_path: Path) -> None:
    """The positive one is chosen; each is in one pair at most."""
    texts = [("good film", 1), ("bad film", 0), ("fine", 1), ("fine", 1), ("very dull film", 0)]
    data = corpus(tmp_path, *({"text": text, "label": label} for text, label in texts))
    [pair] = data.read(Preference)
    assert said(pair.prompt) == [("user", NEUTRAL)]
    assert (pair.chosen.text, pair.rejected.text) == ("good film", "bad film")
    assert (pair.chosen_id, pair.rejected_id) == ("rows:1", "rows:2")
    assert dict(data.skipped) == {"no partner of its length": 2, "the same text again": 1}


def test_the_seed_draws_the_partners_of_sentences(tmp_path: Path) -> None:
    """The same seed the same ones."""
    rows = [{"text": f"word{n} it", "label": n % 2} for n in range(40)]
    drawn = [
        [(p.chosen_id, p.rejected_id) for p in corpus(tmp_path, *rows, seed=seed).read(Preference)]
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[2]) == 20


def test_papers_have_the_mean_of_their_ratings(tmp_path: Path) -> None:
    """And a venue where the year is known."""
    row = {"title": "Sparse nets", "abstract": "We cut.", "ratings": [3, 6, 9], "year": 2017}
    [review] = corpus(tmp_path, row).read(Review)
    where = "rows.jsonl, line 1"
    assert review == Review("rows:1", "Sparse nets", "We cut.", 6.0, venue="ICLR 2017", where=where)


def test_a_review_without_an_abstract_has_an_empty_one(tmp_path: Path) -> None:
    """One that was added is taken."""
    row = {"title": "Sparse nets", "review": "Fine.", "rating": 7, "conference": "ICLR2020"}
    [review] = corpus(tmp_path, row).read(Review)
    assert (review.abstract, review.rating, review.review, review.venue) == ("", 7.0, "Fine.", "ICLR2020")
    assert corpus(tmp_path, {**row, "abstract": "We cut."}).read(Review)[0].abstract == "We cut."


def test_tables_of_the_project_are_read_back(tmp_path: Path) -> None:
    """With the ids, margins, weights and places that they have."""
    [pair] = corpus(tmp_path, PREFERENCE).read(Preference)
    assert (pair.chosen_id, pair.rejected_id) == ("rows:d0001.00a", "rows:d0001.00b")
    assert (pair.chosen.text, pair.margin, pair.kind) == ("hello", 0.25, "critique")
    [example] = corpus(tmp_path, EXAMPLE).read(Example)
    assert (example.id, example.weight, example.revisions) == ("rows:d0001.02a#chain", 0.5, 2)
    [problem] = corpus(tmp_path, PROBLEM).read(Problem)
    assert (problem.task, problem.reference, problem.where) == ("qa", "", "mine.jsonl, line 3")


def test_prompts_alone_are_problems(tmp_path: Path) -> None:
    """Of a list of turns the first; a task of another vocabulary is none of ours."""
    rows = [
        {"turns": ["hi", "which?"], "reference": ["hello"], "task": "writing"},
        {"turns": ["add"], "reference": None, "task": "qa"},
    ]
    found = corpus(tmp_path, *rows).read(Problem)
    assert [(p.question, p.reference, p.task) for p in found] == [
        ("hi", "hello", "dialogue"), ("add", "", "qa"),
    ]  # fmt: skip


def test_conversations_without_an_answer_are_problems(tmp_path: Path) -> None:
    """And no examples."""
    data = corpus(tmp_path, {"messages": [USER]}, {"messages": [WHICH, HELLO]})
    assert [(p.question, p.reference) for p in data.read(Problem)] == [("hi", ""), ("which?", "hello")]
    assert len(data.read(Example)) == 1 and dict(data.skipped) == {"no assistant message": 1}


NOTHING: list[tuple[str, Row, type[Record], str]] = [
    ("pairs", {**PAIR, "label": "tie"}, Preference, "tie"),
    ("pairs", {**PAIR, "a": "two\n"}, Preference, "equal texts"),
    ("pairs", {**PAIR, "a": " "}, Preference, "empty a"),
    ("hh_rlhf", {"chosen": TALK + " x", "rejected": TALK[:-11] + " y"}, Preference, "conversations part"),
    ("hh_rlhf", {"chosen": TALK[:-12], "rejected": TALK[:-12]}, Preference, "no assistant message"),
    ("hh_rlhf", {"chosen": "Human:\n\nAssistant: x", "rejected": "Human: a"}, Preference, "empty turn"),
    ("hh_rlhf", {**HARMLESS, "prompt": "Human: a\n\nHuman: b"}, Preference, "messages out of turn"),
    ("shp", {**SHP, "score_A": 8}, Preference, "tie"),
    ("webgpt", {**WEBGPT, "score_0": 0, "score_1": 0}, Preference, "tie"),
    ("dpo", {**BINARISED, "score_rejected": 8}, Preference, "tie"),
    ("dpo", {**BINARISED, "chosen": [WHICH, HELLO]}, Preference, "conversations part"),
    ("dpo", {"chosen": [USER], "rejected": [WHICH]}, Preference, "no assistant message"),
    ("alpaca", {"instruction": "add", "output": ""}, Example, "empty output"),
    ("alpaca", {"instruction": "q", "output": "x", "history": [["", "a"]]}, Example, "empty turn 1"),
    ("chat", {"messages": [HELLO, USER]}, Example, "no assistant message"),
    ("chat", {"messages": [USER, WHICH, HELLO]}, Example, "messages out of turn"),
    ("chat", {"messages": []}, Example, "empty messages"),
    ("sharegpt", {"conversations": [{"from": "gpt", "value": "x"}]}, Example, "messages out of turn"),
    ("sharegpt", {"conversations": [{"from": "human", "value": "x"}]}, Example, "no assistant message"),
    ("ultrafeedback", {"instruction": "q", "completions": []}, Ranking, "unrated completions"),
    ("ultrafeedback", {**ULTRA, "completions": ULTRA["completions"][:1]}, Ranking, "fewer than two answers"),
    ("ultrafeedback", {**ULTRA, "completions": ULTRA["completions"][::2]}, Preference, "tie"),
    ("iclr", {"title": "t", "abstract": "", "ratings": [3]}, Review, "empty abstract"),
    ("iclr", {"title": "t", "abstract": "x", "ratings": []}, Review, "no ratings"),
    ("sst2", {"text": " ", "label": 0}, Preference, "empty text"),
]


@pytest.mark.parametrize(("form", "row", "kind", "reason"), NOTHING)
def test_a_row_that_gives_nothing_is_counted_with_its_reason(
    form: str, row: Row, kind: type[Record], reason: str, tmp_path: Path
) -> None:
    """Which is told where nothing else was read."""
    data = corpus(tmp_path, row, form=form)
    with pytest.raises(ConfigError, match=f"what was left out: {reason}.* \\(1\\)"):
        data.read(kind)
    assert sum(data.skipped.values()) == 1


FAULTS: list[tuple[str, Row, type[Record], str]] = [
    ("pairs", {"prompt": "q", "a": "x", "label": "a"}, Preference, "no column 'b'; there is 'prompt'"),
    ("pairs", {**PAIR, "label": "c"}, Preference, "'label' holds 'c', and must be 'a', 'b' or 'tie'"),
    ("pairs", {**PAIR, "a": 3}, Preference, "'a' holds 3, and must be a text"),
    ("pairs", {**PAIR, "messages": "q"}, Preference, "'messages' holds 'q', and must be a list of objects"),
    (
        "pairs",
        {"messages": [{"role": "tool", "content": "x"}], "a": "x", "b": "y", "label": "a"},
        Preference, "'messages', item 1: column 'role' holds 'tool', and must be a role: system, user",
    ),
    ("ukp", PAIR, Preference, "'prompt' holds 'q', and must be a text that begins with"),
    ("hh_rlhf", PAIR, Preference, "a transcript that begins with 'Human:'"),
    ("hh_rlhf", {"chosen": "Assistant: x", "rejected": "Assistant: y"}, Preference, "begins with"),
    ("shp", {**SHP, "score_A": "2"}, Preference, "'score_A' holds '2', and must be a finite number"),
    ("shp", {**SHP, "score_A": 0}, Preference, "'score_A' holds 0, and must be above 0"),
    ("shp", {**SHP, "labels": 1}, Preference, "'labels' holds 1, and must be 0, as comment B"),
    ("webgpt", {**WEBGPT, "question": "why?"}, Preference, "'question' holds 'why\\?', and must be"),
    ("webgpt", {**WEBGPT, "question": {"id": 1}}, Preference, "column 'question': no column 'full_text'"),
    ("webgpt", {**WEBGPT, "score_0": math.nan}, Preference, "'score_0' holds nan"),
    (
        "tldr_comparisons",
        {"info": POST, "summaries": [{"text": "x"}], "choice": 0},
        Preference, "'summaries' .* must be a list of two",
    ),
    (
        "tldr_comparisons",
        {"info": POST, "summaries": [{"text": "x"}, {"text": "y"}], "choice": 2},
        Preference, "'choice' holds 2, and must be 0 or 1",
    ),
    ("dpo", {**BINARISED, "score_chosen": 1}, Preference, "must be at least score_rejected"),
    ("tldr", {"prompt": "q"}, Example, "no column 'completion'"),
    ("alpaca", {"instruction": "q", "output": "x", "history": [["a"]]}, Example, "a list of .instruction"),
    ("chat", {"messages": [{"role": "user"}]}, Example, "'messages', item 1: no column 'content'"),
    ("prompt_completion", {"prompt": "q", "completion": [USER]}, Example, "one message of the assistant"),
    ("prompts", {"prompt": ""}, Problem, "a problem is a text"),
    (
        "ultrafeedback",
        {**ULTRA, "completions": [{"response": "x", "overall_score": "N/A"}]},
        Ranking, "'completions', item 1: column 'overall_score' holds 'N/A'",
    ),
    ("summeval", {**SUMMARY, "scores": {}}, Ranking, "'scores' holds {}, and must be numbers by aspect"),
    ("summeval", {"response": "x"}, Ranking, "no column 'article'"),
    ("iclr", {"title": "t", "abstract": "x"}, Review, "no column 'ratings'"),
    ("iclr", {"title": "t", "abstract": "x", "ratings": 5}, Review, "a list of numbers in 1..10"),
    ("iclr", {"title": "t", "abstract": "x", "ratings": [5, 11]}, Review, "'2' holds 11; a rating is in"),
    ("disapere", {"title": "t", "review": "x", "rating": 0}, Review, "'rating' holds 0; a rating is in"),
    ("sst2", {"text": "x", "label": 2}, Preference, "'label' holds 2, and must be 0 .negative. or 1"),
    ("preferences", {**PREFERENCE, "margin": 0.0}, Preference, "'margin' holds 0.0, and must be above 0"),
    ("preferences", {**PREFERENCE, "chosen": [USER, HELLO]}, Preference, "'chosen' .* must be one message"),
    ("examples", {**EXAMPLE, "weight": -1}, Example, "'weight' holds -1, and must be 0 or more"),
    ("problems", {**PROBLEM, "task": "maths"}, Problem, "'task' holds 'maths', and must be one of dialogue"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "row", "kind", "told"), FAULTS)
def test_a_row_that_does_not_fit_is_told_by_file_line_and_column(
    form: str, row: Row, kind: type[Record], told: str, tmp_path: Path
) -> None:
    """Nothing is read around it."""
    with pytest.raises(ConfigError, match=f"rows.jsonl', line 1.*{told}"):
        corpus(tmp_path, row, form=form).read(kind)


def test_every_format_is_tried_here() -> None:
    """A format that nobody reads here has no test."""
    single = {"sharegpt", "ultrafeedback", "summeval", "sst2", "iclr", "disapere", "prompts"}
    tables = {"preferences", "examples", "problems", "turns"}
    assert set(FORMATS) == {row[0] for row in PAIRS} | {row[0] for row in EXAMPLES} | single | tables


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": "q", "completion": "x", "messages": []}, "several forms: .* chat, prompt_completion$"),
        ({"question": "q", "answer": "x"}, "'question', 'answer' fit no form: choose one by data.form="),
        ({"prompt": "q", "completion": "x", "label": False}, "fit no form"),
        ({"chosen": "x", "rejected": "y"}, "fit no form"),
        ({"schema": "arena.step/1", "id": "s"}, "rows of 'arena.step/1' give no records"),
        ({}, "the columns none fit no form"),
    ],
)
def test_what_cannot_be_recognised_is_not_guessed(row: Row, told: str, tmp_path: Path) -> None:
    """The message says what there is to choose from."""
    with pytest.raises(ConfigError, match=told):
        corpus(tmp_path, row).read(Example)


def test_texts_lose_their_frame_alone() -> None:
    """Not the indentation of their first line, nor what looks like a marker."""
    assert [unframed(text) for text in (" x", "\r\n\n x\n", "  x y\n", " \n", "Human: x")] == [
        "x", "x", "  x y", "", "Human: x",
    ]  # fmt: skip


def test_what_only_quotes_a_transcript_is_a_text(tmp_path: Path) -> None:
    """It is not taken apart."""
    quoted = {**PAIR, "prompt": "What does 'Human: hi\n\nAssistant:' mean?"}
    [pair] = corpus(tmp_path, quoted).read(Preference)
    assert said(pair.prompt) == [("user", quoted["prompt"])]


def test_a_sentence_of_a_review_is_begun_and_the_seed_draws_how_far(tmp_path: Path) -> None:
    """Three to six words; one that has no more is counted."""
    path = tmp_path / "films.jsonl"
    rows = [{"text": "a b c d e f g h", "label": 1}, {"text": "one two", "label": 0}]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    corpus = Corpus([str(path)], form="sst2")
    [problem] = corpus.read(Problem)
    begun = problem.question.partition("It begins: ")[2].split()
    assert begun == "a b c d e f g h".split()[: len(begun)] and 3 <= len(begun) <= 6
    assert corpus.skipped == {"too short to be begun": 1}
