"""The shared set-up says what a bare machine lacks, and does nothing twice."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
LIBRARY = REPO / 'tools' / 'lib' / 'environment.sh'


def shell(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run bash code after sourcing the library."""
    command = ['bash', '-c', f'source {LIBRARY}; {code}']
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


def fake_python(folder: Path, code: str) -> Path:
    """An executable that stands for Python."""
    path = folder / 'bin' / 'python'
    path.parent.mkdir(parents=True)
    path.write_text(f'#!/usr/bin/env bash\n{code}\n', encoding='utf-8')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ('missing', 'package'),
    [('libGL.so.1', 'libgl1'), ('libgthread-2.0.so.0', 'libglib2.0-0'), ('libSM.so.6', 'libsm6')],
)
def test_a_missing_library_names_its_debian_package(missing: str, package: str, tmp_path: Path) -> None:
    error = f'ImportError: {missing}: cannot open shared object file'
    python = fake_python(tmp_path, f'echo "{error}" >&2; exit 1')
    done = shell('mmfas_check_libraries', MMFAS_PYTHON=str(python))
    assert done.returncode == 1
    assert f'OpenCV cannot be imported: {error}' in done.stderr
    assert 'apt-get install' in done.stderr
    assert package in done.stderr


def test_no_python_is_said_so(tmp_path: Path) -> None:
    done = shell(f'mmfas_environment {tmp_path}/venv tests', MMFAS_BASE_PYTHON=str(tmp_path / 'python'))
    assert done.returncode == 1
    assert 'Python >= 3.10 is needed' in done.stderr


def test_python_without_venv_names_its_debian_package(tmp_path: Path) -> None:
    # It is new enough, but has no ensurepip.
    python = fake_python(tmp_path, '[[ "$2" == *version_info* ]]')
    done = shell(f'mmfas_environment {tmp_path}/venv tests', MMFAS_BASE_PYTHON=str(python))
    assert done.returncode == 1
    assert 'apt-get install python3-venv' in done.stderr


def test_a_finished_environment_is_left_alone(tmp_path: Path) -> None:
    fake_python(tmp_path, 'exit 1')
    stamp = 'cat "$root"/setup.py "$root"/requirements/*.txt "$root"/tools/lib/environment.sh | cksum'
    code = (
        f'root=$(mmfas_root); printf "%s" "$root tests $({stamp})" > {tmp_path}/.mmfas-stamp; '
        f'mmfas_environment {tmp_path} tests && echo $MMFAS_PYTHON'
    )
    done = shell(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f'{tmp_path}/bin/python'


@pytest.mark.parametrize('script', [*sorted((REPO / 'tools').rglob('*.sh')), REPO / '.ci' / 'run'], ids=str)
def test_scripts_parse(script: Path) -> None:
    assert subprocess.run(['bash', '-n', str(script)]).returncode == 0


def test_unknown_stack_is_refused() -> None:
    done = subprocess.run(
        ['bash', str(REPO / 'tools' / 'run_tests.sh')],
        env={**os.environ, 'MMFAS_STACK': 'other'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "MMFAS_STACK must be onedl or openmmlab, but is 'other'" in done.stderr
