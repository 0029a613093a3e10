"""Kernels are forked without the program that starts them."""

from __future__ import annotations

import sys
from multiprocessing import popen_forkserver, spawn
from typing import Any

import pytest

from aurora_analysis.report import kernels


@pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")
def test_a_kernel_does_not_import_the_program_that_starts_it(monkeypatch):
    """A Dask worker's program takes as long to import as a page needs to compute."""
    prepared: list[dict[str, Any]] = []

    def launch(self: Any, process: Any) -> None:
        prepared.append(spawn.get_preparation_data("kernel"))
        self.pid, self.sentinel, self.returncode, self.finalizer = 1, 0, 0, None

    monkeypatch.setattr(popen_forkserver.Popen, "_launch", launch)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/program.py", raising=False)
    assert "init_main_from_path" in spawn.get_preparation_data("other")
    kernels.Process([], {}, None)
    assert "sys_path" in prepared[0]
    assert not [key for key in prepared[0] if key.startswith("init_main")]
