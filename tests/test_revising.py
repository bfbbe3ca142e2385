"""Revising: stopping, enforcing, panels, and what chains teach."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from feedback_seats import Seat, last, of, works

from agents import ConfigError
from agents.base import Prompt
from agents.dialogue import Message, Reply
from arena.feedback.chain import Chain, example
from arena.feedback.events import Event, Feedback, Given, Made, Preferred, Rated
from arena.feedback.floor import Floor, Said
from arena.feedback.judging import Judging, judge_chains
from arena.feedback.revising import Revising, revise
from rewards.judge import Judge
from rewards.pairwise import Pairwise
from rewards.rating import Length, Pattern

NEEDED = "It lacks a number. Score: 6. Revision is needed."
PROMPT = (Message(role="user", content="question 0"),)
ENOUGH = "It says all there is. Score: 10. Revision is not needed."


def author(feedback: Callable[[str], str], revision: Callable[[int], str] = "revision {}".format) -> Seat:
    """Answers, comments on what it sees by `feedback(answer)`, and revises."""

    def say(prompt: Prompt, seed: int) -> str:
        asked = last(prompt)
        if "<answer>" in asked:
            return feedback(asked.partition("<answer>")[2].partition("</answer>")[0].strip())
        if prompt[-1]["role"] == "user" and len(prompt) == 1:
            return f"answer to {asked}"
        return revision(sum(message["role"] == "assistant" for message in prompt))

    return Seat(say)


def revising(
    comment: Callable[[str], str], seats: Mapping[str, Seat] | None = None, **settings: Any
) -> Revising:
    """One author on itself."""
    return Revising(Floor(seats or {"ada": author(comment)}), **settings)


def run(plan: Revising, count: int = 2, **of_works: Any) -> tuple[list[Event], list[Chain]]:
    """The events and the chains."""
    events: list[Event] = []
    generator = revise(plan, works(count, **of_works))
    while True:
        try:
            events.append(next(generator))
        except StopIteration as stop:
            return events, stop.value


def test_a_chain_stops_when_no_revision_is_needed() -> None:
    """After the second revision."""
    events, chains = run(revising(lambda answer: ENOUGH if answer == "revision 2" else NEEDED, maximum=5))
    assert [(chain.revisions, chain.end) for chain in chains] == [(2, "stopped")] * 2
    assert [given.feedback.outcome for given in of(Given, events)] == [
        "revised", "revised", "revised", "revised", "stopped", "stopped",
    ]  # fmt: skip
    assert [turn.id for said in of(Said, events) for turn in said.turns if turn.id.startswith("d0000")] == [
        f"d0000.{number:02d}a" for number in range(6)
    ]


def test_a_chain_ends_at_the_maximum() -> None:
    """It is never satisfied."""
    _, chains = run(revising(lambda answer: NEEDED, maximum=3))
    assert [(chain.revisions, chain.end, len(chain.comments)) for chain in chains] == [(3, "limit", 3)] * 2


@pytest.mark.parametrize("minimum", [1, 2, 3])
def test_enforced_revisions_are_exactly_as_many_as_asked_for(minimum: int) -> None:
    """A "not needed" before that is overruled, on record as it was said, and shown as acted on."""
    plan = revising(lambda answer: ENOUGH, minimum=minimum, maximum=3)
    events, chains = run(plan, 4)
    assert [chain.revisions for chain in chains] == [minimum] * 4
    overruled = [given.feedback for given in of(Given, events) if given.feedback.overruled]
    assert len(overruled) == 4 * minimum and {feedback.status for feedback in overruled} == {"not_needed"}
    shown = [last(prompt) for prompt in plan.floor.seats["ada"].heard if len(prompt) > 1]  # type: ignore[attr-defined]
    told = [text for text in shown if "<answer>" not in text]
    assert told and all("Revision is needed." in text and "not needed" not in text for text in told)
    said = {turn.id: turn.text for event in of(Said, events) for turn in event.turns}
    assert all(said[feedback.comment] == ENOUGH for feedback in overruled)


def test_enforced_revisions_that_fail_say_why() -> None:
    """The author repeats itself, whatever it is asked: three tries, then an end with its reason."""
    plan = revising(lambda answer: ENOUGH, minimum=2, maximum=2)
    plan.floor.seats["ada"].say = lambda prompt, seed: (  # type: ignore[attr-defined]
        ENOUGH if "<answer>" in last(prompt) else "the same words"
    )
    events, [chain] = run(plan, 1)
    assert (chain.revisions, chain.end) == (0, "unchanged")
    assert [given.feedback.outcome for given in of(Given, events)] == ["unchanged"]
    assert [turn.id for said in of(Said, events) for turn in said.turns] == [
        "d0000.00a", "d0000.01a", "d0000.02a", "d0000.02b", "d0000.02c",
    ]  # fmt: skip


def test_a_second_try_has_a_seed_of_its_own_and_is_taken() -> None:
    """The first revision is empty, the next one is not."""
    seeds: dict[int, None] = {}

    def say(prompt: Prompt, seed: int) -> str:
        if "<answer>" in last(prompt):
            return NEEDED
        if len(prompt) == 1:
            return "answer"
        seeds[seed] = None
        return "" if len(seeds) == 1 else "better"

    _, [chain] = run(revising(lambda answer: "", {"ada": Seat(say)}, maximum=1), 1)
    assert chain.revisions == 1 and chain.last.turn.id == "d0000.02b" and len(seeds) == 2


@pytest.mark.parametrize(("unclear", "end", "revisions"), [("revise", "limit", 2), ("stop", "unclear", 0)])
def test_feedback_without_a_verdict_is_acted_on_as_the_setting_says(
    unclear: str, end: str, revisions: int
) -> None:
    """And its status is on record either way; a required revision is made in any case."""
    events, [chain] = run(revising(lambda answer: "Add a number.", unclear=unclear, maximum=2), 1)
    assert (chain.end, chain.revisions) == (end, revisions)
    assert {given.feedback.status for given in of(Given, events)} == {"absent"}
    _, [forced] = run(revising(lambda answer: "Add a number.", unclear="stop", minimum=1, maximum=2), 1)
    assert forced.revisions == 1


def test_a_verdict_that_the_token_limit_cut_off_is_not_taken_for_one() -> None:
    """Its status says so."""
    seat = author(lambda answer: "")
    say = seat.say
    seat.say = lambda prompt, seed: (
        Reply("It lacks a number and", "length", (1,)) if "<answer>" in last(prompt) else say(prompt, seed)
    )
    events, _ = run(revising(lambda answer: "", {"ada": seat}, maximum=1), 1)
    assert [given.feedback.status for given in of(Given, events)] == ["cut_off"]


def test_a_teacher_gives_the_feedback_where_there_is_one() -> None:
    """The author never comments on itself; the teacher knows the reference."""
    teacher = author(lambda answer: ENOUGH if "revision" in answer else NEEDED)
    ada = author(lambda answer: "never asked")
    plan = revising(
        lambda answer: "", {"ada": ada, "teacher": teacher}, feedback="teacher", rubric="feedback_gold"
    )
    events, chains = run(plan, 2, reference="forty-two")
    assert [chain.end for chain in chains] == ["stopped", "stopped"]
    assert all("<answer>" not in last(prompt) for prompt in ada.heard)
    assert all("forty-two" in " ".join(m["content"] for m in prompt) for prompt in teacher.heard)
    assert {given.feedback.by for given in of(Given, events)} == {"teacher"}


def test_feedback_that_gives_the_reference_away_ends_its_chain() -> None:
    """The author is not shown it, and nothing is learned from it."""
    teacher = author(lambda answer: f"It is forty-two. {NEEDED}")
    plan = revising(
        lambda answer: "",
        {"ada": author(lambda answer: ""), "teacher": teacher},
        feedback="teacher",
        rubric="feedback_gold",
    )
    events, [chain] = run(plan, 1, reference="Forty-Two")
    assert (chain.end, chain.revisions) == ("revealed", 0) and example(chain, PROMPT) is None
    assert [given.feedback.outcome for given in of(Given, events)] == ["revealed"]


def test_a_teacher_that_is_down_ends_its_chains_with_the_reason() -> None:
    """Within its patience; the answers are kept."""
    teacher = author(lambda answer: NEEDED)
    teacher.down = True
    plan = revising(
        lambda answer: "", {"ada": author(lambda answer: ""), "teacher": teacher}, feedback="teacher"
    )
    events, chains = run(plan, 3)
    assert [chain.end for chain in chains] == ["no_reply"] * 3
    assert {given.feedback.status for given in of(Given, events)} == {"no_reply"}


def panel(maximum: int = 2) -> Revising:
    """Three experts."""

    def expert(name: str) -> Seat:
        def say(prompt: Prompt, seed: int) -> str:
            return f"{name} " * (1 + sum(message["role"] == "assistant" for message in prompt))

        return Seat(say)

    return Revising(
        Floor({name: expert(name) for name in ("ada", "bob", "eve")}),
        feedback="peers",
        rewrite="panel",
        maximum=maximum,
    )


def test_a_panel_reads_the_others_answers_of_the_round_before() -> None:
    """Three seats, two rounds; nobody sees an answer of its own round, or its own as another's."""
    plan = panel()
    events, chains = run(plan, 1)
    assert [(chain.seat, chain.revisions) for chain in chains] == [("ada", 2), ("bob", 2), ("eve", 2)]
    assert [turn.id for said in of(Said, events) for turn in said.turns] == [
        f"d0000.{number:02d}a" for number in range(9)
    ]
    [first, second] = [prompt for prompt in plan.floor.seats["bob"].heard if len(prompt) > 1]  # type: ignore[attr-defined]
    assert "ada: ada" in last(first) and "eve: eve" in last(first) and "bob" not in last(first)
    assert "ada: ada ada" in last(second) and "ada ada ada" not in last(second)


def test_the_judge_of_a_panel_prefers_the_best_last_answer() -> None:
    """The longest one; it becomes an example."""
    plan = panel(1)
    plan.floor.seats["eve"].say = lambda prompt, seed: "eve " * (2 + len(prompt))  # type: ignore[attr-defined]
    _, chains = run(plan, 2)
    events = list(judge_chains(Judging(plan, Judge(Length(), agent=plan.floor.seats["ada"])), chains))
    assert [pair.speaker for pair in of(Preferred, events) if pair.preference.kind == "panel"] == ["eve"] * 2
    assert [made.example.completion for made in of(Made, events)] == ["eve eve eve eve eve"] * 2


def test_preferences_need_the_judges_agreement() -> None:
    """Longer is better for this judge, and the first revision is as long as the answer."""
    texts = iter(["one two three four", "one two three four five six"])
    plan = revising(
        lambda answer: NEEDED, {"ada": author(lambda a: NEEDED, lambda n: next(texts))}, maximum=2
    )
    _, chains = run(plan, 1)
    events = list(judge_chains(Judging(plan, Judge(Length())), chains))
    pairs = [(p.preference.chosen_id, p.preference.rejected_id) for p in of(Preferred, events)]
    assert pairs == [("d0000.04a", "d0000.02a"), ("d0000.04a", "d0000.00a")]
    shorter = Judge(Pattern("^answer"))
    assert of(Preferred, list(judge_chains(Judging(plan, shorter), chains))) == []


def test_all_versions_are_rated_and_the_last_is_compared_with_the_first() -> None:
    """Both orders, by whoever judges; a record of it is not asked for again."""
    plan = revising(lambda answer: NEEDED, maximum=2)
    _, chains = run(plan, 2)
    seat = plan.floor.seats["ada"]
    seat.reads_labels = True  # type: ignore[misc]
    seat.labels = lambda prompt: {"A": 0.5, "B": 0.5}  # type: ignore[attr-defined]
    judging = Judging(plan, Judge(Length()), Pairwise())
    events = list(judge_chains(judging, chains))
    assert sum(len(rated.verdicts) for rated in of(Rated, events)) == 2 * 3
    compared = [given.feedback for given in of(Given, events)]
    assert [feedback.kind for feedback in compared] == ["comparison"] * 2
    known: dict[str, Feedback] = {feedback.id: feedback for feedback in compared}
    seat.labels = None  # type: ignore[attr-defined]
    again = list(judge_chains(Judging(plan, Judge(Length()), Pairwise(), compared=known), chains))
    assert [given.feedback for given in of(Given, again)] == compared


def test_an_example_holds_answer_feedback_and_revisions() -> None:
    """In SelFee's form; the last feedback is there if it ended the chain."""
    _, [chain] = run(revising(lambda answer: ENOUGH if "revision" in answer else NEEDED), 1)
    made = example(chain, PROMPT)
    assert made and made.revisions == 1
    assert made.completion.split("\n\n") == [
        "answer to question 0",
        f"### Feedback 1:\n{NEEDED}",
        "### Revision 1:\nrevision 1",
        f"### Feedback 2:\n{ENOUGH}",
    ]
    alone = example(chain, PROMPT, "last")
    assert alone and alone.completion == "revision 1" and alone.prompt == PROMPT


def test_an_example_cannot_be_forged_by_what_is_said() -> None:
    """A heading in a text is no heading of ours."""
    forged = "words\n### Feedback 2:\nRevision is not needed."
    seat = author(lambda answer: NEEDED, lambda number: forged)
    _, [chain] = run(revising(lambda answer: "", {"ada": seat}, maximum=1), 1)
    made = example(chain, PROMPT)
    assert made and made.completion.count("### Feedback") == 1


def test_no_example_teaches_an_unclear_verdict_or_a_text_that_was_cut() -> None:
    """The ancestors' data has 8 to 10 % feedback without a verdict."""
    _, [unclear] = run(revising(lambda answer: "Add a number.", maximum=1), 1)
    assert example(unclear, PROMPT) is None
    cut = Seat(lambda prompt, seed: Reply("words", "length", (1,)))
    _, [chain] = run(revising(lambda answer: "", {"ada": cut}, maximum=0), 1)
    assert example(chain, PROMPT) is None


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"feedback": "nobody"}, "feedback='nobody' is not known; allowed are self, teacher, peers"),
        ({"unclear": "ask"}, "unclear='ask' is not known; allowed are revise, stop"),
        ({"minimum": 4}, "min_revisions must be between 0 and max_revisions=3, got 4"),
        ({"attempts": 0}, "attempts must be at least 1"),
        ({"rewrite": "panel"}, "panel.txt has the placeholders"),
        ({"rubric": "feedback_gold"}, "shows the correct answer to whoever gives feedback"),
        ({"seats": {"ada": Seat(str), "teacher": Seat(str)}}, "there is a teacher, but feedback=self"),
        ({"feedback": "teacher"}, "feedback=teacher, and there is none: seat one by agent@teacher=NAME"),
        ({"feedback": "peers"}, "seat two authors or more"),
        ({"seats": {"teacher": Seat(lambda p, s: "")}}, "nobody answers"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], found: str) -> None:
    """With what to do."""
    with pytest.raises(ConfigError, match=found):
        revising(lambda answer: "", **settings)


def test_a_panel_of_different_models_needs_one_judge() -> None:
    """Ratings of different judges are on no one scale."""
    with pytest.raises(ConfigError, match="set one judge for all"):
        Judging(panel(1), Judge(Length()))


def test_feedback_may_name_a_score_that_is_the_reference_and_what_it_need_not_mend() -> None:
    """Only what is revealed to an author that goes on counts."""
    teacher = author(lambda answer: "It lacks a unit. Score: 3. Revision is needed.")
    ada = author(lambda answer: "")
    plan = revising(
        lambda answer: "",
        {"ada": ada, "teacher": teacher},
        feedback="teacher",
        rubric="feedback_gold",
        maximum=1,
    )
    assert [chain.end for chain in run(plan, 1, reference="3")[1]] == ["limit"]
    praise = author(lambda answer: "Yes, 1,000 it is. Score: 10. Revision is not needed.")
    plan = revising(
        lambda answer: "", {"ada": ada, "teacher": praise}, feedback="teacher", rubric="feedback_gold"
    )
    assert [chain.end for chain in run(plan, 1, reference="1000")[1]] == ["stopped"]


def test_no_example_comes_of_a_chain_that_did_not_end_well() -> None:
    """The author repeated itself after "revision is needed": a bare answer would teach the contrary."""
    seat = author(lambda answer: NEEDED, lambda number: "answer to question 0")
    _, [chain] = run(revising(lambda answer: "", {"ada": seat}), 1)
    assert chain.end == "unchanged" and example(chain, PROMPT) is None


def test_a_judge_is_shown_what_counts_as_said() -> None:
    """Without "Here is the improved answer", which is on record alone; so is whoever gives feedback."""
    seen: list[str] = []

    def comment(answer: str) -> str:
        seen.append(answer)
        return NEEDED

    seat = author(comment, lambda number: f"Here is the improved answer:\n\nwords of round {number}")
    plan = revising(comment, {"ada": seat}, maximum=2)
    _, [chain] = run(plan, 1)
    assert seen == ["answer to question 0", "words of round 1"]
    assert chain.case(chain.last).reply.text == "words of round 2" and chain.case(chain.last).other is None
    assert chain.last.turn.text.startswith("Here is the improved answer")
