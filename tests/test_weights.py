"""What a checkpoint name means, and that weights from wheels are the ones expected or none."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import families
import gguf
import pytest
import torch
import transformers
from huggingface_hub import constants
from safetensors.torch import load_file

from agents import wheels
from agents.backbone import load_folder
from agents.errors import Unavailable
from agents.weights import Weights, cache_folder, once, resolve
from agents.wheels import Wheel

Checkpoint = Callable[..., Path]
NAME = "nobody/tiny-llama"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of its own: no hub, an empty cache, and an index that is the folder `index`."""
    for name in ("here", "index", "hub"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("ARENA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ARENA_MODELS", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


@pytest.fixture
def llama(checkpoint: Checkpoint) -> Path:
    """The folder of a tiny Llama."""
    return checkpoint(families.LLAMA)


def write_wheel(index: Path, package: str, members: Mapping[str, bytes]) -> None:
    """Put a wheel with `members` on the index."""
    name, _, version = package.replace("-", "_").partition("==")
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        for member, content in members.items():
            archive.writestr(member, content)


def carry(
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    content: bytes,
    members: str,
    packages: Sequence[str] = ("tiny==1.0",),
) -> Wheel:
    """Make it known that `packages` carry `content` as the checkpoint `NAME`."""
    wheel = Wheel(tuple(packages), members, hashlib.sha256(content).hexdigest(), kind)
    monkeypatch.setitem(wheels.WHEELS, NAME, wheel)
    return wheel


def folder_wheel(machine: Path, monkeypatch: pytest.MonkeyPatch, llama: Path) -> Wheel:
    """The tiny Llama as a wheel with a model folder, beside code that nobody runs."""
    members = {f"tiny/model/{path.name}": path.read_bytes() for path in llama.iterdir()}
    write_wheel(machine / "index", "tiny==1.0", {**members, "tiny/__init__.py": b"raise SystemExit(9)"})
    weights = (llama / "model.safetensors").read_bytes()
    return carry(monkeypatch, "folder", weights, "tiny/model/**")


def kept(machine: Path) -> list[Path]:
    """What lies in the cache, beside locks."""
    return [path for path in (machine / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"]


def equal_logits(one: Path, other: Path, precision: str = "fp32") -> bool:
    """Whether two folders hold one model."""
    (row,) = families.rows(12)
    logits = []
    for folder in (one, other):
        model = load_folder(Weights("tiny", folder, "a test"), precision, "cpu")
        with torch.no_grad():
            logits.append(model.logits(families.states(model, row)))
    return torch.equal(*logits)


def test_a_checkpoint_is_looked_for_in_order(
    machine: Path, monkeypatch: pytest.MonkeyPatch, llama: Path
) -> None:
    """A folder here, then one that was staged, then the hub's cache, then a wheel."""
    here = shutil.copytree(llama, machine / "here" / NAME)
    staged = shutil.copytree(llama, machine / "staged" / NAME)
    monkeypatch.setenv("ARENA_MODELS", str(machine / "staged"))
    repository = machine / "hub" / "models--nobody--tiny-llama"
    snapshot = shutil.copytree(llama, repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    wheel = folder_wheel(machine, monkeypatch, llama)
    found = []
    for place in (here, staged, repository, machine / "index"):
        found.append(resolve(NAME))
        shutil.rmtree(place)
    cached = machine / "cache" / "nobody--tiny-llama" / wheel.sha256[:12]
    folders = [Path(NAME), staged, snapshot, cached]
    assert [weights.folder for weights in found] == folders
    assert [weights.source.split()[0] for weights in found] == ["folder,", "folder,", "hub,", "wheel"]


def test_a_staged_folder_may_have_the_short_name(
    machine: Path, monkeypatch: pytest.MonkeyPatch, llama: Path
) -> None:
    """Jobs stage `tiny-llama`, configs say `nobody/tiny-llama`."""
    monkeypatch.setenv("ARENA_MODELS", str(machine / "staged"))
    staged = shutil.copytree(llama, machine / "staged" / "tiny-llama")
    assert resolve(NAME).folder == staged


def test_an_absolute_folder_is_a_checkpoint(llama: Path) -> None:
    """With a slash at the end or without."""
    assert resolve(f"{llama}/").folder == resolve(str(llama)).folder == llama


def test_a_slash_at_the_end_does_not_mean_the_current_folder(
    machine: Path, monkeypatch: pytest.MonkeyPatch, llama: Path
) -> None:
    """A folder that is missing is missing, whatever the program was started in."""
    monkeypatch.chdir(llama)
    with pytest.raises(Unavailable):
        resolve(f"{machine}/missing/")


def test_a_folder_without_weights_is_not_a_checkpoint(machine: Path, llama: Path) -> None:
    """A configuration alone says nothing."""
    shutil.copytree(llama, machine / "here" / NAME)
    (machine / "here" / NAME / "model.safetensors").unlink()
    with pytest.raises(Unavailable, match="no such folder with weights"):
        resolve(NAME)


def test_what_nobody_has_is_an_error_that_tells_the_ways_out(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message lists what was tried and the command that would help."""
    monkeypatch.setenv("ARENA_MODELS", str(machine / "staged"))
    with pytest.raises(Unavailable) as caught:
        resolve(NAME, "v2")
    message = str(caught.value)
    assert f"no weights for checkpoint '{NAME}'" in message
    assert f"below ARENA_MODELS={machine / 'staged'}" in message
    assert "not in the hub's cache" in message
    assert "switched off by HF_HUB_OFFLINE" in message
    assert "no wheel of the package index is known to carry it" in message
    assert f"`hf download {NAME} --revision v2`" in message


def test_a_hub_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Port 9 of this machine answers nobody."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="the hub cannot be reached"):
        resolve(NAME)


def test_a_name_that_no_repository_can_have_is_not_asked_for() -> None:
    """A path that is missing is neither looked for on the hub nor to be downloaded from it."""
    with pytest.raises(Unavailable) as caught:
        resolve("./models/tiny")
    assert "not the name of a hub repository" in str(caught.value)
    assert "hf download" not in str(caught.value)


def test_equal_folders_are_equal_weights(machine: Path, llama: Path) -> None:
    """The source of a copy is that of the original, wherever it lies."""
    copy = shutil.copytree(llama, machine / "copy")
    assert resolve(str(copy)).source == resolve(str(llama)).source


def test_changed_weights_are_other_weights(machine: Path, llama: Path) -> None:
    """Also where the change is far from the beginning of the file."""
    copy = shutil.copytree(llama, machine / "copy")
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-1000:] = bytes(1000)
    (copy / "model.safetensors").write_bytes(content)
    assert resolve(str(copy)).source != resolve(str(llama)).source


def test_a_wheel_with_a_model_folder_is_unpacked(
    machine: Path, monkeypatch: pytest.MonkeyPatch, llama: Path
) -> None:
    """The folder is that of the wheel, its source names package and hash; no code comes along."""
    wheel = folder_wheel(machine, monkeypatch, llama)
    weights = resolve(NAME)
    assert sorted(path.name for path in weights.folder.iterdir()) == sorted(p.name for p in llama.iterdir())
    assert weights.source == f"wheel tiny==1.0, sha256 {wheel.sha256[:12]}"
    assert equal_logits(weights.folder, llama)


def test_an_unpacked_wheel_is_not_fetched_again(
    machine: Path, monkeypatch: pytest.MonkeyPatch, llama: Path
) -> None:
    """The second time needs no index."""
    folder_wheel(machine, monkeypatch, llama)
    first = resolve(NAME)
    shutil.rmtree(machine / "index")
    assert resolve(NAME) == first


def test_parts_are_joined_in_the_order_of_the_packages(
    machine: Path, monkeypatch: pytest.MonkeyPatch, llama: Path
) -> None:
    """A zip of a sentence-transformers folder in two wheels is one folder."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("all/modules.json", "[]")
        archive.write(llama / "config.json", "all/config.json")
    content = packed.getvalue()
    half = len(content) // 2
    write_wheel(machine / "index", "part-a==2.0", {"part/input/model.zip.001": content[:half]})
    write_wheel(machine / "index", "part-b==2.0", {"part/input/model.zip.002": content[half:]})
    carry(monkeypatch, "zip", content, "*/input/*.zip.*", ("part-a==2.0", "part-b==2.0"))
    weights = resolve(NAME)
    assert sorted(path.name for path in weights.folder.iterdir()) == ["config.json", "modules.json"]
    assert weights.source.startswith("wheel part-a==2.0 and 1 more parts, sha256")


@pytest.mark.parametrize("kind", ["folder", "gguf"])
def test_a_wheel_with_another_hash_is_refused(
    machine: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Nothing of it stays in the cache, and the message says what to do."""
    write_wheel(machine / "index", "tiny==1.0", {"tiny/model/model.safetensors": b"forged"})
    members = {"folder": "tiny/model/**", "gguf": "tiny/model/*"}[kind]
    carry(monkeypatch, kind, b"genuine", members)
    with pytest.raises(Unavailable, match="tiny==1.0 holds a file with sha256 .*: not used"):
        resolve(NAME)
    assert kept(machine) == []


@pytest.mark.parametrize("member", ["tiny/model/../../../escaped", "/escaped"])
def test_a_member_that_would_leave_the_folder_is_refused(
    machine: Path, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    """Also where the weights themselves are genuine."""
    members = {"tiny/model/model.safetensors": b"genuine", member: b"bad"}
    write_wheel(machine / "index", "tiny==1.0", members)
    carry(monkeypatch, "folder", b"genuine", "tiny/model/**")
    with pytest.raises(Unavailable, match="escaped': not unpacked"):
        resolve(NAME)
    assert kept(machine) == []
    assert not list(machine.rglob("escaped"))


def test_a_wheel_that_the_index_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what pip says."""
    carry(monkeypatch, "folder", b"", "tiny/model/**")
    with pytest.raises(Unavailable, match=r"pip cannot download tiny==1\.0: .*tiny==1\.0"):
        resolve(NAME)


def test_a_source_archive_is_not_run(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else pip would import its build backend only to learn the name."""
    trace = machine / "executed"
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "bad"\nbackend-path = ["."]\n',
        "bad.py": f"open({str(trace)!r}, 'w').close()\n",
    }
    with tarfile.open(machine / "index" / "tiny-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"tiny-1.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    carry(monkeypatch, "folder", b"", "tiny/model/**")
    with pytest.raises(Unavailable, match="pip cannot download"):
        resolve(NAME)
    assert not trace.exists()


def paired(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key projection as GGUF orders them: the halves of a rotation side by side."""
    return weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def write_gguf(folder: Path, file: Path) -> None:
    """Write the tiny Llama of `folder` in the GGUF format."""
    config = transformers.AutoConfig.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.get_added_vocab())
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in families.merges(families.WORDS)])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(tokenizer.chat_template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in load_file(folder / "model.safetensors").items():
        count = heads.get(name.split(".")[-2])
        values = paired(tensor, count) if count else tensor
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), values.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_becomes_a_checkpoint(
    machine: Path, monkeypatch: pytest.MonkeyPatch, llama: Path
) -> None:
    """Weights, tokens and chat template come out of the file; weights are kept in bf16."""
    write_gguf(llama, machine / "tiny.gguf")
    content = (machine / "tiny.gguf").read_bytes()
    write_wheel(machine / "index", "tiny==1.0", {"tiny/tiny.gguf": content})
    carry(monkeypatch, "gguf", content, "tiny/*.gguf")
    folder = resolve(NAME).folder
    assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}
    assert equal_logits(folder, llama, "bf16")
    found, original = (transformers.AutoTokenizer.from_pretrained(place) for place in (folder, llama))
    text = "<|start_header_id|>user<|end_header_id|>\n\nwhat do you say?<|eot_id|>"
    assert found.encode(text, add_special_tokens=False) == original.encode(text, add_special_tokens=False)
    assert found.chat_template == original.chat_template
    assert not (folder / "model.gguf").exists()


def test_the_default_checkpoint_is_whole(smollm2: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SmolLM2-135M-Instruct has configuration, tokens and template where this machine keeps it."""
    monkeypatch.undo()
    folder = resolve(smollm2).folder
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    assert (config.model_type, config.num_hidden_layers, config.vocab_size) == ("llama", 30, 49152)
    assert (tokenizer.eos_token, len(tokenizer)) == ("<|im_end|>", 49152)
    assert "<|im_start|>" in tokenizer.chat_template


def test_a_folder_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    """The work is done once."""
    (tmp_path / "done").mkdir()
    once(tmp_path / "done", lambda scratch: pytest.fail("made again"))


def test_a_folder_whose_making_fails_is_not_there(tmp_path: Path) -> None:
    """Nothing half-made stays, and the next attempt starts afresh."""

    def fail(scratch: Path) -> Path:
        (scratch / "half").mkdir()
        raise Unavailable("the index went away")

    with pytest.raises(Unavailable):
        once(tmp_path / "sub" / "made", fail)
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["made.lock"]
    once(tmp_path / "sub" / "made", lambda scratch: write(scratch / "whole"))
    assert (tmp_path / "sub" / "made" / "file").is_file()


def write(folder: Path) -> Path:
    """A folder with one file."""
    folder.mkdir()
    (folder / "file").write_text("content")
    return folder


def test_threads_make_a_folder_once(tmp_path: Path) -> None:
    """Those that come while it is being made wait for it."""
    calls = []

    def slowly(scratch: Path) -> Path:
        calls.append(1)
        time.sleep(0.2)
        return write(scratch / "made")

    def want() -> None:
        once(tmp_path / "made", slowly)
        assert (tmp_path / "made" / "file").is_file()

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [1]


MAKER = """
import sys, time, pathlib
from agents.weights import once

def slowly(scratch):
    with open("calls", "a") as calls:
        calls.write("x")
    time.sleep(0.5)
    made = scratch / "made"
    made.mkdir()
    return made

once(pathlib.Path("made"), slowly)
"""


def test_processes_make_a_folder_once(tmp_path: Path) -> None:
    """The lock holds between the jobs of a machine."""
    root = str(Path(wheels.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    jobs = [subprocess.Popen([sys.executable, "-c", MAKER], cwd=tmp_path, env=environment) for _ in range(3)]
    assert [job.wait(timeout=60) for job in jobs] == [0, 0, 0]
    assert (tmp_path / "calls").read_text() == "x"


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"ARENA_CACHE": "/a/b"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/expert-arena"),
        ({"HOME": "/home/ada"}, "/home/ada/.cache/expert-arena"),
        ({"ARENA_CACHE": "~/c", "HOME": "/home/ada"}, "/home/ada/c"),
    ],
    ids=str,
)
def test_the_cache_lies_where_the_user_wants(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    """`ARENA_CACHE`, else the cache folder of the user."""
    for name in ("ARENA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)
