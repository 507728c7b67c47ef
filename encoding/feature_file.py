"""The file that encode.py writes: NumPy's .npz, or .parquet for data frames; read again to search in."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import InputError
from runs.process.atomic import replaced_file

KINDS = (".npz", ".parquet")
_NEEDS_PYARROW = "needs pyarrow: install it, or write an .npz"


@dataclass(frozen=True)
class VideoFeatures:
    """The features of videos, one vector per level each, or one per window."""

    encoder: str
    """A digest of the weights that made them."""
    paths: NDArray[np.str_]
    """[N], of windows: that of the video of each."""
    levels: dict[str, NDArray[np.float32]]
    """By level, lowest first: [N, D]."""
    first_frames: NDArray[np.int64] | None = None
    """[N], of windows: the first frame of each."""

    def write(self, file: Path) -> None:
        """Writes the file, whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replaced_file(file) as stream:
                if file.suffix == ".npz":
                    np.savez(stream, allow_pickle=False, **self._arrays())
                else:
                    self._table().to_parquet(stream)
        except OSError as error:
            raise InputError(f"cannot write {file}: {error.strerror or error}") from None

    def _arrays(self) -> dict[str, NDArray[Any]]:
        more = {} if self.first_frames is None else {"first_frames": self.first_frames}
        return {"encoder": np.array(self.encoder), "paths": self.paths, **more, **self.levels}

    def _table(self) -> Any:
        import pandas as pd

        columns: dict[str, Any] = {"path": self.paths.astype(object)}
        if self.first_frames is not None:
            columns["first_frame"] = self.first_frames
        table = pd.DataFrame(columns | {level: list(of_level) for level, of_level in self.levels.items()})
        table.attrs["encoder"] = self.encoder
        return table

    @classmethod
    def read(cls, file: Path) -> VideoFeatures:
        """Reads what `write` wrote.

        Raises:
            InputError: there is no such file, or it is none of these.
        """
        try:
            return cls._of_npz(file) if file.suffix == ".npz" else cls._of_parquet(file)
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror or error}") from None
        except ImportError:
            raise InputError(f"{file}: .parquet {_NEEDS_PYARROW}") from None
        except Exception as error:  # a damaged file makes the libraries fail in every way that there is
            raise InputError(f"{file} is damaged, or is not a file of encode.py; make it again") from error

    @classmethod
    def _of_npz(cls, file: Path) -> VideoFeatures:
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        encoder, paths, first = str(found.pop("encoder")), found.pop("paths"), found.pop("first_frames", None)
        return cls(encoder, paths, found, first)

    @classmethod
    def _of_parquet(cls, file: Path) -> VideoFeatures:
        import pandas as pd

        table = pd.read_parquet(file)
        levels = [name for name in table.columns if name not in ("path", "first_frame")]
        first = table["first_frame"].to_numpy(np.int64) if "first_frame" in table else None
        paths = table["path"].to_numpy(object).astype(np.str_)
        return cls(
            str(table.attrs["encoder"]), paths, {name: np.stack(table[name].to_list()) for name in levels}, first
        )


def check_kind(file: Path, key: str) -> None:
    """Raises InputError where a file's name says no kind that can be written here."""
    if file.suffix not in KINDS:
        raise InputError(f"{key} {file}: its name must end in {' or '.join(KINDS)}")
    if file.suffix == ".parquet" and find_spec("pyarrow") is None:  # pandas writes with it
        raise InputError(f"{key} {file}: {file.suffix} {_NEEDS_PYARROW}")


def nearest(features: VideoFeatures, query_D: NDArray[np.float32], level: str, count: int) -> list[tuple[str, float]]:
    """The rows of a file that are most like a vector, as kNN compares them: centred, L2-normalised, by cosine.

    Args:
        features: of the file.
        query_D: [D].
        level: whose features these are.
        count: rows at most.

    Returns:
        Path (and of windows the first frame) and cosine, the nearest first.
    """
    bank_ND = features.levels[level].astype(np.float32)
    mean_D = bank_ND.mean(axis=0) if len(bank_ND) > 1 else np.zeros_like(query_D)
    bank_ND, query_D = bank_ND - mean_D, query_D - mean_D
    norms_N = np.linalg.norm(bank_ND, axis=1) * np.linalg.norm(query_D)
    cosine_N = bank_ND @ query_D / np.maximum(norms_N, 1e-12)
    order = np.argsort(-cosine_N, kind="stable")[:count]
    names = features.paths.tolist()
    if features.first_frames is not None:
        names = [f"{path} from frame {first}" for path, first in zip(names, features.first_frames, strict=True)]
    return [(names[row], float(cosine_N[row])) for row in order]
