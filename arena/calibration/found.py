"""What a judge said of everything, as findings, a report and a verdict."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from arena import records
from arena.calibration.items import by_source
from arena.calibration.measures import AGREEMENT, JUDGE, PEOPLE, Sheet
from arena.calibration.rated import Ratings, spread
from arena.calibration.rulings import Ruling
from arena.calibration.standing import PAIRWISE, POINTWISE, Measured
from arena.evaluation.findings import Finding, Report, histogram
from arena.stats.power import advice, spread_of
from rewards.verdict import Case, Verdict

if TYPE_CHECKING:
    from arena.calibration.omissions import Check
    from arena.calibration.study import Study
    from arena.calibration.trials import Trial

LEAST = 0.05
"""The least difference from the longer answer that is worth seeing."""
MANY = 0.5
"""Shares of abstentions, flips or one and the same rating that are an alarm."""
NOTES = (
    "Intervals are 95 %, clustered by prompt, differences on the same pairs. A judge's tie or flip counts as "
    "half an agreement; where it abstains the pair is left out, and counted.",
    "A judge is called better or not by all pairs, on which an abstention counts half, like a coin: else it "
    "would gain by silence on what is hard. It has to be better also if the longer answer ties as it does.",
    "longer: takes the answer with more words. first: takes the one that stands first. random: a coin.",
    "prefers longer, prefers likelier: where judge and people both prefer one answer. likelier: with "
    "the higher mean log-likelihood under the judge's own weights (Wataoka et al. 2024).",
)
ALONE = "Each answer is rated alone, so that the order of two answers cannot matter."
BOTH = "Both orders are asked; a judge that then prefers another answer has flipped, and prefers none."


@dataclass(frozen=True)
class Found:
    """What the judge said of everything."""

    study: "Study"
    rulings: Sequence[Ruling] = ()
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    likely: Mapping[str, float] | str = ""
    """Likelihoods by the id of their case, or why there are none."""
    trial: "Trial | None" = None
    check: "Check | None" = None
    named: Sequence[Finding] = ()
    """Whether what the judge says is missing is what was taken out."""

    @property
    def seed(self) -> int:
        """Of the intervals."""
        return self.study.bench.seed

    @cached_property
    def whole(self) -> Sheet:
        """All pairs together."""
        return self._sheet("", self.rulings)

    @cached_property
    def sheets(self) -> list[Sheet]:
        """The pairs of each file."""
        groups = by_source(self.rulings, lambda one: one.pair.source)
        return [self._sheet(name, own) for name, own in groups.items()]

    def _sheet(self, name: str, rulings: Sequence[Ruling]) -> Sheet:
        return Sheet(name, rulings, self.seed, {} if isinstance(self.likely, str) else self.likely)

    @property
    def rated(self) -> list[Ratings]:
        """The rated answers of each file; all together at the end, if there are several."""
        groups = by_source(self.study.scores, lambda item: item.source)
        found = [Ratings(name, own, self.verdicts, self.seed) for name, own in groups.items()]
        return [*found, Ratings("", self.study.scores, self.verdicts, self.seed)] if len(found) > 1 else found

    @cached_property
    def findings(self) -> list[Finding]:
        """All measures: of the pairs together and file by file, of ratings, attacks and omissions."""
        found = self.whole.findings() if self.rulings else []
        if len(self.sheets) > 1:
            found += [finding for sheet in self.sheets for finding in sheet.findings()]
        for ratings in self.rated:
            found += ratings.findings()
        found += self._spread()
        found += self.trial.findings() if self.trial else []
        return [*found, *(self.check.findings() if self.check else []), *self.named]

    @property
    def shown(self) -> list[Finding]:
        """What a terminal shows: of each file of several the agreement alone."""
        short = tuple(f"{sheet.name}: " for sheet in self.sheets)
        return [
            one
            for one in self.findings
            if not one.measure.startswith(short) or one.measure.endswith(f": {AGREEMENT}")
        ]

    def _labelled(self) -> list[Case]:
        pairs = [case for pair in self.study.pairs for case in (pair.first, pair.second)]
        return list({case.id: case for case in (*pairs, *(item.case for item in self.study.scores))}.values())

    def _ratings(self) -> list[tuple[str, float]]:
        """(prompt, rating) of each labelled answer that got one."""
        return [
            (case.prompt[-1]["content"], rating)
            for case in self._labelled()
            if case.id in self.verdicts and (rating := self.verdicts[case.id].rating) is not None
        ]

    def _spread(self) -> list[Finding]:
        known = self._ratings()
        return spread([rating for _, rating in known], [prompt for prompt, _ in known])

    @property
    def reasons(self) -> Counter[str]:
        """Why the judge abstained on pairs and on rated answers."""
        found = Counter(self.whole.reasons)
        for ratings in self.rated:
            if ratings.name:
                found += ratings.reasons
        return found

    def counts(self) -> dict[str, int]:
        """What was judged, and why something was not."""
        found: dict[str, int] = {}
        if self.rulings:
            sheet = self.whole
            found |= {"pairs": len(sheet.rulings), "people decide": sum(p.decided for p in self.study.pairs)}
            found |= {"judged": len(sheet.judged)}
        if self.study.scores:
            found["rated answers"] = len(self.study.scores)
        found |= {f"abstained: {reason}": n for reason, n in sorted(self.reasons.items())}
        for one in (self.trial, self.check):
            found |= one.counts if one else {}
        return found

    def measured(self, identity: Mapping[str, Any]) -> Measured:
        """The verdict on the judge."""
        sheet, bench = self.whole, self.study.bench
        asked = len(self.rulings) + len(self.study.scores)
        return Measured(
            judge=f"{bench.name} ({bench.agent.name})",
            way=POINTWISE if bench.judge is not None else PAIRWISE,
            identity=identity,
            sets=dict(self._sources()),
            agreement=sheet.agreement,
            longer=sheet.longer,
            less_longer=sheet.less_longer,
            less_longer_tied=sheet.less_longer_tied,
            abstained=self.reasons.total() / asked if asked else 0.0,
            made=records.now(),
            results=[finding.result for finding in self.findings],
        )

    def report(self, measured: Measured) -> Report:
        """The report."""
        bench = self.study.bench
        ratings = [rating for _, rating in self._ratings()]
        return Report(
            about=f"{measured.judge}: {self._extent()}. {ALONE if bench.judge is not None else BOTH}",
            findings=tuple(self.findings),
            less="judge\nless this",
            notes=tuple(self._notes(measured)),
            counts=self.counts(),
            bars=histogram({"ratings": ratings}, 1, 10) if ratings else (),
            alarms=self.alarms(measured),
        )

    def _sources(self) -> Counter[str]:
        """How many pairs and rated answers there are of each file."""
        pairs = Counter(pair.source for pair in self.study.pairs)
        return pairs + Counter(item.source for item in self.study.scores)

    def _extent(self) -> str:
        names = sorted(self._sources())
        sizes = [f"{len(self.rulings)} labelled pairs"] * bool(self.rulings)
        sizes += [f"{len(self.study.scores)} rated answers"] * bool(self.study.scores)
        sizes += [f"{len(self.trial.outcomes)} attacks"] if self.trial else []
        sizes += [f"{len(self.check.scores) + self.check.abstained} omissions"] if self.check else []
        return " and ".join(sizes) + (f" of {', '.join(names)}" if names else "")

    def _notes(self, measured: Measured) -> list[str]:
        found = []
        if self.rulings:
            found.append(measured.statement[0].upper() + measured.statement[1:] + ".")
            gains, prompts = self.whole.gains()
            if measured.less_longer is not None and measured.better is None:
                found.append(advice(measured.less_longer, spread_of(gains, prompts), LEAST))
            found += NOTES
            if isinstance(self.likely, str):
                found.append(
                    f"Whether the judge prefers what is likely to itself is not known: {self.likely}."
                )
        labels = sorted({f"{item.source}: {item.label}" for item in self.study.scores})
        if labels:
            found.append(f"The label that is taken of each file of ratings is {', '.join(labels)}.")
        return [*found, *([f"Attacks: {self.trial.notes}."] if self.trial else [])]

    def alarms(self, measured: Measured) -> dict[str, str]:
        """What speaks against the judge, by name."""
        found: dict[str, str] = {}
        if self.rulings and not measured.better:
            found["not_better_than_longer"] = measured.statement
        by_name = {(one.measure, one.arm): one for one in self.findings}
        if measured.abstained > MANY:
            reasons = ", ".join(f"{reason} ({n})" for reason, n in self.reasons.most_common())
            found["abstains"] = (
                f"it gave no verdict on {measured.abstained:.0%} of what it was asked: {reasons}"
            )
        for measure, name, text in SPEAKS:
            one = by_name.get((measure, JUDGE))
            if one is not None and one.found is not None and one.found.value > MANY:
                found[name] = text.format(share=one.found.value)
        lean = by_name.get(("prefers longer", PEOPLE))
        if lean is not None and lean.difference is not None and lean.difference.sign > 0:
            found["prefers_longer"] = (
                f"it prefers the longer answer more often than people do, by {lean.difference.value:+.1%}"
            )
        first = by_name.get(("first place chosen", JUDGE))
        if first is not None and first.found is not None and not first.found.low <= 0.5 <= first.found.high:
            found["place"] = (
                f"it chooses the answer that stands first in {first.found.value:.0%} of its choices"
            )
        return found


SPEAKS = (
    ("flip rate", "flips", "{share:.0%} of its preferences change when the answers change places"),
    ("commonest rating", "one_rating", "{share:.0%} of its ratings are one and the same number"),
)
"""Measures whose share speaks against a judge: its name and its words."""
