"""Writes docs/config.md from the schema: `python -m config.describe > docs/config.md`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Len, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.curriculum import CurriculumConfig
from config.data import DataConfig
from config.datasets import SeveralDatasets
from config.evaluations import Evaluation
from config.files import CONFIG_FOLDER, read_file
from config.keys import CHOICE, Key, alternatives, mappings, walk
from config.machine import MachineConfig
from config.schema import ArchConfig, TrainConfig
from config.section import Section
from config.start import StartConfig
from config.yaml_text import to_yaml
from tasks.table import TASKS

_SECTIONS: dict[str, type[Section]] = {
    "arch_config.yaml": ArchConfig,
    "data_config.yaml": DataConfig,
    "data_config.yaml: several datasets": SeveralDatasets,
    "train_config.yaml": TrainConfig,
    "train_config.yaml: starting from another run": StartConfig,
    "train_config.yaml: the machine": MachineConfig,
    "train_config.yaml: stages": CurriculumConfig,
}

_HEAD = "| key | value | default | meaning |\n|---|---|---|---|\n"
_INTRODUCTION = """\
# Every key of a config

This page is made from the classes of `config/` by `python -m config.describe > docs/config.md`.

    ./launcher.sh GPU_ID CONFIG [key=value ...]

Three files hold the defaults: `arch_config.yaml`, `data_config.yaml` and `train_config.yaml`. CONFIG changes some of
them, `key=value` changes more: later wins, key by key. CONFIG is a name in `config/` (with or without `.yaml`) or the
path of a YAML file; a bare name is looked up in `config/` first.

* Nested keys take dots on the command line: `optimizer.lr=1e-4`. In a file they are nested mappings.
* Values are YAML 1.2: `null`, `true`, `1e-3`, `[32, 32]`; `yes` and `no` are text. Quote what the shell would take:
  `'groups=[space, time]'`.
* Where a mapping has `name` (a dataset, a regularizer, ...) and `name` changes, the whole mapping is replaced: give
  all its keys.
* A task and the encoders `hierarchical` and `joint` have sections of their own. A run keeps those that it uses; values
  that are given for others change nothing, and a line of the log names them.
* Files and commands from before these sections, with `patch_size`, `isolation` or `loss_fn` at the top, go on working:
  `config/spellings.py` lists what each key is called now.
* `--print-config` shows the merged config and where each value came from; the run folder keeps it as `config.yaml`,
  which is itself a CONFIG.
"""


def describe() -> str:
    """The page docs/config.md: for every key its type and limits, its default and its meaning."""
    parts = [_INTRODUCTION]
    for title, section in _SECTIONS.items():
        defaults = read_file(CONFIG_FOLDER / title.partition(":")[0])
        parts.append(f"\n## {title}\n\n{_HEAD}")
        rows = (_row(key, defaults) for key in walk(section))
        parts.extend(dict.fromkeys(rows))  # keys that all evaluations have are listed once
    for task, settings in TASKS.items():
        parts.append(f"\n### `task: {task}`\n\n{_summary(settings)}\n\n{_HEAD}")
        parts.extend(_row(key, defaults) for key in walk(settings, f"{task}."))
    return "".join(parts)


def _row(key: Key, defaults: dict[str, Any]) -> str:
    is_choice = key.dotted.endswith(f".{key.by}")
    general = Evaluation.model_fields.get(key.dotted.rpartition(".")[2])
    of_all = issubclass(key.owner, Evaluation) and (general is None or general.default == key.field.default)
    where = f" (`{key.by}: {key.choice}`)" if key.choice and not is_choice and not of_all else ""
    cells = [
        f"`{key.dotted}`{where}",
        value_words(key.field.annotation, key.field.metadata),
        _default(key, defaults),
        key.field.description or (_summary(key.owner) if is_choice else ""),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _summary(mapping: type[BaseModel]) -> str:
    return (mapping.__doc__ or "").strip().partition("\n")[0]


def _default(key: Key, defaults: dict[str, Any]) -> str:
    """The default file's value; the schema's own where the file has none; "" where the key must be given."""
    value: Any = defaults
    for name in key.dotted.split("."):
        other_choice = key.choice and value.get(CHOICE) not in (None, key.choice)
        if other_choice or name not in value:
            return "" if key.field.is_required() else f"`{to_yaml(key.field.default)}`"
        value = value[name]
    return f"`{to_yaml(value)}`"


def value_words(annotation: Any, limits: Sequence[Any] = ()) -> str:
    """Describes in words the values of type `annotation` within `limits`."""
    if get_origin(annotation) is Annotated:
        inner, *extra = get_args(annotation)
        extra = [limit for item in extra for limit in (item.metadata if isinstance(item, FieldInfo) else [item])]
        return value_words(inner, [*extra, *limits])
    kinds = alternatives(annotation)
    if len(kinds) != 1 or kinds[0] is not annotation:
        parts = [value_words(part, limits) for part in get_args(annotation) if part is not type(None)]
        return " or ".join(parts + ["`null`"] * (type(None) in get_args(annotation)))
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{to_yaml(item) if isinstance(item, bool) else item}`" for item in get_args(annotation))
    if get_origin(annotation) is list:
        return f"list of {_length(limits)}{value_words(get_args(annotation)[0])}"
    if get_origin(annotation) is dict:
        keys, item = get_args(annotation)
        return f"mapping of {value_words(keys)} to {value_words(item)}"
    if mappings(annotation):
        return f"mapping of {' and '.join(f'`{key}`' for key in annotation.model_fields)}"
    words: dict[Any, str] = {
        int: "whole number",
        float: "number",
        str: "text",
        bool: "`true` or `false`",
        Any: "any value",
    }
    return words[annotation] + _limits(limits)


def _length(limits: Sequence[Any]) -> str:
    low = next((limit.min_length for limit in limits if isinstance(limit, (MinLen, Len))), 0)
    high = next((limit.max_length for limit in limits if isinstance(limit, (MaxLen, Len))), None)
    if low == high:
        return f"{low} x "
    return (f"at least {low} x " if low else "") + (f"at most {high} x " if high else "")


def _limits(limits: Sequence[Any]) -> str:
    signs = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}
    words = [
        f"{signs[type(limit)]} {getattr(limit, type(limit).__name__.lower()):g}"
        for limit in limits
        if type(limit) in signs
    ]
    return f" {', '.join(words)}" if words else ""


if __name__ == "__main__":
    sys.stdout.write(describe())
