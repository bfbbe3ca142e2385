"""What the commands expect of a learner: of one that lets the agent write, and of one that reads tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from agents.base import Agent
    from agents.local import Local
    from arena.loop import Exchange
    from arena.train.desk import Desk


class Learner(Protocol):
    """Learns on policy: from the exchanges of each step, in `arena.run` and `arena.train` alike."""

    lr: float
    rank: int
    least_drafts: ClassVar[int]
    """Texts to one prompt that it takes to learn anything."""

    def attach(self, agent: "Agent", seat: str) -> None:
        """Give `agent` an adapter named after its seat, to be trained from now on."""

    def learn(self, exchanges: Sequence["Exchange"]) -> Any:
        """Learn from the exchanges of one step; a frozen dataclass of numbers, or None for no update.

        Raises:
            Diverged: a number is not finite; the weights are those before this update.
        """

    def save(self, folder: Path) -> None:
        """Write all that `load` needs to go on to the same weights."""

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote."""


class Offline(Protocol):
    """Learns from records that were made before."""

    takes: ClassVar[type]
    """The record that it learns from."""
    needs_judge: ClassVar[bool]
    """Whether `fit` takes a judge as its last argument: the learner writes texts and has them judged."""

    def fit(
        self, policy: "Local", train: Sequence[Any], valid: Sequence[Any], desk: "Desk", *judge: Any
    ) -> None:
        """Train the policy's adapter from `train`, measure it on `valid`, and leave it by `desk.finish`."""
