"""Samples of repeated measurements, runs interleaved with each other, and the peak of memory."""

import ctypes
import gc
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

_PROC = Path("/proc/self")


@dataclass(frozen=True)
class Samples:
    """One quantity, measured once per repeat."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, measured: list[T], quantity: Callable[[T], float]) -> "Samples":
        """A quantity of each measurement."""
        return cls(tuple(quantity(one) for one in measured))

    @property
    def median(self) -> float:
        """The middle value."""
        return median(self.values)

    @property
    def low(self) -> float:
        """The least value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The greatest value."""
        return max(self.values)

    def over(self, other: "Samples") -> "Samples":
        """The ratio to `other`, repeat by repeat: what slows a whole repeat down cancels out.

        Raises:
            ValueError: the two were not measured equally often.
        """
        return Samples(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))


def interleaved(
    sides: Mapping[str, Callable[[int], T]], repeats: int, say: Callable[[str], None], warm: bool = False
) -> dict[str, list[T]]:
    """Call every side with the number of the repeat, in turn: A B A B.

    Args:
        sides: name -> what is measured.
        repeats: how often, at least 1.
        say: is told what has been done.
        warm: whether each is called once before, as one repeat more, which does not count.
    """
    for side in sides.values() if warm else ():
        side(repeats)
    found: dict[str, list[T]] = {name: [] for name in sides}
    for repeat in range(repeats):
        for name, side in sides.items():
            start = time.perf_counter()
            found[name].append(side(repeat))
            say(f"{name}: {repeat + 1} of {repeats} in {time.perf_counter() - start:.1f} s")
    return found


def seconds(call: Callable[[], Any]) -> float:
    """How long a call takes, until a GPU has done its part as well."""
    settle()
    start = time.perf_counter()
    call()
    settle()
    return time.perf_counter() - start


def settle() -> None:
    """Wait until the current GPU, if there is one, has done what it was told."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Peak:
    """The most memory in use while the body runs: of the current GPU, else of the process.

    A process is measured by its resident set (Linux: `VmHWM`, set back by writing 5 to
    `/proc/self/clear_refs`; elsewhere the peak since the process began). What earlier bodies freed is
    given back to the system first.
    """

    def __init__(self, device: str) -> None:
        """Take the device, `cpu` or `cuda...`."""
        self.cuda = device.startswith("cuda")
        self.before = self.most = 0.0
        """Bytes at the start, and at the highest."""

    @property
    def growth(self) -> float:
        """Bytes that the body took beyond what was there before it."""
        return self.most - self.before

    def __enter__(self) -> Self:
        """Begin from a low level."""
        gc.collect()
        if self.cuda:
            import torch

            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            self.before = float(torch.cuda.memory_allocated())
            return self
        _trim()
        try:
            (_PROC / "clear_refs").write_text("5")
        except OSError:  # no Linux, or a container that does not let it
            pass
        self.before = _status("VmRSS")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Read the highest level."""
        if self.cuda:
            import torch

            self.most = float(torch.cuda.max_memory_allocated())
        else:
            self.most = _status("VmHWM")


def _trim() -> None:
    """Give freed memory back, where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(key: str) -> float:
    """Bytes of an entry of `/proc/self/status`, else the peak since the process began."""
    try:
        lines = (_PROC / "status").read_text().splitlines()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))
