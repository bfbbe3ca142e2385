"""The live display of a running job: a table of the seats, what was said last, alarms, and the time left."""

from collections.abc import Iterator
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live as Region
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from arena.display import Display, Fields
from arena.logline import extent, words
from arena.progress import Tally, duration
from arena.terminal import WIDTH, clean, colours, one_line, stdout_console
from arena.wording import count

SAID_LINES = 3
"""Lines of a turn that are shown."""

ALARMS = 3
"""Alarms that stay on the screen; all are in the run folder."""

_KEPT = 4
_STAGED = ("drafts", "tokens", "tok/s", "truncated")
_COLUMNS = ("steps", "drafts", "tok/s", "rating", "pairs", "ties", "abst.", "loss", "margin")


class Live(Display):
    """Draws over itself, at most twice a second; what others print appears above it.

    Args:
        console: where to draw; default: standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        """Take the console."""
        super().__init__()
        self.console = console or stdout_console()
        self._start: Fields = {}
        self._colours: dict[str, str] = {}
        self._said: tuple[tuple[str, str, str, float | None], ...] = ()
        self._alarms: tuple[tuple[str, str], ...] = ()
        self._last = "nothing yet"
        self._failure = self._learned = ""
        self._over = False
        self._region = Region(
            console=self.console, get_renderable=self.drawn, refresh_per_second=2, vertical_overflow="crop"
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self.stack.enter_context(self._region)
        return self

    def show(self, kind: str, fields: Fields) -> None:
        """Take up one event; it is drawn with the next refresh."""
        if kind in ("start", "begin"):
            self._start = fields
            self._colours = colours(fields["seats"])
        elif kind in ("exchanged", "spoke") and fields["sample"]:
            self._said = (*self._said, fields["sample"])[-_KEPT:]
        elif kind == "alarm":
            self._alarms = (*self._alarms, (fields["name"], fields["text"]))[-ALARMS:]
        elif kind == "failure":
            self._failure = f"{fields['id']} {fields['what']}"
        elif kind == "learned":
            [(_, self._learned)] = words(kind, fields, self.progress)
        elif kind in ("note", "performed", "evaluated"):
            self._print(kind, fields)
        elif kind in ("stopped", "done"):
            self._over = True
            self.stack.close()
            self._print(kind, fields)
        self._last = f"{kind} {fields['seat']}" if "seat" in fields else kind

    def _print(self, kind: str, fields: Fields) -> None:
        styles = {"stopped": "bold yellow", "done": "bold green"}
        for label, text in words(kind, fields, self.progress):
            line = Text.assemble(
                Text(f"{label:<9} ", styles.get(label, "bold")), clean(one_line(text, 10_000))
            )
            self.console.print(line, soft_wrap=label in ("continue", "hint"))

    def drawn(self) -> RenderableType:
        """The screen as it is now."""
        if not self._start:
            return Text("starting ...", "dim")
        return Group(*self._header(), self._table(), *self._turns(), *self._warnings(), *self._footer())

    def _header(self) -> Iterator[RenderableType]:
        at = self._start
        again = " · continued" if at["resumed"] else ""
        yield clean(f"{at['conf']} · {at['folder']} · seed {at['seed']}{again}", "bold")
        seats = Text()
        for seat, model in at["seats"].items():
            seats.append(clean(seat, f"bold {self._colours[seat]}"))
            seats.append(clean(f" {model}{' (learns)' if seat in at.get('learners', ()) else ''} · "))
        yield seats.append(clean(f"judge {at['judge']}"))
        yield clean(extent(at), "dim")

    def _table(self) -> RenderableType:
        by_steps = self.progress.steps > 0
        if not by_steps and not any(tally.drafts for tally in self.progress.tallies.values()):
            return Text()
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("seat", overflow="fold")
        for name in _COLUMNS if by_steps else _STAGED:
            table.add_column(name, justify="right", no_wrap=True)
        for seat, tally in self.progress.tallies.items():
            numbers = (self.progress.steps_of(seat), *_numbers(tally)) if by_steps else _staged(tally)
            table.add_row(clean(seat, f"bold {self._colours[seat]}"), *numbers)
        return Padding(table, (1, 0))

    def _turns(self) -> Iterator[RenderableType]:
        """The turns said last, as many as the screen has room for."""
        used = 14 + len(self.progress.tallies) + 2 * len(self._alarms)
        fitting = max((self.console.height - used) // (SAID_LINES + 1), 1)
        for dialogue, speaker, text, rating in self._said[-fitting:]:
            rated = f" · {rating:.2f}" if rating is not None else ""
            name = clean(speaker, f"bold {self._colours.get(speaker, 'white')}")
            yield Text.assemble(name, clean(f" {dialogue}{rated}", "dim"))
            yield from self._shortened(text)

    def _shortened(self, text: str) -> Iterator[Text]:
        width = max(self.console.width - 2, 20)
        lines = clean(one_line(text, width * (SAID_LINES + 2))).wrap(self.console, width, overflow="fold")
        for line in lines[: SAID_LINES - 1]:
            yield Text("  ") + line
        if len(lines) >= SAID_LINES:
            rest = " ".join(str(line).strip() for line in lines[SAID_LINES - 1 :])
            yield Text("  ") + Text(one_line(rest, width))

    def _warnings(self) -> Iterator[RenderableType]:
        if self._learned:
            yield clean(self._learned)
        for name, text in self._alarms:
            yield clean(f"ALARM {name}: {one_line(text, 400)}", "bold red")

    def _how_far(self) -> tuple[int, int, list[str]]:
        """What is done, of how much, and in words: steps, or a part of the stage that goes on."""
        progress = self.progress
        if progress.steps:
            return progress.done, progress.steps, [f"{progress.done} of {count(progress.steps, 'step')}"]
        if progress.stage is None:
            return 0, 1, ["nothing said yet"]
        what, done, of = progress.stage
        return done, of, [f"{what} {done} of {of}"]

    def _footer(self) -> Iterator[RenderableType]:
        progress = self.progress
        done, of, facts = self._how_far()
        now = progress.clock()
        if self._over:
            facts.append(f"took {duration(progress.heard - progress.started)}")
        else:
            facts += [f"ETA {duration(progress.remaining())}"] if progress.steps else []
            facts += [f"running {duration(now - progress.started)}"]
        if progress.failures:
            facts.append(f"{count(progress.failures, 'failure')}, last {self._failure}")
        if not self._over:
            facts.append(f"{self._last} {now - progress.heard:.0f} s ago")
        yield Text()
        line = Table.grid()
        width = min(self.console.width, WIDTH)
        line.add_row(ProgressBar(max(of, 1), done, width, complete_style="green"))
        yield line
        yield clean(" · ".join(facts), "dim")


def _staged(tally: Tally) -> list[str]:
    speed = "-" if tally.speed is None else f"{tally.speed:.0f}"
    return [str(tally.drafts), str(tally.tokens), speed, str(tally.truncated)]


def _numbers(tally: Tally) -> list[str]:
    def shown(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    return [
        str(tally.drafts),
        shown(tally.speed, 0),
        shown(tally.rating, 2),
        str(tally.pairs),
        str(tally.ties),
        str(tally.abstained),
        shown(tally.loss, 4),
        shown(tally.margin, 4),
    ]
