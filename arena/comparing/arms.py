"""Whom a comparison is between: single runs, or runs of one conf with several seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from string import ascii_uppercase

from agents.errors import ConfigError
from arena.comparing.measures import Columns, columns, joined
from arena.comparing.recorded import Draft, Recorded, checked
from arena.records import Row
from arena.runs import ROOT, find_run, runs_below, state


@dataclass(frozen=True)
class Arm:
    """One side of comparisons: a run, or runs whose settings differ in the seed alone."""

    letter: str
    runs: tuple[Recorded, ...]

    @property
    def name(self) -> str:
        """The folder of the run; of several the first, and how many there are."""
        more = f" and {len(self.runs) - 1} of other seeds" if len(self.runs) > 1 else ""
        return f"{self.runs[0].name}{more}"

    @property
    def conf(self) -> str:
        """The name of its conf, `""` where it is not on record."""
        return str(self.runs[0].info.get("conf", ""))

    @property
    def seeds(self) -> list[int | None]:
        """Of its runs; None where one is not on record."""
        return [run.seed for run in self.runs]

    @property
    def states(self) -> list[str]:
        """How each of its runs stands."""
        return [state(run.info) for run in self.runs]

    @property
    def settings(self) -> Row:
        """Of the first run: the others differ in the seed."""
        return self.runs[0].settings

    @cached_property
    def drafts(self) -> list[Draft]:
        """Of all runs."""
        return [draft for run in self.runs for draft in run.drafts.values()]

    @cached_property
    def columns(self) -> Columns:
        """What is measured, all seeds together."""
        return joined(columns(run) for run in self.runs)

    @property
    def contestants(self) -> list[str]:
        """Those that an evaluation compares within the run."""
        return list(dict.fromkeys(draft.speaker for draft in self.drafts if draft.contestant))

    def calling(self, contestant: str, name: str) -> "Arm":
        """The same arm, with a contestant by another name."""
        return Arm(self.letter, tuple(replace(run, called=((contestant, name),)) for run in self.runs))


def found(names: Sequence[str], root: Path = ROOT) -> list[Recorded]:
    """The runs that names mean; a folder of runs, such as that of a sweep, means all of them.

    Raises:
        ConfigError: there is no such run, or one is named twice.
        ArenaError: a table cannot be read.
    """
    paths: list[Path] = []
    for name in names:
        folders = [path for path in (Path(name).expanduser(), root / name) if name and path.is_dir()]
        try:
            paths.append(find_run(name, root))
        except ConfigError:
            inner = next((below for path in folders if (below := sorted(runs_below(path)))), [])
            if not inner:
                raise
            paths += inner
    real = [path.resolve() for path in paths]
    if twice := [str(path) for path, at in zip(paths, real, strict=True) if real.count(at) > 1]:
        raise ConfigError(f"{twice[0]!r} is named twice: a run is no different from itself")
    if len(paths) < 2:
        raise ConfigError(f"a comparison needs two runs or more, found {len(paths)}: name another RUN")
    return [checked(path) for path in paths]


def arms(runs: Sequence[Recorded]) -> list[Arm]:
    """The runs as arms A, B, ...; runs whose settings differ in the seed alone are one, unless that is all.

    Raises:
        ConfigError: there are more arms than letters.
    """
    grouped: list[list[Recorded]] = []
    for run in runs:
        mine = _but_seeds(run)
        for group in grouped:
            if mine and _but_seeds(group[0]) == mine and run.seed not in [each.seed for each in group]:
                group.append(run)
                break
        else:
            grouped.append([run])
    if len(grouped) == 1:
        grouped = [[run] for run in runs]
    if len(grouped) > len(ascii_uppercase):
        raise ConfigError(f"{len(grouped)} arms are more than can be told apart: name 26 or fewer")
    return [Arm(letter, tuple(group)) for letter, group in zip(ascii_uppercase, grouped, strict=False)]


def matched(a: Arm, b: Arm) -> tuple[Arm, Arm]:
    """Two arms whose contestants have common names.

    Contestants are joined by their names, wherever they stand. Where one of each side has no namesake, they
    are what the two evaluations differ in, and are compared as `one / other`; more of them are no pairs.
    """
    mine, theirs = a.contestants, b.contestants
    alone = [[name for name in own if name not in other] for own, other in ((mine, theirs), (theirs, mine))]
    if [len(own) for own in alone] != [1, 1]:
        return a, b
    [one], [other] = alone
    both = f"{one} / {other}"
    return a.calling(one, both), b.calling(other, both)


def _but_seeds(run: Recorded) -> Row:
    return {key: value for key, value in run.settings.items() if key.rpartition(".")[2] != "seed"}
