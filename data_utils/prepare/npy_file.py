"""Text and whole numbers of a .npy file, without running what is in it.

NumPy stores arrays of objects as pickles, and a pickle may call any function of the machine that loads it. Here it
may call none: what NumPy needs to rebuild an array is replaced by stand-ins that only keep what they are given.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from config.errors import InputError

_PLAIN_TYPE = re.compile(r"[<>=|]?[USiub]\d+")


class _Refused(Exception):
    """The file asks for something that no list of text or numbers needs."""


def read_npy(file: Path) -> list[str]:
    """The entries of a one-dimensional array, numbers as text.

    Args:
        file: holds text or whole numbers, with or without pickle.

    Raises:
        InputError: it is missing or damaged, holds something else, or would run foreign code.
    """
    try:
        with file.open("rb") as stream:
            values = _entries(stream)
    except FileNotFoundError:
        raise InputError(f"{file} is missing; say where it is, or put it there") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except _Refused as error:
        raise InputError(f"{file}: {error}; save a one-dimensional array of text or whole numbers") from None
    except Exception:  # a damaged pickle or header raises whatever it likes
        raise InputError(f"{file} is not a complete .npy file; save it again") from None
    try:
        return [_text(value) for value in values]
    except _Refused as error:
        raise InputError(f"{file}: {error}; save text or whole numbers") from None


def _entries(stream: BinaryIO) -> list[Any]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        header = np.lib.format.read_array_header_1_0(stream)
    else:
        header = np.lib.format.read_array_header_2_0(stream)
    shape, _, dtype = header
    if len(shape) != 1:
        raise _Refused(f"an array of {len(shape)} dimensions")
    if dtype.hasobject:
        values = _objects(stream)
    elif dtype.kind in "USiu":
        values = np.frombuffer(stream.read(), dtype).tolist()
    else:
        raise _Refused(f"an array of {dtype}")
    if len(values) != shape[0]:
        raise ValueError("not as many entries as the header says")
    return values


def _objects(stream: BinaryIO) -> list[Any]:
    array = _Unpickler(stream, encoding="utf-8").load()
    if not isinstance(array, _Array) or not isinstance(array.state, tuple) or not isinstance(array.state[-1], list):
        raise _Refused("no array of objects")
    return array.state[-1]


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise _Refused(f"{value!r} is not UTF-8") from None
    if type(value) in (str, int):
        return str(value)
    raise _Refused(f"{value!r:.60} is neither text nor a whole number")


class _Array:
    """Stands for `numpy.ndarray`: keeps the list of its entries."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _DType:
    """Stands for `numpy.dtype`: keeps its name and byte order."""

    name: str = ""

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else ""
        if order in ("<", ">"):
            self.name = f"{order}{self.name}"


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _dtype(name: object, *_: object) -> _DType:
    dtype = _DType()
    dtype.name = str(name)
    return dtype


def _scalar(dtype: object, data: object) -> Any:
    if not isinstance(dtype, _DType) or not _PLAIN_TYPE.fullmatch(dtype.name) or not isinstance(data, bytes):
        raise _Refused("an entry that is neither text nor a whole number")
    (value,) = np.frombuffer(data, np.dtype(dtype.name)).tolist()
    return value


def _encode(text: object, encoding: object) -> bytes:
    """Stands for `_codecs.encode`, with which old pickles write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused("an entry that is neither text nor a whole number")
    return text.encode("latin1")


_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    """Knows the few names that an array of text and numbers consists of, and stands in for each."""

    def find_class(self, module: str, name: str) -> Any:
        stand_in = _STAND_INS.get((module.replace("numpy._core", "numpy.core"), name))
        if stand_in is None:
            raise _Refused(f"it asks for {module}.{name}, which could run anything")
        return stand_in
