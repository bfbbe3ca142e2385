"""Which numbers of two runs are on one scale: those of one judge, with the same weights, by one learner."""

from collections.abc import Callable, Sequence
from importlib import import_module

from arena.comparing.arms import Arm
from arena.comparing.measures import Column
from arena.comparing.settings import NOT_SET, Setting, changed
from arena.evaluation.summaries import REWARD
from arena.evaluation.writers import OWN
from arena.records import Row
from arena.terminal import one_line

PAIRING = ("tie_margin", "pair_truncated")
"""Settings of a judge that decide over pairs, and change no verdict."""
MIXING = ("zeta", "normalisation")
"""Those that make a reward of a rating and a cosine."""
WEIGHTS = ("checkpoint", "revision", "adapter", "precision", "device", "model")
"""Of an agent: who judges, where experts judge each other."""
OF_LEARNERS = {"loss": ("_target_", "loss", "beta"), "margin": ("_target_", "beta")}
"""Settings of `train` without which two numbers are not the same quantity."""
NOTHING = {NOT_SET, "null", '""'}
"""How a setting says that there is none; older runs lack keys that newer ones have."""
_LONG, _MANY = 24, 3


def refused(column: Column, a: Arm, b: Arm) -> str:
    """Why a measure of two arms is not compared; `""` where it is."""
    name = column.measure.name
    if name in OF_LEARNERS:
        keys = [f"train.{key}" for key in OF_LEARNERS[name]]
        other = _differing(a, b, lambda key: key in keys)
        return f"learners differ: {_named(other)}" if other else ""
    if name in ("reward", "score"):
        return _judges(column, a, b, _of_rewards(a, b))
    if name in ("rating", "performance"):
        return _judges(column, a, b, (*PAIRING, *MIXING, "wim"))
    if name == "win-rate":
        return _comparers(column, a, b)
    if name in ("cosine", "control", "echo"):
        return _judges(column, a, b, (*PAIRING, *MIXING))
    return ""


def _comparers(column: Column, a: Arm, b: Arm) -> str:
    """Why the comparisons of two matches are not of one judge."""
    asked = ("evaluation.pairwise.", "evaluation.agent.", "evaluation.rubric")
    if differ := _differing(a, b, lambda key: key.startswith(asked)):
        return f"judges differ: {_named(differ)}"
    if models := _unlike(column, b, "model"):
        return f"judges differ: {models}"
    return _renamed(a, b)


def _differing(a: Arm, b: Arm, of: Callable[[str], bool]) -> list[Setting]:
    """The settings of some keys that differ; one that is not there is like one that is empty."""
    found = changed(a.settings, b.settings)
    return [each for each in found if of(each.key) and not {each.a, each.b} <= NOTHING]


def _of_rewards(a: Arm, b: Arm) -> tuple[str, ...]:
    """What does not matter to a reward: with zeta 0 on both sides also not what is missing."""
    silent = all(arm.settings.get("judge.zeta") == 0 for arm in (a, b))
    return (*PAIRING, "wim") if silent else PAIRING


def _judges(column: Column, a: Arm, b: Arm, ignored: Sequence[str]) -> str:
    """Why verdicts of two arms are not of one judge, but for the settings that do not matter here."""
    root = _root(column)

    def matters(key: str) -> bool:
        return key.startswith(root) and key.removeprefix(root).partition(".")[0] not in ignored

    if differ := _differing(a, b, matters):
        return f"judges differ: {_named(differ)}"
    if "zeta" not in ignored and (zetas := _unlike(column, b, "zeta")):
        return f"judges differ: zeta {zetas}"
    if not _asks(a.settings, root, "wim" not in ignored):
        return ""
    if models := _unlike(column, b, "model"):
        return f"judges differ: {models}"
    if any(arm.settings.get(f"{root}moving") and arm.settings.get("learners", True) for arm in (a, b)):
        return "the judge learned while it judged, in each run something else (judge.moving)"
    return _weights(a, b, root)


def _root(column: Column) -> str:
    """Where the settings of a column's judge stand: an evaluation has several judges, who are named."""
    own = column.measure.per == "update" or not column.part or {OWN, REWARD} & {*column.part.split(", ")}
    return "judge." if own else "evaluation."


def _weights(a: Arm, b: Arm, root: str) -> str:
    """What differs in the weights of who judges."""
    if not any(key.startswith(f"{root}agent.") for key in a.settings):
        differ = _differing(a, b, lambda key: key.startswith("agents.") and key.rpartition(".")[2] in WEIGHTS)
        if differ:
            return f"the experts judge each other, and differ: {_named(differ)}"
    return _renamed(a, b)


def _renamed(a: Arm, b: Arm) -> str:
    """Whether one name stands for two judges."""
    models = {judged.model for each in a.columns.values() for judged in each.judges.values()}
    other = [name for name in other_weights(a, b) if name.rpartition("/")[2] in models]
    return f"the judge has one name and two weights: {', '.join(other)}" if other else ""


def other_weights(a: Arm, b: Arm) -> list[str]:
    """Checkpoints that both have by one name, whose files or precision differ."""
    mine, theirs = a.runs[0].identity, b.runs[0].identity
    return [name for name in sorted({*mine} & {*theirs}) if mine[name] != theirs[name]]


def _unlike(column: Column, b: Arm, what: str) -> str:
    """Who gave the verdicts of a column and of its like in another arm, `""` if they are the same.

    Where the two judged the same places, only these count: a judge may have none to judge in a shorter run.
    """
    other = b.columns.get((column.measure.name, column.part), Column(column.measure))
    both = column.judges.keys() & other.judges.keys()
    sides = [
        {
            place: str(getattr(judged, what))
            for place, judged in each.judges.items()
            if place in both or not both
        }
        for each in (column, other)
    ]
    if (sides[0] == sides[1]) if both else ({*sides[0].values()} == {*sides[1].values()}):
        return ""
    told = [", ".join(sorted({*side.values()})) for side in sides]
    return f"A {told[0]}, {b.letter} {told[1]}"


def _asks(settings: Row, root: str, wim: bool) -> bool:
    """Whether a judge asks a model at all: a length or a random number is the same whoever sits there.

    Where the settings do not tell, it is taken to ask.
    """
    if wim and f"{root}wim._target_" in settings:
        return True
    module, _, name = str(settings.get(f"{root}rater._target_", "")).rpartition(".")
    if not module.startswith("rewards."):
        return True
    return bool(getattr(getattr(import_module(module), name, None), "asks", True))


def _named(settings: Sequence[Setting]) -> str:
    """The first of some settings with both values."""
    first = [f"{s.key} {one_line(s.a, _LONG)} and {one_line(s.b, _LONG)}" for s in settings[:_MANY]]
    more = f", and {len(settings) - _MANY} more" if len(settings) > _MANY else ""
    return "; ".join(first) + more
