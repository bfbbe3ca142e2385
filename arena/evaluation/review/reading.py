"""Stored reviews: two scores in one text, as the judges of Vicuna's protocol write them.

https://github.com/lm-sys/FastChat, `fastchat/eval`: a judge sees a question and two answers, and writes a
line of two scores and an explanation. Where it explained first, the protocol's own reader left (-1, -1), "to
be fixed manually"; here the scores are read from the text wherever they stand, or the review has none.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agents.errors import ConfigError
from arena import jsonl
from arena.evaluation.inputs import files

LOW, HIGH = 1.0, 10.0
"""The scale of a score."""

_NUMBER = r"(\d+(?:\.\d+)?)(?:\s*/\s*10)?"
_PAIR = re.compile(rf"[(\[]?\s*{_NUMBER}(?:\s*,\s*|\s+){_NUMBER}\s*[)\]]?\W*")
_TUPLE = re.compile(rf"\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)")
_ABOUT_SCORES = re.compile(r"\b(?:tuple|output|scores?)\b", re.IGNORECASE)
# "Assistant 1: 7/10 (a mistake in the last step)" and, below it or beside it, the same of Assistant 2.
_GIVEN = rf"\W{{0,2}}(?::| (?:gets|receives|scores)| a score of| a)[ \t]*{_NUMBER}"
_THEN = r"(?=[ \t]*(?:$|[(,;.]|[-–] [A-Z]|out of|and\b))"
_EACH = re.compile(
    rf"Assistant 1{_GIVEN}{_THEN}(?:(?!Assistant).){{0,200}}?Assistant 2{_GIVEN}{_THEN}",
    re.DOTALL | re.MULTILINE,
)
_COLUMNS = {"text": ("text", "review"), "noted": ("score", "scores")}
"""What the columns are called, by the repositories that have such files."""

Scores = tuple[float, float]


@dataclass(frozen=True)
class Stored:
    """One review of one question's two answers."""

    first: str
    """Whose answer stood first."""
    second: str
    question: str
    scores: Scores | None
    """Of the first and of the second, as the text says them; None where it does not."""
    status: str
    """`ok`, or why there are no scores."""
    raw: str
    where: str
    """The file and line that it comes from."""
    noted: Scores | None = None
    """The scores that stand beside the text in the file; None where there are none."""

    @property
    def id(self) -> str:
        """Both models in their order, and the question."""
        return f"{self.first}>{self.second}#{self.question}"

    @property
    def noted_otherwise(self) -> bool:
        """Whether the text says other scores than those that stand beside it."""
        return None not in (self.scores, self.noted) and self.scores != self.noted


def parse_scores(text: str, low: float = LOW, high: float = HIGH) -> tuple[Scores | None, str]:
    """The scores of the first and the second answer in a review, and a status.

    The first line goes before all others. Else the one pair of numbers that stands alone on a line, in a
    tuple where scores are spoken of, or behind "Assistant 1" and "Assistant 2".

    Statuses other than `ok`: `absent`, `ambiguous` (different pairs), `out_of_range`.

    >>> parse_scores("8 9.5" + chr(10) + "Both are good."), parse_scores("First, f(2) = 39. Output: (10, 4)")
    (((8.0, 9.5), 'ok'), ((10.0, 4.0), 'ok'))
    >>> parse_scores("Both did well."), parse_scores("11 3"), parse_scores("Scores (7, 8)? Scores (6, 8)")
    ((None, 'absent'), (None, 'out_of_range'), (None, 'ambiguous'))
    """
    lines = [line.strip() for line in text.strip().split("\n")]
    first = _PAIR.fullmatch(lines[0])
    found = {_scores(first)} if first else set(_pairs(text, lines))
    if len(found) != 1:
        return None, "ambiguous" if found else "absent"
    [scores] = found
    return (scores, "ok") if all(low <= score <= high for score in scores) else (None, "out_of_range")


def _pairs(text: str, lines: Sequence[str]) -> Iterator[Scores]:
    for line in lines:
        if match := _PAIR.fullmatch(line):
            yield _scores(match)
        elif _ABOUT_SCORES.search(line):
            yield from map(_scores, _TUPLE.finditer(line))
    yield from map(_scores, _EACH.finditer(text))


def _scores(match: re.Match[str]) -> Scores:
    return float(match.group(1)), float(match.group(2))


def read_reviews(patterns: Sequence[str], low: float = LOW, high: float = HIGH) -> list[Stored]:
    """The reviews in files of JSON lines.

    A row has `question_id`, `text` (or `review`), perhaps `score` (or `scores`), and perhaps `pairing`, which
    else is the file's name without its ending: `A_vs_B`, or `A_B` where no name has an underscore.

    Args:
        patterns: paths, also with `*`.
        low: the least score of the scale.
        high: the greatest one.

    Raises:
        ConfigError: no file, a row that is no review, a name of no two models, or two reviews of one
            question's answers in one order.
    """
    found: dict[str, Stored] = {}
    for path in files(patterns, "reviews"):
        for number, row in jsonl.rows(path, "file of reviews"):
            where = f"{str(path)!r}, line {number}"
            review = _review(row, where, path.stem, low, high)
            if twice := found.get(review.id):
                raise ConfigError(
                    f"{where}: {review.first} against {review.second}, question {review.question}, was "
                    f"reviewed in {twice.where} already: leave one of them out"
                )
            found[review.id] = review
    return list(found.values())


def read_answers(patterns: Sequence[str]) -> dict[str, dict[str, str]]:
    """What each model answered, by question: rows with `question_id`, `text` in a file called as the model.

    Raises:
        ConfigError: no file, a row that is no answer, or two answers of a model to one question.
    """
    found: dict[str, dict[str, str]] = {}
    for path in files(patterns, "answers"):
        own = found.setdefault(path.stem, {})
        for number, row in jsonl.rows(path, "file of answers"):
            where = f"{str(path)!r}, line {number}"
            question, text = str(jsonl.cell(where, row, "question_id")), jsonl.cell(where, row, "text")
            if not isinstance(text, str) or question in own:
                raise ConfigError(f"{where}: one answer for each question is a text: mend or remove the row")
            own[question] = text
    return found


def _review(row: jsonl.Row, where: str, stem: str, low: float, high: float) -> Stored:
    text = jsonl.cell(where, row, _column(row, "text"))
    if not isinstance(text, str):
        raise ConfigError(f"{where}: a review is a text, found {jsonl.brief(text)}: mend or remove the row")
    first, second = _models(str(row.get("pairing", stem)), where)
    scores, status = parse_scores(text, low, high)
    question = str(jsonl.cell(where, row, "question_id"))
    return Stored(first, second, question, scores, status, text, where, _noted(row))


def _column(row: jsonl.Row, what: str) -> str:
    """The name that a column has in this row."""
    names = _COLUMNS[what]
    return next((name for name in names if name in row), names[0])


def _noted(row: jsonl.Row) -> Scores | None:
    value = row.get(_column(row, "noted"))
    if isinstance(value, list) and len(value) == 2 and all(isinstance(each, int | float) for each in value):
        return float(value[0]), float(value[1])
    return None


def _models(pairing: str, where: str) -> tuple[str, str]:
    names = pairing.split("_vs_" if "_vs_" in pairing else "_")
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise ConfigError(
            f"{where}: {jsonl.brief(pairing)} does not say which two models were compared: call the file "
            "A_vs_B.jsonl, or write A_vs_B into the column `pairing`"
        )
    return names[0], names[1]
