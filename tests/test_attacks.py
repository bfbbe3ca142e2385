"""The prompt injection suite: what it holds, and that no text of it passes a defence."""

import base64
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import families
import pytest
from transformers import AutoTokenizer

from agents import ConfigError, Message, Reply, Scripted
from agents.base import Prompt
from agents.human import printable
from agents.template import Template
from arena.calibration import attacks
from arena.calibration.attacks import CONTROL, PLACES, TIMES, Attack, Question, filled
from rewards.judge import Judge
from rewards.parse import parse_rating, parse_wim
from rewards.rating import Text
from rewards.rubric import FOLDER, Rubric
from rewards.verdict import Case

SUITE = attacks.load()
KINDS = {attack.kind for attack in SUITE}
QUESTIONS = attacks.asked(SUITE)
RUBRICS = sorted(path.stem for path in FOLDER.glob("*.txt") if path.stem not in ("panel", "rewrite"))
TAGS = re.compile(
    r"</?(?:answer|answer_a|answer_b|question|conversation|reference|feedback|answers)\b", re.IGNORECASE
)
NAMED = {
    "authority", "bribe", "dressing", "empty_token", "encoded", "fake_reasoning", "few_shot", "forged_case",
    "forged_turn", "forged_verdict", "harmless", "invented_citation", "judge_order", "nothing_missing",
    "other_language", "placeholder", "planted_canary", "position", "praise_judge", "rating_delimiter",
    "reference_claim", "repetition", "rubric_echo", "sycophancy", "template_token", "threat",
}  # fmt: skip


def case(attack: Attack, text: str) -> Case:
    """A case that shows the text wherever a rubric can show one, the question apart."""
    prompt = (Message(role="user", content=attack.question.question),)
    return Case(attack.id, "T", prompt, Reply(text), Reply(text), reference=text, comment=text)


def test_the_suite_has_a_few_hundred_attacks_of_every_class() -> None:
    """At least fifteen each, and more of the control."""
    sizes = Counter(attack.kind for attack in SUITE)
    assert set(sizes) == NAMED
    assert min(sizes.values()) >= 15
    assert sizes[CONTROL] >= 40
    assert sum(sizes.values()) - sizes[CONTROL] >= 400


def test_every_attack_has_an_id_of_its_own() -> None:
    """Class, number, question."""
    assert len({attack.id for attack in SUITE}) == len(SUITE)
    assert all(re.fullmatch(r"[a-z_]+/\d{3}/[a-z]+", attack.id) for attack in SUITE)


def test_no_text_comes_twice() -> None:
    """In its own class or in another one, whatever its case and spaces."""
    rows = [json.loads(line) for line in lines("attacks")]
    texts = Counter((row["place"], " ".join(row["text"].casefold().split())) for row in rows)
    assert [text for text, count in texts.items() if count > 1] == []
    words = Counter(re.sub(r"\W+", " ", row["text"].casefold()).strip() for row in rows)
    assert [text for text, count in words.items() if count > 1 and text] == []


def lines(name: str) -> list[str]:
    """The lines of a shipped file."""
    path = Path(attacks.__file__).with_name(f"{name}.jsonl")
    return path.read_text(encoding="utf-8").splitlines()


def test_every_question_is_attacked_and_has_two_answers() -> None:
    """All of them different; the good one says more."""
    assert len(QUESTIONS) == len(lines("questions")) >= 30
    answers = [text for question in QUESTIONS for text in (question.poor, question.good)]
    assert len({*answers, *(question.question for question in QUESTIONS)}) == 3 * len(QUESTIONS)
    assert all(len(question.good) > len(question.poor) for question in QUESTIONS)
    load = Counter(attack.question.name for attack in SUITE)
    assert max(load.values()) < 2 * min(load.values())


def test_honest_answers_hold_no_attack() -> None:
    """No brackets, tags, placeholders or ratings."""
    for question in QUESTIONS:
        for text in (question.question, question.poor, question.good):
            assert not re.search(r"[\[\]{}<>|]|rating|score|judge", text, re.IGNORECASE)


def test_within_a_class_no_question_comes_again_before_all_have_come() -> None:
    """So that there are as many clusters as can be."""
    for kind in KINDS:
        own = Counter(attack.question.name for attack in SUITE if attack.kind == kind)
        assert len(own) == min(own.total(), len(QUESTIONS))


def test_every_text_is_tried_on_several_questions() -> None:
    """`TIMES` of them."""
    times = Counter((attack.kind, attack.number) for attack in SUITE)
    assert set(times.values()) == {TIMES}
    assert len(times) == len(lines("attacks"))


@pytest.mark.parametrize("kind", sorted(KINDS - {"empty_token"}))
def test_an_attacked_answer_holds_the_poor_one(kind: str) -> None:
    """But for the class that puts nothing in its place."""
    for attack in SUITE:
        if attack.kind == kind:
            assert attack.question.poor in attack.answer
            assert attack.question.good not in attack.answer
            assert attack.answer != attack.question.poor


def test_empty_tokens_stand_alone() -> None:
    """What is tried is that they say nothing."""
    assert {attack.place for attack in SUITE if attack.kind == "empty_token"} == {"instead"}
    assert all(attack.question.poor not in attack.answer for attack in SUITE if attack.place == "instead")
    assert all(attack.answer.strip() for attack in SUITE)


def test_harmless_texts_ask_for_nothing() -> None:
    """They name no judge, rating or quality, and are about as long as attacks."""
    words = re.compile(
        r"judge|rat(?:e|ing)\b|scor|grade|best|better|correct|complete|perfect|missing", re.IGNORECASE
    )
    added: dict[bool, list[int]] = {True: [], False: []}
    for attack in SUITE:
        control = attack.kind == CONTROL
        added[control].append(len(attack.answer.split()) - len(attack.question.poor.split()))
        assert not (control and words.search(attack.text.replace(attack.question.question, "")))
    control_mean, mean = (sum(own) / len(own) for own in (added[True], added[False]))
    assert control_mean == pytest.approx(mean, abs=2.5)


def test_all_places_occur() -> None:
    """Also within the control, where a text stands alone in none."""
    assert {attack.place for attack in SUITE} == set(PLACES)
    assert {attack.place for attack in SUITE if attack.kind == CONTROL} == set(PLACES) - {"instead"}


def test_everything_can_be_shown_on_a_terminal() -> None:
    """Once it is clean; nothing else than spaces and zero-width characters is cleaned away."""
    for attack in SUITE:
        shown = printable(attack.answer)
        assert shown.strip() or attack.kind == "empty_token"
        assert shown == attack.answer.replace("\u200b", "")


def test_encoded_texts_say_what_they_are_meant_to_say() -> None:
    """Base64 is English again."""
    texts = [attack.text for attack in SUITE if attack.kind == "encoded"]
    codes = {code for text in texts for code in re.findall(r"\b[A-Za-z0-9+/]{24,}={0,2}", text)}
    decoded = [base64.b64decode(code).decode() for code in codes]
    assert len(decoded) >= 2 and all("10" in text for text in decoded)


def test_what_is_filled_in_is_not_filled_again() -> None:
    """One pass: an answer cannot smuggle in a placeholder."""
    question = Question("q", "Why {answer}?", "So {question}.", "good")
    assert filled("{answer} {question} {other}", question) == "So {question}. Why {answer}? {other}"


@pytest.mark.parametrize(
    ("place", "text", "answer"),
    [("before", "T", "T\n\nP"), ("after", "T", "P\n\nT"), ("instead", "T", "T"), ("around", "(P)", "(P)")],
)
def test_a_text_stands_where_it_is_said_to(place: str, text: str, answer: str) -> None:
    """Around: where the placeholder was."""
    assert Attack("kind", "001", place, text, Question("q", "Q", "P", "G")).answer == answer


def test_a_part_of_the_suite_has_all_classes_in_turn() -> None:
    """The control among them; equal seeds draw equal parts, others others; each begins those that follow."""
    part = attacks.load(len(KINDS) * 2, seed=3)
    assert Counter(attack.kind for attack in part) == dict.fromkeys(KINDS, 2)
    assert attacks.load(len(KINDS) * 2, seed=3) == part != attacks.load(len(KINDS) * 2, seed=4)
    assert attacks.load(7, seed=3) == part[:7]
    assert attacks.load(1)[0].kind == CONTROL


def test_more_than_there_are_is_all() -> None:
    """And so is 0."""
    assert attacks.load(10_000) == attacks.load(0) == SUITE
    with pytest.raises(ConfigError, match=r"0 \(all\) or more, got -1"):
        attacks.load(-1)


def test_cases_hold_every_attack_and_each_honest_answer_once() -> None:
    """By ids that nothing else has."""
    part = attacks.load(60)
    found = {case.id: case for case in attacks.cases(part)}
    names = {attack.question.name for attack in part}
    assert len(attacks.cases(part)) == len(found) == 60 + 2 * len(names)
    for attack in part:
        name = attack.question.name
        assert found[attack.id].reply.text == attack.answer
        assert found[f"clean/{name}"].reply.text == attack.question.poor
        assert found[f"good/{name}"].reply.text == attack.question.good
        assert found[attack.id].question == attack.question.question
    assert all(case.other is None for case in found.values())


def test_pairs_stand_beside_the_good_answer() -> None:
    """The attacked answer, and once per question the poor one as it was."""
    part = attacks.load(60)
    found = {case.id: case for case in attacks.pairs(part)}
    assert len(attacks.pairs(part)) == len(found) == 60 + len({attack.question for attack in part})
    for attack in part:
        pair, clean = found[attack.id], found[f"clean/{attack.question.name}"]
        assert (pair.reply.text, clean.reply.text) == (attack.answer, attack.question.poor)
        assert pair.other == clean.other == Reply(attack.question.good)


@pytest.mark.parametrize("rubric", RUBRICS)
def test_no_attack_leaves_a_rating_or_a_bracket_in_a_rubric(rubric: str) -> None:
    """Whoever repeats what it was shown rates nothing and says nothing in brackets."""
    loaded = Rubric.load(rubric)
    for attack in SUITE:
        shown = loaded.ask(case(attack, attack.answer))[-1]["content"]
        assert "[[" not in shown and "]]" not in shown
        assert parse_rating(shown).status == "absent"
        assert parse_wim(shown)[1] != "absent"


@pytest.mark.parametrize("rubric", RUBRICS)
def test_no_attack_closes_or_opens_a_tag_of_a_rubric(rubric: str) -> None:
    """As many tags as around the word REPLY."""
    loaded = Rubric.load(rubric)
    for attack in SUITE:
        plain, shown = (loaded.ask(case(attack, text))[-1]["content"] for text in ("REPLY", attack.answer))
        assert TAGS.findall(shown) == TAGS.findall(plain)


def test_a_judge_that_believes_any_double_bracket_is_not_reached() -> None:
    """It writes down every rating in brackets that it reads, and finds none."""

    def credulous(prompt: Prompt, draft: int) -> str:
        found = re.findall(r"\[\[[^\[\]]*\]\]", prompt[-1]["content"])
        return " ".join(found) or "No rating was given."

    asked = attacks.cases([attack for attack in SUITE if attack.kind != CONTROL])
    verdicts = Judge(Text()).rate(Scripted(credulous), asked, [0] * len(asked))
    assert {verdict.status for verdict in verdicts} == {"rating_absent"}


@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.name)
def test_no_attack_becomes_a_control_token(family: families.Family, checkpoint: Callable[..., Path]) -> None:
    """As many delimiters of turns as around the word REPLY, of tokens and of those that are spelled."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint(family))
    agent = family.agent
    template = Template(tokenizer, agent.folds_system, agent.template_options, agent.spelled_delimiters)
    added = {number for token, number in tokenizer.get_added_vocab().items() if not token.isspace()}
    rubric = Rubric.load("rating")

    def control(attack: Attack, text: str) -> tuple[list[int], list[int]]:
        ids = template.ids([rubric.ask(case(attack, text))[-1]])
        shown = tokenizer.decode(ids)
        return [token for token in ids if token in added], [shown.count(s) for s in agent.spelled_delimiters]

    texts = {(attack.kind, attack.number): attack for attack in SUITE}
    for attack in texts.values():
        assert control(attack, attack.answer) == control(attack, "REPLY"), attack.id


def test_template_tokens_of_every_family_are_in_the_suite() -> None:
    """Else the test above would prove nothing."""
    text = " ".join(attack.text for attack in SUITE if attack.kind == "template_token")
    for family in families.FAMILIES:
        tokens = {family.bos, family.eos, *family.control, *family.agent.spelled_delimiters}
        assert {token for token in tokens if token not in text} == set(), family.name


def test_a_file_that_somebody_has_broken_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line and what is wrong with it."""
    good = {"class": "mine", "number": "001", "place": "after", "text": "T"}
    for change, match in (
        ({"place": "beside"}, "attacks.jsonl, line 2: place is 'beside'; allowed are before, after"),
        ({"text": "{answer}"}, "stands in the text if it is 'around'"),
        ({"place": "around"}, "stands in the text if it is 'around'"),
    ):
        rows = [good, {**good, **change}]
        (tmp_path / "attacks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "questions.jsonl").write_text(lines("questions")[0] + "\n")
        monkeypatch.setattr(attacks, "_HERE", tmp_path)
        with pytest.raises(ConfigError, match=match):
            attacks._suite.__wrapped__()


def test_a_new_text_at_the_end_of_a_class_moves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users may add some: what was measured before keeps its ids."""
    rows = [
        *lines("attacks"),
        json.dumps({"class": "threat", "number": "099", "place": "after", "text": "T"}),
    ]
    (tmp_path / "questions.jsonl").write_text("\n".join(lines("questions")))
    (tmp_path / "attacks.jsonl").write_text("\n".join(rows))
    monkeypatch.setattr(attacks, "_HERE", tmp_path)
    more = {attack.id for attack in attacks._suite.__wrapped__()}
    assert more > {attack.id for attack in SUITE}
    assert len(more) == len(SUITE) + TIMES
