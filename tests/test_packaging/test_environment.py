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


@pytest.mark.parametrize(
    ('stamped', 'asked', 'sets_up'),
    [
        ('tests', 'tests', None),
        ('onedl,tests', 'onedl', None),
        ('onedl,tests', 'tests,onedl', None),
        ('onedl', 'onedl,tests', 'onedl,tests'),
        ('onedl,tests', 'docs,onedl', 'onedl,tests,docs'),
        ('onedl-extra', 'onedl', 'onedl-extra,onedl'),
    ],
)
def test_an_environment_with_all_extras_is_left_alone(
    stamped: str, asked: str, sets_up: str | None, tmp_path: Path
) -> None:
    fake_python(tmp_path, 'exit 1')  # a set-up would fail at once
    kept = 'cat "$root"/setup.py "$root"/requirements/*.txt "$root"/tools/lib/environment.sh | cksum'
    code = (
        f'root=$(mmfas_root); printf "%s\\n%s\\n" "$root $({kept})" {stamped} > {tmp_path}/.mmfas-stamp; '
        f'mmfas_environment {tmp_path} {asked} && echo $MMFAS_PYTHON'
    )
    done = shell(code)
    if sets_up is None:
        assert (done.returncode, done.stderr) == (0, '')
        assert done.stdout.strip() == f'{tmp_path}/bin/python'
    else:
        assert f'setting up {tmp_path} with [{sets_up}]' in done.stderr


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
