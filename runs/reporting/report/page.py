"""One HTML file that opens anywhere: style, scripts, data and pictures are in it, and it asks for nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from runs.process.atomic import plain

_FOLDER = Path(__file__).parent


def render_page(template: str, scripts: Sequence[str], data: Any, folders: Sequence[Path] = (), **values: Any) -> str:
    """Renders a page that nothing in it can leave.

    All text is escaped. The content security policy lets no address be asked for anything, and no script run but the
    ones that are given here: they are named by their hash, so that not even a mistake in escaping could start another.

    Args:
        template: name of a file that extends `page.html.j2`.
        scripts: names of the files of this folder that the page runs, in this order.
        data: for the scripts; plain values.
        folders: where templates lie, besides this one.
        values: that the template shows.
    """
    script = "\n".join(_text(name) for name in scripts)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment(tuple(folders))
        .get_template(template)
        .render(
            style=Markup(_text("style.css")),
            script=Markup(script),
            script_hash=digest,
            data=Markup(as_json(data)),
            **values,
        )
    )


def as_json(value: Any) -> str:
    """JSON that can stand inside of a script element whatever texts it has: no letter in it means anything to HTML."""
    text = json.dumps(plain(value), allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


@cache
def _environment(folders: tuple[Path, ...]) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([_FOLDER, *folders]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
