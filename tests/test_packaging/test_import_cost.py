"""`import mmfas` costs little beyond torch and mmengine, and `mmfas --help` needs neither."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ('torchvision', 'mmpretrain', 'matplotlib', 'skimage', 'mmcv')
MOST_SECONDS = 0.3


def measure() -> tuple[float, list[str]]:
    """Import mmfas in a fresh process; return its seconds beyond torch and mmengine, and the heavy modules."""
    code = (
        'import json, sys, time; import torch, mmengine; start = time.perf_counter(); import mmfas; '
        f'print(json.dumps([time.perf_counter() - start, [m for m in {HEAVY} if m in sys.modules]]))'
    )
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    seconds, heavy = json.loads(out.splitlines()[-1])
    return seconds, heavy


@pytest.mark.slow
def test_import_is_cheap() -> None:
    best = None
    for _ in range(3):
        seconds, heavy = measure()
        assert heavy == []
        best = seconds if best is None else min(best, seconds)
        if best <= MOST_SECONDS:
            break
    assert best <= MOST_SECONDS


def test_help_needs_no_torch() -> None:
    code = (
        'import sys; from mmfas.cli.__main__ import main; status = main(["--help"]); '
        'print([m for m in ("torch", "mmengine") if m in sys.modules], status)'
    )
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == '[] 0'
    assert 'mmfas COMMAND' in out


@pytest.mark.slow
def test_scores_are_judged_without_torch() -> None:
    code = (
        'import sys; import mmfas.evaluation as e; import mmfas.cli.scores.eval, mmfas.cli.quickstart_report; '
        'before = [m for m in ("torch", "mmengine", "cv2") if m in sys.modules]; '
        'print(before, e.FASMetric.__name__, "mmengine" in sys.modules)'
    )
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == '[] FASMetric True'
