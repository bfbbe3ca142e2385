"""The README.md of a training: what was learned, what that is worth on held-out records, the tables' card."""

from collections.abc import Mapping, Sequence

from arena.report import Row, alarmed, card, failures, learning, table
from arena.rundir import RunFolder

_FIXED = ("schema", "id", "speaker", "step", "ts")


def train_report(files: RunFolder, conf: str, alarms: Mapping[str, str]) -> str:
    """Markdown with a data set card in front."""
    rows = {name: list(files.rows(name)) for name in files.tables}
    return "\n".join(
        [
            *card([name for name in files.tables if rows[name]]),
            f"# {conf}",
            "",
            "The adapter is in `adapter/`, as PEFT writes it.",
            "",
            *learning(rows["metrics"]),
            *_measured(rows["evaluations"]),
            *alarmed(alarms),
            *failures(rows["failures"]),
        ]
    )


def _measured(rows: Sequence[Row]) -> list[str]:
    """What was measured on held-out records, first and last."""
    if not rows:
        return []
    names = [name for name in rows[0] if name not in _FIXED]
    shown = [rows[0], rows[-1]] if len(rows) > 1 else [rows[0]]
    head = ["held out", *(f"after step {row['step']}" for row in shown)]
    cells = ([name.replace("_", " "), *(f"{row[name]:.4g}" for row in shown)] for name in names)
    return table(head, cells)
