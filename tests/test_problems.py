"""Problems: those that are shipped, files with their faults, and several sources together."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from agents import ConfigError
from agents.dialogue import Message
from arena.problems import TASKS, File, Mixed, Problem, Shipped, Source

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("ARENA_DATA", ROOT.parent / "shared" / "data"))
SHIPPED = [
    json.loads(line) for line in (ROOT / "arena" / "problems.jsonl").read_text(encoding="utf-8").splitlines()
]
REAL: list[tuple[str, dict[str, Any], int, str]] = [
    ("prompts/vicuna_bench", {"column": "turns"}, 80, "dialogue"),
    ("prompts/expertqa_questions", {"column": "turns", "task": "qa"}, 1759, "qa"),
    ("pairs/oasst_human_ranks", {"column": "messages"}, 157, "dialogue"),
    (
        "scores/summeval_human",
        {"column": "article", "task": "summary", "reference": "reference", "form": "Summarise:\n\n{}"},
        61,
        "summary",
    ),
    ("qa/gsm8k_train", {"column": "question", "task": "qa", "reference": "final"}, 7473, "qa"),
]
"""File, options, problems with distinct prompts, task."""


def user(content: str) -> Message:
    """What a user says."""
    return Message(role="user", content=content)


def rows(path: Path, *found: object) -> str:
    """Write one JSON value per line, and give the path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return str(path)


def prompts(path: Path, *texts: str) -> File:
    """A file of these prompts, kept in their order."""
    return File(rows(path, *({"prompt": text} for text in texts)), shuffle=False)


def questions(source: Source, count: int, seed: int = 0) -> list[str]:
    """What the problems ask."""
    return [problem.question for problem in source(count, seed)]


def refuses(source: Source, message: str, count: int = 1) -> None:
    """Assert that the source raises ConfigError with the message."""
    with pytest.raises(ConfigError, match=message):
        source(count, 0)


def real(name: str, **options: Any) -> File:
    """A published file, where this machine has it."""
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"needs {path}; set ARENA_DATA")
    return File(str(path), **options)


# The shipped problems


def test_the_shipped_problems_are_twelve_of_each_task_and_no_two_alike() -> None:
    """Nor do two have the same reference."""
    problems = Shipped()(36, 0)
    assert Counter(problem.task for problem in problems) == dict.fromkeys(TASKS, 12)
    assert len({problem.question.casefold() for problem in problems}) == 36
    answers = [problem.reference for problem in problems if problem.reference]
    assert len(set(answers)) == len(answers) == 24


def test_a_shipped_question_has_a_short_answer_that_it_does_not_give_away() -> None:
    """At most four words, none of which stands in the question but for the article."""
    for problem in Shipped(["qa"])(12, 0):
        answer = re.findall(r"\w+", problem.reference.casefold())
        asked = re.findall(r"\w+", problem.question.casefold())
        assert 1 <= len(answer) <= 4 and not (set(answer) - {"the", "of"}) & set(asked), problem.question


def test_a_shipped_passage_is_short_and_its_summary_shorter() -> None:
    """90 to 150 words; the summary is one sentence of at most 35."""
    for problem in Shipped(["summary"])(12, 0):
        asked, passage = problem.question.split("\n\n")
        assert re.search("one sentence|one or two sentences", asked)
        assert 90 <= len(passage.split()) <= 150
        assert re.fullmatch(r"[A-Z][^.?!]*\.", problem.reference) and len(problem.reference.split()) <= 35


def test_some_shipped_dialogues_have_earlier_turns() -> None:
    """Three or five messages; the others are a first question. None has a correct answer."""
    problems = Shipped(["dialogue"])(12, 0)
    assert Counter(len(problem.prompt) for problem in problems) == {1: 8, 3: 3, 5: 1}
    assert all(problem.question.endswith(("?", ".")) and not problem.reference for problem in problems)


def test_a_shipped_row_has_three_fields() -> None:
    """And the source changes nothing of them but the form of the prompt."""
    assert all(list(row) == ["task", "prompt", "reference"] for row in SHIPPED)
    for problem in Shipped()(36, 3):
        row = SHIPPED[int(problem.where.removeprefix("problems.jsonl, line ")) - 1]
        wanted = [user(row["prompt"])] if isinstance(row["prompt"], str) else row["prompt"]
        assert (problem.task, list(problem.prompt), problem.reference) == (
            row["task"],
            wanted,
            row["reference"],
        )


@pytest.mark.parametrize("tasks", [TASKS, ("summary", "qa"), ("dialogue",)])
def test_the_tasks_come_in_turn(tasks: tuple[str, ...]) -> None:
    """So any count has as many of each as can be."""
    assert [problem.task for problem in Shipped(tasks)(10, 1)] == [tasks[n % len(tasks)] for n in range(10)]


def test_the_seed_draws_the_order_of_the_shipped_problems() -> None:
    """Another for each of thirty seeds, the same for the same seed; more problems begin with the fewer."""
    orders = [tuple(questions(Shipped(), 36, seed)) for seed in range(30)]
    assert len(set(orders)) == 30 and len({tuple(sorted(order)) for order in orders}) == 1
    assert tuple(questions(Shipped(), 5, 7)) == orders[7][:5]


def test_each_task_is_drawn_by_itself() -> None:
    """Else one question would always come with the same passage."""
    seconds = {
        problems[1].question
        for problems in (Shipped()(36, seed) for seed in range(200))
        if problems[0].where == "problems.jsonl, line 1"
    }
    assert len(seconds) > 1


def test_the_order_does_not_depend_on_the_hash_seed_of_the_process() -> None:
    """Two fresh interpreters with different PYTHONHASHSEED draw the same."""
    code = "from arena.problems import Shipped; print([p.where for p in Shipped()(8, 1)])"
    out = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": value, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for value in ("1", "2")
    }
    assert out == {f"{[problem.where for problem in Shipped()(8, 1)]}\n"}


def test_more_than_are_shipped_are_refused_with_both_numbers() -> None:
    """No problem comes twice in silence."""
    told = (
        "the shipped list has 36 distinct problems, 37 were asked for: set count=36 or less, or add problems"
    )
    refuses(Shipped(), told, 37)
    refuses(Shipped(["qa"]), "the shipped list has 12 distinct problems, 13 were asked for", 13)


@pytest.mark.parametrize("tasks", [[], ["math"], ["qa", "qa"], "qa"])
def test_tasks_that_are_not_known_or_come_twice_are_refused(tasks: Sequence[str]) -> None:
    """With those that there are."""
    message = f"tasks must be one or more of 'dialogue', 'qa', 'summary', each once, got {tasks!r}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        Shipped(tasks)


@pytest.mark.parametrize("count", [0, -3])
def test_fewer_than_one_problem_is_refused(tmp_path: Path, count: int) -> None:
    """By every source."""
    file = prompts(tmp_path / "p.jsonl", "Why?")
    for source in (Shipped(), file, Mixed([file])):
        refuses(source, f"the number of problems must be 1 or more, got {count}", count)


# Files


def test_a_text_is_one_question(tmp_path: Path) -> None:
    """With its task, its place, and no reference."""
    path = rows(tmp_path / "p.jsonl", {"prompt": " Is ice wet?\n"})
    assert File(path)(1, 0) == [Problem("dialogue", (user("Is ice wet?"),), "", "p.jsonl, line 1")]


def test_the_first_text_of_a_list_is_the_question(tmp_path: Path) -> None:
    """As in files whose column holds a user's turns."""
    path = rows(tmp_path / "p.jsonl", {"turns": ["Is ice wet?", "Why?"]})
    assert questions(File(path, "turns"), 1) == ["Is ice wet?"]


def test_a_list_of_messages_is_a_whole_conversation(tmp_path: Path) -> None:
    """The last one is the question; a system message may stand before them."""
    talk = [user("Is ice wet?"), Message(role="assistant", content="When it melts."), user("Why?")]
    system = Message(role="system", content="Be brief.")
    path = rows(
        tmp_path / "p.jsonl", {"m": talk}, {"m": [system, *talk]}, {"m": [{**talk[0], "name": "Ada"}]}
    )
    problems = File(path, "m", shuffle=False)(3, 0)
    assert [list(problem.prompt) for problem in problems] == [talk, [system, *talk], talk[:1]]
    assert [problem.question for problem in problems] == ["Why?", "Why?", "Is ice wet?"]


def test_the_form_stands_around_the_question(tmp_path: Path) -> None:
    """Once, whatever braces the text holds; earlier turns stay as they are."""
    talk = [user("{}"), Message(role="assistant", content="{}"), user("a {} b {c}")]
    path = rows(tmp_path / "p.jsonl", {"prompt": "a {} b {c}"}, {"prompt": talk})
    one, two = File(path, form="Summarise: {}!", shuffle=False)(2, 0)
    assert one.prompt == (user("Summarise: a {} b {c}!"),)
    assert two.prompt == (*talk[:2], user("Summarise: a {} b {c}!"))


@pytest.mark.parametrize("form", ["", "Summarise:", "{} or {}", "{text}"])
def test_a_form_without_one_place_for_the_text_is_refused(form: str) -> None:
    """Else a text would be lost, or come twice."""
    with pytest.raises(
        ConfigError, match=re.escape(f"must hold {{}} once, in place of the text, got {form!r}")
    ):
        File("p.jsonl", form=form)


def test_a_rows_own_task_counts_where_none_is_set(tmp_path: Path) -> None:
    """And a row without one is a dialogue."""
    path = rows(tmp_path / "p.jsonl", {"prompt": "a", "task": "qa"}, {"prompt": "b"})
    assert [problem.task for problem in File(path, shuffle=False)(2, 0)] == ["qa", "dialogue"]
    assert [problem.task for problem in File(path, task="summary")(2, 0)] == ["summary", "summary"]


@pytest.mark.parametrize("task", ["QA", "math", "", None, 3, ["qa"]])
def test_an_unknown_task_of_a_row_is_refused_with_those_that_there_are(tmp_path: Path, task: object) -> None:
    """By file and line; nothing is taken for a dialogue that says it is something else."""
    path = rows(tmp_path / "p.jsonl", {"prompt": "a", "task": "qa"}, {"prompt": "b", "task": task})
    told = f"p.jsonl', line 2: column 'task' holds {task!r}; a task is 'dialogue', 'qa', 'summary'"
    refuses(File(path), re.escape(told))
    assert len(File(path, task="qa")(2, 0)) == 2


def test_an_unknown_task_of_a_file_is_refused_at_once() -> None:
    """Before the file is looked for."""
    with pytest.raises(ConfigError, match="task must be 'dialogue', 'qa', 'summary', or '' .* got 'maths'"):
        File("p.jsonl", task="maths")


def test_a_reference_is_a_text_or_the_first_of_a_list(tmp_path: Path) -> None:
    """Without the space around it."""
    path = rows(tmp_path / "p.jsonl", {"prompt": "a", "gold": "72 "}, {"prompt": "b", "gold": ["x", "y"]})
    assert [problem.reference for problem in File(path, reference="gold", shuffle=False)(2, 0)] == ["72", "x"]
    assert [problem.reference for problem in File(path)(2, 0)] == ["", ""]


@pytest.mark.parametrize("gold", [None, "", " ", [], [None], 72, {"a": "b"}])
def test_a_reference_that_is_no_text_is_refused_by_line(tmp_path: Path, gold: object) -> None:
    """Null and empty ones too: an answer that is not known would be scored as wrong."""
    path = rows(tmp_path / "p.jsonl", {"prompt": "a", "gold": "x"}, {"prompt": "b", "gold": gold})
    told = f"p.jsonl', line 2: column 'gold' holds {gold!r}; a reference is a text"
    refuses(File(path, reference="gold"), re.escape(told))


def test_a_row_without_the_column_or_the_reference_is_refused_by_line(tmp_path: Path) -> None:
    """With the columns that it has, and the nearest."""
    path = rows(tmp_path / "p.jsonl", {"prompt": "a", "gold": "x"}, {"prompt": "b"})
    refuses(File(path, reference="gold"), "p.jsonl', line 2: no column 'gold'; there is 'prompt'$")
    refuses(
        File(path, "prompts"),
        r"line 1: no column 'prompts'; there is 'prompt', 'gold'; did you mean 'prompt'\?",
    )


@pytest.mark.parametrize(
    "value", ["", "  ", None, 5, [], [""], ["", "b"], [7], ["a", 7], ["a", {}], {"a": 1}]
)
def test_a_value_that_is_no_problem_is_refused_by_line(tmp_path: Path, value: object) -> None:
    """Whatever the count, with what was found."""
    path = rows(tmp_path / "p.jsonl", {"prompt": "a"}, {"prompt": value})
    told = f"p.jsonl', line 2: column 'prompt' holds {value!r}; a problem is a text"
    refuses(File(path), re.escape(told))


@pytest.mark.parametrize(
    "roles",
    [
        "assistant",
        "system",
        "user assistant",
        "user user",
        "assistant user",
        "user system user",
        "system system user",
        "user tool user",
        "human",
    ],
)
def test_roles_that_templates_refuse_are_refused_by_line(tmp_path: Path, roles: str) -> None:
    """Before a model has been loaded."""
    talk = [{"role": role, "content": "Why?"} for role in roles.split()]
    told = (
        f"line 1: column 'prompt' has messages of {', '.join(roles.split())}; user and assistant take turns"
    )
    refuses(File(rows(tmp_path / "p.jsonl", {"prompt": talk})), told)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"content": "Why?"}, "no column 'role'; there is 'content'"),
        ({"role": "user"}, "no column 'content'; there is 'role'"),
        ({"role": "user", "content": None}, "content is None, and must be a text"),
        ({"role": "user", "content": " "}, "content is ' ', and must be a text"),
        ({"role": "user", "content": [{"text": "a"}]}, r"content is \[\{'text': 'a'\}\], and must be"),
    ],
)
def test_a_broken_message_is_refused_by_line_and_number(
    tmp_path: Path, message: dict[str, object], told: str
) -> None:
    """It is the third of the conversation."""
    talk = [user("a"), {"role": "assistant", "content": "b"}, message]
    path = rows(tmp_path / "p.jsonl", {"prompt": "fine"}, {"prompt": talk})
    refuses(File(path), rf"p\.jsonl', line 2: column 'prompt', message 3: {told}")


def test_prompts_that_differ_in_case_and_spacing_count_once(tmp_path: Path) -> None:
    """The first stays; other earlier turns make another problem."""
    talk = [user("x"), Message(role="assistant", content="y"), user("Is ice wet?")]
    texts = ["Is ice wet?", " is  ICE\nwet? ", talk, "Is ice wet"]
    file = File(rows(tmp_path / "p.jsonl", *({"prompt": text} for text in texts)), shuffle=False)
    assert [problem.where for problem in file(3, 0)] == [f"p.jsonl, line {n}" for n in (1, 3, 4)]
    refuses(file, r"p\.jsonl' has 3 distinct problems, 4 were asked for: set count=3 or less, or add", 4)


def test_a_files_order_is_drawn_by_the_seed(tmp_path: Path) -> None:
    """Seeds give all orders of three problems; the same seed gives the same; more begin with the fewer."""
    file = File(rows(tmp_path / "p.jsonl", *({"prompt": text} for text in "abc")))
    orders = [tuple(questions(file, 3, seed)) for seed in range(60)]
    assert len(set(orders)) == 6
    assert all(tuple(questions(file, 2, seed)) == orders[seed][:2] for seed in range(60))


def test_home_and_variables_of_the_path_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`where` has the name of the file only."""
    rows(tmp_path / "p.jsonl", {"prompt": "a"})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PROBLEM_FOLDER", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in ("~/p.jsonl", "$PROBLEM_FOLDER/p.jsonl", "p.jsonl", "./p.jsonl"):
        assert File(path)(1, 0)[0].where == "p.jsonl, line 1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"prompt": "a"}\n{"prompt": b}\n', r"p\.jsonl', line 2: not JSON"),
        ('{"prompt": "a"}\n\n"b"\n', r"p\.jsonl', line 3: 'b' is no object"),
        ("", r"p\.jsonl' holds no problems: add some, or choose another file"),
        ("\n \n", r"p\.jsonl' holds no problems: add some"),
    ],
)
def test_a_broken_file_is_refused_by_line(tmp_path: Path, text: str, told: str) -> None:
    """Also where enough good rows stand before it."""
    (tmp_path / "p.jsonl").write_text(text, encoding="utf-8")
    refuses(File(str(tmp_path / "p.jsonl")), told)
    refuses(File(str(tmp_path / "gone.jsonl")), r"cannot read the file of problems '.*gone\.jsonl'")


# Several sources


def test_a_mixture_takes_one_of_each_in_turn(tmp_path: Path) -> None:
    """The first give one more where the count is no multiple; more begin with the fewer."""
    files = [prompts(tmp_path / f"{name}.jsonl", *(f"{name}{n}" for n in range(4))) for name in "abc"]
    assert questions(Mixed(files), 8) == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2"]
    assert questions(Mixed(files), 2) == ["a0", "b0"]


def test_a_prompt_that_several_sources_have_comes_once(tmp_path: Path) -> None:
    """The source that comes to it later gives another instead, and the shares stay even."""
    one = prompts(tmp_path / "a.jsonl", "A", "B", "C", "D")
    two = prompts(tmp_path / "b.jsonl", "a", "b ", "e", "d", "f", "g")
    assert questions(Mixed([one, two]), 6) == ["A", "b", "C", "e", "D", "f"]
    refuses(Mixed([one, two]), r"a\.jsonl' has 4 distinct .* \(1 of them were given by other sources\)$", 7)


def test_a_source_with_too_few_is_named(tmp_path: Path) -> None:
    """The others do not fill its share."""
    files = [prompts(tmp_path / "a.jsonl", *"abcdef"), prompts(tmp_path / "b.jsonl", "x", "y")]
    assert len(Mixed(files)(5, 0)) == 5
    refuses(
        Mixed(files),
        r"^'.*b\.jsonl' has 2 distinct problems, 3 were asked for: set count=2 or less, or add problems",
        6,
    )


def test_every_source_is_looked_at_whatever_the_count(tmp_path: Path) -> None:
    """A broken line of the last is told of, though nothing is taken from it."""
    good = prompts(tmp_path / "a.jsonl", "a")
    bad = File(rows(tmp_path / "b.jsonl", {"prompt": "b"}, {"prompt": 5}))
    refuses(Mixed([good, bad]), r"b\.jsonl', line 2: column 'prompt' holds 5")


def test_a_source_that_does_not_give_what_was_asked_is_refused() -> None:
    """Somebody's own one, which should refuse."""
    refuses(Mixed([lambda count, seed: Shipped()(2, seed)]), "gave 2 problems, 3 were asked for", 3)


def test_mixtures_can_be_mixed() -> None:
    """A mixture is a source."""
    mixed = Mixed([Mixed([Shipped(["qa"]), Shipped(["summary"])]), Shipped(["dialogue"])])
    tasks = [problem.task for problem in mixed(8, 0)]
    assert tasks == ["qa", "dialogue", "summary", "dialogue"] * 2


@pytest.mark.parametrize("sources", [[], [{"path": "a.jsonl"}], ["a.jsonl"]])
def test_what_is_no_source_is_refused(sources: list[Any]) -> None:
    """As Hydra leaves them where a mixture has no `_convert_`."""
    with pytest.raises(ConfigError, match="sources must be one or more sources of problems.*_convert_: all"):
        Mixed(sources)


# The confs and published files


@pytest.mark.parametrize(
    ("name", "settings", "kind"),
    [
        ("shipped", {}, Shipped),
        ("file", {"path": "a.jsonl"}, File),
        (
            "mixed",
            {
                "sources": [
                    {"_target_": "arena.problems.File", "path": "a.jsonl"},
                    {"_target_": "arena.problems.Shipped", "tasks": ["qa"]},
                ]
            },
            Mixed,
        ),
    ],
)
def test_a_conf_builds_its_source(name: str, settings: dict[str, Any], kind: Any) -> None:
    """Without looking for the file; with the defaults of the class."""
    cfg = OmegaConf.load(ROOT / "conf" / "problems" / f"{name}.yaml")
    built: Any = instantiate(OmegaConf.merge(cfg, settings))
    assert type(built) is kind
    if name == "file":
        assert built == File("a.jsonl")
    elif name == "mixed":
        assert list(built.sources) == [File("a.jsonl"), Shipped(["qa"])]
    else:
        assert built(36, 0) == Shipped()(36, 0)


@pytest.mark.parametrize(("name", "options", "distinct", "task"), REAL, ids=[name for name, *_ in REAL])
def test_published_files_are_problem_files(
    name: str, options: dict[str, Any], distinct: int, task: str
) -> None:
    """All rows of five sets are read; one more than there are is refused."""
    source = real(name, **options)
    problems = source(distinct, 0)
    assert {problem.task for problem in problems} == {task}
    assert all(bool(problem.reference) == ("reference" in options) for problem in problems)
    assert source(8, 0) == problems[:8] != source(8, 1)
    refuses(source, f"has {distinct} distinct problems, {distinct + 1} were asked", distinct + 1)


def test_published_problems_are_those_of_their_lines() -> None:
    """The file says which; a conversation keeps its turns, an article stands in its form."""
    for name, options, _, _ in REAL:
        source = real(name, **options)
        lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")
        for problem in source(20, 0):
            file, number = problem.where.split(", line ")
            row = json.loads(lines[int(number) - 1])
            value = row[options["column"]]
            asked = value if isinstance(value, str) else value[-1]
            asked = asked["content"] if isinstance(asked, dict) else asked
            assert file == f"{name.rpartition('/')[2]}.jsonl"
            assert problem.question == options.get("form", "{}").replace("{}", asked.strip())
            assert problem.reference == row.get(options.get("reference", ""), "")
    talks = real("pairs/oasst_human_ranks", column="messages")(157, 0)
    assert {len(problem.prompt) for problem in talks} == {1, 3, 5}


def test_a_reference_that_only_some_published_rows_have_is_refused() -> None:
    """Vicuna's bench has them for mathematics and code alone."""
    told = r"vicuna_bench\.jsonl', line 1: column 'reference' holds None"
    refuses(real("prompts/vicuna_bench", column="turns", reference="reference"), told)


def test_published_files_mix_evenly() -> None:
    """Sixty of four are fifteen each, in turn, and no two are alike."""
    files = [real(name, **options) for name, options, _, _ in REAL if name != "pairs/oasst_human_ranks"]
    problems = Mixed(files)(60, 0)
    names = [problem.where.partition(",")[0] for problem in problems]
    assert Counter(names) == dict.fromkeys(names[:4], 15) and names == names[:4] * 15
    assert Counter(problem.task for problem in problems) == {"dialogue": 15, "qa": 30, "summary": 15}
    assert len({problem.question for problem in problems}) == 60
    assert Mixed(files)(10, 0) == problems[:10]
