"""Evaluations: what is compared with what, on which items, and what is said when it speaks against a run."""

import io
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from agents import Agent, ConfigError, Message, Reply, Scripted
from arena.console import Quiet
from arena.evaluation.findings import Finding, Report, histogram
from arena.evaluation.ratings import Ratings
from arena.evaluation.room import Room
from arena.evaluation.summaries import Summaries
from arena.evaluation.writers import Writers
from arena.plots import draw_densities
from arena.problems import Problem
from arena.rundir import opened
from arena.scribe import Scribe, Stop, Stopped
from arena.stats.resampling import Interval
from rewards.judge import Judge
from rewards.scores import Score, Scored
from rewards.verdict import Case, Example, Rating, Review
from rewards.wim import Embedder


class Named(Scripted):
    """A script with a name."""

    def __init__(self, name: str, lines: Any = ("A text.",)) -> None:
        """Take both."""
        super().__init__(lines)
        self._name = name

    @property
    def name(self) -> str:
        """The name."""
        return self._name


class Reader:
    """Rates a paper by its number and by who asks: what the test gives; None abstains."""

    asks = True

    def __init__(self, rate: Callable[[str, str], float | None]) -> None:
        """Take the function of (agent, text), and count what is rated."""
        self.rate, self.asked = rate, 0

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """One rating per case."""
        self.asked += len(cases)
        values = [self.rate(agent.name, case.reply.text) for case in cases]
        return [Rating(value, "ok" if value is not None else "absent", "raw") for value in values]


class Words(Scored):
    """Scores a text by a function of it."""

    def __init__(self, function: Callable[[str], float], agent: Agent | None = None) -> None:
        """Take the function."""
        super().__init__(agent)
        self.function = function

    def score(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Score]:
        """One score per case."""
        return [Score(self.function(case.reply.text)) for case in cases]


class Letters(Embedder):
    """Points a text to its first letter."""

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(texts, 26) unit vectors."""
        return np.eye(26, dtype=np.float32)[[ord(text.lower()[0]) - ord("a") for text in texts]]


class Room_:  # noqa: N801
    """Makes rooms in one folder, as the command does."""

    def __init__(self, path: Path) -> None:
        """Take the folder."""
        self.path, self.stop = path, Stop()

    def run(
        self,
        evaluation: Any,
        train: Sequence[Any],
        held: Sequence[Any],
        policy: Agent,
        judge: Judge | None = None,
        trained: bool = True,
        others: dict[str, Agent] | None = None,
    ) -> Report:
        """The report of an evaluation."""
        with ExitStack() as stack:
            files = stack.enter_context(opened(self.path, "", {}, evaluation.tables))
            room = Room(
                conf="king",
                seats={"policy": policy},
                trained=trained,
                speaker=lambda adapter: (others or {})[adapter],
                judge=judge,
                records=lambda kind: (train, held),
                seed=0,
                scribe=Scribe(files, Quiet(), self.stop),
            )
            report: Report = evaluation(room)
        return report


@pytest.fixture
def room(tmp_path: Path) -> Room_:
    """A room."""
    return Room_(tmp_path / "evaluate")


def reviews(*ratings: float, first: int = 0) -> list[Review]:
    """A paper for each rating."""
    return [Review(f"p{i}", "T", f"paper {i}", r, where=f"line {i}") for i, r in enumerate(ratings, first)]


def value(report: Report, measure: str, arm: str) -> Interval:
    """What a report says of an arm."""
    [found] = [each.found for each in report.findings if (each.measure, each.arm) == (measure, arm)]
    assert found is not None
    return found


def change(report: Report, measure: str, arm: str) -> Interval:
    """The difference that it has in a report."""
    [found] = [each.difference for each in report.findings if (each.measure, each.arm) == (measure, arm)]
    assert found is not None
    return found


TRUE = [3.0, 8.0, 5.0, 6.0, 2.0, 9.0, 4.0, 7.0]
POLICY, BASE = Named("trained"), Named("bare")


def rating(agent: str, text: str) -> float:
    """The trained critic is one off, the bare one always says 8."""
    return TRUE[int(text.split()[1])] + 1.0 if agent == "trained" else 8.0


def ratings(room: Room_, rate: Callable[[str, str], float | None] = rating, **options: Any) -> Report:
    """Ratings of eight papers by a critic whose training data have a mean of 6 and a median of 5."""
    options = {"train": reviews(5, 5, 8, first=100), "held": reviews(*TRUE), "others": {"": BASE}} | options
    return room.run(Ratings(Judge(Reader(rate))), policy=POLICY, **options)


def test_a_critic_is_compared_with_the_bare_one_and_with_constants(room: Room_) -> None:
    """Off by one: MSE 1; a mean of 6: MSE 5.5; always 8: 11.5. And each difference is of the same papers."""
    report = ratings(room)
    assert value(report, "MSE", "critic").value == pytest.approx(1.0)
    assert value(report, "MSE", "mean").value == pytest.approx(5.5)
    assert value(report, "MSE", "median").value == pytest.approx(5.5)
    assert value(report, "MSE", "untrained").value == pytest.approx(np.mean([(8 - t) ** 2 for t in TRUE]))
    assert change(report, "MSE", "mean").value == pytest.approx(1.0 - 5.5)
    assert value(report, "Spearman's rho", "critic").value == pytest.approx(1.0)
    assert value(report, "inflation", "critic").value == pytest.approx(1.0)
    constant = next(f for f in report.findings if (f.measure, f.arm) == ("Spearman's rho", "mean"))
    assert constant.found is None and "-" in constant.cells
    assert report.alarms == {}


def test_the_baselines_are_of_the_training_data() -> None:
    """Of 5, 5 and 8 the mean is 6 and the median 5; of the held-out papers they are not."""
    from statistics import fmean, median

    assert (fmean([5, 5, 8]), median([5, 5, 8])) == (6.0, 5.0)


def test_a_critic_that_rates_like_a_constant_is_told_so(room: Room_) -> None:
    """By an alarm for each of them."""
    report = ratings(room, lambda agent, text: 5.5)
    assert {"like_mean", "like_median"} <= report.alarms.keys()


def test_a_paper_that_is_not_rated_is_counted_and_on_record(room: Room_) -> None:
    """The others are compared with the critic on the papers that it has rated."""
    report = ratings(room, lambda agent, text: None if text == "paper 1" else rating(agent, text))
    assert report.counts["papers"] == 8
    assert report.counts["rated by critic"] == report.counts["rated by both"] == 7
    assert value(report, "MSE", "mean").n == 7
    assert "1 of 8 papers got no rating by critic" in report.alarms["abstained_critic"]
    failed = [json.loads(line) for line in (room.path / "failures.jsonl").read_text().splitlines()]
    assert {row["of"] for row in failed} == {"p1.critic", "p1.untrained"}


def test_what_only_the_bare_critic_could_not_rate_stays_with_the_others(room: Room_) -> None:
    """It rates what it likes: that must not choose the papers of everybody."""
    some = ("paper 1", "paper 5")
    report = ratings(room, lambda a, text: None if a == "bare" and text in some else rating(a, text))
    assert value(report, "MSE", "critic").n == value(report, "MSE", "mean").n == 8
    assert value(report, "MSE", "untrained").n == change(report, "MSE", "untrained").n == 6
    assert report.counts["rated by untrained"] == report.counts["rated by both"] == 6
    assert "2 of 8 papers got no rating by untrained" in report.alarms["abstained_untrained"]


def test_a_critic_that_rates_nothing_gives_a_report_without_numbers(room: Room_) -> None:
    """Not a mean of nothing."""
    report = ratings(room, lambda agent, text: None)
    assert (report.findings, report.bars) == ((), ())
    assert report.counts["rated by both"] == 0 and "abstained_critic" in report.alarms


def test_several_reviews_of_a_paper_are_one_cluster(room: Room_) -> None:
    """It is rated once."""
    held = [*reviews(*TRUE), replace(reviews(4.0)[0], id="p0b")]
    report = ratings(room, held=held)
    assert (value(report, "MAE", "critic").n, value(report, "MAE", "critic").clusters) == (9, 8)
    assert report.counts["papers"] == 8


def test_a_paper_of_the_training_data_is_told_of(room: Room_) -> None:
    """The critic may remember it."""
    report = ratings(room, train=[*reviews(5, 5, 8, first=100), reviews(*TRUE)[3]])
    assert "1 of 8 held-out papers" in report.alarms["leak"]


def test_without_an_adapter_there_is_no_untrained_arm(room: Room_) -> None:
    """It is the untrained one, and that is said."""
    report = ratings(room, trained=False)
    assert {finding.arm for finding in report.findings} == {"critic", "mean", "median"}
    assert "untrained" in report.alarms


def test_the_title_is_shown_where_the_critic_was_trained_on_it() -> None:
    """Before the abstract."""
    [paper] = Ratings(Judge(), title=True).papers(reviews(5))
    assert paper.text == "T\n\npaper 0"


@pytest.mark.parametrize(("abstract", "rate"), [("", 5.0), ("text", 0.0), ("text", 11.0)])
def test_a_review_that_is_none_is_named(abstract: str, rate: float) -> None:
    """By its line."""
    with pytest.raises(ConfigError, match="line 7"):
        Ratings(Judge()).papers([Review("p", "", abstract, rate, where="line 7")])


def test_a_judge_of_scores_is_no_critic(room: Room_) -> None:
    """Its numbers are on no scale that people have."""
    with pytest.raises(ConfigError, match="scores, not ratings"):
        room.run(Ratings(Words(len)), reviews(5), reviews(*TRUE), POLICY, trained=False)


def test_what_is_on_record_is_not_rated_again(room: Room_) -> None:
    """And the report is the same."""
    first = ratings(room)
    again = Reader(lambda agent, text: 1 / 0)
    second = room.run(
        Ratings(Judge(again)), reviews(5, 5, 8, first=100), reviews(*TRUE), POLICY, others={"": BASE}
    )
    assert again.asked == 0
    assert second.results == first.results


def test_a_stopped_evaluation_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    """Stopped after the critic, before the bare one."""
    whole = ratings(Room_(tmp_path / "whole"))
    room = Room_(tmp_path / "stopped")

    def rate(agent: str, text: str) -> float:
        if agent == "bare":
            room.stop.reason = "SIGTERM"
        return rating(agent, text)

    with pytest.raises(Stopped):
        ratings(room, rate)
    room.stop.reason = ""
    assert ratings(room).results == whole.results


def prompts(count: int) -> list[Problem]:
    """Prompts that begin with a."""
    return [
        Problem("dialogue", (Message(role="user", content=f"a prompt number {i}"),), "", "")
        for i in range(count)
    ]


def writers(room: Room_, after: Any, before: Any, own: Any, second: Any, count: int = 12) -> Report:
    """What has become of a writer."""
    evaluation = Writers(Words(second), embedder=Letters())
    return room.run(
        evaluation,
        [],
        prompts(count),
        Named("after", after),
        Words(own),
        others={"": Named("before", before)},
    )


def varied(word: str) -> Callable[[Any, int], str]:
    """Texts that all differ."""

    def line(prompt: Any, _: int) -> str:
        asked = prompt[-1]["content"]
        return f"{word} says {asked} in {int(asked.split()[-1]) * 37 % 97} words"

    return line


def test_a_writer_whose_own_judge_alone_likes_it_better_is_suspected(room: Room_) -> None:
    """Reward hacking: it says what its judge counts, over and over."""
    report = writers(
        room,
        lambda *_: "wow wow wow wow",
        varied("b"),
        own=lambda t: t.count("wow"),
        second=lambda t: len(set(t.split())),
    )
    assert change(report, "its judge: reward", "king").sign == 1
    assert change(report, "second judge: reward", "king").sign == -1
    assert "reward hacking suspected" in report.alarms["reward_hacking"]
    assert "less_diverse" in report.alarms
    assert value(report, "distinct-1", "king").value == pytest.approx(1 / 48)
    assert value(report, "self-BLEU", "king").value == pytest.approx(1.0)


def test_a_writer_whom_both_judges_like_better_is_not_suspected(room: Room_) -> None:
    """Nor one that has stayed as diverse."""
    report = writers(
        room, varied("c"), varied("b"), own=lambda t: t.count("c"), second=lambda t: t.count("c")
    )
    assert "reward_hacking" not in report.alarms and "nothing_gained" not in report.alarms
    assert change(report, "words", "king").value == 0.0


def test_a_writer_that_pleases_nobody_more_is_told_so(room: Room_) -> None:
    """Equal texts have no difference, and no interval but 0."""
    report = writers(room, varied("b"), varied("b"), own=len, second=len)
    assert "nothing_gained" in report.alarms
    assert change(report, "its judge: reward", "king").value == 0.0


def test_novelty_and_copying_are_seen(room: Room_) -> None:
    """A text that begins like the prompts is not new, one that begins otherwise is."""
    report = writers(room, lambda p, _: p[-1]["content"], lambda *_: "zebra", own=len, second=len, count=3)
    assert value(report, "novelty", "king").value == pytest.approx(0.0)
    assert value(report, "novelty", "untrained").value == pytest.approx(1.0)
    assert value(report, "copied", "king").value == 1.0
    assert value(report, "copied", "untrained").value == 0.0


def test_texts_that_were_cut_are_told_of(room: Room_) -> None:
    """They are judged as they are."""

    class Cut(Named):
        def reply(self, prompts: Any, n: int = 1, **_: Any) -> list[list[Reply]]:
            return [[Reply(f"cut {i}", "length")] for i, _ in enumerate(prompts)]

    evaluation = Writers(Words(len))
    report = room.run(evaluation, [], prompts(4), Cut("after"), Words(len), others={"": Named("before")})
    assert "4 of 4 texts by king" in report.alarms["truncated_king"]
    assert value(report, "share cut", "king").value == 1.0


def test_both_write_with_equal_seeds(room: Room_) -> None:
    """Differences are not of the dice."""
    seeds: dict[str, list[int]] = {}

    class Heard(Named):
        def reply(
            self, prompts: Any, n: int = 1, *, seeds: Sequence[int] = (), **_: Any
        ) -> list[list[Reply]]:
            drawn.setdefault(self.name, []).extend(seeds)
            return [[Reply(f"text {i}")] for i, _ in enumerate(prompts)]

    drawn = seeds
    room.run(Writers(Words(len)), [], prompts(3), Heard("after"), Words(len), others={"": Heard("before")})
    assert seeds["after"] == seeds["before"] and len(set(seeds["after"])) == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"trained": False}, "no trained adapter yet: run python -m arena.train conf=king"),
        ({"judge": None}, "no judge that it was trained to please"),
        ({"held": []}, "no held-out problems"),
    ],
)
def test_what_is_missing_is_named(room: Room_, options: dict[str, Any], told: str) -> None:
    """Before anything is written."""
    given = {"train": [], "held": prompts(2), "policy": POLICY, "judge": Words(len), "others": {"": BASE}}
    with pytest.raises(ConfigError, match=told):
        room.run(Writers(Words(len)), **{**given, **options})


ARTICLES = [
    Example(f"s{i}", (Message(role="user", content=f"Summarise {i}."),), f"the quick fox number {i} ran home")
    for i in range(10)
]


def test_stages_are_compared_with_the_one_before(room: Room_) -> None:
    """PPO that raises the reward while ROUGE falls is the known shape."""
    agents: dict[str, Agent] = {
        "": Named("bare", lambda *_: "nothing at all"),
        "runs/sft": Named("sft", lambda p, _: f"the quick fox number {p[-1]['content'][10]} ran home"),
        "runs/ppo": Named("ppo", lambda p, _: f"the fox {p[-1]['content'][10]} best best best"),
    }
    stages = {"bare": "", "sft": "runs/sft", "ppo": "runs/ppo"}
    judge = Words(lambda text: text.count("best"))
    report = room.run(Summaries(stages), [], ARTICLES, POLICY, judge, others=agents)
    assert value(report, "rouge1", "sft").value == pytest.approx(1.0)
    assert value(report, "rouge1", "bare").value == 0.0
    assert change(report, "rouge2", "sft").sign == 1 and change(report, "rouge2", "ppo").sign == -1
    assert change(report, "reward", "ppo").value == 3.0
    assert set(report.alarms) == {"reward_hacking_ppo"}


def test_without_stages_the_adapter_is_compared_with_the_bare_checkpoint(room: Room_) -> None:
    """And with neither there is nothing to compare."""
    report = room.run(Summaries(), [], ARTICLES, POLICY, others={"": BASE})
    assert {finding.arm for finding in report.findings} == {"untrained", "king"}
    assert not any(finding.measure == "reward" for finding in report.findings)
    with pytest.raises(ConfigError, match="there is one: train, or name adapters"):
        room.run(Summaries(), [], ARTICLES, POLICY, others={"": BASE}, trained=False)


def printed(report: Report, width: int = 80) -> str:
    """What a terminal of that width shows."""
    console = Console(width=width, record=True, file=io.StringIO(), markup=False)
    report.print(console)
    return console.export_text()


@pytest.mark.parametrize("kind", ["ratings", "writers"])
def test_a_report_fits_a_terminal_of_80_columns(kind: str, room: Room_) -> None:
    """No number is cut, no line is folded but sentences."""
    if kind == "ratings":
        report = ratings(room)
    else:
        report = writers(room, lambda *_: "wow wow", varied("b"), own=lambda t: -12.5, second=len)
    text = printed(report)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for finding in report.findings:
        assert all(cell in text for cell in finding.cells[2:])
        assert finding.measure.split()[0] in text and finding.arm in text


def test_a_long_name_is_folded_and_the_numbers_beside_it_stay() -> None:
    """An adapter may have any name."""
    found = Interval(-123.456, -200.0, -100.0, 9, 9)
    report = Report("x", (Finding("m", "runs/" + "long" * 12, found, "before", found),), "change")
    text = printed(report)
    assert "-200.000 to -100.000" in text and text.count("-123.456") == 2
    assert max(map(len, text.splitlines())) <= 80


def test_a_report_is_markdown_with_the_card_of_its_tables(room: Room_) -> None:
    """And JSON without infinities."""
    report = ratings(room)
    text = report.markdown("critic, measured", {"papers": [{"id": "p"}], "failures": []})
    assert text.startswith("---\nconfigs:\n- config_name: papers\n")
    assert "| MSE | critic | 1.00 |" in text and "## Alarms" in text
    json.dumps(report.results, allow_nan=False)


def test_text_of_models_does_no_harm_in_a_report() -> None:
    """A name of an adapter may be anything."""
    report = Report("about <b>", (Finding("m", "[red]x|y\x1b", None),), "less", alarms={"a": "\x1b[2J"})
    assert "\x1b" not in report.markdown("t", {}) and "\\<b\\>" in report.markdown("t", {})
    assert "\x1b" not in printed(report)


def test_a_histogram_has_a_bar_for_whatever_there_is() -> None:
    """Of 3 threes and a nine, and of one five; what lies between goes to the nearer."""
    lines = histogram({"people": [3.0, 2.6, 3.4, 9.0], "critic": [5.0], "nobody": []}, 1, 10)
    assert len(lines) == 11 and lines[0].split() == ["people", "critic", "nobody"]
    assert "75%" in lines[3] and "25%" in lines[9] and "100%" in lines[5]
    assert [line.count("█") > 0 for line in lines[1:]] == [n in (3, 5, 9) for n in range(1, 11)]
    assert max(map(len, lines)) <= 80


def test_densities_are_drawn_also_of_what_does_not_vary(tmp_path: Path) -> None:
    """A kernel density of a constant is not defined: it is a line."""
    pytest.importorskip("matplotlib")
    [path] = draw_densities({"people": [3.0, 6.0, 8.0], "critic": [7.0, 7.0, 7.0]}, tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG") and path.parent == tmp_path


@pytest.mark.parametrize("evaluation", [Writers(Words(len)), Summaries({"a": "", "b": ""})])
def test_a_package_that_is_not_installed_is_named(
    evaluation: Any, room: Room_, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is written."""
    monkeypatch.setattr("arena.evaluation.extra.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[rouge\]'"):
        room.run(evaluation, [], prompts(2), POLICY, Words(len), others={"": BASE})
