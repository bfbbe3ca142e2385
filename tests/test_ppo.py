"""PPO: gradients against plain autograd, what counts as a sample, resuming, and two known optima."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import pstdev
from typing import Any

import families
import pytest
import torch
from test_learning import OPENING, PERSONA, QUESTION, difference, share_of_questions

from agents import ConfigError, Dialogue, Message, Reply, Scripted, Turn, value_head
from agents.backbone import load
from agents.decoding import Sampling
from agents.families import Llama, SmolLM
from arena.benchmark.work import own_attention
from arena.loop import Exchange, Table, Turned, converse
from arena.topics import Shipped
from arena.train import ppo_math
from arena.train.errors import Diverged
from arena.train.ppo import PPO
from arena.train.rollout import branches
from rewards.judge import Judge
from rewards.rating import Pattern
from rewards.verdict import Example, Verdict

PROMPTS = ("why does ice float", "what is a proof", "who judges the judge")
DRAFTS = (
    ("because it is lighter", "no idea"),
    ("a chain of steps", "a thing"),
    ("people do", "nobody at all"),
)
REWARDS = ((1.0, -1.0), (0.5, 0.25), (-0.5, 1.0))


def exchange(
    prompt: str, drafts: Sequence[str], verdicts: Sequence[Verdict], finish: str = "stop"
) -> Exchange:
    """Drafts of byte tokens, as a tiny model might have sampled them."""
    turns = tuple(
        Turn(f"d.00{n}", "", "ada", Reply(text, finish, tuple(text.encode())))
        for n, text in enumerate(drafts)
    )
    asked = (Message(role="user", content=prompt),)
    return Exchange(Dialogue("d", "t", "ada"), turns, tuple(verdicts), turns[0], None, "tie", asked)


def exchanges(rewards: Sequence[Sequence[float | None]] = REWARDS, finish: str = "stop") -> list[Exchange]:
    """Three prompts with two drafts each, of different lengths."""
    return [
        exchange(prompt, drafts, [Verdict("v", "j", reward=r, scale="rating") for r in own], finish)
        for prompt, drafts, own in zip(PROMPTS, DRAFTS, rewards, strict=True)
    ]


def fresh(folder: Path, **options: Any) -> PPO:
    """A learner on a tiny Llama that nobody has touched."""
    load.cache_clear()
    made = PPO(**{"rank": 4, "alpha": 8.0, "micro_tokens": 120, **options})
    made.attach(Llama(checkpoint=str(folder), precision="fp32", device="cpu"), "ada")
    return made


def learner(folder: Path, **options: Any) -> PPO:
    """A learner whose adapter and value head already do something."""
    made = fresh(folder, **options)
    generator = torch.Generator().manual_seed(1)
    for parameter in [*made.parameters, made.head.weight, made.head.bias]:
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
    return made


def gradients(made: PPO, found: Sequence[Exchange], micro_tokens: int = 120) -> list[torch.Tensor]:
    """Of the first minibatch of an update, which has all samples: the adapter's, then the head's."""
    samples, _ = branches(made.agent, found)
    rollout = made._rollout(samples)
    made._gradients(rollout, range(len(samples)), "x", micro_tokens)
    parts = [*made.parameters, made.head.weight, made.head.bias]
    return [torch.zeros_like(part) if part.grad is None else part.grad.clone() for part in parts]


@pytest.fixture
def folder(checkpoint: Callable[..., Path]) -> Path:
    """A tiny random Llama."""
    return checkpoint(families.LLAMA)


class Corpus:
    """Two examples, as an `arena.corpus.Corpus` gives them."""

    def __init__(self, *weights: float) -> None:
        """One weight per example."""
        self.weights = weights

    def read(self, kind: type[Example]) -> list[Example]:
        """Those examples."""
        assert kind is Example
        prompt = (Message(role="user", content="what is seven"),)
        return [Example(f"e{n}", prompt, "a number" * (n + 1), w) for n, w in enumerate(self.weights)]


def plain_logps(made: PPO, found: Exchange) -> list[torch.Tensor]:
    """Log-probabilities of each draft's tokens by an ordinary forward pass of its own, with gradients."""
    rows, model = [], made.agent.backbone.model
    prompt = made.agent.prompt_ids(found.prompt)
    for turn in found.drafts:
        with made.agent.backbone.speaking_as("ada"), own_attention(model):
            logits = model(torch.tensor([[*prompt, *turn.reply.ids]])).logits[0]
        picked = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        rows.append(picked.gather(1, torch.tensor(turn.reply.ids)[:, None])[:, 0])
    return rows


PLAIN = {"clip": 1e9, "lam": 1.0, "value_coef": 0.0, "kl_coef": 0.0, "whiten": False}


@pytest.mark.filterwarnings("ignore")
def test_without_clip_the_gradient_is_that_of_reinforce_with_a_baseline(folder: Path) -> None:
    """Mean over tokens of -(R - V_t) grad log pi, R the score alone: gamma and lambda are 1."""
    made = learner(folder, **PLAIN)
    found = gradients(made, exchanges())
    samples, _ = branches(made.agent, exchanges())
    values = iter(torch.cat([tokens[1] for tokens in made._rollout(samples).tokens]).tolist())
    loss, count = torch.zeros(()), 0
    for own, rewards in zip(exchanges(), REWARDS, strict=True):
        for logps, score in zip(plain_logps(made, own), rewards, strict=True):
            loss = loss - sum((score - next(values)) * logp for logp in logps)
            count += len(logps)
    expected = torch.autograd.grad(loss / count, made.parameters)
    for gradient, wanted in zip(found, expected, strict=False):
        assert float((gradient - wanted).abs().max()) <= 1e-5 * max(1.0, float(wanted.abs().max()))
    assert max(float(wanted.abs().max()) for wanted in expected) > 1e-3


@pytest.mark.parametrize("options", [{}, {"entropy_coef": 0.1, "value_coef": 1.0, "checkpointing": True}])
def test_the_size_of_a_pass_does_not_change_the_gradient(folder: Path, options: dict[str, Any]) -> None:
    """One branch a pass, or all in one: a mean over all tokens, not a mean of means nor a sum."""
    parts = [gradients(learner(folder, **options), exchanges(), tokens) for tokens in (1, 10_000)]
    for one, other in zip(*parts, strict=True):
        assert float((one - other).abs().max()) <= 1e-5 * max(1.0, float(other.abs().max()))
    assert all(float(part.abs().max()) > 0 for part in parts[0])


def test_what_earns_no_advantage_gives_no_gradient(folder: Path) -> None:
    """Equal rewards of 0 and a critic that says 0: not a bit of the adapter is asked to move."""
    found = gradients(fresh(folder, value_coef=0.0), exchanges(((0.0, 0.0),) * 3))
    assert all(float(gradient.abs().max()) == 0 for gradient in found)


def test_the_first_ratios_are_exactly_one(folder: Path) -> None:
    """The old log-probabilities are of the sampled tokens, by the same passes as the new ones."""
    update = learner(folder, epochs=1).learn(exchanges())
    assert update is not None
    assert (update.approx_kl, update.clip_fraction, update.steps) == (0.0, 0.0, 1)


def test_the_reference_is_the_checkpoint_without_the_adapter(folder: Path) -> None:
    """KL is the mean per token of log pi - log ref, as the agent and its fixed twin say themselves."""
    made = learner(folder)
    prompts = [own.prompt for own in exchanges() for _ in own.drafts]
    replies = [turn.reply for own in exchanges() for turn in own.drafts]
    rows = [agent.logps(prompts, replies) for agent in (made.agent, made.agent.fixed())]
    ours, reference = ([x for row in rows_ for x in row] for rows_ in rows)
    update = made.learn(exchanges())
    assert update is not None
    expected = sum(a - b for a, b in zip(ours, reference, strict=True)) / len(ours)
    assert update.kl == pytest.approx(expected, abs=1e-5) and abs(update.kl) > 1e-3
    assert update.reward == pytest.approx(update.score - 0.05 * update.kl * update.length, abs=1e-5)


def test_the_reference_of_a_policy_that_began_with_an_adapter_is_that_adapter(
    folder: Path, tmp_path: Path
) -> None:
    """At first they are equal, bit for bit; and far from the bare checkpoint."""
    learner(folder).save(tmp_path)
    load.cache_clear()
    made = PPO(rank=4, alpha=8.0)
    made.attach(Llama(checkpoint=str(folder), precision="fp32", device="cpu", adapter=str(tmp_path)), "ada")
    update = made.learn(exchanges())
    assert update is not None and update.kl == 0.0


def test_numbers_of_a_fresh_policy(folder: Path) -> None:
    """Scores as the judge gave them; no distance to the reference; a critic that knows nothing."""
    update = fresh(folder).learn(exchanges(finish="length"))
    assert update is not None
    lengths = [len(text) for own in DRAFTS for text in own]
    assert (update.samples, update.left_out, update.tokens) == (6, 0, sum(lengths))
    assert (update.score, update.reward) == pytest.approx((1.25 / 6, 1.25 / 6))
    assert (update.kl, update.explained_variance, update.truncated) == (0.0, 0.0, 1.0)
    assert update.length == pytest.approx(sum(lengths) / 6)
    assert all(math.isfinite(value) for value in asdict(update).values())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"reward_clip": 0.5}, (0.5 - 0.5 + 0.5 + 0.25 - 0.5 + 0.5) / 6),
        ({"missing_eos_penalty": 2.0}, 1.25 / 6 - 2.0),
        ({"reward_scale": True, "reward_clip": 100.0}, 1.25 / 6 / pstdev(sum(REWARDS, ()))),
    ],
)
def test_rewards_are_clipped_scaled_and_docked(
    folder: Path, options: dict[str, Any], expected: float
) -> None:
    """What counts is `reward`; `score` stays what the judge said."""
    update = fresh(folder, **options).learn(exchanges(finish="length"))
    assert update is not None
    assert update.reward == pytest.approx(expected, abs=1e-5)
    assert update.score == pytest.approx(1.25 / 6)


def test_an_abstention_is_no_sample(folder: Path) -> None:
    """Nor a zero: the update is the one that the other drafts alone make."""
    some = learner(folder).learn(exchanges(((1.0, None), (None, None), (-0.5, 1.0))))
    assert some is not None and (some.samples, some.left_out) == (3, 3)
    alone = [
        exchange(PROMPTS[0], DRAFTS[0][:1], exchanges()[0].verdicts[:1]),
        exchanges()[2],
    ]
    expected = learner(folder).learn(alone)
    assert expected is not None
    assert replace(some, left_out=0, seconds=0.0) == replace(expected, seconds=0.0)


def test_a_reward_on_another_scale_is_no_sample(folder: Path) -> None:
    """It could not be compared with the others."""
    odd = exchange(PROMPTS[0], DRAFTS[0], [Verdict("v", "j", reward=9.0, scale="score")] * 2)
    update = learner(folder).learn([odd, *exchanges()])
    assert update is not None and (update.samples, update.left_out) == (6, 2)
    assert update.score == pytest.approx(1.25 / 6)


def test_no_rewards_make_no_update(folder: Path) -> None:
    """A step of abstentions leaves everything as it is."""
    made = learner(folder)
    assert made.learn(exchanges(((None, None),) * 3)) is None
    assert made.learn([]) is None
    assert made.updates == 0


def test_a_draft_that_nobody_sampled_is_refused(folder: Path) -> None:
    """Its probability under the policy is not known to have made it."""
    turn = Turn("d.00a", "", "ada", Reply("typed by hand"))
    odd = replace(exchanges()[0], drafts=(turn, turn))
    with pytest.raises(ConfigError, match="no sampled tokens.*local agent"):
        learner(folder).learn([odd])


def weights(made: PPO) -> list[torch.Tensor]:
    """All that is learned."""
    return [part.detach().clone() for part in [*made.parameters, made.head.weight, made.head.bias]]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_reward_that_is_no_number_ends_training_before_it_does_harm(folder: Path, bad: float) -> None:
    """The weights are those from before, also where the reward would have been clipped."""
    made = learner(folder, reward_scale=True)
    before = weights(made)
    with pytest.raises(Diverged, match="score = (nan|inf)"):
        made.learn(exchanges(((1.0, bad), (0.0, 0.0), (0.0, 0.0))))
    assert made.moments.count == 0
    assert all(torch.equal(a, b) for a, b in zip(before, weights(made), strict=True))


def test_a_loss_that_is_no_number_ends_training_before_it_does_harm(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves no gradient behind."""
    made = learner(folder)
    before = weights(made)
    monkeypatch.setattr(ppo_math, "policy_losses", lambda logps, *_: logps * math.nan)
    with pytest.raises(Diverged, match="loss = nan"):
        made.learn(exchanges())
    assert all(torch.equal(a, b) for a, b in zip(before, weights(made), strict=True))
    assert all(part.grad is None for part in made.parameters)


def test_an_update_that_diverges_in_a_later_epoch_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three good steps are taken back with the fourth: weights, head and optimiser."""
    made = learner(folder, lr=1e-2, epochs=4)
    before, plain, calls = weights(made), ppo_math.policy_losses, [0]

    def failing(logps: torch.Tensor, *rest: Any) -> torch.Tensor:
        calls[0] += 1
        losses = plain(logps, *rest)
        return losses * math.nan if calls[0] > 3 else losses

    monkeypatch.setattr(ppo_math, "policy_losses", failing)
    with pytest.raises(Diverged, match="loss = nan"):
        made.learn(exchanges())
    assert calls[0] == 4
    assert all(torch.equal(old, new) for old, new in zip(before, weights(made), strict=True))
    assert made.optimizer.state_dict()["state"] == {} and made.updates == 0


def test_epochs_end_where_the_policy_has_gone_far_enough(folder: Path) -> None:
    """The minibatch that finds it too far makes no step."""
    free = learner(folder, lr=1e-2, epochs=6).learn(exchanges())
    made = learner(folder, lr=1e-2, epochs=6, max_kl=1e-3)
    held = made.learn(exchanges())
    assert free is not None and held is not None
    assert free.steps == 6 and 1 <= held.steps < 6
    assert all(part.grad is None for part in made.parameters)


def test_minibatches_have_every_branch_once_and_differ_by_epoch(folder: Path) -> None:
    """By the seed, the update and the epoch, not by what was drawn before."""
    made = learner(folder, minibatches=3)
    parts = [made._minibatches(8, epoch) for epoch in (0, 1, 0)]
    assert all(sorted(sum(part, [])) == list(range(8)) and len(part) == 3 for part in parts)
    assert parts[0] == parts[2] != parts[1]
    update = made.learn(exchanges())
    assert update is not None and update.steps == 4 * 3
    assert made._minibatches(8, 0) != parts[0]


def test_rates_rise_over_the_warmup(folder: Path) -> None:
    """The adapter's and the head's, by the number of updates."""
    made = learner(folder, lr=1e-3, value_lr=1e-2, warmup=2)
    for share in (0.5, 1.0, 1.0):
        made.learn(exchanges())
        rates = [group["lr"] for group in made.optimizer.param_groups]
        assert rates == pytest.approx([1e-3 * share, 1e-2 * share])


@pytest.mark.parametrize("whiten", [True, False])
def test_advantages_are_whitened_over_the_whole_rollout(folder: Path, whiten: bool) -> None:
    """All tokens of all branches together; returns are left as they are."""
    made = learner(folder, whiten=whiten, kl_coef=0.0, lam=1.0)
    samples, _ = branches(made.agent, exchanges())
    _, values, advantages, returns = torch.cat(list(made._rollout(samples).tokens), 1)
    plain = ppo_math.whiten(returns - values) if whiten else returns - values
    assert torch.allclose(advantages, plain, atol=1e-5)
    assert sorted({round(float(x), 4) for x in returns}) == [-1.0, -0.5, 0.25, 0.5, 1.0]


def test_entropy_is_rewarded(folder: Path) -> None:
    """With nothing else to earn, the policy's distributions widen."""
    made = fresh(folder, lr=1e-2, entropy_coef=1.0, kl_coef=0.0)
    updates = [made.learn(exchanges(((0.0, 0.0),) * 3)) for _ in range(3)]
    assert updates[0] is not None and updates[-1] is not None
    assert updates[-1].entropy > updates[0].entropy + 0.05


def test_the_critic_learns_what_prompts_are_worth(folder: Path) -> None:
    """Values come to explain the returns, in the clip's steps."""
    made = fresh(folder, lr=1e-6, value_lr=0.05, value_coef=1.0, value_clip=0.5)
    updates = [made.learn(exchanges(((1.0, 1.0), (0.0, 0.0), (-1.0, -1.0)))) for _ in range(6)]
    assert updates[0] is not None and updates[-1] is not None
    assert updates[0].explained_variance == 0.0 and updates[-1].explained_variance > 0.8


def test_the_kl_coefficient_adapts_to_its_target(folder: Path) -> None:
    """Too near to the reference, it falls; without a target it stays."""
    made = learner(folder, kl_target=1e6, kl_horizon=60.0)
    coefs = [update.kl_coef for update in (made.learn(exchanges()), made.learn(exchanges())) if update]
    assert coefs == pytest.approx([0.05, 0.05 * (1 - 0.2 * 0.1)])
    fixed = learner(folder)
    fixed.learn(exchanges())
    assert fixed.kl_coef == 0.05


def test_supervised_examples_count_by_their_weights(folder: Path) -> None:
    """The loss is that of `Agent.logps`, and is mixed in; an example of weight 0 is never drawn."""
    made = learner(folder, ptx=Corpus(1.0, 3.0, 0.0), ptx_coef=0.5)
    assert made.supervised is not None
    examples = Corpus(1.0, 3.0).read(Example)
    rows = made.agent.logps([e.prompt for e in examples], [Reply(e.completion) for e in examples])
    total = sum(e.weight * len(row) for e, row in zip(examples, rows, strict=True))
    expected = -sum(e.weight * sum(row) for e, row in zip(examples, rows, strict=True)) / total
    samples, _ = branches(made.agent, exchanges())
    found = made._gradients(made._rollout(samples), range(3), "x", 120)
    assert found["ptx_loss"] == pytest.approx(expected, abs=1e-5)
    assert found["loss"] == pytest.approx(
        found["policy_loss"] + 0.1 * found["value_loss"] + 0.5 * found["ptx_loss"], abs=1e-6
    )
    update, updates = None, []
    for _ in range(3):
        update = made.learn(exchanges())
        assert update is not None
        updates.append(update.ptx_loss)
    assert updates[-1] < updates[0]


def test_a_corpus_without_examples_is_refused(folder: Path) -> None:
    """Mixing in nothing would be no mixing."""
    with pytest.raises(ConfigError, match="no example.*train.ptx=null"):
        fresh(folder, ptx=Corpus(0.0))


def test_out_of_memory_halves_the_passes_and_changes_no_gradient(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, and what was accumulated before the failure does not count twice."""
    expected = learner(folder, epochs=1).learn(exchanges())
    made = learner(folder, epochs=1)
    plain, sizes = value_head.actor_critic, []

    def scarce(backbone: Any, head: Any, pack: Any) -> Any:
        if torch.is_grad_enabled():
            sizes.append(len(pack.ids))
            if len(sizes) == 2:
                raise torch.OutOfMemoryError("not enough")
        return plain(backbone, head, pack)

    monkeypatch.setattr(value_head, "actor_critic", scarce)
    found = made.learn(exchanges())
    assert expected is not None and found is not None
    assert len(sizes) > 2 and made.micro_tokens == 60
    assert found.grad_norm == pytest.approx(expected.grad_norm, rel=1e-4)
    assert "out of memory: learning goes on" in caplog.text

    def never(*_: object) -> None:
        raise torch.OutOfMemoryError("not enough")

    monkeypatch.setattr(value_head, "actor_critic", never)
    with pytest.raises(torch.OutOfMemoryError):
        made.learn(exchanges())


def test_a_saved_learner_continues_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """Adapter, value head, optimiser, KL coefficient, and the rewards' deviation so far."""
    options: dict[str, Any] = {
        "lr": 1e-3,
        "minibatches": 2,
        "epochs": 2,
        "reward_scale": True,
        "ptx_examples": 1,
    }
    options |= {"kl_target": 0.01, "kl_horizon": 60.0, "ptx": Corpus(1.0, 1.0), "warmup": 3}
    straight = learner(folder, **options)
    for _ in range(4):
        straight.learn(exchanges())
    expected, state = weights(straight), straight.optimizer.state_dict()["state"]
    first = learner(folder, **options)
    for _ in range(2):
        first.learn(exchanges())
    first.save(tmp_path)
    second = learner(folder, **options)
    second.load(tmp_path)
    assert second.agent.version == "ada@2" and second.updates == 2
    for _ in range(2):
        second.learn(exchanges())
    assert all(torch.equal(a, b) for a, b in zip(expected, weights(second), strict=True))
    assert (second.kl_coef, second.moments) == (straight.kl_coef, straight.moments)
    assert second.kl_coef != 0.05 and second.moments.count == 24
    for key, tensors in second.optimizer.state_dict()["state"].items():
        assert all(torch.equal(tensor, state[key][name]) for name, tensor in tensors.items())


def test_the_base_is_left_alone(folder: Path) -> None:
    """Only the adapter and the head move."""
    made = learner(folder, lr=1e-2)
    before = {k: v.clone() for k, v in made.agent.backbone.model.state_dict().items() if "lora_" not in k}
    moved = weights(made)
    made.learn(exchanges())
    after = made.agent.backbone.model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert not any(torch.equal(a, b) for a, b in zip(moved, weights(made), strict=True))


def test_what_was_read_before_an_update_is_read_again_after_it(folder: Path) -> None:
    """The next reply is that of the new weights alone, not of keys and values from the old ones."""
    made = learner(folder, lr=0.05)
    prompt = (Message(role="user", content="a question that is longer than what the engine keeps together"),)
    before = made.agent.reply([prompt], seeds=[1], max_new_tokens=20)
    made.learn(exchanges())
    after = made.agent.reply([prompt], seeds=[1], max_new_tokens=20)
    made.agent.engine.prefixes.clear()
    assert after == made.agent.reply([prompt], seeds=[1], max_new_tokens=20) != before


def test_a_seat_without_weights_cannot_learn() -> None:
    """The error says what to do."""
    with pytest.raises(ConfigError, match="'bob' cannot learn.*take it out of `learners`"):
        PPO().attach(Scripted(["x"]), "bob")


@pytest.mark.parametrize("changed", [{"temperature": 0.9}, {"top_p": 0.9}, {"min_p": 0.1}])
def test_samples_of_another_distribution_are_refused(changed: dict[str, float]) -> None:
    """Before any weights are loaded; the error names the keys."""
    agent = Llama(checkpoint="none", decoding=Sampling(**changed))
    with pytest.raises(ConfigError, match=r"temperature=1\.0, top_p=1\.0, min_p=0\.0"):
        PPO().attach(agent, "ada")


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.0},
        {"clip": -0.2},
        {"epochs": 0},
        {"minibatches": 1.5},
        {"gamma": 1.1},
        {"kl_coef": -0.1},
        {"kl_target": 0.0},
        {"max_kl": math.nan},
        {"kl_target": 1.0, "kl_coef": 0.0},
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any]) -> None:
    """Before any weights are loaded."""
    with pytest.raises(ConfigError, match="PPO needs.*got|set kl_coef above 0"):
        PPO(**options)


def bandit(folder: Path, rewarded: Callable[[Reply], float]) -> tuple[float, float]:
    """Change of the share of a quarter of all first tokens on held-out seeds, after eight updates."""
    made = fresh(folder, lr=1e-2, value_lr=1e-2, kl_coef=0.0, micro_tokens=4096)
    made.agent.max_new_tokens = 2
    prompt = (Message(role="user", content="choose"),)

    def drafts(seed: int, count: int) -> list[Reply]:
        return made.agent.reply([prompt], count, seeds=[seed])[0]

    before = [reply.ids[0] % 4 == 0 for reply in drafts(0, 200)]
    for step in range(1, 9):
        turns = tuple(Turn("d", "", "ada", reply) for reply in drafts(step, 48))
        verdicts = tuple(Verdict("d", "j", reward=rewarded(turn.reply), scale="score") for turn in turns)
        made.learn([Exchange(Dialogue("d", "t", "ada"), turns, verdicts, turns[0], None, "tie", prompt)])
    return difference(before, [reply.ids[0] % 4 == 0 for reply in drafts(0, 200)])


def test_a_bandit_is_won(folder: Path) -> None:
    """Reward 1 where the first token is one of that quarter: its share rises."""
    rise, half = bandit(folder, lambda reply: float(reply.ids[0] % 4 == 0))
    print(f"bandit: {rise:+.3f} ± {half:.3f}")
    assert rise - half > 0.3


def test_a_bandit_without_a_pattern_is_not(folder: Path) -> None:
    """The control: random rewards may let it drift, but not there."""
    draw = random.Random(0)
    rise, half = bandit(folder, lambda _: draw.random())
    print(f"control: {rise:+.3f} ± {half:.3f}")
    assert rise - half <= 0


@pytest.mark.slow
def test_replies_come_to_end_in_a_question_when_the_judge_likes_that(smollm2: str) -> None:
    """Real weights, held-out topics, against the known optimum of 1: most of the way is gone."""
    topics = Shipped()(60 + 48, 0, {})
    held_out, train = topics[:60], topics[60:]
    agent = SmolLM(checkpoint=smollm2, system=PERSONA, max_new_tokens=40)
    made = PPO(lr=2e-4)
    made.attach(agent, "curious")
    before = share_of_questions(agent, held_out)
    for round_ in range(6):
        part = train[round_ * 8 : (round_ + 1) * 8]
        dialogues = [Dialogue(f"r{round_:02d}{i:02d}", topic, "curious") for i, topic in enumerate(part)]
        table = Table(
            {"curious": agent, "other": agent}, Judge(Pattern(QUESTION)), OPENING, 1, {"curious": 4}
        )
        for event in converse(table, dialogues):
            if isinstance(event, Turned):
                made.learn(event.exchanged[0].exchanges)
    after = share_of_questions(agent, held_out)
    rise, half = difference(before, after)
    print(f"PPO: {sum(before) / 60:.2f} to {sum(after) / 60:.2f}, {rise:+.3f} ± {half:.3f}")
    assert rise - half > 0.3
