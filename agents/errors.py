"""The errors that a user can mend. Each says what was found, what is allowed, and what to do.

ArenaError            one clear line, exit code 1
├── ConfigError       the settings are wrong, exit code 2
├── Unavailable       a checkpoint, endpoint or device cannot be had
└── Unsupported       this agent cannot do what was asked of it
"""


class ArenaError(Exception):
    """Something that the user can mend; shown as one line, without a traceback."""


class ConfigError(ArenaError, ValueError):
    """A setting that is not allowed."""


class Unavailable(ArenaError):
    """A checkpoint, an endpoint or a device that cannot be had."""


class Unsupported(ArenaError):
    """Something that this kind of agent cannot do."""
