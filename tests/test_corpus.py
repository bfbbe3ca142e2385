"""The corpus: files, patterns and run folders as records; and holding some of them out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from example_run import ILLEGIBLE, TRUNCATED
from example_run import Example as Recorded
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import OmegaConf

from agents import ConfigError
from agents.base import Prompt
from agents.dialogue import Message, Reply, Turn
from arena.config import CONF
from arena.corpus.entry import Record
from arena.corpus.reading import NAMES, WAYS, Corpus, id_of
from arena.corpus.sentiment import NEUTRAL
from arena.corpus.split import group_of, hold_out
from arena.problems import Problem
from arena.records import example_row, line, preference_row, turn_row, verdict_row
from rewards.verdict import Example, Preference, Ranking, Review, Verdict

PARTS = sorted(path.stem for path in (CONF / "data").glob("*.yaml"))


def write(path: Path, *rows: object) -> str:
    """A file of one JSON value per line; gives its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def instructions(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Rows in the form of Alpaca."""
    return [
        {"instruction": f"question {n}", "output": f"answer {n}", "year": 2000 + n % 3, "by": "ab"[n % 2]}
        for n in range(start, start + count)
    ]


def answers(records: Sequence[Example]) -> list[str]:
    """What is to be said."""
    return [record.completion for record in records]


def user(content: str) -> tuple[Message, ...]:
    """A prompt."""
    return (Message(role="user", content=content),)


def pair(id: str, prompt: str, kind: str = "pairs", system: str = "") -> Preference:
    """A preference with these ids, perhaps under a persona."""
    persona = (Message(role="system", content=system),) if system else ()
    return Preference((*persona, *user(prompt)), Reply("x"), Reply("y"), 1.0, f"{id}a", f"{id}b", kind=kind)


def test_ids_name_the_file_and_the_line(tmp_path: Path) -> None:
    """Empty lines are no rows, but they are lines."""
    path = tmp_path / "mine.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n\n{"instruction": "c", "output": "d"}\n')
    assert [record.id for record in Corpus([str(path)]).read(Example)] == ["mine:1", "mine:3"]


def test_a_list_of_json_is_read_too(tmp_path: Path) -> None:
    """Its rows are counted from 1, and its faults are told by row."""
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(instructions(2)), encoding="utf-8")
    assert [record.id for record in Corpus([str(path)]).read(Example)] == ["rows:1", "rows:2"]
    path.write_text(json.dumps([*instructions(1), 3]), encoding="utf-8")
    with pytest.raises(ConfigError, match="rows.json', row 2: 3 is no object"):
        Corpus([str(path)]).read(Example)


def test_patterns_variables_and_single_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is read once, in the order of names; files of one name are told apart by their folders."""
    for number, name in enumerate(("a/rows", "b/deep/rows", "b/other")):
        write(tmp_path / f"{name}.jsonl", *instructions(1, number))
    monkeypatch.setenv("MINE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    found = Corpus(["$MINE/**/*.jsonl", "~/a/rows.jsonl"]).read(Example)
    assert [record.id for record in found] == ["a/rows:1", "deep/rows:1", "other:1"]
    assert answers(Corpus("$MINE/b/other.jsonl").read(Example)) == ["answer 2"]


def test_each_file_is_recognised_by_itself(tmp_path: Path) -> None:
    """One corpus may be of several formats."""
    write(tmp_path / "one.jsonl", *instructions(1))
    write(tmp_path / "two.jsonl", {"prompt": "q", "completion": "said"})
    assert answers(Corpus([str(tmp_path / "*.jsonl")]).read(Example)) == ["answer 0", "said"]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    """The form says which are needed, the settings what they are called."""
    path = write(tmp_path / "rows.jsonl", {"question": "q", "good": "x", "bad": "y"})
    columns = {"prompt": "question", "chosen": "good", "rejected": "bad"}
    [found] = Corpus([path], columns=columns).read(Preference)
    assert (found.prompt, found.chosen.text) == (user("q"), "x")
    with pytest.raises(ConfigError, match="line 1: no column 'goud'; .* did you mean 'good'"):
        Corpus([path], columns={**columns, "chosen": "goud"}).read(Preference)


@pytest.mark.parametrize(
    ("only", "left"), [({"year": 2001}, [1, 4]), ({"year": [2000, 2001], "by": "a"}, [0, 4])]
)
def test_rows_are_taken_by_what_their_columns_hold(
    only: Mapping[str, Any], left: list[int], tmp_path: Path
) -> None:
    """One value or several; the others are counted."""
    data = Corpus([write(tmp_path / "rows.jsonl", *instructions(6))], only=OmegaConf.create(dict(only)))
    assert answers(data.read(Example)) == [f"answer {n}" for n in left]
    assert dict(data.skipped) == {"left out by data.only": 4}


def test_a_filter_that_leaves_nothing_is_told(tmp_path: Path) -> None:
    """And so is one on a column that is not there."""
    path = write(tmp_path / "rows.jsonl", *instructions(2))
    with pytest.raises(ConfigError, match=r"no examples in .*left out by data.only \(2\)"):
        Corpus([path], only={"year": 1999}).read(Example)
    with pytest.raises(ConfigError, match="no column 'yaer'; .* did you mean 'year'"):
        Corpus([path], only={"yaer": 1999}).read(Example)


def test_a_limit_draws_by_the_seed_and_a_greater_one_begins_with_it(tmp_path: Path) -> None:
    """Without a limit the order is that of the file."""
    path = write(tmp_path / "rows.jsonl", *instructions(30))
    few, more, other = (
        answers(Corpus([path], limit=limit, seed=seed).read(Example))
        for limit, seed in ((4, 0), (12, 0), (4, 1))
    )
    assert more[:4] == few != other and len(set(more)) == 12
    assert answers(Corpus([path], limit=99).read(Example)) != answers(Corpus([path]).read(Example))
    assert answers(Corpus([path]).read(Example)) == [f"answer {n}" for n in range(30)]


def test_a_prompt_is_one_problem_however_often_it_comes(tmp_path: Path) -> None:
    """Across files too."""
    for name in ("one", "two"):
        write(tmp_path / f"{name}.jsonl", *instructions(2))
    data = Corpus([str(tmp_path / "*.jsonl")])
    assert [problem.question for problem in data.read(Problem)] == ["question 0", "question 1"]
    assert dict(data.skipped) == {"the same prompt again": 2}


def test_reading_again_counts_anew(tmp_path: Path) -> None:
    """What was skipped is of the last reading."""
    path = write(tmp_path / "rows.jsonl", *instructions(1), {"instruction": "q", "output": ""})
    data = Corpus([path])
    assert data.read(Example) == data.read(Example)
    assert dict(data.skipped) == {"empty output": 1}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"paths": []}, "data.paths must name one file or more"),
        ({"paths": [""]}, "data.paths must name one file or more"),
        ({"paths": ["x"], "form": "alpacca"}, "unknown form 'alpacca', did you mean 'alpaca'"),
        ({"paths": ["x"], "limit": -1}, "data.limit must be 0 .all. or more, got -1"),
    ],
)
def test_settings_are_checked_before_anything_is_opened(settings: dict[str, Any], told: str) -> None:
    """What was found, and what is allowed."""
    with pytest.raises(ConfigError, match=told):
        Corpus(**settings)


def test_a_path_that_leads_nowhere_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to set."""
    monkeypatch.chdir(tmp_path)
    for path in ("gone.jsonl", "*.jsonl", "$UNSET/x.jsonl"):
        with pytest.raises(ConfigError, match="no file .*data.paths=.*ARENA_DATA"):
            Corpus([path]).read(Example)
    with pytest.raises(ConfigError, match="is a folder but no run: name files in it"):
        Corpus([str(tmp_path)]).read(Example)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    """With the way to convert them."""
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match="not .parquet: convert it"):
        Corpus([str(tmp_path / "rows.parquet")]).read(Example)


def test_an_empty_file_gives_nothing(tmp_path: Path) -> None:
    """That is an error, as there is nothing to learn from."""
    with pytest.raises(ConfigError, match="no examples in .*: no rows; take other data.paths"):
        Corpus([write(tmp_path / "rows.jsonl")]).read(Example)


def test_a_table_of_another_kind_is_refused_with_the_command_that_makes_the_right_one(tmp_path: Path) -> None:
    """And with the forms that give it."""
    path = write(tmp_path / "preferences.jsonl", {"prompt": "q", "chosen": "x", "rejected": "y"})
    told = r"holds preferences and problems \(form 'dpo'\), not examples: python -m arena.revise makes them"
    with pytest.raises(ConfigError, match=told):
        Corpus([path]).read(Example)
    assert NAMES.keys() == WAYS.keys()


def test_ids_that_come_twice_are_refused(tmp_path: Path) -> None:
    """A table that was joined to itself."""
    row = json.loads(line(example_row(Example("d0001.00a#last", user("q"), "x"), seat="ada")))
    with pytest.raises(ConfigError, match="1 ids come twice, such as rows:d0001.00a#last"):
        Corpus([write(tmp_path / "rows.jsonl", row, row)]).read(Example)


def test_a_run_folder_gives_the_table_that_is_wanted(tmp_path: Path) -> None:
    """Its name stands in the ids."""
    run = tmp_path / "panel"
    made = pair("d0001.00", "q", "revision")
    rows = (
        preference_row(made, seat="ada", judge="bob"),
        example_row(Example("d0#last", user("q"), "x"), seat="a"),
    )
    write(run / "turns.jsonl")
    write(run / "preferences.jsonl", rows[0])
    write(run / "train.jsonl", rows[0])
    write(run / "examples.jsonl", rows[1])
    [found] = Corpus([str(run)]).read(Preference)
    assert (found.chosen_id, found.kind) == ("panel:d0001.00a", "revision")
    assert [record.id for record in Corpus([str(run)]).read(Example)] == ["panel:d0#last"]
    with pytest.raises(
        ConfigError, match="has no problems: python -m arena.collect .* it holds examples.jsonl"
    ):
        Corpus([str(run)]).read(Problem)
    with pytest.raises(ConfigError, match="has no reviews of papers: .* such as data=iclr2017"):
        Corpus([str(run)]).read(Review)


def drafts(prompt: Prompt, draft: int) -> str:
    """Three words, or six with the number of messages that were seen."""
    return " ".join(["melting ice flows"] * (draft + 1)) + f" {len(prompt)}" * draft


def test_the_drafts_of_a_run_are_ranked_under_what_their_speaker_was_shown(tmp_path: Path) -> None:
    """Turn by turn, as the agents heard it; a seat that writes one draft gives no ranking."""
    seats = Recorded(bob=drafts).write(tmp_path / "talk")
    data = Corpus([str(tmp_path / "talk")])
    found = data.read(Ranking)
    heard = [list(prompt) for prompt in seats["bob"].heard]
    assert len(found) == len(heard) == 4
    assert all(list(ranking.prompt) in heard for ranking in found)
    assert [ranking.id for ranking in sorted(found, key=id_of)] == [
        "talk:d0000.01", "talk:d0000.03", "talk:d0001.00", "talk:d0001.02",
    ]  # fmt: skip
    assert all(ranking.rewards[0] < ranking.rewards[1] for ranking in found)
    assert dict(data.skipped) == {"fewer than two answers": 4}
    only = Corpus([str(tmp_path / "talk")], only={"dialogue": "d0001"}).read(Ranking)
    assert only == [ranking for ranking in found if ranking.id.startswith("talk:d0001")]


@pytest.mark.parametrize("word", [TRUNCATED, ILLEGIBLE])
def test_drafts_without_a_reward_and_cut_ones_are_not_ranked(word: str, tmp_path: Path) -> None:
    """Unless the run paired those that were cut."""

    def say(prompt: Prompt, draft: int) -> str:
        return f"{drafts(prompt, draft)} {word if draft == 1 and len(prompt) > 3 else ''}".strip()

    run = tmp_path / "talk"
    Recorded(bob=say).write(run)
    data = Corpus([str(run)])
    assert [len(ranking.replies) for ranking in data.read(Ranking)] == [2, 2]
    assert data.skipped == {"fewer than two answers": 6}
    settings = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**settings, "judge.pair_truncated": True}))
    assert len(data.read(Ranking)) == (4 if word == TRUNCATED else 2)


def test_a_run_that_does_not_say_what_was_shown_is_refused(tmp_path: Path) -> None:
    """No prompt is made up."""
    run = tmp_path / "talk"
    Recorded(bob=drafts).write(run)
    (run / "config.json").write_text('{"opening": "Ask."}')
    with pytest.raises(ConfigError, match="config.json' has no 'agents.\\w+.system', so what was answered"):
        Corpus([str(run)]).read(Ranking)


def turn(id: str, text: str, kind: str = "reply") -> dict[str, Any]:
    """A row of `turns.jsonl`."""
    said = Turn(id, "", "policy", Reply(text), kind=kind)
    return turn_row(said, step=0, model="m", seed=0)


def verdict(id: str, reward: float, scale: str = "rating") -> dict[str, Any]:
    """A row of `verdicts.jsonl`."""
    given = Verdict(id, "m", rating=None if scale == "score" else 5.5, reward=reward, scale=scale)
    return verdict_row(given, judge="judge", about="draft", zeta=0.0, step=0)


def practice(run: Path, *scales: str, system: str = "") -> Corpus:
    """A folder as arena.train leaves it: drafts of one problem, each judged on a scale."""
    ids = [f"d0000.00{letter}" for letter in "abcd"[: len(scales)]]
    write(run / "turns.jsonl", *(turn(id, f"said {id}") for id in ids))
    rows = [verdict(id, n / 4, scale) for n, (id, scale) in enumerate(zip(ids, scales, strict=True))]
    write(run / "verdicts.jsonl", *rows)
    problem = Problem("qa", (*user("hi"), Message(role="assistant", content="hello"), *user("which?")))
    (run / "problems.json").write_text(json.dumps([asdict(problem)]))
    (run / "config.json").write_text(json.dumps({"agents.policy.system": system}))
    return Corpus([str(run)])


@pytest.mark.parametrize("system", ["", "Be brief about {topic}."])
def test_drafts_of_a_problem_are_ranked_under_it(system: str, tmp_path: Path) -> None:
    """With the persona in front, if there was one, as it was shown."""
    [ranking] = practice(tmp_path / "rl", "score", "score", system=system).read(Ranking)
    said = [message["content"] for message in ranking.prompt]
    assert said == [*([system] if system else []), "hi", "hello", "which?"]
    assert (ranking.id, ranking.rewards) == ("rl:d0000.00", (0.0, 0.25))


def test_only_verdicts_of_one_scale_are_compared(tmp_path: Path) -> None:
    """The one that most drafts share."""
    [ranking] = practice(tmp_path / "rl", "rating", "score", "rating+wim", "score").read(Ranking)
    assert [reply.text[-1] for reply in ranking.replies] == ["b", "d"]


def test_chains_of_revisions_are_not_ranked(tmp_path: Path) -> None:
    """They answer different prompts."""
    write(tmp_path / "chain" / "turns.jsonl", turn("d0000.00a", "x", "answer"))
    with pytest.raises(ConfigError, match="works on answers, and only drafts of one prompt can be ranked"):
        Corpus([str(tmp_path / "chain")]).read(Ranking)


def test_nothing_is_ranked_behind_an_exchange_that_is_not_decided(tmp_path: Path) -> None:
    """A running job has written drafts and verdicts, but not yet what was said."""
    run = tmp_path / "talk"
    Recorded(bob=drafts).write(run)
    before = Corpus([str(run)]).read(Ranking)
    kept = [text for text in (run / "exchanges.jsonl").read_text().splitlines() if '"d0000.01"' not in text]
    (run / "exchanges.jsonl").write_text("".join(f"{text}\n" for text in kept))
    after = Corpus([str(run)]).read(Ranking)
    assert {ranking.id for ranking in before} - {ranking.id for ranking in after} == {"talk:d0000.03"}


def test_records_of_one_group_stay_together() -> None:
    """A conversation, its continuations and forks, whatever the persona, case and spacing."""
    hello = Message(role="assistant", content="hello")
    longer = Preference((*user("Hi  there"), hello, *user("which?")), Reply("x"), Reply("y"), 1.0)
    assert group_of(longer) == group_of(pair("p:1.", "hi there", system="You know it all."))
    assert group_of(Ranking("r:1", user("hi there"), (), ())) == group_of(
        Example("e:1", user("HI THERE"), "x")
    )
    assert group_of(Problem("qa", user("hi"))) != group_of(longer)
    assert group_of(Review("v:1", "Sparse  Nets", "", 5.0)) == group_of(Review("w:9", "sparse nets", "", 6.0))


def test_sentences_for_their_sentiment_are_groups_of_their_own() -> None:
    """Their prompt is the same for all."""
    pairs = [pair(f"sst2:{n}.", NEUTRAL) for n in range(20)]
    train, valid = hold_out(pairs, 0.1, 0)
    assert (len(train), len(valid)) == (18, 2)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_no_group_is_on_both_sides(share: float) -> None:
    """And at least the share is held out, of each kind."""
    pairs = [pair(f"p:{n}.", f"q{n % 40}", kind="even" if n % 2 == 0 else "odd") for n in range(200)]
    train, valid = hold_out(pairs, share, seed=3)
    assert sorted(map(id_of, [*train, *valid])) == sorted(map(id_of, pairs))
    assert not {group_of(each) for each in train} & {group_of(each) for each in valid}
    for kind in ("even", "odd"):
        held = sum(each.kind == kind for each in valid)
        assert 100 * share <= held <= 100 * share + 5


def test_a_dialogue_of_a_run_is_not_cut() -> None:
    """Its seats see it under different prompts."""
    seats = {"ada": "You are asked.", "bob": "First question"}
    pairs = [
        pair(f"talk:d{n:04d}.{turn:02d}", f"{seats['ada' if turn % 2 else 'bob']} {n}")
        for n in range(10)
        for turn in range(4)
    ]
    train, valid = hold_out(pairs, 0.2, 0)
    dialogues = [{each.chosen_id.partition(".")[0] for each in side} for side in (train, valid)]
    assert list(map(len, dialogues)) == [8, 2]


def test_the_split_depends_on_the_seed_and_not_on_the_order() -> None:
    """The records of each side keep their order."""
    records: list[Record] = [Example(f"e:{n}", user(f"q{n}"), "x") for n in range(50)]
    train, valid = hold_out(records, 0.2, 0)
    turned_train, turned_valid = hold_out(records[::-1], 0.2, 0)
    assert (turned_train[::-1], turned_valid[::-1]) == (train, valid)
    assert [each for each in records if each in valid] == valid and len(valid) == 10
    assert hold_out(records, 0.2, 1)[1] != valid
    assert hold_out(records, 0.0, 0) == (records, [])


def test_the_prompts_held_out_are_the_same_for_all_kinds_of_records() -> None:
    """So a policy is not asked in training what its reward model is measured on."""
    pairs = [pair(f"talk:d{n // 2:04d}.{n % 2:02d}", f"q{n}", kind="talk") for n in range(60)]
    examples = [Example(f"talk:d{n // 2:04d}.{n % 2:02d}a#last", user(f"q{n}"), "x") for n in range(60)]
    sides = [set(map(group_of, hold_out(records, 0.2, 4)[1])) for records in (pairs, examples)]
    assert sides[0] == sides[1] and len(sides[0]) == 12
    assert set(map(group_of, hold_out(pairs[::-1], 0.2, 4)[1])) == sides[0]


def test_the_prompts_held_out_are_the_same_for_problems(tmp_path: Path) -> None:
    """Which are known by their line, where examples have an id."""
    data = Corpus([write(tmp_path / "rows.jsonl", *instructions(60))])
    sides = [hold_out(data.read(kind), 0.2, 4)[1] for kind in (Example, Problem)]
    assert list(map(group_of, sides[0])) == list(map(group_of, sides[1]))


def test_problems_without_a_place_are_not_one_group() -> None:
    """Each is where its prompt is."""
    problems = [Problem("qa", user(f"q{n % 10}")) for n in range(20)]
    assert list(map(len, hold_out(problems, 0.2, 0))) == [16, 4]


def test_problems_and_reviews_can_be_held_out() -> None:
    """Problems have no ids, reviews no prompts."""
    problems = [Problem("qa", user(f"q{n}"), where=f"x.jsonl, line {n}") for n in range(10)]
    reviews = [Review(f"r:{n}", f"paper {n // 2}", "", 5.0) for n in range(20)]
    assert list(map(len, hold_out(problems, 0.2, 0))) == [8, 2]
    assert list(map(len, hold_out(reviews, 0.2, 0))) == [16, 4]


@pytest.mark.parametrize(
    ("count", "share", "told"), [(5, 0.5, "5 records of 1 groups"), (9, 1.0, "less than 1")]
)
def test_a_split_that_cannot_be_made_is_refused(count: int, share: float, told: str) -> None:
    """One side would be empty."""
    with pytest.raises(ConfigError, match=told):
        hold_out([Example(f"e:{n}", user("the same"), "x") for n in range(count)], share, 0)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_makes_a_corpus_without_opening_a_file(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its paths follow ARENA_DATA, and by default lie beside the project."""
    monkeypatch.setenv("ARENA_DATA", "$HOME/data")
    node = OmegaConf.create({"seed": 5, "data": OmegaConf.load(CONF / "data" / f"{part}.yaml")})
    if part == "files":
        node.data.paths = "$HOME/data/x"
    data = instantiate(node.data)
    assert isinstance(data, Corpus)
    assert data.seed == 5 and all(path.startswith("$HOME/data/") for path in data.paths)


def test_columns_and_filters_can_be_set_on_the_command_line(tmp_path: Path) -> None:
    """As the messages say it."""
    (tmp_path / "top.yaml").write_text(
        f"defaults: [data: files, _self_]\nhydra: {{searchpath: [file://{CONF}]}}\nseed: 0\n"
    )
    GlobalHydra.instance().clear()
    overrides = ["data.paths=[x.jsonl]", "data.columns={prompt: question}", "data.only={year: [1, 2]}"]
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        data = instantiate(compose("top", overrides=overrides).data)
    assert (data.columns, data.only) == ({"prompt": "question"}, {"year": [1, 2]})
