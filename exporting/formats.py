"""ONNX, torch.export and TorchScript: written, read again, and compared with the encoder itself."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from config.errors import InputError
from evaluation.encoders import ScoredEncoder
from exporting.pixels import INPUT, PixelEncoder, description, example
from runs.process.atomic import replaced_file

TRACED, COMPARED = 2, 5  # windows of a batch: the size must not have been built in
TOLERANCE = 1e-3  # of the largest feature: what kernels in another order may differ by
Outputs = Sequence[Tensor]


@dataclass(frozen=True)
class Exported:
    """A file that was written and read again."""

    file: Path
    megabytes: float
    difference: float
    """The largest between its outputs and the encoder's, as a share of the largest output."""
    details: str


def export_onnx(encoder: ScoredEncoder, file: Path) -> Exported:
    """Writes an ONNX model with a dynamic batch, and compares ONNX Runtime's outputs with the encoder's.

    Raises:
        InputError: the packages are missing, the encoder cannot be exported, or the outputs differ.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise InputError(f"--onnx needs {', '.join(missing)}: pip install {' '.join(missing)}")
    import onnx
    import onnxruntime

    module = PixelEncoder(encoder).eval()
    with _refused("--onnx"), _quiet():
        program = torch.onnx.export(
            module,
            (example(encoder, TRACED),),
            dynamo=True,
            input_names=[INPUT],
            output_names=module.levels,
            dynamic_shapes={"video_BTCHW": {0: torch.export.Dim("batch", min=1)}},
        )
        assert program is not None
        model = program.model_proto
    for key, value in description(encoder).items():
        model.metadata_props.append(onnx.StringStringEntryProto(key=key, value=value))
    _write(file, model.SerializeToString())
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))

    def run(video: Tensor) -> Outputs:
        return [torch.from_numpy(np.asarray(output)) for output in session.run(None, {INPUT: video.numpy()})]

    return _compared(file, module, run, encoder, f"opset {opset}, ONNX Runtime {onnxruntime.__version__}")


def export_torch(encoder: ScoredEncoder, file: Path) -> Exported:
    """Writes what torch.export makes of the encoder, with a dynamic batch; `torch.export.load` reads it.

    Raises:
        InputError: the encoder cannot be exported, or the outputs differ.
    """
    module = PixelEncoder(encoder).eval()
    with _refused("--torch-export"), _quiet():
        batch = torch.export.Dim("batch", min=1)
        program = torch.export.export(module, (example(encoder, TRACED),), dynamic_shapes={"video_BTCHW": {0: batch}})
        content = io.BytesIO()
        torch.export.save(program, content, extra_files={"description.json": json.dumps(description(encoder))})
    _write(file, content.getvalue())
    loaded = torch.export.load(file).module()
    return _compared(file, module, loaded, encoder, f"torch {torch.__version__}")


def export_torchscript(encoder: ScoredEncoder, file: Path) -> Exported:
    """Writes a traced TorchScript module, which `torch.jit.load` and LibTorch read.

    Raises:
        InputError: the encoder cannot be exported, or the outputs differ.
    """
    module = PixelEncoder(encoder).eval()
    with _refused("--torchscript"), _quiet(), torch.no_grad():
        traced = torch.jit.trace(module, (example(encoder, TRACED),), check_trace=False)
        content = io.BytesIO()
        torch.jit.save(traced, content, _extra_files={"description.json": json.dumps(description(encoder))})
    _write(file, content.getvalue())
    return _compared(file, module, torch.jit.load(str(file)), encoder, f"torch {torch.__version__}")


def _compared(
    file: Path, module: nn.Module, loaded: Callable[[Tensor], Outputs], encoder: ScoredEncoder, details: str
) -> Exported:
    """The file with how its outputs differ. InputError, and no file: they differ by more than rounding."""
    video = example(encoder, COMPARED, seed=1)
    with torch.no_grad():
        expected, found = module(video), loaded(video)
    scale = max(float(output.abs().max()) for output in expected)
    difference = max(float((one - other).abs().max()) for one, other in zip(expected, found, strict=True)) / scale
    if not difference <= TOLERANCE:  # nan too
        file.unlink()
        raise InputError(f"{file}: its outputs differ from the encoder's by {difference:.2g} of the largest: not kept")
    return Exported(file, file.stat().st_size / 1e6, difference, details)


def _write(file: Path, content: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(file) as stream:
            stream.write(content)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror or error}") from None


@contextmanager
def _refused(option: str) -> Iterator[None]:
    """Turns what the exporters raise, which is of many kinds, into one line."""
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{option}: this encoder cannot be exported so: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what the exporters say of their progress off the console."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
