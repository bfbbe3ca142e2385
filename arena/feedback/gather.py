"""Feedback routed by difficulty: answers, their difficulty, feedback of the kind of its group, pairs.

After DAIF / CDF (Li et al. 2023): critique (the teacher comments, the student rewrites), refinement (the
teacher rewrites), preference (the teacher compares two students, in both orders). No files, no printing.
"""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean

from agents.dialogue import Message, Turn, letters
from arena.feedback.events import TEACHER, Event, Feedback, Given, Measured, Routed, Work
from arena.feedback.floor import Line, chunks
from arena.feedback.gathering import Gathering
from arena.feedback.pairing import Contest, Paired, compare, rewritten
from rewards.feedback import LEADS, rubric_of
from rewards.rubric import Rubric, form


def gather(plan: Gathering, works: Sequence[Work]) -> Iterator[Event]:
    """Everything from the first answer to the last pair."""
    said = yield from plan.floor.say("answers", list(_answers(plan, works)))
    answers = {id: turn for id, turn in said.items() if turn.text.strip()}
    nll = yield from _measured(plan, works, answers)
    routed = _routed(plan, works, nll)
    yield from routed
    texts = yield from _comments(plan, routed, answers)
    texts |= yield from _rewrites(plan, routed, answers, texts)
    yield from _results(plan, routed, answers, texts)
    yield from _preferences(plan, routed, answers)


def _number(plan: Gathering, seat: str, step: int) -> int:
    """The number of a student's turn: 0 its answer, 1 a comment on it, 2 its rewrite, 3 the teacher's."""
    return step * len(plan.students) + plan.students.index(seat)


def _answers(plan: Gathering, works: Sequence[Work]) -> Iterator[Line]:
    for work in works:
        for seat in plan.students:
            prompt = work.view(plan.floor.seats[seat])
            for draft in range(plan.samples):
                id = work.turn_id(_number(plan, seat, 0), letters(draft))
                yield Line(id, "", seat, "answer", prompt)


def _measured(
    plan: Gathering, works: Sequence[Work], answers: Mapping[str, Turn]
) -> Generator[Event, None, dict[str, float]]:
    """The mean negative log-likelihood of each answer under its own speaker, by turn id."""
    found = {id: plan.measured[id] for id in answers if id in plan.measured}
    views = {work.id: work for work in works}
    new = [turn for id, turn in answers.items() if id not in found]
    done = len(found)
    for part in chunks(new, plan.floor.chunk):
        began = time.perf_counter()
        for seat in dict.fromkeys(turn.speaker for turn in part):
            own = [turn for turn in part if turn.speaker == seat]
            agent = plan.floor.seats[seat]
            prompts = [views[turn.id.partition(".")[0]].view(agent) for turn in own]
            logps = agent.logps(prompts, [turn.reply for turn in own])
            found |= {turn.id: -fmean(row) for turn, row in zip(own, logps, strict=True)}
        done += len(part)
        yield Measured(
            tuple(part),
            tuple(found[turn.id] for turn in part),
            done,
            len(answers),
            time.perf_counter() - began,
        )
    return found


def _routed(plan: Gathering, works: Sequence[Work], nll: Mapping[str, float]) -> list[Routed]:
    """Each problem with its group; one that nobody answered has none."""
    known: dict[str, float] = {}
    for work in works:
        own = {
            seat: [
                nll[id]
                for draft in range(plan.samples)
                if (id := work.turn_id(_number(plan, seat, 0), letters(draft))) in nll
            ]
            for seat in plan.students
        }
        difficulty = plan.routing.difficulty(own)
        if difficulty is not None:
            known[work.id] = difficulty
    groups = plan.routing.group(list(known.values()), plan.floor.seed)
    group = dict(zip(known, groups, strict=True))
    return [
        Routed(work, known[work.id], plan.routing.names[group[work.id]], plan.routing.kinds(group[work.id]))
        if work.id in known
        else Routed(work, 0.0, "", ())
        for work in works
    ]


def _wanted(
    plan: Gathering, routed: Sequence[Routed], answers: Mapping[str, Turn], kind: str
) -> Iterator[tuple[Routed, str, Turn]]:
    """(problem, student, answer) of each answer that is to get this kind of feedback."""
    for each in routed:
        if kind in each.kinds:
            for seat in plan.students:
                turn = answers.get(each.work.turn_id(_number(plan, seat, 0)))
                if turn is not None:
                    yield each, seat, turn


def _asked(plan: Gathering, work: Work, turn: Turn) -> tuple[Message, ...]:
    """What an answer answers, as its speaker saw it."""
    return work.view(plan.floor.seats[turn.speaker])


def _usable(plan: Gathering, turn: Turn) -> bool:
    return plan.pair_truncated or not turn.reply.truncated


def _teach(plan: Gathering, kind: str, work: Work, turn: Turn) -> tuple[Message, ...]:
    """What the teacher is asked about an answer."""
    prompt = Rubric.load(rubric_of(kind, work.problem.task)).ask(work.case(turn))
    lead = LEADS[kind][work.problem.task]
    return (*prompt, *([Message(role="assistant", content=lead)] if plan.teacher.reads_labels else []))


def _comments(
    plan: Gathering, routed: Sequence[Routed], answers: Mapping[str, Turn]
) -> Generator[Event, None, dict[str, Turn]]:
    lines = [
        Line(
            each.work.turn_id(_number(plan, seat, 1)),
            turn.id,
            TEACHER,
            "feedback",
            _teach(plan, "critique", each.work, turn),
        )
        for each, seat, turn in _wanted(plan, routed, answers, "critique")
        if _usable(plan, turn)
    ]
    return (yield from plan.floor.say("comments", lines, plan.comment_tokens))


def _rewrites(
    plan: Gathering, routed: Sequence[Routed], answers: Mapping[str, Turn], comments: Mapping[str, Turn]
) -> Generator[Event, None, dict[str, Turn]]:
    """The students' rewrites after a comment, and the teacher's own."""
    lines = []
    for each, seat, turn in _wanted(plan, routed, answers, "critique"):
        comment = comments.get(each.work.turn_id(_number(plan, seat, 1)))
        if comment is not None and comment.text.strip():
            said = Message(role="assistant", content=turn.text)
            asked = Message(role="user", content=form(plan.rewrite, comment=comment.text))
            prompt = each.work.view(plan.floor.seats[seat], said, asked)
            id = each.work.turn_id(_number(plan, seat, 2))
            lines.append(Line(id, comment.id, seat, "revision", prompt))
    for each, seat, turn in _wanted(plan, routed, answers, "refinement"):
        if _usable(plan, turn):
            id = each.work.turn_id(_number(plan, seat, 3))
            prompt = _teach(plan, "refinement", each.work, turn)
            lines.append(Line(id, turn.id, TEACHER, "revision", prompt))
    return (yield from plan.floor.say("rewrites", lines))


def _results(
    plan: Gathering, routed: Sequence[Routed], answers: Mapping[str, Turn], texts: Mapping[str, Turn]
) -> Iterator[Event]:
    """What came of each comment and each rewrite."""
    for kind, comment_step, result_step in (("critique", 1, 2), ("refinement", 0, 3)):
        for each, seat, turn in _wanted(plan, routed, answers, kind):
            work = each.work
            comment = texts.get(work.turn_id(_number(plan, seat, comment_step))) if comment_step else None
            result = texts.get(work.turn_id(_number(plan, seat, result_step)))
            paired = _outcome(plan, work, kind, turn, comment, result)
            feedback = Feedback(
                id=f"{turn.id}#{kind}",
                kind=kind,
                about=turn.id,
                by=TEACHER,
                status=_status(plan, kind, turn, comment, result),
                outcome=paired.outcome,
                comment=comment.id if comment else "",
                result=result.id if result else "",
            )
            speaker = result.speaker if result else ""
            yield Given(feedback, paired.preference, speaker)


def _status(plan: Gathering, kind: str, turn: Turn, comment: Turn | None, result: Turn | None) -> str:
    if not _usable(plan, turn):
        return "not_asked"
    given = comment if kind == "critique" else result
    if given is None:
        return "no_reply"
    return "given" if given.text.strip() else "empty"


def _outcome(
    plan: Gathering, work: Work, kind: str, turn: Turn, comment: Turn | None, result: Turn | None
) -> Paired:
    if not _usable(plan, turn):
        return Paired(None, "truncated")
    if kind == "critique" and comment is not None and not comment.text.strip():
        return Paired(None, "empty")
    if result is None:
        return Paired(None, "no_reply")
    told = form(plan.rewrite, comment="") if kind == "critique" else ""
    return rewritten(_asked(plan, work, turn), kind, turn, result, told, plan.pair_truncated)


def _preferences(plan: Gathering, routed: Sequence[Routed], answers: Mapping[str, Turn]) -> Iterator[Event]:
    """Comparisons of the students' answers, or of one student's samples."""
    contests: list[Contest] = []
    for each in routed:
        own = _compared_answers(plan, each.work, answers) if "preference" in each.kinds else []
        for about, other in combinations(own, 2):
            if _usable(plan, about) and _usable(plan, other):
                work, speakers = each.work, (about.speaker, other.speaker)
                prompts = (_asked(plan, work, about), _asked(plan, work, other))
                cases = (work.case(about), work.case(other))
                contests.append(Contest(*cases, work.problem.task, speakers, prompts))
            else:
                yield _not_asked(about, other)
    yield from compare(
        plan.pairwise, plan.teacher, TEACHER, "preference", contests, plan.floor, plan.compared
    )


def _not_asked(about: Turn, other: Turn) -> Given:
    feedback = Feedback(
        id=f"{about.id}|{other.id}#preference",
        kind="preference",
        about=about.id,
        by=TEACHER,
        status="not_asked",
        outcome="truncated",
        other=other.id,
    )
    return Given(feedback)


def _compared_answers(plan: Gathering, work: Work, answers: Mapping[str, Turn]) -> list[Turn]:
    alone = len(plan.students) == 1
    ids = [
        work.turn_id(_number(plan, seat, 0), letters(draft))
        for seat in plan.students
        for draft in range(plan.samples if alone else 1)
    ]
    return [answers[id] for id in ids if id in answers]
