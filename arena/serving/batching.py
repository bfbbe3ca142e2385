"""Batching: requests that come at the same time are judged together, by one thread."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from traceback import extract_tb
from types import TracebackType

from agents.endpoint import line
from arena.serving.counts import Counts
from arena.serving.dialects import reward_of
from arena.serving.items import Item
from arena.serving.refusal import Refusal
from rewards.verdict import Verdict

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Job:
    """An item that waits for its verdict."""

    item: Item
    request: object
    """Which request it belongs to."""
    since: float
    """When it came, on the clock of the event loop."""
    place: "asyncio.Future[Verdict]"
    """Where the verdict goes; done already if nobody waits for it any more."""


class Batcher:
    """A queue before a judge. To be used as an asynchronous context manager, in one event loop.

    A batch goes to the judge when it is full or when its first item has waited long enough; while the judge
    works, the next one gathers. If the judge raises, the requests of that batch are judged one by one, so
    that only those that it cannot judge fail.

    Args:
        judge: one verdict per item, in order; called in a thread of its own, never twice at a time.
        counts: what is counted of it.
        max_batch: the most items of one call, at least 1.
        wait_ms: how long the first item of a batch waits for others, in milliseconds, at least 0.
        queue: the most items that wait, at least 1.
    """

    def __init__(
        self,
        judge: Callable[[Sequence[Item]], list[Verdict]],
        counts: Counts,
        max_batch: int = 32,
        wait_ms: float = 10.0,
        queue: int = 512,
    ) -> None:
        """Take the settings; `__aenter__` starts the work."""
        self._judge, self._counts = judge, counts
        self._max_batch, self._wait, self._queue = max_batch, wait_ms / 1000, queue
        self._waiting: deque[Job] = deque()
        self._news = asyncio.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="judge")

    async def __aenter__(self) -> "Batcher":
        """Begin to judge."""
        self._work = asyncio.create_task(self._forever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; whoever still waits is told so. A call of the judge that has begun is waited for."""
        self._work.cancel()
        for job in self._waiting:
            job.place.cancel()
        self._waiting.clear()
        await asyncio.to_thread(self._pool.shutdown)

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    def warm_up(self, item: Item) -> None:
        """Judge one item in the judge's thread, so that weights are there before the first request.

        Raises:
            ArenaError: what the judge cannot do without.
        """
        self._pool.submit(self._judge, [item]).result()

    async def rate(self, items: Sequence[Item]) -> list[Verdict]:
        """The verdicts on the items of one request, in order; cancelled, they leave the queue.

        Raises:
            Refusal: the queue is full (503), or the judge failed (500).
        """
        free = self._queue - len(self._waiting)
        if len(items) > free:
            seconds = self._patience()
            text = f"the queue has room for {free} more items, {len(items)} came: come again in {seconds} s"
            raise Refusal(503, text, {"Retry-After": str(seconds)})
        loop, request = asyncio.get_running_loop(), object()
        jobs = [Job(item, request, loop.time(), loop.create_future()) for item in items]
        self._waiting.extend(jobs)
        self._news.set()
        try:
            return list(await asyncio.gather(*(job.place for job in jobs)))
        finally:
            for job in jobs:
                job.place.cancel()
            self._waiting = deque(job for job in self._waiting if not job.place.done())

    def _patience(self) -> int:
        """Seconds until the queue is about empty, as fast as the judge has been; at least 1."""
        pace = self._counts.seconds / max(1, self._counts.batch_items)
        return min(60, max(1, math.ceil(pace * len(self._waiting))))

    async def _forever(self) -> None:
        while True:
            while not self._waiting:
                self._news.clear()
                await self._news.wait()
            await self._company()
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_batch))]
            if batch:
                await self._settle(batch)

    async def _company(self) -> None:
        """Wait until the batch is full or its first item has waited long enough."""
        while self._waiting and len(self._waiting) < self._max_batch:
            left = self._waiting[0].since + self._wait - asyncio.get_running_loop().time()
            if left <= 0:
                return
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._news.wait()

    async def _settle(self, batch: Sequence[Job]) -> None:
        """Give each job its verdict, or the reason why there is none."""
        call = asyncio.get_running_loop().run_in_executor(self._pool, self._timed, [j.item for j in batch])
        [found] = await asyncio.gather(call, return_exceptions=True)
        if isinstance(found, BaseException):
            await self._failed(batch, found)
            return
        self._counts.items += len(found)
        self._counts.unjudged += sum(reward_of(verdict) is None for verdict in found)
        for job, verdict in zip(batch, found, strict=True):
            if not job.place.done():
                job.place.set_result(verdict)

    async def _failed(self, batch: Sequence[Job], error: BaseException) -> None:
        """Judge the requests of a batch apart; a request that was alone in it fails."""
        self._counts.failed += 1
        told = _told(error)
        _log.error("the judge failed on a batch of %d: %s", len(batch), told)
        requests = list(dict.fromkeys(job.request for job in batch))
        for request in requests:
            waiting = [job for job in batch if job.request is request and not job.place.done()]
            if waiting and len(requests) > 1:
                await self._settle(waiting)
                continue
            for job in waiting:
                job.place.set_exception(Refusal(500, f"the judge failed: {told}"))

    def _timed(self, items: Sequence[Item]) -> list[Verdict]:
        started = time.perf_counter()
        self._counts.batches += 1
        self._counts.batch_items += len(items)
        try:
            return self._judge(items)
        finally:
            self._counts.seconds += time.perf_counter() - started


def _told(error: BaseException) -> str:
    """What was raised, and where, in one short line that no terminal obeys."""
    frames = extract_tb(error.__traceback__)
    where = f" (line {frames[-1].lineno} of {frames[-1].name})" if frames else ""
    return line(f"{type(error).__name__}: {error}") + where
