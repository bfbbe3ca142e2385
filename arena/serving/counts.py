"""Counts: what a server has done, as Prometheus reads it (text format 0.0.4)."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

PREFIX = "arena_reward_"


@dataclass
class Counts:
    """Running totals of one server."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By route (`other` for paths that there are not) and status."""
    items: int = 0
    """Items that got a verdict."""
    unjudged: int = 0
    """Those of them without a reward."""
    batches: int = 0
    """Calls of the judge, failed ones among them."""
    failed: int = 0
    """Calls of the judge that raised."""
    batch_items: int = 0
    """Sum of the sizes of all batches."""
    seconds: float = 0.0
    """Time that the judge has worked."""

    def text(self, queue: int, uptime: float) -> str:
        """All of it in the exposition format, with the queue's length and the seconds since the start."""
        return "\n".join([*self._requests(), *self._totals(), *_gauges(queue, uptime), ""])

    def _requests(self) -> Iterator[str]:
        yield from _head("requests_total", "counter", "Requests by route and status.")
        for (route, status), count in sorted(self.requests.items()):
            yield f'{PREFIX}requests_total{{route="{route}",status="{status}"}} {count}'

    def _totals(self) -> Iterator[str]:
        for name, value, told in (
            ("items_total", self.items, "Items that got a verdict."),
            ("unjudged_total", self.unjudged, "Items whose verdict has no reward."),
            ("batches_total", self.batches, "Calls of the judge."),
            ("failed_batches_total", self.failed, "Calls of the judge that raised."),
            ("batch_size_sum", self.batch_items, "Sum of the sizes of all batches."),
            ("judging_seconds_total", round(self.seconds, 6), "Seconds that the judge has worked."),
        ):
            yield from _head(name, "counter", told)
            yield f"{PREFIX}{name} {value}"


def _gauges(queue: int, uptime: float) -> Iterator[str]:
    for name, value, told in (
        ("queue_items", queue, "Items that wait for the judge."),
        ("uptime_seconds", round(uptime, 3), "Seconds since the server started."),
    ):
        yield from _head(name, "gauge", told)
        yield f"{PREFIX}{name} {value}"


def _head(name: str, kind: str, told: str) -> Iterator[str]:
    yield f"# HELP {PREFIX}{name} {told}"
    yield f"# TYPE {PREFIX}{name} {kind}"
