from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.profile_step import kind_of, main
from benchmarks.step.sizes import SIZES


def test_tables_and_trace_of_a_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.json"
    overrides = ["window.length=4", "batch_size=2", f"dataset.root={tmp_path / 'none'}", *SIZES["tiny"][2]]
    assert main(["quickstart.yaml", "--steps", "1", "--trace", str(trace), "mean=[0.3,0.3,0.3]", *overrides]) == 2
    assert capsys.readouterr().err.startswith("error: ")  # mean without std
    given = [*overrides, "mean=[0.3,0.3,0.3]", "std=[0.15,0.15,0.15]", "augmentation.flip=0.0"]
    assert main(["quickstart.yaml", "--steps", "1", "--trace", str(trace), *given]) == 0
    printed = capsys.readouterr().out
    for line in ("| space |", "| time |", "| clip |", "| the rest |", "| matrix product |", "| normalisation |"):
        assert line in printed
    assert "GFLOP/s of a large matrix product" in printed
    assert len(json.loads(trace.read_text())["traceEvents"]) > 1000


def test_operations_have_kinds() -> None:
    assert kind_of("aten::addmm") == "matrix product"
    assert kind_of("aten::_scaled_dot_product_flash_attention_for_cpu_backward") == "attention"
    assert kind_of("aten::native_layer_norm_backward") == "normalisation"
    assert kind_of("aten::mkldnn_convolution") == "convolution"
    assert kind_of("aten::_foreach_addcdiv_") == "optimizer"
    assert kind_of("aten::sqrt") == "everything else"
