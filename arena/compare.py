"""Did anything change between runs? Measures of both, and their difference with a paired interval.

python -m arena.compare smollm_duo random_judge           the second beside the first
python -m arena.compare runs/a runs/b runs/c --md > page.md
python -m arena.compare zeta_sweep --metrics reward,words --plot zeta.png
python -m arena.compare a b --json | jq '.comparisons[0].warnings'
"""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from agents.errors import ArenaError, ConfigError
from agents.human import printable


def main(argv: Sequence[str] | None = None) -> int:
    """Compare what the command line names; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        _compare(options)
    except ArenaError as error:
        print(f"arena.compare: {' '.join(printable(str(error)).split())}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    summary, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m arena.compare",
        description=summary,
        epilog="examples:\n" + textwrap.indent(examples, "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "runs",
        nargs="+",
        metavar="RUN",
        help="run folders, or their names below ./runs; the first is what the others are compared with; "
        "runs that differ in the seed alone count as one; a folder of runs means all of them",
    )
    add("--metrics", default="", metavar="NAMES", help="some measures only, such as reward,words")
    add(
        "--unpaired",
        action="store_true",
        help="means of each side where topics, seeds or turns are not the same: wider intervals",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--md", action="store_true", help="Markdown")
    form.add_argument("--csv", action="store_true", help="a line for each measure of each run")
    form.add_argument("--json", action="store_true", help="one JSON object")
    add("--plot", metavar="FILE.png", help="draw differences, and reward and margin over the steps")
    return parser


def _compare(options: argparse.Namespace) -> None:
    # What follows loads numpy; --help need not wait for it.
    from arena.comparing import arms, drawing, forms, measures, showing
    from arena.comparing.comparison import compare
    from arena.comparing.doubts import doubts
    from arena.terminal import stdout_console

    names = measures.named(options.metrics)
    first, *others = arms.arms(arms.found(options.runs))
    if options.plot:
        drawing.check(Path(options.plot), [first, *others])
    compared = [compare(first, other, names, paired=not options.unpaired) for other in others]
    against = [doubts(each, names if options.metrics else ()) for each in compared]
    if options.plot:
        drawing.draw(compared, Path(options.plot))
    console = stdout_console()
    if options.json:
        console.out(forms.as_json(compared, against), highlight=False)
    elif options.csv:
        console.out(forms.as_csv(compared), end="", highlight=False)
    elif options.md:
        console.out(forms.markdown(compared, against), highlight=False)
    else:
        showing.show(console, compared, against)


if __name__ == "__main__":
    sys.exit(main())
