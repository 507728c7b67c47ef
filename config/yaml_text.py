"""YAML as people expect it: `1e-3` is a number, `no` is a word, a key given twice is an error."""

from __future__ import annotations

import json
import re
from typing import Any

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
    return int(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor(_INT, _int)


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
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = " ".join(filter(None, (error.context, error.problem)))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"character #x{error.character:04x} is not allowed"
    except (ValueError, KeyError) as error:  # an explicit tag on text that does not fit: `!!int x`, `!!bool x`
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
