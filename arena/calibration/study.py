"""Measuring a judge: asking it about everything that it is measured on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents.errors import ConfigError
from arena.calibration import attacks, omissions, trials
from arena.calibration.asking import Bench
from arena.calibration.found import Found
from arena.calibration.items import Pair, Rated
from arena.calibration.measures import JUDGE
from arena.calibration.rulings import compared, rated
from rewards.verdict import Verdict

LABELS, ATTACKS, OMISSIONS = "labels", "attacks", "omissions"
PARTS = (LABELS, ATTACKS, OMISSIONS)


@dataclass(frozen=True)
class Study:
    """What a judge is measured on.

    Args:
        bench: the judge, and where its words are kept.
        pairs: labelled pairs.
        scores: rated answers.
        parts: some of `PARTS`.
        most: the most attacks, and omissions; 0: all.
        likelihoods: whether the likelihoods of the answers are measured.
    """

    bench: Bench
    pairs: Sequence[Pair] = ()
    scores: Sequence[Rated] = ()
    parts: Sequence[str] = (LABELS,)
    most: int = 0
    likelihoods: bool = True

    def __post_init__(self) -> None:
        """Check the parts."""
        if not self.parts or not set(self.parts) <= set(PARTS):
            raise ConfigError(f"parts={list(self.parts)} are not known; allowed are {', '.join(PARTS)}")
        if self.scores and self.bench.judge is None:
            raise ConfigError(
                "scores are of answers that are rated alone, and pairwise compares two: leave pairwise or "
                "scores out"
            )

    def __call__(self) -> Found:
        """Ask the judge about everything that is not on record."""
        found = Found(self)
        if LABELS in self.parts:
            found = replace(found, **self._labels())
        if ATTACKS in self.parts:
            found = replace(found, trial=self._attacked())
        if OMISSIONS in self.parts:
            found = replace(found, **self._cut())
        return found

    def items(self) -> dict[str, str]:
        """What a continued measurement must find again: the pairs and answers, and a digest of them."""
        digest = hashlib.sha256(repr([self.pairs, self.scores]).encode()).hexdigest()[:16]
        return {"labels": f"{len(self.pairs)} pairs, {len(self.scores)} rated answers, {digest}"}

    def _labels(self) -> dict[str, Any]:
        bench, cases = self.bench, [case for pair in self.pairs for case in (pair.first, pair.second)]
        verdicts: dict[str, Verdict] = {}
        if bench.judge is not None:
            verdicts = bench.verdicts([*cases, *(item.case for item in self.scores)], "answers")
            rulings = rated(self.pairs, verdicts, bench.judge.tie_margin)
        else:
            asked = [replace(pair.first, id=pair.id, other=pair.second.reply) for pair in self.pairs]
            rulings = compared(self.pairs, bench.comparisons(asked, "pairs"))
        weighed = self.likelihoods and bool(cases)
        likely = bench.likelihoods(cases) if weighed else "not asked for: likelihoods=true"
        return {"rulings": rulings, "verdicts": verdicts, "likely": likely}

    def _attacked(self) -> trials.Trial:
        bench, suite = self.bench, attacks.load(self.most, self.bench.seed)
        if bench.judge is not None:
            given = bench.verdicts(attacks.cases(suite), "attacks")
            return trials.rated(JUDGE, suite, given, bench.judge.tie_margin)
        return trials.compared(JUDGE, suite, bench.comparisons(attacks.pairs(suite), "attacks"))

    def _cut(self) -> dict[str, Any]:
        bench, items = self.bench, omissions.load(self.most, self.bench.seed)
        if bench.judge is not None:
            given = bench.verdicts(omissions.cases(items), "omissions")
            check = omissions.rated(JUDGE, items, given, bench.judge.tie_margin)
            if bench.judge.wim is None:
                return {"check": check}
            embedder = bench.judge.wim.embedder
            return {"check": check, "named": omissions.named(JUDGE, items, given, embedder)}
        given_in_pairs = bench.comparisons(omissions.pairs(items), "omissions")
        return {"check": omissions.compared(JUDGE, items, given_in_pairs)}
