"""YAML as people expect it: `1e-3` is a number, `no` is a word, a key given twice is an error."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import Any, cast

import yaml

from config.errors import InputError

# PyYAML follows YAML 1.1, where `1e-3` is text, `no` is false, `010` is eight and `12:30` is 750.
# These are the rules of YAML 1.2's core schema: tag, pattern, the characters that a match begins with.
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_CORE_SCHEMA = (
    ("tag:yaml.org,2002:null", r"^(?:null|Null|NULL|~|)$", ["n", "N", "~", ""]),
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    (_INT, r"^[-+]?[0-9]+$", list("-+0123456789")),
    (
        _FLOAT,
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
)


# Far more than a config has, about 200 values in 4 levels, and little enough to be read in a moment.
MAX_VALUES = 2_000
MAX_DEPTH = 20
MAX_DIGITS = 100


class _Loader(yaml.SafeLoader):
    """SafeLoader with the core schema and no other types; every mapping is checked for keys that occur twice."""


class _Dumper(yaml.SafeDumper):
    """SafeDumper that also quotes text which only the core schema takes for a number."""


_Loader.yaml_implicit_resolvers = {}
_Loader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in ("null", "bool", "float", "str", "seq")
}
for _tag, _pattern, _first in _CORE_SCHEMA:
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)
    _Dumper.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def _mapping(loader: _Loader, node: yaml.Node) -> dict[Any, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(None, None, "expected a mapping", node.start_mark)
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        problem = None
        if not isinstance(key, str):
            problem = "a key must be text" if isinstance(key, (list, dict)) else f"key {key} must be text: quote it"
        elif key in mapping:
            problem = f"key '{key}' is given twice"
        elif "." in key:
            problem = (
                f"key '{key}' has a dot, which only the command line knows: write '{key.split('.')[0]}:' and indent"
            )
        if problem:
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    if len(text) > MAX_DIGITS:
        problem = f"a whole number of {len(text):,} digits, of which no key takes more than {MAX_DIGITS}"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    return int(text)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor(_INT, _int)


def _str(loader: _Loader, node: yaml.ScalarNode) -> str:
    """Text that can be part of a path: escapes can put anything into it."""
    text = str(loader.construct_scalar(node))
    try:
        is_possible = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        is_possible = False
    if not is_possible:
        raise yaml.constructor.ConstructorError(
            None, None, "text holds a character that no name may have: NUL, or half of one", node.start_mark
        )
    return text


_Loader.add_constructor("tag:yaml.org,2002:str", _str)


def _refuse_bombs(text: str) -> None:
    """Raises ConstructorError where few letters stand for so much that reading would take minutes or all memory."""
    sizes: dict[str, tuple[int, int]] = {}  # values and depth of what an anchor names, aliases in it included
    open_nodes: list[_Open] = []
    values = 0
    for event in yaml.parse(text, Loader=_Loader):
        size, depth, problem = 0, 0, None
        if isinstance(event, yaml.AliasEvent):
            size, depth = sizes.get(event.anchor or "", (0, 0))
            if event.anchor in [node.anchor for node in open_nodes]:
                problem = f"*{event.anchor} stands inside what it stands for"
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = open_nodes.pop()
            depth = ended.depth + 1
            sizes[ended.anchor or ""] = values - ended.before, depth
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append(_Open(event.anchor, values))
            size = 1
        elif isinstance(event, yaml.ScalarEvent):
            size = 1
            sizes[event.anchor or ""] = 1, 0
        values += size
        if open_nodes:
            open_nodes[-1].depth = max(open_nodes[-1].depth, depth)
        if values > MAX_VALUES:
            problem = f"more than {MAX_VALUES:,} keys and values, which is not a config"
        elif len(open_nodes) + depth > MAX_DEPTH:
            problem = f"more than {MAX_DEPTH} lists and mappings inside each other, which is not a config"
        if problem:
            raise yaml.constructor.ConstructorError(None, None, problem, cast("yaml.Mark", event.start_mark))


@dataclass
class _Open:
    """A list or mapping whose end has not been read."""

    anchor: str | None
    before: int
    """Values before it."""
    depth: int = 0
    """Depth of its content."""


def parse_yaml(text: str, where: str) -> Any:
    """Read one YAML document.

    Args:
        text: the document.
        where: what the text is, for the message: a file's name or a `key=value`.

    Returns:
        Mappings with text keys, lists, text, numbers, booleans and None.

    Raises:
        InputError: the text is not YAML, or a key is given twice; with the line where it has more than one.
    """
    try:
        _refuse_bombs(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = " ".join(filter(None, (error.context, error.problem)))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"character #x{error.character:04x} is not allowed"
    # An explicit tag on what does not fit: `!!int x`, `!!bool x`, `!!float ''`, `!!bool [x]`.
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        line, problem = 1, f"a value does not fit its tag: {error}"
    at = f", line {line}" if "\n" in text else ""
    raise InputError(f"{where}{at}: {' '.join(problem.split())}")


def to_yaml(value: object) -> str:
    """One line of YAML that `parse_yaml` reads back as `value`."""
    text: str = yaml.dump(
        [value], Dumper=_Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=2**31
    )
    line = text.strip()[1:-1]
    # PyYAML writes text with line breaks over several lines; JSON, which YAML contains, does not.
    return json.dumps(value) if "\n" in line else line
