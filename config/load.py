"""From YAML files and the command line to one validated config, with where each value came from."""

from __future__ import annotations

import copy
import difflib
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.curriculum import STEP
from config.earlier import filled, read_earlier
from config.errors import InputError
from config.files import CONFIG_FOLDER, label_of, read_file
from config.merging import COMMAND_LINE, SCHEMA_DEFAULT, leaves, merge, origin_of
from config.messages import first_error, shortened
from config.schema import Config
from config.spellings import respelled
from config.stages import StepLayer, check_order, respelled_steps, spell_out, stage_values, without_effect
from config.validation_schedule import idle_keys
from config.yaml_text import MAX_DEPTH, MAX_VALUES, parse_yaml, to_yaml

logger = logging.getLogger(__name__)

DEFAULT_FILES = ("arch_config.yaml", "data_config.yaml", "train_config.yaml")
SWEEP = "sweep"  # the section of a config file that sweep.py reads: no run ever sees it


@dataclass(frozen=True)
class LoadedConfig:
    """A config and its history.

    Attributes:
        config: the validated values.
        merged: the same as plain YAML types, every key of the sections that it uses present.
        source: for every dotted key of `merged` that holds a value: the file's name, `command line`, or
            `default` (the schema's own).
        unused: the same for values that somebody gave in sections that this config does not use.
        vanished: keys and values of an earlier version's config that exist no more.
        stages: the configs of a curriculum's stages, in their order; none where `use_curriculum` is false.
        sweep: the section `sweep` of the custom file as it stands there, unchecked; None where there is none.
    """

    config: Config
    merged: dict[str, Any]
    source: dict[str, str]
    unused: dict[str, str] = field(default_factory=dict)
    vanished: tuple[str, ...] = ()
    stages: tuple[LoadedConfig, ...] = ()
    sweep: Any = None

    def notes(self) -> list[str]:
        """Things the user should know about the config, one line each."""
        lines = []
        if self.unused:
            keys: dict[tuple[str, str], list[str]] = {}
            for dotted, label in self.unused.items():
                keys.setdefault((dotted.partition(".")[0], label), []).append(dotted)
            given = [
                f"{', '.join(dotted)} ({label})" if len(dotted) <= 2 else f"{len(dotted)} keys of {section} ({label})"
                for (section, label), dotted in keys.items()
            ]
            lines.append(f"task {self.config.task} with encoder {self.config.encoder} does not use {', '.join(given)}")
        if self.vanished:
            lines.append(f"this version of the program does not have {', '.join(self.vanished)}: they are ignored")
        lines += without_effect(self.source, [stage.source for stage in self.stages])
        lines += dict.fromkeys(line for each in self.stages or (self,) for line in idle_keys(each.config))
        if self.sweep is not None:
            lines.append(f"this is a single run: the section {SWEEP} of the config is for sweep.py")
        return lines

    def changed(self, label: str, **values: Any) -> LoadedConfig:
        """The same with other values of some keys of the top, which `label` says the origin of."""
        source = {key: origin for key, origin in self.source.items() if key.partition(".")[0] not in values}
        for key, value in values.items():
            source |= dict.fromkeys(leaves(value, key), label)
        return replace(
            self, config=self.config.model_copy(update=values), merged={**self.merged, **values}, source=source
        )


def load_config(name_or_path: str, overrides: Sequence[str] = ()) -> LoadedConfig:
    """Merge the three default files, a custom file and overrides: later wins, key by key.

    Where a mapping has `name` (an evaluation: `protocol`) and a later layer changes it, the later mapping replaces it
    whole. A `model_name` of null becomes the custom file's name. Every layer may have the spellings of
    `config/spellings.py`. The steps of a curriculum are laid over all that, each for its own stage.

    Args:
        name_or_path: a name in `config/`, with or without `.yaml`, or the path of a YAML file.
        overrides: `key.sub=value` each, the value in YAML.

    Raises:
        InputError: a file cannot be read, a key is unknown, a value has the wrong type, or two values disagree.
    """
    path = find_config(name_or_path)
    label = label_of(path)
    merged, source = _default_values()
    content = read_file(path)
    sweep = content.pop(SWEEP, None)
    vanished: list[str] = []
    if is_run_config(path) or content.get("stage") is not None:
        earlier = read_earlier(content, label)
        content, vanished = earlier.values, [*earlier.vanished, *earlier.gone]
        # Not merged: the config of a run, or of a stage, is whole: what it has no entry for, it had none for.
        merged = filled(content, Config, merged)
        source = {dotted: source.get(dotted, SCHEMA_DEFAULT) for dotted in leaves(merged, "")}
    steps: list[StepLayer] = []
    for name, layer in ((label, content), (COMMAND_LINE, parse_overrides(overrides))):
        today, kept = respelled(layer, name)
        steps += respelled_steps(today, name)
        merge(merged, today, name, source, kept=kept)
    if merged.get("model_name") is None:
        merged["model_name"], source["model_name"] = path.stem, f"name of {label}"
    whole = copy.deepcopy(merged), dict(source)
    loaded = replace(_validated(merged, source, tuple(vanished)), sweep=sweep)
    if not loaded.config.use_curriculum:
        return loaded
    return replace(loaded, stages=_stages(loaded, *whole, steps))


def _validated(merged: dict[str, Any], source: dict[str, str], vanished: tuple[str, ...] = ()) -> LoadedConfig:
    """The config of these values, with the schema's defaults. InputError: they are wrong."""
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        raise InputError(first_error(error, Config, lambda dotted: origin_of(dotted, source))) from None
    unused = _take_out(config.unused_sections(), merged, source)
    _add_defaults(merged, config.model_dump(), source)
    return LoadedConfig(config, merged, source, unused, vanished)


def _stages(
    loaded: LoadedConfig, merged: dict[str, Any], source: dict[str, str], steps: Sequence[StepLayer]
) -> tuple[LoadedConfig, ...]:
    """The configs of all stages of a curriculum.

    Args:
        loaded: the config as a whole; its steps are spelled out.
        merged: its values, those of sections that it does not use included.
        source: where they came from.
        steps: what its steps are made of.

    Raises:
        InputError: a stage is wrong, which the message names, or cannot follow the one before it.
    """
    stages = []
    for number in range(1, len(loaded.config.curriculum) + 1):
        try:
            stages.append(_validated(*stage_values(merged, source, steps, number)))
        except InputError as error:
            raise InputError(f"curriculum.{STEP}{number}: {error}") from None
    check_order([stage.config for stage in stages])
    spell_out(loaded.merged, loaded.source, steps, [stage.merged for stage in stages])
    return tuple(stages)


def over_defaults(layers: Mapping[str, Mapping[str, Any]]) -> LoadedConfig:
    """The default files with layers of values over them: later wins, key by key, as in `load_config`.

    Args:
        layers: by what holds the values, which messages name.

    Raises:
        InputError: a key is unknown, a value has the wrong type, or two values disagree.
    """
    merged, source = _default_values()
    for label, layer in layers.items():
        today, kept = respelled(layer, label)
        merge(merged, today, label, source, kept=kept)
    return _validated(merged, source)


def restore_config(values: object, label: str) -> Config:
    """The config of a run, of this version of the program or an earlier one.

    Args:
        values: the whole config, as the program wrote it to encoder.json or a checkpoint; anything but a mapping is
            an error too.
        label: where it stands, for messages.

    Raises:
        InputError: it is not a config of this program.
    """
    if not isinstance(values, Mapping) or not values:
        raise InputError(f"{label}: not the config of a run")
    earlier = read_earlier(values, label)
    if earlier.vanished:
        logger.warning(
            "%s has %s, which this version of the program does not have: ignored", label, ", ".join(earlier.vanished)
        )
    try:
        return Config.model_validate(filled(earlier.values, Config, _default_values()[0]))
    except ValidationError as error:
        wrong = first_error(error, Config, lambda _: "there")
        raise InputError(f"{label}: {wrong}; perhaps a newer version of the program wrote it") from None


def is_run_config(path: Path) -> bool:
    """Whether a file is the config.yaml of a run folder, which holds every key that the run knew."""
    return path.name == "config.yaml" and (path.parent / "environment.json").is_file()


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


def render_config(loaded: LoadedConfig) -> str:
    """The merged config as YAML, each value with a comment that says where it came from.

    Loading the text as a custom file gives the same config again.
    """
    lines = list(_render(loaded.merged, loaded.source))
    width = min(max((len(line) for line, origin in lines if origin), default=0), 60)
    return "".join(f"{line:<{width}}  # {origin}\n" if origin else f"{line}\n" for line, origin in lines)


def default_values() -> dict[str, Any]:
    """The config of a run that changes nothing, as plain YAML types."""
    return _validated(*copy.deepcopy(_default_values())).merged


def _default_values() -> tuple[dict[str, Any], dict[str, str]]:
    """The values of the default files, and which file holds each."""
    merged: dict[str, Any] = {}
    source: dict[str, str] = {}
    for name, layer in _default_layers().items():
        merge(merged, layer, name, source)
    return merged, source


@cache
def _default_layers() -> dict[str, dict[str, Any]]:
    """The content of the default files. Nobody may change it: a sweep reads hundreds of configs, and these once."""
    return {name: read_file(CONFIG_FOLDER / name) for name in DEFAULT_FILES}


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """All overrides as one nested mapping, so that their order does not matter to the `name` rule.

    Raises:
        InputError: one is not `key=value`, or its value is not YAML.
    """
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
        merge(nested, value, COMMAND_LINE, {})
    return nested


def _take_out(sections: Collection[str], merged: dict[str, Any], source: dict[str, str]) -> dict[str, str]:
    """Takes sections out of `merged` and `source`; what in them is not from the default files, and where from."""
    given: dict[str, str] = {}
    for section in sections:
        merged.pop(section, None)
        for dotted in [known for known in source if known == section or known.startswith(f"{section}.")]:
            label = source.pop(dotted)
            if label not in DEFAULT_FILES:
                given[dotted] = label
    return given


def _add_defaults(merged: dict[str, Any], full: dict[str, Any], source: dict[str, str], prefix: str = "") -> None:
    for key, value in full.items():
        if key not in merged:
            merged[key] = value
            source.update(dict.fromkeys(leaves(value, prefix + key), SCHEMA_DEFAULT))
        elif isinstance(value, dict):
            _add_defaults(merged[key], value, source, f"{prefix}{key}.")


def _render(mapping: dict[str, Any], source: dict[str, str], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Pairs of a line and where its value came from ("" for a mapping's first line)."""
    indent = "  " * prefix.count(".")
    for key, value in mapping.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{to_yaml(key)}:", ""
            yield from _render(value, source, f"{prefix}{key}.")
        else:
            yield f"{indent}{to_yaml(key)}: {to_yaml(value)}", source[prefix + key]
