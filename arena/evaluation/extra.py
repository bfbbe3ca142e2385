"""Packages that only some evaluations need."""

from importlib.util import find_spec

from agents.errors import ConfigError


def needs(package: str) -> None:
    """Refuse to begin without a package of the extra `rouge` (rouge-score, which brings nltk).

    Raises:
        ConfigError: it is not installed.
    """
    if find_spec(package) is None:
        raise ConfigError(f"this evaluation needs {package}: pip install -e '.[rouge]'")
