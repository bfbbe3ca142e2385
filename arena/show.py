"""Read transcripts in the terminal: every draft, how it was judged, and what was learned from it.

python -m arena.show                              the newest dialogue of the newest run
python -m arena.show runs/demo d0003 --as ada     what ada saw before it spoke last
python -m arena.show demo --where 'rating<5 and speaker=ada' -n 5
python -m arena.show demo all --json | jq -r 'select(.chosen).content'
"""

import argparse
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.text import Text

from agents.dialogue import Message
from agents.errors import ArenaError, ConfigError
from agents.human import printable
from arena.layout import Layout
from arena.markdown import Markdown
from arena.objects import Objects
from arena.reading import Run
from arena.records import Row
from arena.runs import ROOT, find_run, read_json, runs_below, state
from arena.spelling import did_you_mean
from arena.terminal import WIDTH, colours, stdout_console
from arena.transcript import Draft, Transcript
from arena.where import Where
from arena.wording import count


def main(argv: Sequence[str] | None = None) -> int:
    """Show what the command line asks for; returns the exit code."""
    options = _parser().parse_args(argv)
    console = stdout_console()
    try:
        _show(options, console)
    except ArenaError as error:
        print(f"arena.show: {printable(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    summary, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m arena.show",
        description=summary,
        epilog="examples:\n" + textwrap.indent(examples, "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "run",
        nargs="?",
        default="",
        metavar="RUN",
        help="a run folder, or its name below ./runs; default: the newest",
    )
    add(
        "dialogue",
        nargs="?",
        default="",
        metavar="DIALOGUE",
        help="such as d0003, or all; default: the newest",
    )
    add("--as", dest="speaker", metavar="SPEAKER", help="what this speaker saw before it spoke last")
    add(
        "--where",
        metavar="FILTER",
        help="drafts only, such as 'rating<5 and content~\"heat pump\"'; of all dialogues",
    )
    add(
        "-n",
        dest="last",
        type=_positive,
        metavar="N",
        help="the last N turns; with --where the first N drafts",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object per draft, one per line")
    form.add_argument("--md", action="store_true", help="Markdown")
    add("--no-diff", action="store_true", help="revisions plain, without the words that they change")
    add("--no-pager", action="store_true", help="never page, however long it is")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


class Form(Protocol):
    """How transcripts are written: pieces of styled text, or strings that stay as they are."""

    def dialogue(self, transcript: Transcript, last: int | None = None) -> Iterable[Text | str]:
        """A dialogue, or its last turns."""

    def match(self, transcript: Transcript, draft: Draft) -> Iterable[Text | str]:
        """A draft that a filter found."""

    def prompt(
        self, transcript: Transcript, speaker: str, messages: Sequence[Message], last: int | None = None
    ) -> Iterable[Text | str]:
        """A prompt, or its last messages."""

    def note(self, text: str) -> Iterable[Text | str]:
        """A line about what was shown."""


def _show(options: argparse.Namespace, console: Console) -> None:
    where = Where.parse(options.where) if options.where is not None else None
    if where and options.speaker:
        raise ConfigError("--where finds drafts, --as shows one prompt: take one of them")
    run = Run(_folder(options.run))
    transcripts = _transcripts(run, options.dialogue or ("all" if where else ""))
    settings = read_json(run.path / "config.json")
    form = _form(options, run, transcripts, settings, console)
    if where:
        pieces = _matches(form, transcripts, where, options.last)
    elif options.speaker:
        pieces = _prompts(form, transcripts, options.speaker, settings, options.last)
    else:
        pieces = (piece for each in transcripts for piece in form.dialogue(each, options.last))
    _write(console, pieces, page=not options.no_pager)


def _folder(name: str) -> Path:
    """The run folder; a dialogue in its place is answered with what to type."""
    try:
        return find_run(name)
    except ConfigError as error:
        newest = next(iter(runs_below(ROOT)), None)
        if newest is None or name not in (*Run(newest).dialogues, "all"):
            raise
        raise ConfigError(
            f"{error}; for {name} of the newest run: python -m arena.show {newest} {name}"
        ) from None


def _transcripts(run: Run, name: str) -> list[Transcript]:
    """The dialogue named, all of them, or the newest."""
    if not run.dialogues:
        report = run.path / "README.md"
        told = f"read {report}" if report.exists() else "look again when the first drafts are written"
        raise ArenaError(f"{str(run.path)!r} has no turns to show: {told}")
    if name and name != "all" and name not in run.dialogues:
        ids = sorted(run.dialogues)
        span = f"{ids[0]} to {ids[-1]}" if len(ids) > 1 else ids[0]
        raise ConfigError(
            f"{name!r} is no dialogue of {str(run.path)!r}{did_you_mean(name, [*ids, 'all']) or ';'} "
            f"there is {span}, or all"
        )
    return run.transcripts(sorted(run.dialogues) if name == "all" else [name or run.dialogues[-1]])


def _form(
    options: argparse.Namespace, run: Run, transcripts: Sequence[Transcript], settings: Row, console: Console
) -> Form:
    info = read_json(run.path / "run.json")
    conf = info.get("conf", settings.get("conf", ""))
    alarms = ", ".join(info.get("alarms", {}))
    facts = [str(run.path), conf and f"conf {conf}", state(info), alarms and f"ALARMS: {alarms}"]
    about = " · ".join(filter(None, facts))
    normalisation = str(settings.get("judge.normalisation", "centred"))
    minimum = int(settings.get("min_revisions", 0))
    if options.json:
        return Objects()
    if options.md:
        return Markdown(about, normalisation, minimum, not options.no_diff)
    seats = [key.split(".")[1] for key in settings if key.startswith("agents.")]
    seats += [name for each in transcripts for name in each.speakers]
    coloured = console.color_system is not None and not console.no_color
    width = min(console.width, WIDTH)
    return Layout(about, width, colours(seats), normalisation, minimum, not options.no_diff, coloured)


def _matches(
    form: Form, transcripts: Sequence[Transcript], where: Where, first: int | None
) -> Iterator[Text | str]:
    drafts = [(each, draft) for each in transcripts for played in each.rounds for draft in played.drafts]
    found = [(each, draft) for each, draft in drafts if where.holds(draft)]
    for each, draft in found[:first]:
        yield from form.match(each, draft)
    shown = f"; shown: the first {first}" if first and first < len(found) else ""
    yield from form.note(f"{len(found)} of {count(len(drafts), 'draft')} match {where.text}{shown}")


def _prompts(
    form: Form, transcripts: Sequence[Transcript], speaker: str, settings: Row, last: int | None
) -> Iterator[Text | str]:
    if worked := next((each.id for each in transcripts if each.works_on_answers or each.question), ""):
        raise ConfigError(
            f"--as: {worked} works on answers; what a seat was shown is only rebuilt for the dialogues of "
            "arena.run: leave --as away"
        )
    speakers = sorted({name for each in transcripts for name in each.speakers})
    if speaker not in speakers:
        raise ConfigError(
            f"{speaker!r} has not spoken{did_you_mean(speaker, speakers) or ';'} "
            f"these have: {', '.join(speakers)}"
        )
    system, opening = settings.get(f"agents.{speaker}.system", ""), settings.get("opening", "")
    for each in transcripts:
        if speaker in each.speakers:
            yield from form.prompt(each, speaker, each.prompt_of(speaker, system, opening), last)


def _write(console: Console, pieces: Iterable[Text | str], page: bool) -> None:
    """Write pieces as they come, or all at once through a pager if they are more than a screen."""
    if not (page and sys.stdin.isatty() and sys.stdout.isatty()):
        _print(console, pieces)
        return
    known = list(pieces)
    if sum(str(piece).count("\n") + 1 for piece in known) < console.height:
        _print(console, known)
        return
    # less shows colours only when told; a pager for manuals, which Python prefers, mangles them.
    os.environ.setdefault("LESS", "-R")
    os.environ.pop("MANPAGER", None)
    with console.pager(styles=True):
        _print(console, known)


def _print(console: Console, pieces: Iterable[Text | str]) -> None:
    for piece in pieces:
        if isinstance(piece, str):
            console.out(piece, highlight=False)
        else:
            console.print(piece, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
