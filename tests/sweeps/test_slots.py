"""The places where runs go: GPUs that exist, or shares of the CPU."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import InputError
from sweeps.slots import slots_of


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts an nvidia-smi with this output on the PATH; None: there is none."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def make(output: str | None, status: int = 0) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        if output is not None:
            script = tmp_path / "nvidia-smi"
            script.write_text(f"#!{shutil.which('sh', path=os.defpath)}\nprintf '{output}'\nexit {status}\n")
            script.chmod(0o755)

    return make


def test_gpus_are_those_of_the_machine(gpus: Callable[..., None]) -> None:
    gpus("0, NVIDIA H100\\n1, NVIDIA H100\\n2, NVIDIA A10\\n")
    slots = slots_of("2, 0,cpu,0")
    assert [slot.title for slot in slots] == ["GPU 2", "GPU 0", "the CPU", "GPU 0"]
    assert [slot.variables["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["2", "0", "", "0"]
    assert {slot.variables["CUDA_DEVICE_ORDER"] for slot in slots} == {"PCI_BUS_ID"}
    with pytest.raises(InputError) as error:
        slots_of("0,7")
    assert str(error.value) == (
        "--gpus 0,7: there is no GPU 7; this machine has 0 (NVIDIA H100), 1 (NVIDIA H100), 2 (NVIDIA A10)"
    )


@pytest.mark.parametrize(("output", "status"), [(None, 0), ("No devices were found\\n", 6), ("", 0)])
def test_without_a_gpu_the_runs_go_to_the_cpu_as_with_the_launcher(
    gpus: Callable[..., None], caplog: pytest.LogCaptureFixture, output: str | None, status: int
) -> None:
    gpus(output, status)
    slots = slots_of("0,1")
    assert [(slot.title, slot.variables["CUDA_VISIBLE_DEVICES"]) for slot in slots] == [("the CPU", "")] * 2
    assert "running on the CPU" in caplog.text


def test_the_cpu_asks_for_no_gpu(gpus: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    gpus(None)
    threads = str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert [slot.variables.get("OMP_NUM_THREADS") for slot in slots_of("cpu,cpu")] == [threads] * 2
    assert "OMP_NUM_THREADS" not in slots_of("cpu")[0].variables
    assert not caplog.text


@pytest.mark.parametrize("given", ["", "0,", "gpu0", "-1", "0;1", "CPU"])
def test_what_names_no_gpu_is_told(given: str) -> None:
    with pytest.raises(InputError, match="expected numbers of GPUs or cpu, with commas between"):
        slots_of(given)
