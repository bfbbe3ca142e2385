"""The corpus on real data sets: how many rows each gives, why others give none, and clean splits."""

import os
from pathlib import Path
from statistics import fmean

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from arena.config import CONF
from arena.corpus.entry import Record
from arena.corpus.reading import Corpus, id_of
from arena.corpus.split import group_of, hold_out
from arena.problems import Problem
from rewards.verdict import Example, Preference, Ranking, Review

DATA = Path(os.environ.get("ARENA_DATA", Path(__file__).parents[2] / "shared" / "data"))

REAL: list[tuple[str, type[Record], int, dict[str, int]]] = [
    ("oasst", Preference, 572, {}),
    ("hh_harmless", Preference, 1757, {"messages out of turn": 3}),
    ("ukp", Preference, 3545, {}),
    ("human_pairs", Preference, 5874, {"messages out of turn": 3}),
    ("iclr2017", Review, 489, {"left out by data.only": 570, "empty abstract": 1}),
    ("iclr2018", Review, 570, {"left out by data.only": 490}),
    ("disapere", Review, 339, {}),
    ("summeval", Ranking, 61, {}),
    ("summeval", Preference, 3798, {}),
    ("summeval", Example, 61, {}),
    ("summeval", Problem, 61, {}),
    ("sst2_train", Preference, 3198, {"the same text again": 9, "no partner of its length": 515}),
    ("sst2_dev", Preference, 356, {"no partner of its length": 160}),
    ("alpaca", Example, 895, {}),
    ("roleplay", Example, 1732, {}),
]
"""Part, kind, records, reasons for none."""

FILES: list[tuple[str, type[Record], int]] = [
    ("pairs/autoj_human", Preference, 616),
    ("pairs/pandalm_human", Preference, 549),
    ("pairs/llmbar_processed", Preference, 464),
    ("pairs/judgebench", Preference, 269),
    ("pairs/oasst_human_ranks", Problem, 157),
    ("sft/selfee_feedback_mbpp", Example, 884),
    ("prompts/expertqa_questions", Problem, 1759),
    ("prompts/vicuna_bench", Problem, 80),
]
"""Files of no part, recognised by their columns."""


def part(name: str, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """The corpus of `conf/data/NAME.yaml`."""
    if not DATA.is_dir():
        pytest.skip(f"no data sets in {DATA}: set ARENA_DATA")
    monkeypatch.setenv("ARENA_DATA", str(DATA))
    found = instantiate(
        OmegaConf.create({"seed": 0, "data": OmegaConf.load(CONF / "data" / f"{name}.yaml")}).data
    )
    assert isinstance(found, Corpus)
    return found


def texts(record: Record) -> list[str]:
    """Everything that a record holds to be learned."""
    if isinstance(record, Review):
        return [record.title]
    said = [message["content"] for message in record.prompt]
    if isinstance(record, Preference):
        return [*said, record.chosen.text, record.rejected.text]
    if isinstance(record, Ranking):
        return [*said, *(reply.text for reply in record.replies)]
    return [*said, record.completion] if isinstance(record, Example) else said


@pytest.mark.parametrize(("name", "kind", "count", "skipped"), REAL)
def test_a_data_set_gives_its_records(
    name: str, kind: type[Record], count: int, skipped: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No side is empty, no id comes twice, and no group is on both sides of a split."""
    data = part(name, monkeypatch)
    records = data.read(kind)
    assert (len(records), dict(data.skipped)) == (count, skipped)
    assert all(text.strip() for record in records for text in texts(record))
    assert len(set(map(id_of, records))) == count
    train, valid = hold_out(records, 0.1, 0)
    assert len(train) + len(valid) == count
    assert 0.1 * count <= len(valid) <= 0.2 * count
    assert not {group_of(each) for each in train} & {group_of(each) for each in valid}


@pytest.mark.parametrize(("name", "kind", "count"), FILES)
def test_a_file_of_no_part_is_recognised(name: str, kind: type[Record], count: int) -> None:
    """By the columns of its first row."""
    if not DATA.is_dir():
        pytest.skip(f"no data sets in {DATA}: set ARENA_DATA")
    assert len(Corpus([str(DATA / f"{name}.jsonl")]).read(kind)) == count


def test_sentences_of_a_pair_have_as_many_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of their letters tells which is positive in 56 of 100 pairs, as the format says."""
    pairs = part("sst2_train", monkeypatch).read(Preference)
    sides = [(pair.chosen.text, pair.rejected.text) for pair in pairs]
    assert all(len(chosen.split()) == len(rejected.split()) for chosen, rejected in sides)
    longer = fmean(0.5 + 0.5 * _sign(len(chosen) - len(rejected)) for chosen, rejected in sides)
    assert longer == pytest.approx(0.56, abs=0.01)


def _sign(difference: int) -> int:
    return (difference > 0) - (difference < 0)


def test_transcripts_are_taken_apart_into_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """No marker of a speaker is left in a prompt of hh-rlhf, and roles take turns."""
    for pair in part("hh_harmless", monkeypatch).read(Preference):
        assert not any("\n\nHuman:" in message["content"] for message in pair.prompt)
        assert [m["role"] for m in pair.prompt][-1] == "user" and len(pair.prompt) % 2 == 1


def test_trees_of_conversations_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open Assistant's 73 trees are 73 groups."""
    assert len({group_of(pair) for pair in part("oasst", monkeypatch).read(Preference)}) == 73


def test_papers_with_several_reviews_are_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """339 reviews of 131 papers, none of which has an abstract."""
    reviews = part("disapere", monkeypatch).read(Review)
    assert len(set(map(group_of, reviews))) == 131
    assert {review.abstract for review in reviews} == {""}
