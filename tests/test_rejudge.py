"""arena.rejudge: stored drafts before another judge, from the record where that will do."""

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import families
import pytest
import rejudge_runs
from rejudge_runs import Rates, hold, tree, weights

from agents import Agent
from arena import run as arena_run
from arena.corpus.reading import Corpus
from arena.rejudge import main
from arena.rejudging.naming import folder_name, in_words
from arena.rejudging.recall import LOST
from arena.rundir import rows
from arena.show import main as show
from arena.stats import resampling
from rewards.verdict import Case, Preference, Ranking, Rating

VOLATILE = {"ts"}
TABLES = ("turns", "verdicts", "exchanges", "preferences")


def table(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """Rows by id, without what depends on the clock."""
    found = rows(folder / f"{name}.jsonl")
    return {row["id"]: {key: value for key, value in row.items() if key not in VOLATILE} for row in found}


def lost(folder: Path) -> dict[str, str]:
    """What was judged without a verdict -> why."""
    return {row["of"]: row["what"] for row in rows(folder / "failures.jsonl") if row["about"] != "reply"}


def marks(folder: Path) -> dict[str, str]:
    """Every file and what is in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def again(*words: str) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main([*words, "-q"] if "--json" not in words else list(words))
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer draws: what is tested here are verdicts and refusals."""
    monkeypatch.setattr(resampling, "RESAMPLES", 100)


@pytest.fixture
def talk(runs: Path) -> Path:
    """A run of two experts, with every kind of verdict and abstention."""
    embedder = weights(Path("one"))
    weights(Path("two"))
    folder = hold(runs / "talk", tree(embedder))
    statuses = {row["wim_status"] for row in rows(folder / "verdicts.jsonl")}
    assert statuses == {"ok", "nothing_missing"}, "without all kinds the tests say less"
    assert {"wim_placeholder", "rating_absent", "empty_answer"} <= set(lost(folder).values())
    return folder


def test_the_runs_own_judge_says_the_same(talk: Path) -> None:
    """Its ratings depend on the whole case, the seed and who judges: all of them are as they were."""
    before = marks(talk)
    assert again("talk") == 0
    made = talk.with_name("talk-rejudged-again")
    for name in TABLES:
        assert table(made, name) == table(talk, name), name
    assert lost(made) == lost(talk)
    assert marks(talk) == before


def test_a_judge_that_would_say_otherwise_does(talk: Path) -> None:
    """Else the test before could not fail: another seed is another case."""
    assert again("talk", "seed=4") == 0
    made = table(talk.with_name("talk-rejudged-seed-4"), "verdicts")
    assert any(made[id]["rating"] != row["rating"] for id, row in table(talk, "verdicts").items())


@pytest.mark.parametrize(
    "words",
    [
        ["judge.zeta=1"],
        ["judge.zeta=0.7", "judge.normalisation=ancestor", "judge.tie_margin=0.2"],
        ["judge.cosine=topic"],
        ["judge.pair_truncated=true"],
    ],
    ids=" ".join,
)
def test_a_mixture_from_the_record_is_that_of_asking_again(
    talk: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked, and the verdicts, the pairs and the abstentions are the same."""
    assert again("talk", *words, "again=true", "hydra.run.dir=runs/asked") == 0

    def refuse(self: object, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        raise AssertionError("the judge was asked")

    monkeypatch.setattr(Rates, "__call__", refuse)
    assert again("talk", *words, "hydra.run.dir=runs/recalled") == 0
    for name in TABLES:
        assert table(Path("runs/recalled"), name) == table(Path("runs/asked"), name), name
    assert lost(Path("runs/recalled")) == lost(Path("runs/asked"))


@pytest.mark.parametrize("words", [["judge.zeta=0"], ["judge.zeta=0", "judge.wim=null"]], ids=" ".join)
def test_a_rating_that_was_not_written_is_not_made_up(talk: Path, words: list[str]) -> None:
    """Where nothing usable was said to be missing, the rating is lost: an abstention, and an alarm."""
    assert again("talk", *words, "hydra.run.dir=runs/recalled") == 0
    assert again("talk", *words, "again=true", "hydra.run.dir=runs/asked") == 0
    made, asked = table(Path("runs/recalled"), "verdicts"), table(Path("runs/asked"), "verdicts")
    gone = {id for id, status in lost(talk).items() if status == "wim_placeholder"}
    assert gone
    assert made == {id: row for id, row in asked.items() if id not in gone}
    assert {lost(Path("runs/recalled"))[id] for id in gone} == {LOST}
    said = json.loads(Path("runs/recalled/results.json").read_text())
    assert "again=true" in said["alarms"]["lost_new"]


def test_another_embedding_makes_other_cosines_without_a_judge(
    talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cosines are those that asking again would give."""
    words = ["judge.wim.embedder.checkpoint=two"]
    assert again("talk", *words, "again=true", "hydra.run.dir=runs/asked") == 0
    monkeypatch.setattr(Rates, "__call__", None)
    assert again("talk", *words) == 0
    made = table(talk.with_name("talk-rejudged-two"), "verdicts")
    asked, old = table(Path("runs/asked"), "verdicts"), table(talk, "verdicts")
    own = {"cosine_shuffled"}  # whose WIM is taken depends on who was asked together
    assert set(made) == set(asked)
    for id, row in made.items():
        assert {k: v for k, v in row.items() if k not in own} == {
            k: v for k, v in asked[id].items() if k not in own
        }
    assert any(made[id]["cosine"] != old[id]["cosine"] for id in old)


def test_a_judge_that_was_stopped_goes_on(talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM in the middle, then the same command: the rows of one that was not stopped."""
    words = ["judge.rater.salt=x", "hydra.run.dir=runs/stopped"]
    assert again("talk", "judge.rater.salt=x", "hydra.run.dir=runs/whole") == 0
    asked, rate = [0], Rates.__call__

    def stopping(self: Rates, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        asked[0] += 1
        if asked[0] == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return rate(self, agent, cases, seeds)

    monkeypatch.setattr(Rates, "__call__", stopping)
    assert again("talk", *words) == 75
    held = len(table(Path("runs/stopped"), "verdicts"))
    assert 0 < held < len(table(Path("runs/whole"), "verdicts"))
    first = asked[0]
    assert again("talk", *words) == 0
    assert asked[0] - first < 6, "what was on record was asked for again"
    for name in TABLES:
        assert table(Path("runs/stopped"), name) == table(Path("runs/whole"), name), name


def test_a_judge_that_was_killed_while_it_wrote_loses_and_doubles_nothing(talk: Path) -> None:
    """Tables cut where they were written last, one in the middle of a row, then the same command."""
    words = ["judge.rater.salt=x", "hydra.run.dir=runs/cut"]
    assert again("talk", *words) == 0
    cut, names = Path("runs/cut"), (*TABLES, "failures")
    whole = {name: table(cut, name) for name in names}
    for name, share in zip(names, (0.9, 0.5, 0.4, 0.6, 0.5), strict=True):
        data = (cut / f"{name}.jsonl").read_bytes()
        (cut / f"{name}.jsonl").write_bytes(data[: int(share * len(data))])
        assert len(table(cut, name)) < len(whole[name]), name
    assert again("talk", *words) == 0
    for name in names:
        assert table(cut, name) == whole[name], name
        assert len(list(rows(cut / f"{name}.jsonl"))) == len(whole[name]), name


def test_what_it_leaves_is_a_run_to_learn_from_and_to_read(
    talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pairs for DPO, rankings for listwise learners, transcripts, and drafts for yet another judge."""
    assert again("talk", "judge.zeta=1") == 0
    made = talk.with_name("talk-rejudged-zeta-1")
    pairs = Corpus([str(made)]).read(Preference)
    assert {pair.chosen_id.partition(":")[2] for pair in pairs} == {
        row["chosen_id"] for row in table(made, "preferences").values()
    }
    assert any(pair.prompt[0]["content"].startswith("You doubt") for pair in pairs)
    rankings = Corpus([str(made)]).read(Ranking)
    rewards = {row["reward"] for row in table(made, "verdicts").values()}
    assert rankings and {reward for each in rankings for reward in each.rewards} <= rewards
    assert show([str(made), "d0001", "--no-pager"]) == 0
    assert "glaciers" not in (said := capsys.readouterr().out) and "tariffs" in said
    assert again(str(made), "judge.zeta=0.4", "hydra.run.dir=runs/back") == 0
    assert table(Path("runs/back"), "verdicts") == table(talk, "verdicts")


def test_a_dialogue_goes_on_from_what_was_said_then(talk: Path) -> None:
    """Another judge likes other drafts, but what came after them answered those that were said."""
    assert again("talk", "judge.rater.salt=x", "judge.zeta=0") == 0
    made = talk.with_name("talk-rejudged-salt-x-zeta-0")
    new, old = table(made, "exchanges"), table(talk, "exchanges")
    assert {id: row["said"] for id, row in new.items()} == {id: row["said"] for id, row in old.items()}
    assert any(row["chosen"] != old[id]["chosen"] for id, row in new.items())
    said = json.loads((made / "results.json").read_text())
    assert said["counts"]["drafts"] == len(table(talk, "turns"))
    text = (made / "README.md").read_text()
    assert "judge.zeta was 0.4, now 0" in text and "asking the judge" in text


def test_a_training_in_which_the_agent_writes_can_be_judged_again(
    runs: Path, checkpoint: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The cases are the problems; its own judge, a rule, says the same."""
    from arena.train.__main__ import main as train

    seat = [f"agents.policy.checkpoint={checkpoint(families.SMOLLM)}", "agents.policy.max_new_tokens=8"]
    sizes = ["count=8", "batch=2", "drafts=3", "train.epochs=1", "precision=fp32", "device=cpu"]
    with pytest.raises(SystemExit) as ended:
        train(["conf=practice", "judge=length", "judge.pair_truncated=true", *seat, *sizes, "-q"])
    assert not ended.value.code
    assert again("practice") == 0
    for name in TABLES:
        assert table(runs / "practice-rejudged-again", name) == table(runs / "practice", name), name
    assert again("practice", "judge.tie_margin=9") == 0
    assert not table(runs / "practice-rejudged-tie_margin-9", "preferences")


@pytest.mark.slow
def test_real_weights_say_the_same_again(runs: Path, checkpoint: Callable[..., Path]) -> None:
    """Label probabilities and a sampled WIM of a tiny checkpoint, in the batches of the run."""
    weights(Path("one"))
    seats = [
        f"agents.{seat}.{key}"
        for seat in ("ada", "bob")
        for key in (f"checkpoint={checkpoint(families.SMOLLM)}", "max_new_tokens=12")
    ]
    judge = [
        "judge.zeta=0",
        "judge.wim.embedder._target_=rejudge_runs.Points",
        "judge.wim.embedder.checkpoint=one",
    ]
    judge += ["+judge.rater.mass=0.0", "judge.pair_truncated=true", "judge.wim.max_new_tokens=8"]
    sizes = ["dialogues=4", "turns=2", "drafts=2", "device=cpu", "precision=fp32", "hydra.run.dir=runs/tiny"]
    with pytest.raises(SystemExit) as ended:
        arena_run.main([*seats, *judge, *sizes, "train.lr=1e-2", "-q"])
    assert not ended.value.code
    assert again("tiny") == 0
    old, new = (table(runs / name, "verdicts") for name in ("tiny", "tiny-rejudged-again"))
    assert old and set(new) == set(old) and lost(runs / "tiny") == lost(runs / "tiny-rejudged-again")
    for id, row in old.items():
        assert new[id]["wim"] == row["wim"]
        for key in ("rating", "cosine", "cosine_shuffled", "reward"):
            assert new[id][key] == pytest.approx(row[key], abs=1e-4), (id, key)


def test_a_moving_judge_is_no_more(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It can be mixed anew from the record, but not asked."""
    hold(runs / "moved", tree(weights(Path("one")), moving=True))
    assert again("moved") == 2
    assert "judge.moving=false" in capsys.readouterr().err
    assert again("moved", "judge.zeta=1") == 0
    assert again("moved", "judge.moving=false") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["opening=Speak"], "the drafts are there already"),
        (["agents.bob.system=Hush"], "the drafts are there already"),
        (["agents.bob.name=other"], "agent@judge.agent=NAME"),
        (["conf=smollm_duo"], "leave conf= away"),
        (["hydra.run.dir=runs/talk"], "stays as it is"),
        (["judge.zeat=1"], "did you mean 'judge.zeta'"),
        (["judge=ratng"], "did you mean 'rating'"),
        (["judge.zeta=2"], "zeta"),
        (["--vs", "nowhere"], "is no run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_would_be_no_rejudging_is_refused(
    talk: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, with exit code 2, and with the run as it was."""
    before = marks(talk)
    assert again("talk", *words) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert marks(talk) == before


def test_a_run_must_be_named_and_found(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A word that is no run is answered with those that there are."""
    assert again("judge=rating") == 2
    assert "name the run" in capsys.readouterr().err
    assert again("nowhere") == 2
    assert "is no run" in capsys.readouterr().err


def test_changed_weights_are_refused(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under the name that they had then; a name of their own makes them another embedding."""
    (talk / "identity.json").write_text(json.dumps({str(Path("one")): "folder, fingerprint 0"}))
    assert again("talk") == 2
    assert "the weights of one have changed" in capsys.readouterr().err
    assert again("talk", "judge.wim.embedder.checkpoint=two") == 0
    assert again("talk", "judge.zeta=1") == 0, "the record needs no weights"


def test_a_run_that_goes_on_is_refused(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While its heart beats; and after it went on, what was begun on fewer drafts does not."""
    info = json.loads((talk / "run.json").read_text())
    (talk / "run.json").write_text(json.dumps(info | {"status": "running"}))
    assert again("talk", "judge.zeta=1") == 2
    assert "is being written" in capsys.readouterr().err
    (talk / "run.json").write_text(json.dumps(info))
    assert again("talk", "judge.zeta=1") == 0
    for name in ("verdicts", "failures"):
        kept = (talk / f"{name}.jsonl").read_text()
        more = kept.splitlines()[0].replace("d0000", "d0009") + "\n"
        (talk / f"{name}.jsonl").write_text(kept + more)
        assert again("talk", "judge.zeta=1") == 2
        assert f"another drafts: {name} was" in capsys.readouterr().err
        (talk / f"{name}.jsonl").write_text(kept)
    assert again("talk", "judge.zeta=1") == 0


def test_a_run_without_drafts_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was judged, or the folder works on answers, which have no judge."""
    folder = hold(runs / "empty", tree(weights(Path("one"))))
    (folder / "exchanges.jsonl").write_text("")
    assert again("empty", "judge.zeta=1") == 2
    assert "no exchanges of drafts" in capsys.readouterr().err
    config = (folder / "config.yaml").read_text().partition("judge:")[0] + "judge: null\n"
    (folder / "config.yaml").write_text(config)
    assert again("empty") == 2
    assert "no exchanges of drafts" in capsys.readouterr().err


def test_drafts_that_nobody_judged_are_left_out_and_counted(talk: Path) -> None:
    """A run that was stopped has drafted more than it has judged."""
    last = (talk / "turns.jsonl").read_text().splitlines()[-1]
    with (talk / "turns.jsonl").open("a") as file:
        file.write(last.replace(".01", ".02") + "\n")
    assert again("talk", "judge.zeta=1") == 0
    report = (talk.with_name("talk-rejudged-zeta-1") / "README.md").read_text()
    assert "1 more were not judged then" in report


def test_two_folders_are_compared_without_a_judge(
    talk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joined by id; with other words under the same ids there is nothing to compare."""
    assert again("talk", "judge.rater.worse=true", "judge.zeta=0", "hydra.run.dir=runs/worse") == 0
    assert again("talk", "judge.zeta=0", "again=true", "hydra.run.dir=runs/better") == 0
    other = tree(weights(Path("one")))
    other["agents"]["ada"]["name"] = other["agents"]["bob"]["name"] = "c-model"
    hold(Path("runs/other"), other)
    monkeypatch.setattr(Rates, "__call__", None)
    capsys.readouterr()
    assert again("better", "--vs", "worse", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    found = {(each["measure"], each["arm"]): each["found"] for each in said["findings"]}
    assert found["same order", "both decide"]["value"] == 0
    assert found["rank correlation", "all drafts"]["value"] == pytest.approx(-1)
    assert found["kappa", "both decide"]["high"] < 0
    assert "agreement" in said["alarms"]
    assert (Path("runs/better-vs-worse/README.md")).is_file()
    assert again("better", "--vs=other") == 2
    assert "do not hold the same drafts" in capsys.readouterr().err


def test_a_comparison_is_not_put_where_a_run_is(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither of the two, nor a third one; where the last one was it may."""
    for copy in ("other", "third"):
        shutil.copytree(talk, talk.with_name(copy))
        (talk.with_name(copy) / "README.md").write_text("# a run")
    (talk / "README.md").write_text("# a run")
    Path("runs/asked").mkdir()
    (Path("runs/asked") / "matches.jsonl").write_text("")
    before = marks(talk.parent)
    for name in ("talk", "other", "third", "asked"):
        assert again("talk", "--vs", "other", f"hydra.run.dir=runs/{name}") == 2
        error = capsys.readouterr().err
        assert f"{name} is the folder of a run" in error and "hydra.run.dir=runs/NAME" in error
        assert marks(talk.parent) == before
    for _ in range(2):
        assert again("talk", "--vs", "other", "hydra.run.dir=runs/both") == 0


def test_the_terminal_is_not_wider_than_80_columns(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables and sentences."""
    with pytest.raises(SystemExit):
        main(["talk", "judge.rater.salt=x", "--plain"])
    shown = capsys.readouterr().out.partition("\n\n")[2].splitlines()
    assert len(shown) > 40
    assert max(map(len, shown)) <= 80


def test_a_sweep_has_a_folder_for_each(talk: Path) -> None:
    """Called as if each were alone."""
    assert again("talk", "-m", "judge.zeta=0,1") == 0
    assert {path.name for path in talk.parent.glob("talk-rejudged-*")} == {
        "talk-rejudged-zeta-0", "talk-rejudged-zeta-1"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "demo-rejudged-again"),
        (["judge=rating"], "demo-rejudged-rating"),
        (["judge.zeta=1", "second=a/b", "display=json"], "demo-rejudged-zeta-1"),
        (["judge.wim.embedder.checkpoint=own/all-mpnet-base-v2"], "demo-rejudged-all-mpnet-base-v2"),
        (["judge=rating", "+agent@judge.agent=qwen_small"], "demo-rejudged-rating-qwen_small"),
        (["vs=runs/other"], "demo-vs-other"),
    ],
    ids=str,
)
def test_a_folder_says_what_differs(words: list[str], name: str) -> None:
    """In its name."""
    assert folder_name("runs/demo", words) == name


def test_what_differs_is_said_in_words() -> None:
    """A few settings; more are counted."""
    many = {f"judge.k{n}": (n, n + 1) for n in range(6)}
    assert in_words(many).endswith("; and 2 more settings")
    assert "nothing" in in_words({})


@pytest.mark.parametrize(
    ("words", "target"),
    [
        (["agent@judge.agent=smollm"], "agents.families.SmolLM"),
        (["judge=rating", "agent@judge.agent=qwen_small"], "agents.families.QwenCoder"),
        (["judge=critic"], "agents.families.SmolLM"),
        (["judge=critic", "agent@judge.agent=qwen_small"], "agents.families.QwenCoder"),
    ],
    ids=str,
)
def test_a_third_agent_is_named_as_a_part(
    talk: Path, words: list[str], target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a judge that has a place for it, and with one that has filled it."""
    with pytest.raises(SystemExit):
        main(["talk", *words, "--cfg", "job", "--package", "judge"])
    assert f"_target_: {target}" in capsys.readouterr().out


def test_the_helpers_draw_the_same_in_every_process() -> None:
    """Else no run could be judged twice."""
    assert rejudge_runs.share("a", 1) == rejudge_runs.share("a", 1) != rejudge_runs.share("a", 2)
