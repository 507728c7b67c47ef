"""The content of `--out` while a dataset is being prepared: what is being made, and what is done.

.prepare/spec.json          what is being made; another one in the same folder is refused
.prepare/chunk-00003.json   what became of the videos of chunk 3, written when they are in their final place
.prepare/parts/             videos on their way; nothing in it is needed after a stop
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from config.errors import InputError
from data_utils.catalog.catalog_file import SPLITS
from data_utils.catalog.dataset_card import FILE_NAME

STATE = ".prepare"
BAD_VIDEOS = "bad_videos.csv"
UNUSED_FILES = "unused_files.csv"
_FINAL = (*(f"{split}.csv" for split in SPLITS), FILE_NAME)

_OTHER_LIST = "another list of videos (another --seed or lists, or videos were added or removed since)"

Record = dict[str, Any]


def write_file(path: Path, text: str) -> None:
    """Writes a file atomically, also where other processes write the same one; leaves an equal one as it is.

    Raises:
        InputError: it cannot be written.
    """
    content = text.encode("utf-8", "surrogateescape")
    temporary = path.with_name(f".{path.name}.{_process_name()}.tmp")
    try:
        with suppress(FileNotFoundError):
            if path.read_bytes() == content:
                return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error


def unwritable(path: Path, reason: str) -> InputError:
    """The error for what cannot be written."""
    return InputError(
        f"{path} cannot be written: {reason}; fix that, and the same command goes on where it ended, or choose "
        "another --out"
    )


def claim(out: Path, spec: Mapping[str, Any], made_by: Mapping[str, Any]) -> dict[str, Any]:
    """Makes `out` the place of what `spec` describes, or finds that it is.

    Args:
        out: the folder, made where it is missing.
        spec: what decides about the result; of plain JSON values.
        made_by: versions and the like, reported but not compared.

    Returns:
        `made_by` of the first start.

    Raises:
        InputError: it holds something else, or cannot be written.
    """
    file = out / STATE / "spec.json"
    try:
        found = json.loads(file.read_bytes())
        _refuse_other(out, found["spec"], spec)
        return dict(found["made_by"])
    except FileNotFoundError:
        pass  # a new folder
    except OSError as error:
        raise InputError(
            f"{file} cannot be read: {error.strerror}; fix its permissions or choose another --out"
        ) from error
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{file} is damaged; remove {out} and start again") from None
    for name in _FINAL:
        if (out / name).exists():
            raise InputError(f"{out / name} was not made by this program; choose another --out or move the file away")
    write_file(file, json.dumps({"spec": spec, "made_by": made_by}, indent=1) + "\n")
    return dict(made_by)


def _refuse_other(out: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    differing = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
    if not differing:
        return
    told = [
        f"{key} {found.get(key)}, now {wanted.get(key)}" if key != "listing" else _OTHER_LIST
        for key in differing
        if key != "listing" or differing == ["listing"]
    ]
    raise InputError(
        f"{out} holds a dataset prepared with {'; '.join(told)}: repeat that command, choose another --out, "
        f"or remove {out} to start again"
    )


def digest(value: Any) -> str:
    """A short name of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def chunk_file(out: Path, number: int) -> Path:
    """Where a chunk's records lie."""
    return out / STATE / f"chunk-{number:05d}.json"


def write_records(out: Path, number: int, spec: str, records: list[Record]) -> None:
    """Keeps what became of a chunk; from then on it is done. InputError: it cannot be written."""
    lines = ",\n".join(json.dumps(record, separators=(",", ":")) for record in records)
    write_file(chunk_file(out, number), f'{{"spec":"{spec}","records":[\n{lines}\n]}}\n')


def read_records(out: Path, number: int, spec: str) -> list[Record] | None:
    """The record of a chunk; None if it is still open. InputError: the file cannot be read."""
    file = chunk_file(out, number)
    try:
        content = json.loads(file.read_bytes())
        return list(content["records"]) if content["spec"] == spec else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}; fix its permissions") from error
    except (ValueError, KeyError, TypeError):  # not written by us; converting again fixes it
        return None


def parts_folder(out: Path, number: int) -> Path:
    """Where this process collects the parts of a chunk: no other one uses it."""
    return out / STATE / "parts" / f"{number:05d}-{_process_name()}"


def remove_leftovers(out: Path) -> None:
    """Removes parts of processes of this machine that are no more, and this process's own."""
    folder = out / STATE / "parts"
    for parts in folder.glob("*-*"):
        host, _, process = parts.name.partition("-")[2].rpartition("-")
        if host != socket.gethostname() or not process.isdigit():
            continue
        if int(process) == os.getpid() or not psutil.pid_exists(int(process)):
            shutil.rmtree(parts, ignore_errors=True)
    with suppress(OSError):  # others are at work
        folder.rmdir()


def _process_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"
