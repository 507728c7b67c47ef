"""Config files as mappings; nothing here knows which keys they may have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from config.errors import InputError
from config.yaml_text import parse_yaml, to_yaml

CONFIG_FOLDER = Path(__file__).parent
MAX_BYTES = 1_000_000


def read_file(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds; an empty file holds an empty one.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    label = label_of(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{label}: larger than {MAX_BYTES / 1e6:g} MB, which is not a config")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{label}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{label}, line {line}: not UTF-8 text; save the file as UTF-8") from None
    content = parse_yaml(text, label)
    if content is None:
        return {}
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else f"the value {to_yaml(content)[:60]}"
        raise InputError(f"{label}, line 1: expected a mapping of keys to values, got {kind}")
    return content


def label_of(path: Path) -> str:
    """How messages name a config file: those of `config/` by their name, others by their path."""
    return path.name if path.parent == CONFIG_FOLDER else str(path)
