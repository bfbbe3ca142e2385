"""The engine says what a loop without cache, batch and company would say, and reads nothing twice."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import families
import numpy as np
import pytest
import torch
from scipy import stats

from agents import backbone as backbones
from agents import flight
from agents.attention import Plan
from agents.backbone import Backbone, Lora
from agents.decoding import Sampling
from agents.engine import Engine, Sampled
from agents.flight import Ask
from agents.levels import Stems, Writing
from agents.reader import SHORT, Prompt
from agents.slots import Reading

Checkpoint = Callable[..., Path]
GREEDY = Sampling(temperature=0)
LIMIT = 12
NEVER = 999
"""An end that no vocabulary here has."""


@pytest.fixture(params=families.FAMILIES, ids=lambda family: family.name)
def folder(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> Path:
    """A checkpoint of each family."""
    return checkpoint(request.param)


@pytest.fixture
def llama(checkpoint: Checkpoint) -> Iterator[Backbone]:
    """A tiny Llama with an empty engine."""
    backbones.load.cache_clear()
    yield load(checkpoint(families.LLAMA))
    backbones.load.cache_clear()


@pytest.fixture(autouse=True, params=[1, flight.SHARED], ids=["levels", "few"])
def shared_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What rows have in common lies in a level of its own, however little it is; or with each row."""
    monkeypatch.setattr(flight, "SHARED", request.param)


class Counting(Backbone):
    """Keeps (new tokens of each row) of every pass, and how many tokens lay in memory."""

    passes: list[tuple[int, ...]]
    held: int = 0
    """Most tokens whose keys and values had a place, in any pass."""
    most: int = 1 << 30
    """Tokens above which memory runs out."""

    def read(self, ids: torch.Tensor, plan: Plan) -> torch.Tensor:
        """Read as ever."""
        if isinstance(plan, Reading):
            held, new = plan.slots.rows * plan.slots.columns, tuple(plan.new)
        else:
            assert isinstance(plan, Writing)
            held = sum(level.stems.count * level.stems.columns for level in plan.levels)
            new = (1,) * len(ids)
        if held > self.most:
            raise torch.OutOfMemoryError("not enough")
        self.held = max(self.held, held)
        self.passes.append(new)
        return super().read(ids, plan)


def load(folder: Path) -> Backbone:
    """The backbone of a checkpoint on the CPU in fp32."""
    return backbones.load(str(folder), "main", "fp32", "cpu")


def counting(backbone: Backbone) -> Counting:
    """The same weights with a count and an engine of their own."""
    counted = Counting(backbone.model, backbone.tokenizer, backbone.weights, backbone.precision)
    counted.passes = []
    return counted


def generate(
    decoding: Sampling,
    backbone: Backbone,
    rows: Sequence[Sequence[int]],
    n: int = 1,
    limit: int = LIMIT,
    ends: frozenset[int] = frozenset({NEVER}),
    seeds: Sequence[int] = (),
    **budget: int,
) -> list[list[Sampled]]:
    """Continuations of `rows`, by an engine that has read nothing; seeds are positions by default."""
    asks = [
        Ask(Prompt(tuple(row)), decoding, n, limit, ends, seed)
        for row, seed in zip(rows, seeds or range(len(rows)), strict=True)
    ]
    return Engine(backbone, **budget).write(asks)


@pytest.mark.parametrize("shared", [0, SHORT + 5], ids=["apart", "shared"])
def test_greedy_replies_of_a_batch_equal_a_loop_without_cache(folder: Path, shared: int) -> None:
    """Rows of any lengths, positions, windows and a shared stretch change no token."""
    rows = families.rows(3, 21, 9, shared=shared)
    asks = [Ask(Prompt(tuple(row), "", (shared,)), GREEDY, 1, LIMIT, frozenset({NEVER}), 0) for row in rows]
    replies = Engine(load(folder)).write(asks)
    assert [list(reply.ids) for (reply,) in replies] == [families.greedy(folder, row, LIMIT) for row in rows]


def test_rows_end_by_themselves_and_leave_the_others_unchanged(folder: Path) -> None:
    """An end token is the last of its row, is counted as said, and disturbs no neighbour."""
    rows = families.rows(5, 17, 11, 8)
    free = [families.greedy(folder, row, LIMIT) for row in rows]
    ends = frozenset({free[0][2], free[2][6]})
    replies = generate(GREEDY, load(folder), rows, ends=ends)
    expected = [families.greedy(folder, row, LIMIT, ends) for row in rows]
    assert [list(reply.ids) for (reply,) in replies] == expected
    assert [reply.ended for (reply,) in replies] == [said[-1] in ends for said in expected]
    assert len({len(said) for said in expected}) > 1


def test_a_finished_row_is_not_read_any_more(llama: Backbone) -> None:
    """Finished rows cost nothing."""
    rows = families.rows(6, 6)
    counted = counting(llama)
    (first,), (second,) = generate(GREEDY, counted, rows)
    end = next(token for token in first.ids if token not in second.ids)
    counted.passes.clear()
    generate(GREEDY, counted, rows, ends=frozenset({end}))
    alone = LIMIT - 1 - first.ids.index(end)
    assert counted.passes.count((1,)) == alone > 0


def test_a_waiting_row_takes_the_place_of_a_finished_one(llama: Backbone) -> None:
    """With room for two rows, one long reply does not hold up three short ones; all say the same."""
    rows = families.rows(6, 6, 6, 6)
    free = [families.greedy(Path(llama.weights.folder), row, LIMIT) for row in rows]
    long = max(range(4), key=lambda i: len(set(free[i])))
    ends = frozenset(
        next(token for token in said[:4] if token not in free[long])
        for i, said in enumerate(free)
        if i != long
    )
    order = [long, *(i for i in range(4) if i != long)]
    counted = counting(llama)
    replies = generate(GREEDY, counted, [rows[i] for i in order], ends=ends, tokens=2 * (6 + LIMIT))
    expected = [families.greedy(Path(llama.weights.folder), rows[i], LIMIT, ends) for i in order]
    assert [list(reply.ids) for (reply,) in replies] == expected
    decoding = [new for new in counted.passes if set(new) == {1}]
    assert len(decoding) == LIMIT - 1
    assert {len(new) for new in decoding} <= {1, 2}


@pytest.mark.parametrize("tokens", [1, 40, 100, 10_000])
def test_the_budget_changes_no_reply(llama: Backbone, tokens: int) -> None:
    """A budget below one row still writes one row at a time."""
    rows = families.rows(4, 15, 9, 30)
    assert generate(Sampling(), llama, rows, n=3, tokens=tokens) == generate(Sampling(), llama, rows, n=3)


def test_rows_in_flight_stay_within_the_budget(llama: Backbone) -> None:
    """Two prompts of eight tokens and seven drafts fill a hundred; what is shared counts once."""
    counted = counting(llama)
    generate(Sampling(), counted, families.rows(8, 8, 8, 8), n=4, tokens=2 * 8 + 7 * LIMIT)
    assert max(len(new) for new in counted.passes if set(new) == {1}) == 7
    assert counted.held == 2 * 8 + 7 * LIMIT


def test_what_all_prompts_share_counts_in_the_budget(llama: Backbone) -> None:
    """One head of 40 tokens, then as many rows as the rest of the budget has room for."""
    rows = families.rows(8, 8, 8, 8, shared=40)
    asks = [Ask(Prompt(tuple(r), "", (40,)), GREEDY, 2, LIMIT, frozenset({NEVER}), 0) for r in rows]
    counted = counting(llama)
    assert Engine(counted, tokens=150).write(asks) == Engine(llama).write(asks)
    decoding = [new for new in counted.passes if set(new) == {1}]
    assert max(map(len, decoding)) > 2
    assert counted.held <= 150


def test_out_of_memory_halves_the_budget_and_says_so(
    llama: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    """What was written before is kept, and nothing that is said changes."""
    rows = families.rows(8, 8, 8, 8)
    expected = generate(Sampling(), llama, rows, n=4)
    counted = counting(llama)
    counted.most = 90
    engine = Engine(counted, tokens=320)
    asks = [Ask(Prompt(tuple(r)), Sampling(), 4, LIMIT, frozenset({NEVER}), i) for i, r in enumerate(rows)]
    with caplog.at_level(logging.WARNING):
        assert engine.write(asks) == expected
    assert engine.tokens == 80
    assert "budget of 160 tokens" in caplog.text and "budget of 80 tokens" in caplog.text


def test_an_error_that_is_not_of_memory_is_raised(llama: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried again."""

    def broken(*_: Any) -> torch.Tensor:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(llama, "read", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        generate(GREEDY, llama, families.rows(4))


def test_a_single_row_that_does_not_fit_is_an_error(llama: Backbone) -> None:
    """Halving ends."""
    counted = counting(llama)
    counted.most = 10
    with pytest.raises(torch.OutOfMemoryError):
        generate(GREEDY, counted, families.rows(20))


def test_what_is_shared_is_read_once(llama: Backbone) -> None:
    """One row reads the common stretch, then each row its own rest."""
    counted = counting(llama)
    rows = families.rows(4, 7, shared=SHORT)
    Engine(counted).read([Prompt(tuple(row), "", (SHORT,)) for row in rows])
    assert counted.passes == [(SHORT,), (4, 7)]


def test_a_short_stretch_is_not_read_apart(llama: Backbone) -> None:
    """A pass of its own would cost more than it saves."""
    counted = counting(llama)
    rows = families.rows(4, 7, shared=SHORT - 1)
    Engine(counted).read([Prompt(tuple(row), "", (SHORT - 1,)) for row in rows])
    assert counted.passes == [(SHORT + 3, SHORT + 6)]


def test_prompts_that_begin_alike_need_no_cut(llama: Backbone) -> None:
    """Two that go on alike after what all share; a third that does not."""
    counted = counting(llama)
    long = families.rows(SHORT + 10, shared=SHORT)[0]
    rows = [[*long, 1, 2, 3], [*long, 4], [*long[:SHORT], *range(50, 90)]]
    nodes = Engine(counted).read([Prompt(tuple(row)) for row in rows])
    assert counted.passes == [(SHORT,), (40, SHORT + 10), (1, 3)]
    for row, node in zip(rows, nodes, strict=True):
        expected = families.states(llama, row)[-1]
        torch.testing.assert_close(node.hidden, expected, atol=1e-4, rtol=0)


def test_drafts_share_the_reading_of_their_prompt(llama: Backbone) -> None:
    """Five drafts of two prompts read two rows, then ten."""
    counted = counting(llama)
    generate(Sampling(), counted, families.rows(4, 7), n=5, limit=2)
    assert counted.passes == [(4, 7), (1,) * 10]


def turns(engine: Engine, start: Sequence[int], count: int) -> tuple[list[int], list[list[int]]]:
    """A dialogue: replies, each followed by five tokens of somebody else; (all tokens, the replies)."""
    history, said = list(start), []
    for turn in range(count):
        ((reply,),) = engine.write([Ask(Prompt(tuple(history)), GREEDY, 1, 6, frozenset({NEVER}), 0)])
        said.append(list(reply.ids))
        history += [*reply.ids, *families.rows(5 + turn)[0][:5]]
    return history, said


def test_a_dialogue_reads_only_what_is_new(llama: Backbone) -> None:
    """Turn t + 1 goes on from the cache of turn t: the last token of the reply, and the answer to it."""
    counted = counting(llama)
    turns(Engine(counted), families.rows(50)[0], 4)
    assert [new for new in counted.passes if new != (1,)] == [(50,), (6,), (6,), (6,)]


def test_reuse_changes_no_token(folder: Path) -> None:
    """Over the turns of a dialogue, in every family, also past its sliding window."""
    start = families.rows(20)[0]
    history, said = turns(Engine(load(folder)), start, 4)
    assert (history, said) == turns(Engine(load(folder), kept=0), start, 4)
    place = len(start)
    for reply in said:
        assert reply == families.greedy(folder, history[:place], 6)
        place += 6 + 5


def test_the_same_prompt_is_not_read_again(llama: Backbone) -> None:
    """Its last states are known."""
    counted = counting(llama)
    engine = Engine(counted)
    (prompt,) = [Prompt(tuple(row)) for row in families.rows(40)]
    first, again = engine.read([prompt])[0], engine.read([prompt, prompt])
    assert counted.passes == [(40,)]
    assert again == [first, first]


def test_prompts_that_go_on_from_a_read_one_cost_the_difference(llama: Backbone) -> None:
    """A rating and what is missing ask about the same case."""
    counted = counting(llama)
    engine = Engine(counted)
    (row,) = families.rows(60)
    engine.read([Prompt(tuple(row[:50]), "", (40,))])
    engine.read([Prompt(tuple(row), "", (40, 50))])
    assert counted.passes == [(40,), (10,), (10,)]


def test_a_token_after_a_prompt_leaves_no_trace(checkpoint: Checkpoint, llama: Backbone) -> None:
    """The states are those of the row with that token; the next call reads as if it had never been."""
    (row,) = families.rows(9)
    engine = Engine(llama)
    nodes = engine.read([Prompt(tuple(row))])
    kept = engine.prefixes.bytes
    for token in (5, 6):
        logits = llama.logits(engine.after(nodes, "", token))[0]
        torch.testing.assert_close(logits, families.read(checkpoint(families.LLAMA), [*row, token])[0][-1])
    assert engine.prefixes.bytes == kept


def test_two_speakers_write_in_one_batch(llama: Backbone) -> None:
    """Rows of two adapters and of none, mixed, say what each says alone."""
    for name in ("ada", "bob"):
        llama.add_adapter(name, Lora(rank=4, alpha=12))
        draw = torch.Generator().manual_seed(len(name) + ord(name[0]))
        for parameter in llama.adapter_parameters(name):
            parameter.data = torch.randn(parameter.shape, generator=draw) * 0.1
    asks = [
        Ask(Prompt(tuple(row), speaker), GREEDY, 2, LIMIT, frozenset({NEVER}), 0)
        for row in families.rows(5, 9)
        for speaker in ("ada", "", "bob")
    ]
    together = Engine(llama).write(asks)
    alone = [Engine(llama).write([ask])[0] for ask in asks]
    assert together == alone
    assert len({drafts[0].ids for drafts in together}) == 6
    ids = together[0][0].ids
    with llama.speaking_as("ada"):
        logits = llama.logits(families.states(llama, [*asks[0].prompt.ids, *ids]))
    assert logits[4:-1].argmax(-1).tolist() == list(ids)


def test_what_an_adapter_has_read_dies_with_its_update(llama: Backbone) -> None:
    """The base keeps what it has read."""
    llama.add_adapter("ada", Lora(rank=4))
    counted = counting(llama)
    engine = Engine(counted)
    prompts = [Prompt(tuple(families.rows(40)[0]), speaker) for speaker in ("ada", "")]
    engine.read(prompts)
    engine.forget("ada")
    engine.read(prompts)
    assert counted.passes == [(40, 40), (40,)]


def test_drafts_differ(llama: Backbone) -> None:
    """Each draft has a random stream of its own."""
    drafts = generate(Sampling(), llama, families.rows(4, 7), n=5)
    assert [len({draft.ids for draft in row}) for row in drafts] == [5, 5]


def test_equal_seeds_give_equal_drafts_whatever_else_is_in_the_batch(llama: Backbone) -> None:
    """A row is the same alone, among others, and in another place."""
    rows = families.rows(4, 15, 9, 30)
    together = generate(Sampling(), llama, rows, n=2, seeds=[10, 11, 12, 13])
    backwards = generate(Sampling(), llama, rows[::-1], n=2, seeds=[13, 12, 11, 10])
    alone = [generate(Sampling(), llama, [row], n=2, seeds=[10 + i])[0] for i, row in enumerate(rows)]
    assert together == backwards[::-1] == alone


def test_other_seeds_give_other_drafts(llama: Backbone) -> None:
    """The seed decides."""
    one, two = (generate(Sampling(), llama, families.rows(9), seeds=[seed]) for seed in (1, 2))
    assert one != two


def test_fewer_drafts_are_the_first_of_more(llama: Backbone) -> None:
    """Draft number two is the same whether three or five are asked for."""
    three, five = (generate(Sampling(), llama, families.rows(9, 4), n=n) for n in (3, 5))
    assert [row[:3] for row in five] == three


def test_a_lower_limit_cuts_the_same_reply(llama: Backbone) -> None:
    """The limit changes where a reply is cut, not what it says."""
    short, long = (generate(Sampling(), llama, families.rows(9), limit=limit) for limit in (5, 9))
    assert long[0][0].ids[:5] == short[0][0].ids


def test_a_reply_at_the_limit_has_not_ended(llama: Backbone) -> None:
    """A cut reply has as many tokens as allowed, and is known as cut."""
    ((reply,),) = generate(GREEDY, llama, families.rows(9), limit=4)
    assert len(reply.ids) == 4
    assert not reply.ended


def test_an_end_at_the_limit_has_ended(llama: Backbone) -> None:
    """A reply whose last allowed token ends it is not a cut one."""
    ((free,),) = generate(GREEDY, llama, families.rows(9))
    end = free.ids[-1]
    limit = free.ids.index(end) + 1
    ((reply,),) = generate(GREEDY, llama, families.rows(9), ends=frozenset({end}), limit=limit)
    assert reply.ended
    assert len(reply.ids) == limit


def test_sampling_follows_the_distribution_of_the_model(checkpoint: Checkpoint, llama: Backbone) -> None:
    """First tokens of 4000 drafts occur as often as the model says (chi-square)."""
    row = families.rows(9)
    drafts = generate(Sampling(), llama, row, n=4000, limit=1)[0]
    counts = np.bincount([draft.ids[0] for draft in drafts], minlength=len(llama.tokenizer))
    expected = families.read(checkpoint(families.LLAMA), row[0])[0][-1].softmax(-1).double().numpy() * 4000
    common = expected >= 5
    seen = [*counts[common], counts[~common].sum()]
    wanted = np.array([*expected[common], expected[~common].sum()])
    assert stats.chisquare(seen, wanted * sum(seen) / wanted.sum()).pvalue > 0.001


def test_places_of_prompts_of_any_length_are_made_at_once() -> None:
    """A longer one that comes later finds its place ready; what goes beyond comes by blocks."""
    stems = Stems(3, 100, least=70)
    made = []
    for place, tokens in enumerate((5, 40, 70)):
        stretch = [(torch.full((2, tokens, 4), float(place)), torch.full((2, tokens, 4), -float(place)))]
        stems.load(place, [stretch], 0)
        made.append(stems.layers[0][0].data_ptr())
    assert len(set(made)) == 1
    keys, values = stems.layers[0]
    assert keys.shape == (3, 2, 96, 4)
    assert [float(keys[place].sum()) for place in range(3)] == [0, 40 * 8, 2 * 70 * 8]
    assert float(values.sum()) == -float(keys.sum())
    assert stems.of(0, keys[0], 97)[0].shape == (3, 2, 100, 4)
