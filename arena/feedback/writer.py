"""The writer: what becomes of each event of collecting and revising; rows, failures, what is shown."""

from collections.abc import Callable

from agents.dialogue import Turn
from arena import records
from arena.feedback import rows
from arena.feedback.events import Event, Given, Made, Measured, Preferred, Rated, Routed, Staged
from arena.feedback.floor import Floor, Said, Unsaid
from arena.scribe import Scribe
from rewards.verdict import Preference


class Writer:
    """Writes events down.

    Args:
        scribe: where rows go.
        floor: who spoke.
        zeta: the judge's.
    """

    def __init__(self, scribe: Scribe, floor: Floor, zeta: float = 0.0) -> None:
        """Nothing has been routed yet."""
        self.scribe, self.floor, self.zeta = scribe, floor, zeta
        self.routed: dict[str, Routed] = {}
        self._take: dict[type, Callable[..., None]] = {
            Said: self._said,
            Unsaid: self._unsaid,
            Measured: self._measured,
            Routed: self._route,
            Staged: self._staged,
            Given: self._given,
            Rated: self._rated,
            Preferred: self._preferred,
            Made: self._made,
        }

    def take(self, event: Event) -> None:
        """Write an event down, and show it.

        Raises:
            Stopped: somebody asked for it.
        """
        self._take[type(event)](event)

    def _said(self, event: Said) -> None:
        for turn in event.turns:
            agent = self.floor.seats[turn.speaker]
            seed = self.floor.seed_of("reply", turn.id)
            row = records.turn_row(turn, step=0, model=agent.name, seed=seed)
            self.scribe.append("turns", row)
            if not turn.text.strip():
                self.scribe.fail(turn.id, "empty_reply", "reply", turn.reply.thinking, by=turn.speaker)
        if not event.known:
            seats = dict.fromkeys(turn.speaker for turn in event.turns)
            for seat in seats:
                self._spoke(event, seat, [turn for turn in event.turns if turn.speaker == seat])

    def _spoke(self, event: Said, seat: str, turns: list[Turn]) -> None:
        tokens = sum(len(turn.reply.ids) for turn in turns)
        everything = sum(len(turn.reply.ids) for turn in event.turns)
        share = tokens / everything if everything else len(turns) / len(event.turns)
        last = turns[-1]
        self.scribe.display.say(
            "spoke",
            seat=seat,
            what=event.what,
            done=event.done,
            of=event.of,
            drafts=len(turns),
            tokens=tokens,
            truncated=sum(turn.reply.truncated for turn in turns),
            seconds=event.seconds * share,
            sample=(last.id.partition(".")[0], seat, last.text, None),
        )

    def _unsaid(self, event: Unsaid) -> None:
        line = event.line
        what, about = ("no_reply", "reply") if event.final else ("unreached", "reach")
        self.scribe.fail(line.id, what, about, event.reason, by=line.speaker)

    def _measured(self, event: Measured) -> None:
        for turn, nll in zip(event.turns, event.nll, strict=True):
            self.scribe.append("difficulties", rows.difficulty_row(turn, nll))
        self._stage("difficulty", event.done, event.of, event.seconds)

    def _route(self, event: Routed) -> None:
        self.routed[event.work.id] = event
        self.scribe.append("problems", rows.problem_row(event))

    def _staged(self, event: Staged) -> None:
        self._stage(event.what, event.done, event.of, event.seconds)

    def _stage(self, what: str, done: int, of: int, seconds: float) -> None:
        self.scribe.display.say("stage", what=what, done=done, of=of, seconds=seconds)

    def _given(self, event: Given) -> None:
        feedback = event.feedback
        self.scribe.append("feedback", rows.feedback_row(feedback))
        if event.preference:
            self._pair(event.preference, event.speaker, feedback.by)
        if feedback.outcome == "abstained":
            self.scribe.fail(feedback.id, feedback.status, feedback.kind, feedback.raw, by=feedback.by)

    def _rated(self, event: Rated) -> None:
        for kind in dict.fromkeys(event.kinds):
            own = [v for v, of in zip(event.verdicts, event.kinds, strict=True) if of == kind]
            self.scribe.judged(own, judge=event.judge, about=kind, zeta=self.zeta)
        self._stage(f"ratings by {event.judge}", event.done, event.of, event.seconds)

    def _preferred(self, event: Preferred) -> None:
        self._pair(event.preference, event.speaker, event.judge)

    def _pair(self, preference: Preference, speaker: str, judge: str) -> None:
        routed = self.routed[preference.chosen_id.partition(".")[0]]
        row = records.preference_row(
            preference,
            seat=speaker,
            judge=judge,
            task=routed.work.problem.task,
            group=routed.group,
            difficulty=routed.difficulty,
        )
        self.scribe.append("preferences", row)

    def _made(self, event: Made) -> None:
        self.scribe.append("examples", records.example_row(event.example, seat=event.speaker))
