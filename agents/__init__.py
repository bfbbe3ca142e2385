"""Who speaks: records of a dialogue, and the agents that extend it.

Only light parts are imported here; `agents.families` (local weights) and `agents.remote` load
torch and network clients when they are first used.
"""

from agents.base import Agent
from agents.dialogue import Dialogue, Message, Reply, Turn
from agents.errors import ArenaError, ConfigError, Unavailable, Unsupported
from agents.human import Human
from agents.scripted import Scripted

__all__ = [
    "Agent",
    "ArenaError",
    "ConfigError",
    "Dialogue",
    "Human",
    "Message",
    "Reply",
    "Scripted",
    "Turn",
    "Unavailable",
    "Unsupported",
]
