"""Labelled pairs and rated answers from files: ties are kept, faults are named by the line."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from agents import ConfigError, Message
from arena.calibration.items import drawn
from arena.calibration.pairs import Labels
from arena.calibration.scored import read_scores

DATA = Path(os.environ.get("ARENA_DATA", Path(__file__).parents[1] / "../shared/data"))


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def row(number: int, label: str = "a", **more: Any) -> dict[str, Any]:
    """A labelled pair."""
    return {"prompt": f"Q{number}", "a": f"first {number}", "b": f"second {number}", "label": label, **more}


def test_a_tie_is_a_label(tmp_path: Path) -> None:
    """The order of the answers is that of the row."""
    path = written(tmp_path / "p.jsonl", [row(1, "a"), row(2, "b"), row(3, "tie")])
    found = {pair.id: pair for pair in Labels([path]).pairs()}
    assert {id: pair.label for id, pair in found.items()} == {
        "p:1.a-b": "a",
        "p:2.a-b": "b",
        "p:3.a-b": "tie",
    }
    for pair in found.values():
        assert pair.first.id == pair.id.removesuffix("-b")
    assert found["p:2.a-b"].first.reply.text == "first 2" and found["p:3.a-b"].second.reply.text == "second 3"
    assert not found["p:3.a-b"].decided


@pytest.mark.parametrize(
    "tied",
    [
        {"question": {"full_text": "Q"}, "answer_0": "x", "answer_1": "y", "score_0": 0.0, "score_1": 0.0},
        {"history": "Q", "human_ref_A": "x", "human_ref_B": "y", "score_A": 3, "score_B": 3, "labels": 0},
        {"prompt": "Q", "chosen": "x", "rejected": "y", "score_chosen": 4.0, "score_rejected": 4.0},
    ],
)
def test_equal_scores_are_a_tie_too(tmp_path: Path, tied: dict[str, Any]) -> None:
    """In the forms that have scores instead of a label."""
    [pair] = Labels([written(tmp_path / "p.jsonl", [tied])]).pairs()
    assert pair.label == "tie"
    assert {pair.first.reply.text, pair.second.reply.text} == {"x", "y"}


def test_the_order_does_not_tell_which_answer_is_better(tmp_path: Path) -> None:
    """Where a form puts the better one first, the seed decides who stands first."""
    rows = [{"prompt": f"Q{i}", "chosen": f"good {i}", "rejected": f"poor {i}"} for i in range(60)]
    found = Labels([written(tmp_path / "p.jsonl", rows)]).pairs()
    firsts = [pair.label for pair in found].count("a")
    assert 15 < firsts < 45
    for pair in found:
        better = pair.first if pair.label == "a" else pair.second
        assert better.reply.text.startswith("good")


def test_the_draw_is_that_of_decided_rows_whatever_else_there_is(tmp_path: Path) -> None:
    """Rows that make no pair are drawn too; ties keep their share, and do not change who is drawn."""
    rows = [row(i, "tie" if i % 4 == 3 else "ab"[i % 2], **({"b": ""} if i == 5 else {})) for i in range(40)]
    path = written(tmp_path / "p.jsonl", rows)
    labels = Labels([path], seed=7)
    found = labels.pairs(limit=12)
    decided = [f"p:{i + 1}" for i in range(40) if i % 4 != 3]
    random.Random("7").shuffle(decided)
    assert [pair.id[:-4] for pair in found if pair.decided] == [id for id in decided[:12] if id != "p:6"]
    assert sum(not pair.decided for pair in found) == round(10 * 12 / 30)
    assert labels.skipped == {"empty b": 1}


def test_a_draw_of_all_holds_every_row() -> None:
    """And one of none of the ties where there are none."""
    assert sorted(drawn([1, 2, 3], [4, 5], 0, 0)) == [1, 2, 3, 4, 5]
    assert len(drawn(list(range(9)), [], 4, 0)) == 4


def test_several_answers_to_one_prompt_share_cases_and_ids_are_unique(tmp_path: Path) -> None:
    """An answer that stands in two pairs is judged once."""
    completions = [
        {"response": text, "overall_score": score} for text, score in (("x", 1), ("y", 2), ("z", 3))
    ]
    found = Labels(
        [written(tmp_path / "p.jsonl", [{"instruction": "Q", "completions": completions}])]
    ).pairs()
    assert len({pair.id for pair in found}) == 3
    assert {case.id for pair in found for case in (pair.first, pair.second)} == {"p:1.0", "p:1.1", "p:1.2"}


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (
            {"prompt": "Q", "a": "x", "b": "y", "label": "c"},
            "'label' holds 'c', and must be 'a', 'b' or 'tie'",
        ),
        ({"prompt": "Q", "a": 3, "b": "y", "label": "a"}, "'a' holds 3, and must be a text"),
        ({"prompt": "Q", "a": "x", "label": "a"}, "no column 'b'"),
    ],
)
def test_a_bad_pair_is_named_by_file_and_line(tmp_path: Path, bad: dict[str, Any], told: str) -> None:
    """Nothing is judged before."""
    path = written(tmp_path / "p.jsonl", [row(1), bad])
    with pytest.raises(ConfigError, match=rf"p\.jsonl', line 2.*{told}"):
        Labels([path]).pairs()


def test_a_label_is_chosen_and_scales_are_mapped(tmp_path: Path) -> None:
    """`overall` where there is one, else the mean of all; 1 to 5 becomes 1 to 10."""
    both = {"prompt": "Q", "response": "R", "scores": {"overall": 5, "wit": 1}, "scale": [1, 5]}
    path = written(tmp_path / "s.jsonl", [both])
    [overall], [wit], [mean] = (read_scores(path, label) for label in ("", "wit", "mean"))
    assert (overall.label, overall.score, overall.mapped) == ("overall", 5.0, 10.0)
    assert (wit.label, wit.mapped) == ("wit", 1.0)
    assert (mean.label, mean.score, mean.mapped) == ("mean", 3.0, 5.5)
    [listed] = read_scores(written(tmp_path / "l.jsonl", [{**both, "scores": [4, 5, 3]}]))
    assert (listed.label, listed.score) == ("mean", 4.0)


def test_turns_end_with_the_user_who_is_answered(tmp_path: Path) -> None:
    """A first turn that would be the assistant's is left out; the fact stands in front."""
    usr = {"context": "one \n two \n\n", "fact": "F", "response": "R", "scores": {"overall": 4.0, "wit": 1.0}}
    [found] = read_scores(written(tmp_path / "s.jsonl", [usr]))
    assert found.case.prompt[1:] == (Message(role="user", content="two"),)
    assert found.case.prompt[0]["content"].endswith("F") and found.scale == (1.0, 5.0)
    with pytest.raises(ConfigError, match="different scales, and no mean: choose one by label="):
        read_scores(str(tmp_path / "s.jsonl"), "mean")


RATED = {"prompt": "Q", "response": "R", "score": 3, "scale": [1, 5]}


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({**RATED, "score": 6}, "score is 6, and its scale 1 to 5"),
        ({**RATED, "score": "high"}, "'score' holds 'high'"),
        ({**RATED, "scale": [5, 1]}, r"must be \[LEAST, GREATEST\]"),
        ({k: v for k, v in RATED.items() if k != "scale"}, "needs a column 'scale'"),
        ({"prompt": "Q", "review": "8 9", "scores": [8, 9], "scale": [1, 10]}, "a review of answers"),
        ({"output": "R", "score": 4, "scale": [1, 10]}, "an answer without the prompt"),
        ({"prompt": "Q", "a": "x", "b": "y", "label": "a"}, r"these are pairs: name the file by pairs="),
        ({"x": 1}, "a row needs prompt and response"),
    ],
)
def test_a_bad_rating_is_named_by_file_and_line(tmp_path: Path, bad: dict[str, Any], told: str) -> None:
    """With what it needs."""
    path = written(tmp_path / "s.jsonl", [RATED, bad])
    with pytest.raises(ConfigError, match=rf"s\.jsonl', line 2: .*{told}"):
        read_scores(path)


def test_a_label_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With those that are; and a label where there is only one."""
    several = written(
        tmp_path / "m.jsonl", [{"prompt": "Q", "response": "R", "scores": {"wit": 3}, "scale": [1, 5]}]
    )
    with pytest.raises(ConfigError, match="no label 'wot'; there is 'wit', 'mean'; did you mean 'wit'"):
        read_scores(several, "wot")
    with pytest.raises(ConfigError, match="'score' is the only one here"):
        read_scores(written(tmp_path / "one.jsonl", [RATED]), "wit")
    with pytest.raises(ConfigError, match=r"no file .*give its path by scores=\[FILE\]"):
        read_scores(str(tmp_path / "none.jsonl"))


@pytest.mark.skipif(not DATA.is_dir(), reason="ARENA_DATA names no folder of data sets")
@pytest.mark.parametrize("path", sorted((DATA / "pairs").glob("*.jsonl")), ids=lambda path: str(path.stem))
def test_every_file_of_pairs_is_read(path: Path) -> None:
    """All rows but empty or equal answers; every label of the file comes out."""
    labels = Labels([str(path)])
    found = labels.pairs()
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(found) + labels.skipped.total() == len(rows)
    assert {pair.label for pair in found} == {each["label"] for each in rows}
    assert len({pair.id for pair in found}) == len(found)


REFUSED = {"vicuna80_gpt4_reviews": "a review of answers", "wildbench_sample": "an answer without the prompt"}


@pytest.mark.skipif(not DATA.is_dir(), reason="ARENA_DATA names no folder of data sets")
@pytest.mark.parametrize(
    "path",
    [*sorted((DATA / "scores").glob("*.jsonl")), DATA / "convs" / "chitchat_rated.jsonl"],
    ids=lambda path: str(path.stem),
)
def test_every_file_of_ratings_is_read_or_refused(path: Path) -> None:
    """Refused are those whose rows lack what is to be judged."""
    if path.stem in REFUSED:
        with pytest.raises(ConfigError, match=REFUSED[path.stem]):
            read_scores(str(path))
        return
    found = read_scores(str(path))
    assert len(found) == len(path.read_text(encoding="utf-8").splitlines())
    assert all(1 <= item.mapped <= 10 and item.case.prompt[-1]["role"] == "user" for item in found)
    assert len({item.case.id for item in found}) == len(found)
