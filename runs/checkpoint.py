"""A kill or a full disk in the middle of a save leaves no usable checkpoint, and days of training are lost.

So every file here is written through `atomic_write`: the previous checkpoint stays until the new one is whole. And a
disk or a network that changes a bit would go unseen: every file carries a checksum, which is compared with what can be
read back before the new file takes the place of the old one, and again before its use.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from safetensors.torch import save
from torch import Tensor

from config.errors import InputError
from runs.process.atomic import UnwritableError, atomic_write, write_json

# Behind torch's own format, which readers of it pass over: this mark, and the SHA-256 of all that is before the mark.
_MARK = b"\nsha256 of the above: "
_DIGITS = 64
_CHUNK = 1 << 20


class DamagedError(InputError):
    """A file is not what was once written."""


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write `state` to `path`, atomically, with a checksum, and read it back before it counts.

    Args:
        state: tensors and plain Python values, nested in dicts, lists and tuples (`load_checkpoint` reads no others).
        path: the file, by convention `last.pt` or `best.pt`.

    Raises:
        UnwritableError: the disk is full, the folder cannot be written, or the disk gives back something else than
            was written; the previous file is intact.
    """
    with atomic_write(path) as file:
        hashing = _Hashing(file)
        torch.save(state, cast("BinaryIO", hashing))
        file.write(_MARK + hashing.digest.hexdigest().encode())
        file.flush()
        os.fsync(file.fileno())
        _read_back(Path(file.name), hashing.digest.hexdigest(), path)


def _read_back(written: Path, digest: str, path: Path) -> None:
    """Raises UnwritableError where the disk does not give back what was `written` to become `path`."""
    with written.open("rb") as file:
        # What the system still has in memory says nothing of the disk.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if _checksums(file) != (digest, digest):
            raise UnwritableError(
                f"cannot write {path}: reading it back gives something else than was written; look at the disk, or "
                "choose another save_path"
            )


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, with all tensors on the CPU. Nothing in the file is executed.

    A file without a checksum, of an older version, is read all the same.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            _check_sum(file)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        # A disk that cannot give it back has damaged it; all else (no file, no permission) can be helped.
        kind = DamagedError if error.errno == errno.EIO else InputError
        raise kind(f"cannot read checkpoint {path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged file makes torch fail in every way that there is
        raise DamagedError(f"checkpoint {path} is damaged, or is none") from error
    if not isinstance(state, dict):
        raise DamagedError(f"{path} holds a {type(state).__name__}, not the checkpoint of a run")
    return state


def check_regular(path: Path) -> None:
    """Raises OSError where `path` cannot be read as a file: a pipe, which would wait for ever, or a folder."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(None, "it is not a regular file")


def _check_sum(file: BinaryIO) -> None:
    """Raises ValueError where the file has a checksum that it does not fit; leaves the file at its start."""
    found = _checksums(file)
    file.seek(0)
    if found is not None and found[0] != found[1]:
        raise ValueError("the checksum does not fit")


def _checksums(file: BinaryIO) -> tuple[str, str] | None:
    """The checksum of a file's content, and the one that it carries; None where it carries none."""
    size = file.seek(0, 2)
    content = size - len(_MARK) - _DIGITS
    file.seek(max(0, content))
    mark, expected = file.read(len(_MARK)), file.read(_DIGITS)
    file.seek(0)
    if content < 0 or mark != _MARK:
        return None
    digest = hashlib.sha256()
    left = content
    while left and (chunk := file.read(min(left, _CHUNK))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest(), expected.decode(errors="replace")


class _Hashing:
    """A file that is written, and the digest of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def save_encoder(state_dict: Mapping[str, Tensor], description: Mapping[str, Any], folder: Path) -> Path:
    """Write `encoder.safetensors` (the weights) and `encoder.json` (what is needed to build the module around them).

    Args:
        state_dict: the encoder's weights; tensors that share memory are stored once each.
        description: values that JSON can hold.
        folder: the run's `checkpoints` folder.

    Returns:
        The path of the weights.

    Raises:
        InputError: a file cannot be written; neither file is ever half there.
    """
    # clone(): safetensors refuses tensors that share memory, which tied weights do.
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state_dict.items()}
    path = folder / "encoder.safetensors"
    with atomic_write(path) as file:
        file.write(save(weights, metadata={"sha256": weights_digest(weights)}))
    write_json(folder / "encoder.json", description)
    return path


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """The SHA-256 of names, types, shapes and numbers of tensors on the CPU."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
