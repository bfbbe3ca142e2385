"""What two runs were started with, key by key."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NOT_SET = "not set"


@dataclass(frozen=True)
class Setting:
    """A key whose values differ, as JSON writes them."""

    key: str
    a: str
    b: str


def changed(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Setting]:
    """The keys whose values differ, in alphabetical order."""
    return [
        Setting(key, told(a, key), told(b, key)) for key in sorted({*a, *b}) if told(a, key) != told(b, key)
    ]


def told(settings: Mapping[str, Any], key: str) -> str:
    """The value of a key as text."""
    return json.dumps(settings[key], ensure_ascii=False) if key in settings else NOT_SET
