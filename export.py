"""An encoder for other programs: python export.py RUN --onnx encoder.onnx [--torch-export ...] [--huggingface DIR]."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from config.errors import InputError
from config.places import place
from runs.reporting.program import run_program

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exports an encoder as the command line asks, and compares what was written with it.

    Returns:
        The exit status: 0; 2 for bad input; 128 + the signal's number when a signal ended it.
    """
    return run_program(lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="export.py",
        description="Write an encoder for other programs, normalisation inside, the batch of any size.",
        epilog="docs/encoding.md has examples.",
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="the folder of a run, or an encoder.safetensors with its encoder.json beside it")
    add("--onnx", type=Path, metavar="FILE.onnx", help="needs the packages onnx, onnxscript and onnxruntime")
    add("--torch-export", type=Path, metavar="FILE.pt2", help="for torch.export.load")
    add("--torchscript", type=Path, metavar="FILE.pt", help="for torch.jit.load and LibTorch")
    add("--huggingface", type=Path, metavar="FOLDER", help="weights, config and a model card; sending it is up to you")
    add("--licence", default="other", metavar="NAME", help="for the model card, as the Hub spells it (default: other)")
    add("--checkpoint", default="best", metavar="WHICH", help="best (what the run has chosen), last, or a file")
    return parser


def _run(options: argparse.Namespace) -> int:
    files = {name: getattr(options, name) for name in ("onnx", "torch_export", "torchscript")}
    if not any(files.values()) and options.huggingface is None:
        raise InputError("name what to write: --onnx, --torch-export, --torchscript or --huggingface")
    from evaluation.encoders import open_encoder

    encoder = open_encoder(options.run, options.checkpoint, {})
    encoder.network.eval()
    logger.info("%s: %s", encoder.name, encoder.what)
    from exporting.formats import export_onnx, export_torch, export_torchscript

    ways = {"onnx": export_onnx, "torch_export": export_torch, "torchscript": export_torchscript}
    for name, file in files.items():
        if file is not None:
            done = ways[name](encoder, place(file, f"--{name.replace('_', '-')}"))
            logger.info(
                "%s: %.1f MB, %s; outputs for a batch of another size differ by %.1g of the largest",
                *(done.file, done.megabytes, done.details, done.difference),
            )
    if options.huggingface is not None:
        from exporting.huggingface import export_huggingface

        folder = export_huggingface(encoder, place(options.huggingface, "--huggingface"), options.licence)
        logger.info("%s: model card, config and weights", folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
