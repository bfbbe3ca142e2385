"""The tables of this project's own run folders."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from agents.dialogue import Dialogue, Message, Reply
from agents.errors import ConfigError
from arena.corpus.entry import Entry, Nothing, Skip, asked
from arena.corpus.rankings import ranking
from arena.problems import TASKS, Problem
from arena.reading import Run
from arena.records import Row, problem_of
from arena.runs import read_json
from arena.transcript import Draft, Transcript
from rewards.verdict import Example, Preference, Ranking


def preference_table(entry: Entry) -> Iterator[Preference]:
    """A row of `preferences.jsonl`."""
    better, worse = (_said(entry, side) for side in ("chosen", "rejected"))
    if better == worse:
        raise Nothing("equal texts")
    margin = entry.number_of("margin")
    if margin <= 0:
        raise entry.fault("margin", "above 0")
    yield Preference(
        asked(entry.messages("prompt")),
        Reply(better),
        Reply(worse),
        margin,
        f"{entry.source}:{entry.text('chosen_id')}",
        f"{entry.source}:{entry.text('rejected_id')}",
        entry.text("kind"),
    )


def example_table(entry: Entry) -> Iterator[Example]:
    """A row of `examples.jsonl`."""
    weight, revisions = entry.number_of("weight"), int(entry.number_of("revisions"))
    if weight < 0:
        raise entry.fault("weight", "0 or more")
    id = f"{entry.source}:{entry.text('id')}"
    yield Example(id, asked(entry.messages("prompt")), _said(entry, "completion"), weight, revisions)


def problem_table(entry: Entry) -> Iterator[Problem]:
    """A row of `problems.jsonl`."""
    task = entry.text("task")
    if task not in TASKS:
        raise entry.fault("task", f"one of {', '.join(TASKS)}")
    place = entry.optional("where") or entry.place
    yield Problem(task, asked(entry.messages("prompt")), entry.optional("reference"), place)


def _said(entry: Entry, column: str) -> str:
    messages = entry.messages(column)
    if len(messages) != 1:
        raise entry.fault(column, "one message")
    return messages[0]["content"]


def rankings_of_run(entries: Sequence[Entry], seed: int) -> Iterator[Ranking | Skip]:
    """The drafts of each exchange with their rewards, from the run folder that rows of `turns.jsonl` are of.

    Drafts that were cut at the token limit are left out unless the run paired them, as are those without a
    reward; where a judge used several scales, the one that most drafts share counts.

    Raises:
        ConfigError: the folder works on answers, or its settings do not say what a seat was shown.
    """
    folder, wanted = entries[0].path.parent, {str(entry.row.get("id")) for entry in entries}
    run, settings = Run(folder), read_json(folder / "config.json")
    asked_of = _prompts(folder, settings)
    for transcript in run.transcripts(run.dialogues):
        if transcript.works_on_answers:
            raise ConfigError(
                f"{str(folder)!r} works on answers, and only drafts of one prompt can be ranked: take its "
                "preferences (a learner of pairs), or a folder of arena.run or arena.train"
            )
        yield from _rankings(transcript, settings, asked_of, entries[0].source, wanted)


def _prompts(folder: Path, settings: Row) -> Callable[[Dialogue, str], list[Message]]:
    """What a seat was shown before it spoke: the dialogue, or in a folder of arena.train the problem."""
    problems: Any = read_json(folder / "problems.json")  # a list, in the order of the dialogues

    def setting(key: str) -> str:
        if key not in settings:
            raise ConfigError(
                f"{str(folder / 'config.json')!r} has no {key!r}, so what was answered cannot be rebuilt: "
                "take a folder of arena.run or arena.train as it was made"
            )
        return str(settings[key])

    def prompt(dialogue: Dialogue, speaker: str) -> list[Message]:
        system = setting(f"agents.{speaker}.system")
        if not problems:
            return dialogue.seen_by(speaker, system, setting("opening"))
        persona = [Message(role="system", content=system)] if system else []
        return [*persona, *problem_of(problems[int(dialogue.id.removeprefix("d"))]).prompt]

    return prompt


def _rankings(
    transcript: Transcript,
    settings: Row,
    asked_of: Callable[[Dialogue, str], list[Message]],
    source: str,
    wanted: Collection[str],
) -> Iterator[Ranking | Skip]:
    dialogue = Dialogue(transcript.id, transcript.topic, transcript.opener)
    for each in transcript.rounds:
        drafts = tuple(draft for draft in each.drafts if draft.turn.id in wanted)
        if drafts:
            prompt, id = asked_of(dialogue, each.speaker), f"{source}:{dialogue.draft_id(0)[:-1]}"
            try:
                yield _ranking(id, prompt, drafts, settings)
            except Nothing as reason:
                yield Skip(str(reason))
        if each.said is None:
            return  # the exchange is not decided yet: nothing comes after it
        dialogue = dialogue.say(each.said.turn)


def _ranking(id: str, prompt: Sequence[Message], drafts: Sequence[Draft], settings: Row) -> Ranking:
    cut = bool(settings.get("judge.pair_truncated", False))
    judged = [
        (draft.turn.text, draft.judged.verdict)
        for draft in drafts
        if draft.judged is not None and (cut or not draft.turn.reply.truncated) and draft.turn.text.strip()
    ]
    scales = Counter(verdict.scale for _, verdict in judged)
    if not scales:
        raise Nothing("fewer than two answers")
    common = max(sorted(scales), key=scales.__getitem__)
    alike = [(text, verdict.reward) for text, verdict in judged if verdict.scale == common]
    texts = [text for text, reward in alike if reward is not None]
    return ranking(id, prompt, texts, [reward for _, reward in alike if reward is not None])
