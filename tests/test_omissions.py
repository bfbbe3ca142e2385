"""Planted omissions: the items, and judges of which it is known what they see."""

import json
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agents import ConfigError, Scripted
from agents.base import Prompt
from arena.calibration import omissions
from arena.calibration.omissions import FILLER, KEY, Check, Omission, compared, named, rated
from arena.calibration.study import Study
from rewards.judge import Judge
from rewards.pairwise import Comparison, Pairwise
from rewards.rating import Length, Random
from rewards.verdict import Case, Verdict
from rewards.wim import Embedder, Wim

ITEMS = omissions.load()
BY_ID = {item.id(lost): (item, lost) for item in ITEMS for lost in ("whole", KEY, FILLER)}


def test_there_are_many_items_and_each_has_its_own_name_question_and_answer() -> None:
    """At least sixty."""
    assert len(ITEMS) >= 60
    assert len({item.name for item in ITEMS}) == len(ITEMS)
    assert len({item.question for item in ITEMS}) == len({item.whole for item in ITEMS}) == len(ITEMS)
    assert all(re.fullmatch(r"[a-z0-9]+", item.name) for item in ITEMS)


def test_no_sentence_stands_in_two_answers() -> None:
    """Nor twice in one; each is one sentence, three to six of them an answer."""
    sentences = [sentence for item in ITEMS for sentence in item.sentences]
    assert len(set(sentences)) == len(sentences)
    assert all(re.fullmatch(r"[A-Z].*\.", sentence) for sentence in sentences)
    assert all(not re.search(r"\.\s+[A-Z]", sentence) for sentence in sentences)
    assert all(3 <= len(item.sentences) <= 6 for item in ITEMS)
    assert all(sentence.isascii() and sentence.isprintable() for sentence in sentences)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)
def test_a_cut_loses_its_sentence_and_nothing_else(item: Omission) -> None:
    """Putting the sentence back gives the complete answer."""
    for lost, place in ((KEY, item.key), (FILLER, item.filler)):
        rest = [sentence for i, sentence in enumerate(item.sentences) if i != place]
        assert item.without(lost) == " ".join(rest)
        assert item.sentences[place] not in item.without(lost)
        assert all(sentence in item.without(lost) for sentence in rest)
    assert len({item.whole, item.without(KEY), item.without(FILLER)}) == 3


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)
def test_the_filler_is_as_long_as_the_key_fact(item: Omission) -> None:
    """Within three words and a dozen letters: a judge of length cannot tell the cuts apart."""
    key, filler = item.sentences[item.key], item.sentences[item.filler]
    assert abs(len(key.split()) - len(filler.split())) <= 3
    assert abs(len(key) - len(filler)) <= 13


def test_on_the_whole_neither_cut_is_shorter_or_earlier() -> None:
    """Fillers come before and after the key fact, and are as long on average."""
    letters = [len(item.sentences[item.key]) - len(item.sentences[item.filler]) for item in ITEMS]
    assert abs(np.mean(letters)) < 3
    words = [
        len(item.sentences[item.key].split()) - len(item.sentences[item.filler].split()) for item in ITEMS
    ]
    assert abs(np.mean(words)) < 1
    earlier = sum(item.key < item.filler for item in ITEMS) / len(ITEMS)
    assert 0.35 < earlier < 0.65


def test_a_part_is_drawn_by_the_seed() -> None:
    """0, and more than there are, is all."""
    assert omissions.load(5, 1) == omissions.load(5, 1) != omissions.load(5, 2)
    assert set(omissions.load(5, 1)) < set(ITEMS)
    assert omissions.load(0) == omissions.load(1000) == ITEMS
    with pytest.raises(ConfigError, match=r"0 \(all\) or more, got -2"):
        omissions.load(-2)


def test_cases_are_the_answer_and_both_cuts() -> None:
    """By ids of their own, each to its question."""
    found = {case.id: case for case in omissions.cases(ITEMS)}
    assert found.keys() == BY_ID.keys() and len(omissions.cases(ITEMS)) == 3 * len(ITEMS)
    for id, (item, lost) in BY_ID.items():
        assert found[id].reply.text == (item.whole if lost == "whole" else item.without(lost))
        assert found[id].question == item.question


def test_pairs_are_the_answer_beside_each_cut() -> None:
    """By the id of the cut, the complete answer about which the judge is asked."""
    found = {case.id: case for case in omissions.pairs(ITEMS)}
    assert len(found) == 2 * len(ITEMS)
    for id, case in found.items():
        item, lost = BY_ID[id]
        assert case.reply.text == item.whole
        assert case.other is not None and case.other.text == item.without(lost)


def judged(judge: Judge) -> dict[str, Verdict]:
    """What a judge that needs no agent says of all cases."""
    asked = omissions.cases(ITEMS)
    return {found.id: found for found in judge.rate(Scripted([""]), asked, [0] * len(asked))}


def by_case(rating: Callable[[Case], float | None]) -> dict[str, Verdict]:
    """Verdicts on all cases by a function; None abstains."""
    return {
        case.id: Verdict(case.id, "j", rating=value, reward=value, scale="rating")
        for case in omissions.cases(ITEMS)
        for value in [rating(case)]
    }


def shares(check: Check) -> tuple[float, float, float]:
    """Wins over the cut without the key fact, over that without filler, and the difference."""
    key, filler = check.findings()
    assert key.found and filler.found and key.difference
    assert key.difference.value == pytest.approx(key.found.value - filler.found.value)
    return key.found.value, filler.found.value, key.difference.value


def knows_facts(case: Case) -> float:
    """A rating that falls only if the key fact is not there."""
    item, _ = BY_ID[case.id]
    return 9.0 if item.sentences[item.key] in case.reply.text else 5.0


def test_a_judge_of_length_sees_both_cuts_and_so_no_fact() -> None:
    """It wins everything, and the difference is 0 with room on both sides."""
    check = rated("longer", ITEMS, judged(Judge(Length())))
    assert shares(check) == (1.0, 1.0, 0.0)
    difference = check.findings()[0].difference
    assert difference is not None and difference.low < 0 < difference.high


def test_a_judge_that_knows_the_facts_sees_only_their_loss() -> None:
    """A tie with the answer that has lost the filler is a half."""
    check = rated("knows", ITEMS, by_case(knows_facts))
    assert shares(check) == (1.0, 0.5, 0.5)
    difference = check.findings()[0].difference
    assert difference is not None and difference.sign == 1 and difference.clusters == len(ITEMS)


def test_a_judge_that_likes_what_is_short_loses_both() -> None:
    """Shares of 0."""
    assert shares(rated("shorter", ITEMS, by_case(lambda case: -float(len(case.reply.text))))) == (0, 0, 0)


def test_a_random_judge_sees_nothing() -> None:
    """Its interval holds 0."""
    check = rated("random", ITEMS, judged(Judge(Random())))
    difference = check.findings()[0].difference
    assert difference is not None and difference.low < 0 < difference.high


def test_rewards_within_the_margin_are_a_tie() -> None:
    """Four points apart."""
    found = by_case(knows_facts)
    assert shares(rated("j", ITEMS, found, tie_margin=4.0)) == (0.5, 0.5, 0.0)
    assert shares(rated("j", ITEMS, found, tie_margin=3.9)) == (1.0, 0.5, 0.5)


def test_an_abstention_is_no_tie() -> None:
    """The item is left out of both shares, and counted; so is one whose rewards cannot be compared."""
    first, second, third = ITEMS[:3]
    found = by_case(lambda case: None if case.id == first.id(FILLER) else knows_facts(case))
    found[second.id()] = Verdict(second.id(), "j", rating=9.0, reward=9.0, scale="other")
    del found[third.id(KEY)]
    check = rated("j", ITEMS, found)
    assert check.counts == {"omissions": len(ITEMS) - 3, "omissions abstained": 3}
    assert not {first.name, second.name, third.name} & check.scores.keys()
    assert shares(check) == (1.0, 0.5, 0.5)


def test_without_a_verdict_there_is_no_number() -> None:
    """None, and not a half."""
    check = rated("j", ITEMS, {})
    assert [(row.found, row.difference) for row in check.findings()] == [(None, None)] * 2
    assert check.counts == {"omissions": 0, "omissions abstained": len(ITEMS)}


@pytest.mark.parametrize(
    ("status", "score"), [("about", 1.0), ("other", 0.0), ("tie", 0.5), ("flipped", 0.5), ("absent", None)]
)
def test_what_a_comparison_counts(status: str, score: float | None) -> None:
    """A preference that flips says as little as a tie; what cannot be read says nothing."""
    item = ITEMS[0]
    found = {item.id(KEY): Comparison("", status), item.id(FILLER): Comparison("", "tie")}
    check = compared("j", [item], found)
    assert check.scores == ({} if score is None else {item.name: (score, 0.5)})
    assert check.abstained == (score is None)


def test_a_pairwise_judge_that_knows_the_facts_is_found() -> None:
    """Asked with the shipped rubric, in both orders."""
    facts = {item.sentences[item.key] for item in ITEMS}

    def judge(prompt: Prompt, draft: int) -> str:
        places = prompt[-1]["content"].partition("</answer_a>")
        first, second = (any(fact in places[place] for fact in facts) for place in (0, 2))
        return "Better: C" if first == second else f"Better: {'A' if first else 'B'}"

    asked = omissions.pairs(ITEMS)
    said = Pairwise()(Scripted(judge), asked, [0] * len(asked), ["compare_qa"] * len(asked))
    assert shares(compared("j", ITEMS, {one.about: one for one in said})) == (1.0, 0.5, 0.5)


def words(texts: Sequence[str]) -> NDArray[np.float32]:
    """Bags of words as embeddings of unit length."""
    counts = np.zeros((len(texts), 4096), np.float32)
    for row, text in zip(counts, texts, strict=True):
        for word in text.split():
            row[zlib.crc32(word.encode()) % 4096] += 1
    return np.asarray(counts / np.linalg.norm(counts, axis=1, keepdims=True), np.float32)


def wims(text: Callable[[Omission, str], str]) -> dict[str, Verdict]:
    """Verdicts that say that this is missing; `""` says nothing."""
    return {
        id: Verdict(id, "j", wim=said, wim_status="ok" if said else "nothing_missing")
        for id, (item, lost) in BY_ID.items()
        for said in [text(item, lost)]
    }


def test_a_judge_that_names_the_missing_fact_is_found() -> None:
    """It names the fact where it is missing, and something else where it is not."""
    found = wims(lambda item, lost: item.sentences[item.key] if lost == KEY else "an example of it")
    near, again, silent = named("j", ITEMS, found, words)
    for row in (near, again):
        assert row.found is not None and row.found.value == pytest.approx(1.0)
        assert row.difference is not None and row.difference.sign == 1
    assert silent.found is not None and silent.found.value == 0.0


def test_a_judge_that_says_the_same_of_every_answer_names_nothing() -> None:
    """It may be near to the fact, but no nearer where the fact is missing."""
    near, again, _ = named("j", ITEMS, wims(lambda item, lost: item.sentences[item.key]), words)
    assert near.difference is not None and near.difference.sign == 1
    assert again.difference is not None and again.difference.value == pytest.approx(0.0)
    assert again.difference.low < 0 < again.difference.high


def test_a_judge_to_which_nothing_is_ever_missing_is_found() -> None:
    """It says so of the cut as of the whole."""
    near, again, silent = named("j", ITEMS, wims(lambda item, lost: ""), words)
    assert near.found is again.found is None
    assert silent.found is not None and silent.found.value == 1.0
    assert silent.difference is not None and silent.difference.value == 0.0


def test_a_judge_that_is_content_with_the_complete_answer_alone_is_found() -> None:
    """It misses something in every cut, so the difference is -1."""
    found = wims(lambda item, lost: "" if lost == "whole" else item.sentences[item.key])
    near, again, silent = named("j", ITEMS, found, words)
    assert near.found is not None and again.found is None
    assert silent.difference is not None and silent.difference.value == -1.0


def test_a_judge_that_is_not_asked_what_is_missing_has_no_such_rows() -> None:
    """None at all."""
    assert named("j", ITEMS, judged(Judge(Length())), words) == []


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"key": 1}, "key is 1 and filler 1"),
        ({"key": 3}, "key is 3 and filler 1; both are places from 0 to 2"),
        ({"key": "0"}, "sentences is a list, key and filler are places"),
        ({"sentences": "A. B."}, "sentences is a list"),
    ],
)
def test_a_broken_line_is_refused(
    change: dict[str, object], match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its number."""
    row = {"name": "x", "question": "Q?", "sentences": ["A.", "B.", "C."], "key": 0, "filler": 1, **change}
    path = tmp_path / "omissions.jsonl"
    path.write_text(json.dumps(row) + "\n")
    monkeypatch.setattr(omissions, "_FILE", path)
    with pytest.raises(ConfigError, match=f"omissions.jsonl, line 1: {match}"):
        omissions._shipped.__wrapped__()


@pytest.mark.parametrize("asks", [True, False])
def test_a_measurement_says_whether_the_missing_fact_is_named(asks: bool) -> None:
    """Where the judge is asked what is missing; a judge that only rates has no such rows."""

    class Given:
        """Stands in for the judge and its words on record."""

        seed = 0
        judge = Judge(Length(), Wim(Words()) if asks else None)

        def verdicts(self, cases: object, what: str) -> dict[str, Verdict]:
            """A judge that names what was taken out."""
            return wims(lambda item, lost: item.sentences[item.key] if lost == KEY else "an example of it")

    found = Study(Given(), parts=["omissions"], most=12)()  # type: ignore[arg-type]
    assert len(found.named) == (3 if asks else 0)
    assert all(row in found.findings for row in found.named)


class Words(Embedder):
    """Bags of words in place of a model."""

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors."""
        return words(texts)
