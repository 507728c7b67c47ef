"""Turns pydantic's errors about a config into one line in the user's words."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.keys import ANY_NAME, CHOICE, locate, walk
from config.spellings import OLD_SPELLINGS
from config.yaml_text import to_yaml

_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length} values",
    "too_long": "at most {max_length} values",
    "union_tag_invalid": "{expected_tags}",
}


def first_error(error: ValidationError, root: type[BaseModel], origin: Callable[[str], str]) -> str:
    """The most telling error as one line, and how many more there are.

    Args:
        error: what pydantic raised.
        root: the model that it validated.
        origin: says where the value of a dotted key came from.
    """
    details = error.errors(include_url=False)
    # A misspelt key or name often makes other keys missing: the spelling is what the user can fix.
    details.sort(key=lambda detail: 0 if _is_unknown_key(detail) else 2 if detail["type"] == "missing" else 1)
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return _line(details[0], root, origin) + more


def _is_unknown_key(detail: ErrorDetails) -> bool:
    return detail["type"] == "extra_forbidden" or detail["loc"][-1:] == ("[key]",)


def _line(detail: ErrorDetails, root: type[BaseModel], origin: Callable[[str], str]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    place = locate(root, detail["loc"])
    if kind == "value_error":  # the schema's own sentence
        where = f"{place.dotted} ({origin(place.dotted)}): " if place.dotted else ""
        return f"{where}{context['error']}"
    if _is_unknown_key(detail):
        nearest = _nearest(place.dotted, place.siblings, root) if len(place.dotted) < 200 else ""
        return f"unknown key {shortened(place.dotted)} ({origin(place.dotted)}){nearest}"
    if kind == "missing":
        return f"{place.dotted} is missing" + (_why_missing(place.dotted, origin) if CHOICE in place.siblings else "")
    if kind == "union_tag_not_found":
        missing = f"{place.dotted}.{_choice(detail)}"
        return f"{missing} is missing ({origin(place.dotted)}): it says which {place.dotted} is meant"
    dotted, value = place.dotted, detail["input"]
    if kind == "union_tag_invalid":
        dotted, value = f"{dotted}.{_choice(detail)}", value[_choice(detail)]
    return f"{dotted} ({origin(dotted)}): {wanted(detail)}, got {shown(value)}"


def _choice(detail: ErrorDetails) -> str:
    """The key that says which of several mappings is meant."""
    return str(detail.get("ctx", {})["discriminator"]).strip("'")


def wanted(detail: ErrorDetails) -> str:
    """What a value should have been: "expected a number"."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind not in _EXPECTED:
        return detail["msg"]
    expected = _EXPECTED[kind].format(**{key: _plain(item) for key, item in context.items()})
    expected = expected.replace("True, False", "true, false")  # as YAML has them
    return "expected " + (" or ".join(expected.rsplit(", ", 1)) if kind == "union_tag_invalid" else expected)


def _why_missing(dotted: str, origin: Callable[[str], str]) -> str:
    mapping = dotted.rpartition(".")[0]
    if not mapping:
        return ""
    return f" ({origin(mapping)}): a new {mapping}.{CHOICE} replaces the whole of {mapping}, so give all its keys"


def _nearest(dotted: str, siblings: tuple[str, ...], root: type[BaseModel]) -> str:
    """The key that was probably meant: of the same mapping, else of any."""
    mapping, dot, name = dotted.rpartition(".")
    keys = list(walk(root))
    known = list(dict.fromkeys(key.dotted for key in keys))
    near = {sibling: f"{mapping}{dot}{sibling}" for sibling in siblings}
    if not mapping:  # a key of a section, or its old spelling, without the section
        near = {key.rpartition(".")[2]: key for key in reversed(known)} | OLD_SPELLINGS | near
    close = [] if name in near else difflib.get_close_matches(name, near, n=1)
    if close:
        return f"; did you mean {near[close[0]]}?"
    owners = [key.choice for key in keys if (key.dotted + ".").startswith(f"{dotted}.") and key.choice]
    if owners:
        return f"; it belongs to {mapping}.{CHOICE}={' or '.join(dict.fromkeys(owners))}"
    meant = [key for key in known if key.rpartition(".")[2] == name]
    # A key of the run is likelier to be meant than one of evaluations whose names are the user's.
    meant = [key for key in meant if ANY_NAME not in key.split(".")] or meant
    if not meant and not mapping:
        meant = difflib.get_close_matches(name, known, n=1)
    if meant:
        return f"; did you mean {' or '.join(meant[:3])}?"
    return f"; {mapping} has {', '.join(siblings)}" if mapping else "; docs/config.md lists all keys"


def _plain(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def shown(value: object) -> str:
    """A value as the user would write it, shortened."""
    if isinstance(value, Mapping):
        return "a mapping"
    return shortened(repr(value) if isinstance(value, str) else to_yaml(value))


def shortened(text: str, letters: int = 60) -> str:
    """The text, or its beginning where it is longer."""
    return text if len(text) <= letters else f"{text[: letters - 3]}..."
