"""Adapters on disk: found by a folder or a run, spoken with, and learned on from."""

import json
from collections.abc import Callable
from pathlib import Path

import families
import pytest
import torch

from agents import ConfigError, Message, Reply
from agents.adapters import find, stored
from agents.backbone import Lora, load
from agents.families import Llama

PROMPT = [Message(role="user", content="why does ice float")]
REPLY = Reply("because it is lighter")


@pytest.fixture
def folder(checkpoint: Callable[..., Path]) -> Path:
    """A tiny random Llama, loaded anew."""
    load.cache_clear()
    return checkpoint(families.LLAMA)


def agent(folder: Path, adapter: str = "") -> Llama:
    """Speaks in fp32."""
    return Llama(checkpoint=str(folder), precision="fp32", device="cpu", adapter=adapter)


def trained(folder: Path, where: Path, scale: float = 0.3) -> list[float]:
    """Leave an adapter that changes something in `where`; what its speaker then thinks of the reply."""
    speaker = agent(folder)
    speaker.learn_as("ada", Lora(4, 8.0, speaker.lora_targets))
    generator = torch.Generator().manual_seed(1)
    for parameter in speaker.backbone.adapter_parameters("ada"):
        parameter.data = torch.randn(parameter.shape, generator=generator) * scale
    speaker.backbone.engine.forget("ada")
    speaker.backbone.save_adapter("ada", where)
    [row] = speaker.logps([PROMPT], [REPLY])
    load.cache_clear()
    return row


def test_an_agent_speaks_with_a_stored_adapter(folder: Path, tmp_path: Path) -> None:
    """As the one that was trained did, and otherwise than the bare checkpoint."""
    expected = trained(folder, tmp_path / "one")
    speaker, bare = agent(folder, str(tmp_path / "one")), agent(folder)
    assert speaker.logps([PROMPT], [REPLY])[0] == pytest.approx(expected, abs=1e-5)
    assert bare.logps([PROMPT], [REPLY])[0] != pytest.approx(expected, abs=1e-2)
    assert speaker.version == speaker.reference == stored(tmp_path / "one").name
    assert bare.version == bare.reference == ""


def test_two_adapters_on_one_checkpoint_do_not_mix(folder: Path, tmp_path: Path) -> None:
    """Each agent speaks with its own, on shared weights."""
    first = trained(folder, tmp_path / "one")
    second = trained(folder, tmp_path / "two", scale=0.5)
    one, two = agent(folder, str(tmp_path / "one")), agent(folder, str(tmp_path / "two"))
    assert one.backbone is two.backbone
    assert one.logps([PROMPT], [REPLY])[0] == pytest.approx(first, abs=1e-5)
    assert two.logps([PROMPT], [REPLY])[0] == pytest.approx(second, abs=1e-5)


def test_learning_begins_at_the_stored_adapter_and_is_held_against_it(folder: Path, tmp_path: Path) -> None:
    """The learning adapter is a copy; the reference stays when the copy moves."""
    expected = trained(folder, tmp_path / "one")
    speaker = agent(folder, str(tmp_path / "one"))
    speaker.learn_as("bob", Lora(4, 8.0, "all-linear"))
    assert speaker.version == "bob@0"
    assert speaker.logps([PROMPT], [REPLY])[0] == pytest.approx(expected, abs=1e-5)
    for parameter in speaker.backbone.adapter_parameters("bob"):
        parameter.data.zero_()
    speaker.backbone.engine.forget("bob")
    assert speaker.logps([PROMPT], [REPLY])[0] != pytest.approx(expected, abs=1e-2)
    assert speaker.fixed().logps([PROMPT], [REPLY])[0] == pytest.approx(expected, abs=1e-5)


def test_another_shape_is_refused(folder: Path, tmp_path: Path) -> None:
    """The user is told which settings to take."""
    trained(folder, tmp_path / "one")
    speaker = agent(folder, str(tmp_path / "one"))
    with pytest.raises(ConfigError, match="has rank=4 and alpha=8: .* set train.rank=4 train.alpha=8"):
        speaker.learn_as("bob", Lora(16, 16.0))


def test_an_adapter_of_other_weights_is_refused(
    checkpoint: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    """By name of a tensor that differs."""
    trained(folder, tmp_path / "one")
    path = tmp_path / "one" / "adapter_model.safetensors"
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    save_file({key: tensor[:, :-1].contiguous() for key, tensor in tensors.items()}, path)
    with pytest.raises(ConfigError, match="is no adapter for"):
        assert agent(folder, str(tmp_path / "one")).reference


def test_a_run_folder_stands_for_its_adapter(folder: Path, tmp_path: Path) -> None:
    """The final one, else that of the newest checkpoint, if it is one."""
    run = tmp_path / "run"
    trained(folder, run / "checkpoints" / "step-000003" / "policy")
    trained(folder, run / "checkpoints" / "step-000012" / "policy")
    assert find(run) == run / "checkpoints" / "step-000012" / "policy"
    trained(folder, run / "adapter")
    assert find(run) == run / "adapter"
    assert stored(run).name.startswith("run-")


def test_a_run_of_two_learners_must_be_asked_for_one(folder: Path, tmp_path: Path) -> None:
    """Both are named."""
    for seat in ("ada", "bob"):
        trained(folder, tmp_path / "checkpoints" / "step-000003" / seat)
    with pytest.raises(ConfigError, match="has 2 adapters: name one, .*ada, .*bob"):
        find(tmp_path)


def test_where_there_is_no_adapter_the_user_is_told_what_one_is(tmp_path: Path) -> None:
    """The files, and who leaves them."""
    with pytest.raises(ConfigError, match="no adapter in .*adapter_config.json.*arena.train"):
        find(tmp_path)


def test_an_adapter_that_is_computed_otherwise_is_refused(folder: Path, tmp_path: Path) -> None:
    """DoRA has the same tensors and more."""
    trained(folder, tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_dora": True}))
    with pytest.raises(ConfigError, match="no plain LoRA adapter: {'use_dora': True}"):
        stored(tmp_path)


def test_an_adapter_that_was_refused_is_refused_again(folder: Path, tmp_path: Path) -> None:
    """Nothing of it stays on the weights."""
    trained(folder, tmp_path / "one")
    path = tmp_path / "one" / "adapter_model.safetensors"
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    save_file({key: tensor[:, :-1].contiguous() for key, tensor in tensors.items()}, path)
    speaker = agent(folder, str(tmp_path / "one"))
    for _ in range(2):
        with pytest.raises(ConfigError, match="is no adapter for"):
            assert speaker.reference


def test_adapters_on_other_layers_stand_side_by_side(folder: Path, tmp_path: Path) -> None:
    """One on two projections, one on all: each says what it says alone."""
    expected = trained(folder, tmp_path / "all")
    few = agent(folder)
    few.learn_as("ada", Lora(4, 8.0, ("q_proj", "v_proj")))
    for parameter in few.backbone.adapter_parameters("ada"):
        parameter.data.fill_(0.1)
    few.backbone.save_adapter("ada", tmp_path / "few")
    few.backbone.engine.forget("ada")
    [alone] = few.logps([PROMPT], [REPLY])
    load.cache_clear()
    one, two = agent(folder, str(tmp_path / "all")), agent(folder, str(tmp_path / "few"))
    assert one.logps([PROMPT], [REPLY])[0] == pytest.approx(expected, abs=1e-5)
    assert two.logps([PROMPT], [REPLY])[0] == pytest.approx(alone, abs=1e-5)


def test_a_changed_scale_is_another_adapter(folder: Path, tmp_path: Path) -> None:
    """A continued run would notice."""
    trained(folder, tmp_path)
    before = stored(tmp_path).name
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": 80}))
    assert stored(tmp_path).name != before
