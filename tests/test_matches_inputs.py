"""What a match is made of: questions, stored answers joined by id, checkpoints; and what is refused."""

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from matching import Contestant, Hall, asked, found, prefers

from agents import Agent, ConfigError, adapters
from agents.families import SmolLM
from arena.evaluation.match.answers import stored
from arena.evaluation.match.contestants import checkpoints
from arena.evaluation.match.matches import Matches
from arena.evaluation.match.questions import Question, Questions, questions
from rewards.pairwise import Pairwise

DATA = Path(os.environ.get("ARENA_DATA", Path(__file__).parents[2] / "shared" / "data"))
ANN = Contestant("ann")
PAIR = "ann over old"


def seven_of_ten(n: int) -> str:
    """Who is better at a question."""
    return "old" if n % 10 < 7 else "ann"


def written(path: Path, rows: Sequence[Any]) -> str:
    """A file of rows."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def answers(count: int) -> list[dict[str, Any]]:
    """Stored answers to questions by their ids."""
    return [{"question_id": f"v-{i}", "text": f"old on number {i}"} for i in range(count)]


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    """A place to meet."""
    return Hall(tmp_path / "match")


def test_an_id_of_another_question_is_refused(hall: Hall, tmp_path: Path) -> None:
    """Ids recur from set to set: a row that holds its question must hold the one that is asked."""
    rows = [row | {"question": f"Speak of number {i}."} for i, row in enumerate(answers(3))]
    hall.run({"ann": ANN}, asked(3), prefers(seven_of_ten), answers={"old": written(tmp_path / "a", rows)})
    rows[1]["question"] = "What is entropy?"
    other = written(tmp_path / "b.jsonl", rows)
    with pytest.raises(ConfigError, match="line 2: the question 'v-1' was 'What is entropy"):
        Hall(tmp_path / "two").run({"ann": ANN}, asked(3), prefers(seven_of_ten), answers={"old": other})


def test_answers_are_joined_by_id_in_whatever_order(tmp_path: Path) -> None:
    """Position means nothing: shuffled files give the same numbers."""
    rows = answers(20)
    mixed = random.Random(1).sample(rows, len(rows))
    reports = [
        Hall(tmp_path / f"match{i}").run(
            {"ann": ANN},
            asked(20),
            prefers(seven_of_ten),
            answers={"old": written(tmp_path / "old.jsonl", own)},
        )
        for i, own in enumerate((rows, mixed))
    ]
    assert reports[0].results == reports[1].results
    assert found(reports[0], PAIR, "judge").value == pytest.approx(6 / 20)


def test_missing_and_foreign_answers_are_counted(hall: Hall, tmp_path: Path) -> None:
    """And compared nowhere."""
    rows = [*answers(8)[2:], {"question_id": "v-99", "text": "what?"}]
    file = written(tmp_path / "old.jsonl", rows)
    report = hall.run({"ann": ANN}, asked(8), prefers(seven_of_ten), answers={"old": file})
    assert report.counts["not answered by old"] == 2
    assert report.counts["answers of old to other questions"] == 1
    assert report.counts["comparisons"] == 6 and "missing_old" in report.alarms


def test_stored_answers_are_on_record_as_turns(hall: Hall, tmp_path: Path) -> None:
    """An empty one is a failure, not a text; that it loses is no failure of the judge."""
    rows = [*answers(3)[:2], {"question_id": "v-2", "text": " "}]
    file = written(tmp_path / "old.jsonl", rows)
    hall.run({"ann": ANN}, asked(3), prefers(seven_of_ten), answers={"old": file})
    own = [row for row in hall.rows("turns") if row["speaker"] == "old"]
    assert [row["content"] for row in own] == ["old on number 0", "old on number 1", " "]
    assert own[0]["model"] == f"stored in {file}"
    assert {row["what"] for row in hall.rows("failures")} == {"empty_reply"}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([*answers(2), answers(1)[0]], "line 3: a second answer to 'v-0', the first is in .*line 1"),
        (
            [{"question_id": "w-1", "text": "x"}],
            "none of the 1 answers .* they name 'w-1', and the questions here are 'v-0', 'v-1', 'v-2'; mend",
        ),
        ([{"text": "x"}], "line 1 does not say what it answers"),
        ([{"question_id": "v-0", "reply": "x"}], "line 1 has no answer"),
        ([{"question_id": "v-0", "text": ["x", 3]}], "line 1 has no answer"),
    ],
)
def test_answers_that_cannot_be_joined_are_refused(rows: list[Any], told: str, tmp_path: Path) -> None:
    """By file and line."""
    with pytest.raises(ConfigError, match=told):
        stored(written(tmp_path / "old.jsonl", rows), "old", questions(asked(3)))


@pytest.mark.parametrize(
    "row",
    [
        {"id": "v-1", "answer": "x"},
        {"instruction": "Speak of number 1.", "output": "x"},
        {"prompt": "Speak of number 1.", "response": ["x"]},
        {"question_id": "v-1", "answer_id": "z", "choices": [{"index": 0, "turns": ["x"]}]},
    ],
)
def test_answers_come_in_several_forms(row: dict[str, Any], tmp_path: Path) -> None:
    """Ours, AlpacaEval's, FastChat's."""
    old = stored(written(tmp_path / "old.jsonl", [row]), "old", questions(asked(3)))
    assert {id: [reply.text for reply in own] for id, own in old.answers.items()} == {"v-1": ["x"]}


def named(*ids: str) -> list[Question]:
    """Questions with these ids."""
    return questions(
        [Question(**{**vars(one), "id": id}) for one, id in zip(asked(len(ids)), ids, strict=True)]
    )


def test_the_numbers_of_fastchat_are_those_of_its_two_benchmarks(tmp_path: Path) -> None:
    """1 to 80 are Vicuna's questions, 81 to 160 are MT-bench's; a number of another set is a stranger."""
    rows = [{"question_id": i, "choices": [{"index": 0, "turns": [f"to {i}"]}]} for i in (1, 80, 81, 160)]
    asking = named("vicuna_bench-1", "vicuna_bench-80", "vicuna_bench-81", "mt_bench-160", "alpaca_eval-81")
    old = stored(written(tmp_path / "old.jsonl", rows), "old", asking)
    assert {id: own[0].text for id, own in old.answers.items()} == {
        "vicuna_bench-1": "to 1",
        "vicuna_bench-80": "to 80",
        "mt_bench-160": "to 160",
    }
    assert old.strangers == 1
    with pytest.raises(ConfigError, match="they name '1', '80', '81' and 1 more, and the questions here are"):
        stored(written(tmp_path / "old.jsonl", rows), "old", named("alpaca_eval-1", "v-80"))


def test_a_number_that_may_be_two_questions_is_refused(tmp_path: Path) -> None:
    """An id of its own, and FastChat's number of another; and two answers to one question."""
    file = written(tmp_path / "old.jsonl", [{"question_id": 1, "text": "x"}])
    with pytest.raises(ConfigError, match="'1' is the id of one question here and FastChat's .*'vicuna_b"):
        stored(file, "old", named("1", "vicuna_bench-1"))
    assert list(stored(file, "old", named("1")).answers) == ["1"]
    rows = [{"question_id": 1, "text": "x"}, {"question_id": "vicuna_bench-1", "text": "y"}]
    with pytest.raises(ConfigError, match="line 2: a second answer to the question 'vicuna_bench-1'"):
        stored(written(tmp_path / "two.jsonl", rows), "old", named("vicuna_bench-1"))


def test_a_text_of_two_questions_joins_nothing(tmp_path: Path) -> None:
    """Which one was answered is not known."""
    [one] = asked(1)
    twice = questions([one, Question(**{**vars(one), "id": "other"})])
    file = written(tmp_path / "old.jsonl", [{"question": "Speak of number 0.", "answer": "x"}])
    with pytest.raises(ConfigError, match="2 questions here have this text"):
        stored(file, "old", twice)


def test_an_earlier_match_gives_its_answers(hall: Hall, tmp_path: Path) -> None:
    """By the question's id; nobody is asked again, and the numbers are the same."""
    bob = Contestant("bob", lambda n: f"old on number {n}")
    two = asked(6, later=["And of number 50?"])
    first = hall.run({"ann": ANN, "bob": bob}, two, prefers(seven_of_ten))
    again = Hall(tmp_path / "again")
    report = again.run(
        {}, two[::-1], prefers(seven_of_ten), answers={"ann": str(hall.path), "old": f"{hall.path}:bob"}
    )
    assert found(report, PAIR, "judge").value == found(first, "ann over bob", "judge").value
    assert len(again.rows("matches")) == 12
    with pytest.raises(ConfigError, match="has the answers of ann, bob: say whose"):
        stored(str(hall.path), "new", questions(two))
    changed = [Question(**{**vars(q), "prompt": ({"role": "user", "content": "Else?"},)}) for q in two]
    with pytest.raises(ConfigError, match="was 'Speak of number 0.', and is 'Else\\?' here"):
        stored(f"{hall.path}:bob", "old", questions(changed))


def test_a_folder_of_something_else_has_no_questions(tmp_path: Path) -> None:
    """Its answers have no ids to be joined by."""
    with pytest.raises(ConfigError, match="it has no questions"):
        stored(str(tmp_path), "old", questions(asked(2)))


def test_questions_keep_id_turns_and_category(tmp_path: Path) -> None:
    """As MT-bench has them; a row without a category has its task."""
    rows: list[dict[str, Any]] = [
        {"id": 81, "category": "writing", "turns": ["Write.", "Rewrite."], "reference": None},
        {"id": "m-2", "turns": ["Count."]},
    ]
    source = Questions(written(tmp_path / "q.jsonl", rows), shuffle=False)
    one, two = questions(source(2, 0))
    assert (one.id, one.category, one.question, one.later) == ("81", "writing", "Write.", ("Rewrite.",))
    assert (two.id, two.category, two.later, two.turns) == ("m-2", "dialogue", (), 1)
    assert Question.of(json.loads(json.dumps(one.row))) == one


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"id": "a", "turns": ["x"]}, {"id": "a", "turns": ["y"]}], "two questions have the id 'a'"),
        ([{"id": None, "turns": ["x"]}], "column 'id' holds None and must be an id"),
        ([{"turns": ["x"]}], "no column 'id'"),
        ([{"id": "a", "turns": ["x", " "]}], "a turn in column 'turns' is empty"),
    ],
)
def test_questions_that_are_none_are_refused(rows: list[Any], told: str, tmp_path: Path) -> None:
    """Before anybody is asked."""
    with pytest.raises(ConfigError, match=told):
        questions(Questions(written(tmp_path / "q.jsonl", rows))(len(rows), 0))


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not on this machine (ARENA_DATA)")
def test_the_shared_benchmarks_are_read() -> None:
    """Ids, categories, and MT-bench's second turns."""
    folder = DATA / "prompts"
    mt_bench = questions(Questions(str(folder / "mt_bench.jsonl"))(80, 0))
    assert {question.turns for question in mt_bench} == {2} and len({q.category for q in mt_bench}) == 8
    vicuna = Questions(str(DATA / "selfee" / "question.jsonl"), column="text", id="question_id")
    old = stored(str(DATA / "selfee" / "answer" / "chatgpt.jsonl"), "chatgpt", questions(vicuna(80, 0)))
    assert len(old.answers) == 80 and old.strangers == 0
    ours = questions(Questions(str(folder / "vicuna_bench.jsonl"))(80, 0))
    words = {question.id: question.question for question in questions(vicuna(80, 0))}
    assert [words[question.id.rpartition("-")[2]] for question in ours] == [q.question for q in ours]
    assert len(stored(str(DATA / "selfee" / "answer" / "chatgpt.jsonl"), "chatgpt", ours).answers) == 80


def adapter(folder: Path, content: str) -> None:
    """A folder that looks like an adapter."""
    folder.mkdir(parents=True)
    settings = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}
    (folder / adapters.CONFIG).write_text(json.dumps(settings), encoding="utf-8")
    (folder / adapters.TENSORS).write_text(content, encoding="utf-8")


def test_the_checkpoints_of_a_run_are_contestants(hall: Hall, tmp_path: Path) -> None:
    """Each step by its number; the final adapter where it is another."""
    run = tmp_path / "learned"
    for step in (10, 20):
        adapter(run / "checkpoints" / f"step-{step:06d}" / "policy", f"weights of {step}")
    adapter(run / "adapter", "weights of 20")
    assert list(checkpoints(str(run))) == ["learned@10", "learned@20"]
    (run / "adapter" / adapters.TENSORS).write_text("other weights", encoding="utf-8")
    assert list(checkpoints(str(run))) == ["learned@10", "learned@20", "learned"]
    report = hall.run(
        {"ann": ANN},
        asked(3),
        prefers(seven_of_ten),
        checkpoints=[str(run)],
        speaker=lambda folder: Contestant(
            Path(folder).name, lambda n: f"{Path(folder).parent.name} number {n}"
        ),
    )
    assert report.about.startswith(
        "match: ann (ann), learned@10 (policy), learned@20 (policy), learned (adapter)"
    )
    adapter(run / "checkpoints" / "step-000020" / "other", "weights of another seat")
    assert "learned@20/other" in checkpoints(str(run))
    with pytest.raises(ConfigError, match="holds no checkpoints and no adapter"):
        checkpoints(str(tmp_path / "gone"))


def test_a_checkpoint_is_named_by_its_step(tmp_path: Path) -> None:
    """`agents.b.adapter=runs/learned/checkpoints/step-000010`, whatever the seat was called."""
    step = tmp_path / "learned" / "checkpoints" / "step-000010"
    adapter(step / "policy", "weights")
    assert adapters.find(step) == step / "policy"
    adapter(step / "other", "weights")
    with pytest.raises(ConfigError, match="has 2 adapters: name one"):
        adapters.find(step)


def room_of(hall: Hall, seats: dict[str, Agent], **settings: Any) -> None:
    """Begin a match, and fail."""
    hall.run(seats, asked(2), settings.pop("referee", ANN), **settings)


@pytest.mark.parametrize(
    ("seats", "settings", "told"),
    [
        ({"ann": ANN}, {}, "two contestants or more, found ann"),
        ({"ann": ANN, "judge": ANN}, {}, "'judge' is the name of who judges"),
        ({"ann": ANN, "bob": ANN}, {"pairwise": None}, "nobody judges: set evaluation.pairwise"),
        ({"a": SmolLM(), "b": SmolLM()}, {}, "a and b have the same weights, persona, decoding and limit"),
    ],
)
def test_what_makes_no_match_is_refused(
    seats: dict[str, Agent], settings: dict[str, Any], told: str, hall: Hall
) -> None:
    """Before anybody is asked."""
    with pytest.raises(ConfigError, match=told):
        room_of(hall, seats, **settings)
    assert hall.rows("turns") == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"least": 0.0}, r"must be in \(0, 0.5\]"),
        ({"pairwise": None, "stop": True}, "stop=true looks at comparisons"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], told: str) -> None:
    """When they are given."""
    with pytest.raises(ConfigError, match=told):
        Matches(**{"pairwise": Pairwise(), **settings})


def test_stored_answers_alone_need_a_judge_that_is_named(hall: Hall, tmp_path: Path) -> None:
    """There is no first seat to ask."""
    file = written(tmp_path / "old.jsonl", answers(3))
    with pytest.raises(ConfigError, match="nobody is there to judge"):
        room_of(hall, {}, answers={"a": file, "b": file}, referee=None)


def test_two_contestants_of_one_name_are_refused(hall: Hall, tmp_path: Path) -> None:
    """A seat and a file."""
    file = written(tmp_path / "old.jsonl", answers(3))
    with pytest.raises(ConfigError, match="two contestants are called 'ann'"):
        room_of(hall, {"ann": ANN}, answers={"ann": file})
