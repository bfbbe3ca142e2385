"""One set of weights under policy, reference, judge and second seat."""

import gc

import pytest
import torch

from agents.families import SmolLM
from arena.train.online_dpo import OnlineDPO

LIMIT = 1.3


def resident_bytes() -> int:
    """Bytes of all tensors that are alive in this process, shared storage counted once."""
    gc.collect()
    found = {}
    for thing in gc.get_objects():
        if not issubclass(type(thing), torch.Tensor):  # isinstance would wake lazy modules
            continue
        if thing.is_mkldnn:  # has no storage, but memory that a plain tensor may read
            found[torch.ops.mkldnn.data_ptr(thing)] = thing.numel() * thing.element_size()
        else:
            storage = thing.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
    return sum(found.values())


@pytest.mark.slow
def test_four_parts_take_at_most_a_third_more_than_one_model(smollm2: str) -> None:
    """Two learning seats, each the other's judge, each with its reference: no copy of the base anywhere."""
    before = resident_bytes()
    seats = {name: SmolLM(checkpoint=smollm2, precision="bf16", device="cpu") for name in ("ada", "bob")}
    prompts = [[{"role": "user", "content": "Why does ice float?"}]]
    seats["ada"].reply(prompts, max_new_tokens=4)
    one_model = resident_bytes() - before
    for name, agent in seats.items():
        OnlineDPO().attach(agent, name)
    judge = seats["bob"].fixed()
    judge.rate(prompts, ["1", "2", "10"])
    reference = seats["ada"].fixed()
    seats["ada"].logps(prompts, [r for [r] in reference.reply(prompts, max_new_tokens=4)])
    together = resident_bytes() - before
    print(f"one model {one_model / 1e6:.0f} MB, all four parts {together / 1e6:.0f} MB")
    assert one_model > 200e6
    assert together <= LIMIT * one_model
