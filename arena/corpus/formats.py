"""The formats of data sets by name: how a file is recognised, and which records it gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agents.errors import ConfigError
from arena import jsonl
from arena.corpus import examples, papers, preferences, rankings, sentiment, tables
from arena.corpus.entry import Entry, Maker, each, gathered, problems
from arena.problems import Problem
from arena.spelling import did_you_mean
from rewards.verdict import Example, Preference, Ranking, Review

Columns = frozenset[str]


@dataclass(frozen=True)
class Format:
    """How the rows of a data set are written."""

    gives: Mapping[type, Maker]
    signatures: tuple[Columns, ...] = ()
    """Columns of which one set is in every row."""
    schema: str = ""
    """The `schema` of a table of this project, which has no other signature."""
    fits: Callable[[jsonl.Row], bool] = lambda row: True
    """What a row with the signature must be like besides."""
    over: tuple[str, ...] = ()
    """Formats of which this is a special case."""

    def matches(self, row: jsonl.Row) -> bool:
        """Whether a row is written like this."""
        return any(columns <= row.keys() for columns in self.signatures) and self.fits(row)


def _columns(*sets: str) -> tuple[Columns, ...]:
    return tuple(frozenset(names.split()) for names in sets)


def _is_transcript(row: jsonl.Row) -> bool:
    text = row["prompt"] if "prompt" in row else row["chosen"]
    begins = isinstance(text, str) and text.lstrip().startswith("Human:")
    return begins and ("prompt" not in row or str(text).rstrip().endswith("Assistant:"))


def _is_claim(row: jsonl.Row) -> bool:
    return str(row["prompt"]).startswith(preferences.CLAIM)


def _is_pair_of_messages(row: jsonl.Row) -> bool:
    return "prompt" in row or isinstance(row["chosen"], list)


FORMATS: Mapping[str, Format] = {
    "pairs": Format(
        {Preference: each(preferences.pairs), Problem: problems(preferences.pairs)},
        _columns("prompt a b label", "messages a b label", "messages chosen rejected"),
        fits=lambda row: not {"prompt", "chosen"} <= row.keys(),
    ),
    "ukp": Format(
        {Preference: each(preferences.ukp), Problem: problems(preferences.ukp)},
        _columns("prompt a b label"),
        fits=_is_claim,
        over=("pairs",),
    ),
    "hh_rlhf": Format(
        {Preference: each(preferences.hh_rlhf), Problem: problems(preferences.hh_rlhf)},
        _columns("chosen rejected", "prompt chosen rejected", "prompt a b label"),
        fits=_is_transcript,
        over=("pairs", "dpo"),
    ),
    "dpo": Format(
        {Preference: each(preferences.dpo), Problem: problems(preferences.dpo)},
        _columns("prompt chosen rejected", "chosen rejected"),
        fits=_is_pair_of_messages,
    ),
    "shp": Format(
        {Preference: each(preferences.shp), Problem: problems(preferences.shp)},
        _columns("history human_ref_A human_ref_B score_A score_B"),
    ),
    "webgpt": Format(
        {Preference: each(preferences.webgpt), Problem: problems(preferences.webgpt, "qa")},
        _columns("question answer_0 answer_1 score_0 score_1"),
    ),
    "tldr_comparisons": Format(
        {
            Preference: each(preferences.tldr_comparisons),
            Problem: problems(preferences.tldr_comparisons, "summary"),
        },
        _columns("info summaries choice"),
    ),
    "tldr": Format(
        {Example: each(examples.tldr), Problem: problems(examples.tldr, "summary")},
        _columns("prompt label", "post summary"),
        fits=lambda row: isinstance(row.get("label", ""), str) and "a" not in row,
    ),
    "ultrafeedback": Format(
        {
            Ranking: each(rankings.ultrafeedback),
            Preference: each(rankings.ultrafeedback_pairs),
            Example: each(rankings.ultrafeedback_best),
            Problem: problems(rankings.ultrafeedback),
        },
        _columns("instruction completions"),
    ),
    "summeval": Format(
        {
            Ranking: gathered(rankings.articles, rankings.summeval),
            Preference: gathered(rankings.articles, rankings.summeval_pairs),
            Example: gathered(rankings.articles, rankings.summeval_best),
            Problem: gathered(rankings.articles, rankings.summeval_problems),
        },
        _columns("article response scores"),
    ),
    "alpaca": Format(
        {Example: each(examples.alpaca), Problem: problems(examples.alpaca)},
        _columns("instruction output"),
    ),
    "chat": Format(
        {Example: each(examples.chat), Problem: each(examples.chat_problem)},
        _columns("messages"),
        fits=lambda row: not {"a", "chosen"} & row.keys(),
    ),
    "sharegpt": Format(
        {Example: each(examples.sharegpt), Problem: problems(examples.sharegpt)},
        _columns("conversations"),
    ),
    "prompt_completion": Format(
        {Example: each(examples.prompt_completion), Problem: problems(examples.prompt_completion)},
        _columns("prompt completion"),
        fits=lambda row: "label" not in row,  # of TRL's unpaired form, whose completions may be bad
    ),
    "prompts": Format(
        {Problem: each(examples.prompts)},
        _columns("prompt", "turns"),
        fits=lambda row: not {"chosen", "completion", "label", "a"} & row.keys(),
    ),
    "iclr": Format({Review: each(papers.iclr)}, _columns("title abstract ratings")),
    "disapere": Format({Review: each(papers.disapere)}, _columns("title review rating")),
    "sst2": Format(
        {Preference: sentiment.sst2, Problem: sentiment.beginnings},
        _columns("text label"),
        fits=lambda row: row["label"] in (0, 1),
    ),
    "preferences": Format(
        {Preference: each(tables.preference_table), Problem: problems(tables.preference_table)},
        schema="arena.preference/1",
    ),
    "examples": Format(
        {Example: each(tables.example_table), Problem: problems(tables.example_table)},
        schema="arena.example/1",
    ),
    "problems": Format({Problem: each(tables.problem_table)}, schema="arena.problem/1"),
    "turns": Format({Ranking: tables.rankings_of_run}, schema="arena.turn/1"),
}
"""By name, as `data.form` has it. `ultrafeedback` in its binarised form is `dpo`."""


def named(name: str) -> Format:
    """The format of this name; ConfigError if there is none."""
    if name not in FORMATS:
        raise ConfigError(
            f"unknown form {name!r}{did_you_mean(name, FORMATS)}; allowed are auto, {', '.join(FORMATS)}"
        )
    return FORMATS[name]


def recognised(entry: Entry) -> str:
    """The name of the format that a row is written in: by its `schema`, else by its columns.

    Raises:
        ConfigError: no format fits, or several do.
    """
    schema = entry.row.get("schema")
    if isinstance(schema, str) and schema.startswith("arena."):
        return _of_schema(entry, schema)
    found = [name for name, form in FORMATS.items() if form.matches(entry.row)]
    overruled = {other for name in found for other in FORMATS[name].over}
    left = [name for name in found if name not in overruled]
    if len(left) == 1:
        return left[0]
    columns = ", ".join(map(repr, entry.row)) or "none"
    if left:
        raise ConfigError(
            f"{entry.where}: the columns {columns} fit several forms: choose one by data.form=, of "
            f"{', '.join(left)}"
        )
    raise ConfigError(
        f"{entry.where}: the columns {columns} fit no form: choose one by data.form=, of "
        f"{', '.join(FORMATS)}, and name its columns by data.columns={{COLUMN: NAME}}"
    )


def _of_schema(entry: Entry, schema: str) -> str:
    known = {form.schema: name for name, form in FORMATS.items() if form.schema}
    if schema not in known:
        raise ConfigError(
            f"{entry.where}: rows of {schema!r} give no records: take a table of {', '.join(known)}"
        )
    return known[schema]
