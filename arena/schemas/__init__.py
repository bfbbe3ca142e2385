"""The settings of each command, as dataclasses: what can be set, and what it means."""

from arena.schemas.common import MAY_CHANGE, MAY_CHANGE_WITHIN, Common
from arena.schemas.measuring import BENCH_SIZES, Bench, Calibration, Evaluate, Rejudge
from arena.schemas.talking import Collect, Revise, Run, Serve
from arena.schemas.training import Chat, Study, Train

__all__ = ["BENCH_SIZES", "MAY_CHANGE", "MAY_CHANGE_WITHIN", "SCHEMAS", "Common"]

SCHEMAS: dict[str, type[Common]] = {
    "run": Run, "calibration": Calibration, "bench": Bench, "collect": Collect, "revise": Revise,
    "train": Train, "evaluate": Evaluate, "chat": Chat, "serve": Serve, "rejudge": Rejudge, "study": Study,
}  # fmt: skip
