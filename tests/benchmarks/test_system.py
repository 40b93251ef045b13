"""What is said of the machine that trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.machine import system

MILAN = {"model name": "AMD EPYC", "cpu family": "25", "model": "1", "flags": "fpu sse2 fma avx2"}
GENOA = {"model name": "AMD EPYC", "cpu family": "25", "model": "17"}
GENOA["flags"] = "fma avx2 avx512f avx512dq avx512bw avx512vl"
CPUINFO = "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: Xeon\nflags\t\t: avx2 fma\n\nprocessor\t: 1\n"


def test_vectors_are_those_that_torch_finds() -> None:
    assert system.vectors() == torch.backends.cpu.get_cpu_capability()  # in an emulated run too


@pytest.mark.parametrize(
    ("known", "name", "vectors"),
    [
        (MILAN, "AMD EPYC (family 25, model 1)", "AVX2"),
        (GENOA, "AMD EPYC (family 25, model 17)", "AVX512"),
        ({**GENOA, "flags": "avx2 avx512f fma"}, "AMD EPYC (family 25, model 17)", "AVX2"),
        ({**MILAN, "flags": "avx2"}, "AMD EPYC (family 25, model 1)", "DEFAULT"),
        ({"model name": "Neoverse"}, "Neoverse", "unknown"),
    ],
)
def test_processors_are_told_apart(
    known: dict[str, str], name: str, vectors: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    monkeypatch.setattr(system, "_cpuinfo", lambda: known)
    assert (system.processor(), system.vectors()) == (name, vectors)
    found = system.hardware("cpu")
    assert (found["processor"], found["vectors"]) == (name, vectors)


def test_other_registers_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_cpuinfo", lambda: MILAN)
    for asked, vectors in (("default", "DEFAULT"), ("avx512", "AVX512"), ("nonsense", "AVX2"), ("DEFAULT", "AVX2")):
        monkeypatch.setenv("ATEN_CPU_CAPABILITY", asked)
        assert system.vectors() == vectors


def test_the_first_core_of_cpuinfo_speaks_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    for path, expected in ((tmp_path / "cpuinfo", "6"), (tmp_path / "none", None)):
        monkeypatch.setattr(system, "CPUINFO", path)
        assert system._cpuinfo.__wrapped__().get("cpu family") == expected
