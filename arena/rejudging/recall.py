"""What of a judgement is on record already, and a judge that takes it from there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from agents.base import Agent
from agents.errors import ConfigError
from arena.runs import read_json
from rewards.judge import Judge
from rewards.verdict import Case, Rating, Verdict
from rewards.wim import Embedder, Wim

FORMULA = "rewards.judge.Judge"
"""The judge whose rewards are made of a rating and a cosine that are on record."""
PAIRING = frozenset({"judge.tie_margin", "judge.pair_truncated"})
"""Settings that decide on pairs, not on verdicts."""
MIXING = PAIRING | {"judge.zeta", "judge.normalisation", "judge.cosine"}
"""Settings that make a reward of a rating and a cosine."""
EMBEDDER = "judge.wim.embedder."
COMPARED = ("judge", "seed", "precision", "device", "opening", "agents")
"""Settings of a run that have to do with its verdicts, by the first part of their names."""
MACHINE = ("precision", "device", "batch_tokens", "kept_gb", "url", "timeout", "in_flight", "cache")
"""Settings of a seat that say where its model runs, not what it is or was told."""
UNSAID: Mapping[str, object] = {"opening": "", "judge.cosine": "own"}
"""What a setting means that a run does not name."""
LOST = "rating_not_on_record"
"""The status of an answer whose judge was lost for words on what is missing: its rating was not written."""
NO_OTHER = "wim_no_other_answer"
"""The status of an answer that had no other one beside it, where the cosine with another's WIM counts."""

Settings = Mapping[str, Any]
"""Flat keys, such as `judge.zeta`."""


class Way(StrEnum):
    """How verdicts come about."""

    RECORD = "what is on record: no judge was asked"
    EMBEDDINGS = "what is on record, with other embeddings: no judge was asked"
    ASKING = "asking the judge"


def differences(before: Settings, now: Settings) -> dict[str, tuple[Any, Any]]:
    """Key -> (what it was, what it is) of the settings that have to do with verdicts; None is not set.

    Raises:
        ConfigError: what differs belongs to what was said, which stays as it is.
    """
    keys = [key for key in {**before, **now} if key.partition(".")[0] in COMPARED]
    both = {key: tuple(told.get(key, UNSAID.get(key)) for told in (before, now)) for key in keys}
    found = {key: (was, now_) for key, (was, now_) in both.items() if was != now_}
    for key, (was, now_) in found.items():
        seat = key.startswith("agents.") and key.rpartition(".")[2] not in MACHINE
        if seat or key == "opening":
            raise ConfigError(
                f"{key} was {was!r} and now is {now_!r}, but the drafts are there already: leave it as it "
                "was; another model judges by agent@judge.agent=NAME"
            )
    return found


def way_of(before: Settings, now: Settings, changed: Mapping[str, object], again: bool) -> Way:
    """The least that has to be done for verdicts under `now`; everything where nothing differs.

    Args:
        before: the settings of the run.
        now: those of the rejudging.
        changed: the keys that differ.
        again: whether the judge is to be asked in any case.
    """
    if again or not changed:
        return Way.ASKING
    if set(changed) <= PAIRING:
        return Way.RECORD
    if not before.get("judge._target_") == now.get("judge._target_") == FORMULA:
        return Way.ASKING
    # A WIM that is asked for no more leaves its rating as it was.
    dropped = now.get("judge.wim", "") is None
    rest = {key for key in changed if not (dropped and key.startswith("judge.wim."))}
    if rest <= MIXING:
        return Way.RECORD
    return Way.EMBEDDINGS if all(key in MIXING or key.startswith(EMBEDDER) for key in rest) else Way.ASKING


def same_weights(path: Path, identity: Mapping[str, str], changed: Mapping[str, object]) -> None:
    """Refuse weights that have changed since the run, under names that have not.

    Args:
        path: the folder of the run.
        identity: the weights that are asked now, as `arena.job.identity` tells them.
        changed: the settings that differ; other precision or another device may be among them.

    Raises:
        ConfigError: names what has changed.
    """
    moved = any(key.rpartition(".")[2] in ("precision", "device") for key in changed)
    then = read_json(path / "identity.json")
    for name in sorted(set(identity) & set(then)):
        was, is_ = (_source(told[name]) if moved else told[name] for told in (then, identity))
        if was != is_:
            raise ConfigError(
                f"the weights of {name} have changed since {path} was judged: they were {was}, now {is_}. "
                "Use those it was judged with (revision, cache), or name the others as another judge by "
                "agent@judge.agent=NAME"
            )


def _source(told: str) -> str:
    """Where weights come from, without the precision and the device that they run in."""
    return " and ".join(sorted({part.partition(";")[0] for part in told.split(" and ")}))


class Recalled(Judge):
    """Gives the verdicts on record, with the reward that they have under other settings.

    An abstention stays what it was. One for want of a usable text on what is missing has no rating on record,
    so it abstains also where the WIM counts no more.

    Args:
        record: verdicts and abstentions by the id of what was judged.
        embedder: makes the cosines anew; None: those on record count.
        asks_wim: whether what is missing still belongs to a verdict.
        settings: those of `Judge` that decide on rewards and pairs.
    """

    def __init__(
        self,
        record: Mapping[str, Verdict],
        embedder: Embedder | None = None,
        asks_wim: bool = True,
        **settings: Any,
    ) -> None:
        """Take the record; what rates and says what is missing is the record itself."""
        wim = _RecalledWim(record, embedder) if asks_wim else None
        super().__init__(_RecalledRater(record), wim, **settings)
        self.record, self.embeds = record, embedder is not None

    @property
    def asks(self) -> bool:
        """Never."""
        return False

    def rate(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Verdict]:
        """One verdict per case, in the name of the model that gave it."""
        kept = [i for i, case in enumerate(cases) if self.record[case.id].reward is not None]
        made = super().rate(agent, [cases[i] for i in kept], [seeds[i] for i in kept])
        found = {verdict.id: replace(verdict, judge=self.record[verdict.id].judge) for verdict in made}
        return [found.get(case.id) or self._abstention(self.record[case.id]) for case in cases]

    def _missing(
        self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int], ratings: Sequence[Rating]
    ) -> list[Verdict]:
        """What is missing with its cosines, from the record; cosines of another embedding are made."""
        if self.embeds or self.wim is None:
            return super()._missing(agent, cases, seeds, ratings)
        return [replace(self.record[case.id], reward=None, scale="") for case in cases]

    def _abstention(self, old: Verdict) -> Verdict:
        counts = self.zeta > 0 and (self.cosine == "shuffled" or old.status != NO_OTHER)
        return old if counts or not old.status.startswith("wim_") else replace(old, status=LOST)


class Kept(Judge):
    """Gives the verdicts on record as they are, for judges whose rewards are their own scores.

    Args:
        record: verdicts and abstentions by the id of what was judged.
        settings: those of `Judge` that decide on pairs.
    """

    def __init__(self, record: Mapping[str, Verdict], **settings: Any) -> None:
        """Take the record."""
        super().__init__(_RecalledRater(record), **settings)
        self.record = record

    def rate(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Verdict]:
        """One verdict per case."""
        return [self.record[case.id] for case in cases]


class Witness(Agent):
    """Sits where a seat sat, so that prompts can be rebuilt; nobody asks it anything.

    Args:
        system: the seat's persona.
    """

    def __init__(self, system: str = "") -> None:
        """Take the persona."""
        super().__init__(system)

    @property
    def voice(self) -> str:
        """All of them tell the same record."""
        return "record"


class _RecalledRater:
    """The ratings on record."""

    asks = False

    def __init__(self, record: Mapping[str, Verdict]) -> None:
        self.record = record

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        return [Rating(self.record[case.id].rating, "ok", self.record[case.id].raw) for case in cases]


class _RecalledWim(Wim):
    """What was missing according to the record."""

    def __init__(self, record: Mapping[str, Verdict], embedder: Embedder | None) -> None:
        super().__init__(embedder)
        self.record = record

    def ask(
        self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int], ratings: Sequence[Rating]
    ) -> list[tuple[str, str]]:
        return [(self.record[case.id].wim, self.record[case.id].wim_status) for case in cases]
