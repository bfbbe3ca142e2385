"""How a verb starts: composes its settings, and turns every error that a user can mend into one line.

Exit codes: 0 done, 1 failed, 2 wrong settings; a verb may have others of its own.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from agents.errors import ArenaError, ConfigError
from arena import config

if TYPE_CHECKING:
    from omegaconf import DictConfig

FLAGS = {"--json": "display=json", "--plain": "display=plain", "-q": "display=quiet"}
"""What can be said as a flag, and the setting that it stands for."""

VALUED = {"--vs": "vs"}
"""Flags that take a value, as the next word or behind `=`, and the key that they set."""

INTERRUPTED = 130
"""Exit code after a second Ctrl-C, as shells have it."""

Verb = Callable[["DictConfig", str, Path], int]
"""Called with the settings, the name of the conf and the output folder; returns the exit code."""


def command(schema: str, verb: Verb, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `verb` on the command line's settings, and exit.

    Args:
        schema: the name of the settings' dataclass in the ConfigStore.
        verb: what to do.
        arguments: default: those of the process; `-v` among them shows tracebacks, `FLAGS`, `VALUED`.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    verbose = "-v" in given
    sys.exit(_guarded(schema, verb, [FLAGS.get(a, a) for a in given if a != "-v"], verbose))


def _settings(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--vs X` and `--vs=X` as `vs=X`.

    Raises:
        ConfigError: the value is missing.
    """
    words, found = iter(arguments), []
    for word in words:
        flag, equals, value = word.partition("=")
        if flag not in VALUED:
            found.append(word)
        elif value := value if equals else next(words, ""):
            found.append(f"{VALUED[flag]}={value}")
        else:
            raise ConfigError(f"{flag} needs a value: {flag} NAME")
    return found


def _guarded(schema: str, verb: Verb, arguments: list[str], verbose: bool) -> int:
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here whole instead of being printed by Hydra
    config.register()
    try:
        arguments = _settings(arguments)
        config.check_names(schema, arguments)
        return _hydra(schema, verb, arguments)
    except BrokenPipeError:
        sys.stdout = None  # whoever read the output has gone; nothing is left to say
        return 0
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from what is on record", file=sys.stderr)
        return INTERRUPTED
    except (HydraException, OmegaConfBaseException, ArenaError, OSError) as error:
        if verbose:
            raise
        root = _root_cause(error)
        print(f"error: {config.explain(error, schema, arguments)}", file=sys.stderr)
        return 2 if isinstance(root, ConfigError | HydraException | OmegaConfBaseException) else 1


def _root_cause(error: BaseException) -> BaseException:
    """The ArenaError or OSError that Hydra wrapped, else the error itself."""
    step: BaseException | None = error
    while step is not None:
        if isinstance(step, ArenaError | OSError):
            return step
        step = step.__cause__
    return error


def _hydra(schema: str, verb: Verb, arguments: list[str]) -> int:
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    codes: list[int] = []
    failed: list[Exception] = []
    started: list[str] = []

    @hydra.main(config_path=str(config.CONF), config_name=schema, version_base="1.3")
    def job(cfg: "DictConfig") -> float:
        from hydra.core.hydra_config import HydraConfig

        if failed or any(codes):
            return 1.0  # a sweep ends at the run that failed or was stopped
        chosen = HydraConfig.get()
        started.append(str(chosen.runtime.choices["conf"]))
        try:
            folder = Path(os.path.relpath(chosen.runtime.output_dir))
            codes.append(verb(cfg, started[-1], folder))
        # Hydra would print a line of its own.
        except (HydraException, OmegaConfBaseException, ArenaError, OSError) as error:
            failed.append(error)
            return 1.0
        return float(codes[-1])

    sys.argv = [sys.argv[0], *arguments]
    try:
        job()
    except ValueError as error:
        if started:
            raise
        raise ConfigError(f"{error}: the same command with --help lists what can be set") from error
    if failed:
        raise failed[0]
    return max(codes, default=0)
