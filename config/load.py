"""From YAML files and the command line to one validated config, with where each value came from."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.errors import InputError
from config.evaluations import respelled
from config.keys import CHOICES
from config.messages import first_error, shortened
from config.schema import Config
from config.yaml_text import MAX_DEPTH, MAX_VALUES, parse_yaml, to_yaml

CONFIG_FOLDER = Path(__file__).parent
DEFAULT_FILES = ("arch_config.yaml", "data_config.yaml", "train_config.yaml")
COMMAND_LINE = "command line"
SCHEMA_DEFAULT = "default"
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class LoadedConfig:
    """A config and its history.

    Attributes:
        config: the validated values.
        merged: the same as plain YAML types, every key present.
        source: for every dotted key of `merged` that holds a value: the file's name, `command line`, or
            `default` (the schema's own).
    """

    config: Config
    merged: dict[str, Any]
    source: dict[str, str]


def load_config(name_or_path: str, overrides: Sequence[str] = ()) -> LoadedConfig:
    """Merge the three default files, a custom file and overrides: later wins, key by key.

    Where a mapping has `name` (an evaluation: `protocol`) and a later layer changes it, the later mapping replaces it
    whole. A `model_name` of null becomes the custom file's name.

    Args:
        name_or_path: a name in `config/`, with or without `.yaml`, or the path of a YAML file.
        overrides: `key.sub=value` each, the value in YAML.

    Raises:
        InputError: a file cannot be read, a key is unknown, a value has the wrong type, or two values disagree.
    """
    path = find_config(name_or_path)
    merged: dict[str, Any] = {}
    source: dict[str, str] = {}
    for name in DEFAULT_FILES:
        _merge(merged, read_file(CONFIG_FOLDER / name), name, source)
    _merge(merged, respelled(read_file(path)), _label(path), source)
    _merge(merged, respelled(_parse_overrides(overrides)), COMMAND_LINE, source)
    if merged.get("model_name") is None:
        merged["model_name"], source["model_name"] = path.stem, f"name of {_label(path)}"
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        raise InputError(first_error(error, Config, lambda dotted: _origin(dotted, source))) from None
    _add_defaults(merged, config.model_dump(), source)
    return LoadedConfig(config, merged, source)


def find_config(name_or_path: str) -> Path:
    """The file that `name_or_path` means: a bare name is looked up in `config/` first, then as a path.

    Raises:
        InputError: there is no such file.
    """
    if "\0" in name_or_path:
        raise InputError(f"config {name_or_path!r}: no file's name has a NUL character")
    given = Path(name_or_path)
    candidates = [given]
    if given.name == name_or_path:
        candidates = [CONFIG_FOLDER / name_or_path, CONFIG_FOLDER / f"{name_or_path}.yaml", given]
    for candidate in candidates:
        with suppress(OSError):  # a name that is too long for a file
            if candidate.is_file():
                return candidate
    is_folder = False
    with suppress(OSError):
        is_folder = given.is_dir()
    if is_folder:
        raise InputError(f"config {name_or_path} is a folder: name a YAML file in it")
    names = sorted(path.name for path in CONFIG_FOLDER.glob("*.yaml") if path.name not in DEFAULT_FILES)
    close = difflib.get_close_matches(f"{given.stem}.yaml", names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"config/ has {', '.join(names)}"
    raise InputError(f"config {shortened(name_or_path, 200)} not found; {hint}")


def read_file(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds; an empty file holds an empty one.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    label = _label(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{label}: larger than {MAX_BYTES / 1e6:g} MB, which is no config")
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


def render_config(loaded: LoadedConfig) -> str:
    """The merged config as YAML, each value with a comment that says where it came from.

    Loading the text as a custom file gives the same config again.
    """
    lines = list(_render(loaded.merged, loaded.source))
    width = min(max((len(line) for line, origin in lines if origin), default=0), 60)
    return "".join(f"{line:<{width}}  # {origin}\n" if origin else f"{line}\n" for line, origin in lines)


def _parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """All overrides as one nested mapping, so that their order does not matter to the `name` rule."""
    if len(overrides) > MAX_VALUES:
        raise InputError(f"{len(overrides):,} overrides, more than {MAX_VALUES:,}: put them into a config file")
    nested: dict[str, Any] = {}
    for override in overrides:
        dotted, equals, text = override.partition("=")
        keys = dotted.strip().split(".")
        if not equals or not all(keys) or len(keys) > MAX_DEPTH:
            raise InputError(f"'{shortened(override)}': expected key=value, such as optimizer.lr=1e-3")
        value = parse_yaml(text, f"{COMMAND_LINE}, {shortened(override, 200)}")
        for key in reversed(keys):
            value = {key: value}
        _merge(nested, value, COMMAND_LINE, {})
    return nested


def _merge(base: dict[str, Any], change: dict[str, Any], label: str, source: dict[str, str], prefix: str = "") -> None:
    """Merge `change` into `base`, and note in `source` that its values came from `label`."""
    for key, value in change.items():
        dotted, old = prefix + key, base.get(key)
        if old and isinstance(old, dict) and isinstance(value, dict) and not _changes_name(old, value):
            _merge(old, value, label, source, f"{dotted}.")
            continue
        if key in base:
            for stale in [known for known in source if known == dotted or known.startswith(f"{dotted}.")]:
                del source[stale]
        base[key] = copy.deepcopy(value)
        source.update(dict.fromkeys(_leaves(value, dotted), label))


def _changes_name(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return any(choice in old and choice in new and old[choice] != new[choice] for choice in CHOICES)


def _leaves(value: object, dotted: str) -> Iterator[str]:
    """The dotted keys of the values in `value`; an empty mapping counts as a value."""
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _leaves(child, f"{dotted}.{key}")
    else:
        yield dotted


def _add_defaults(merged: dict[str, Any], full: dict[str, Any], source: dict[str, str], prefix: str = "") -> None:
    for key, value in full.items():
        if key not in merged:
            merged[key] = value
            source.update(dict.fromkeys(_leaves(value, prefix + key), SCHEMA_DEFAULT))
        elif isinstance(value, dict):
            _add_defaults(merged[key], value, source, f"{prefix}{key}.")


def _origin(dotted: str, source: dict[str, str]) -> str:
    """Where the value of `dotted` came from; of a mapping: where its last values did."""
    whole = dotted.partition("[")[0]  # a list is one value
    while whole:
        if whole in source:
            return source[whole]
        inside = [label for known, label in source.items() if known.startswith(f"{whole}.")]
        if inside:
            return COMMAND_LINE if COMMAND_LINE in inside else inside[-1]
        whole = whole.rpartition(".")[0]
    return SCHEMA_DEFAULT


def _render(mapping: dict[str, Any], source: dict[str, str], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Pairs of a line and where its value came from ("" for a mapping's first line)."""
    indent = "  " * prefix.count(".")
    for key, value in mapping.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{to_yaml(key)}:", ""
            yield from _render(value, source, f"{prefix}{key}.")
        else:
            yield f"{indent}{to_yaml(key)}: {to_yaml(value)}", source[prefix + key]


def _label(path: Path) -> str:
    """How messages name a config file: those of `config/` by their name, others by their path."""
    return path.name if path.parent == CONFIG_FOLDER else str(path)
