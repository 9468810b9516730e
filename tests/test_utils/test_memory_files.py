"""Temporary files of tests in memory: what is removed, kept, and left alone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import memory_files
import pytest


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the memory, with room."""
    monkeypatch.setattr(memory_files, 'MEMORY', tmp_path)
    monkeypatch.setattr(memory_files, 'ROOM', 1)
    monkeypatch.setattr(tempfile, 'tempdir', tempfile.tempdir)
    monkeypatch.setenv('TMPDIR', 'set, so that it is set again')
    monkeypatch.delenv('TMPDIR')
    return tmp_path


def test_files_lie_there_and_those_of_the_dead_are_removed(memory: Path) -> None:
    for name in ('mmfas_tests_999999999', f'mmfas_tests_{os.getppid()}', 'mmfas_tests_x', 'other'):
        (memory / name / 'inside').mkdir(parents=True)
    folder = memory_files.keep_files_in_memory()
    assert folder == memory / f'mmfas_tests_{os.getpid()}'
    assert os.environ['TMPDIR'] == tempfile.gettempdir() == str(folder)
    assert {path.name for path in memory.iterdir()} == {folder.name, f'mmfas_tests_{os.getppid()}', 'other'}
    memory_files.clean_up(folder, is_passed=False)
    assert folder.is_dir()
    memory_files.clean_up(folder, is_passed=True)
    assert not folder.exists()
    memory_files.clean_up(None, is_passed=True)


def test_what_was_chosen_or_does_not_fit_is_left_alone(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_files, 'ROOM', 1 << 60)
    assert memory_files.keep_files_in_memory() is None
    monkeypatch.setattr(memory_files, 'ROOM', 1)
    monkeypatch.setattr(memory_files, 'MEMORY', tmp_path / 'none')
    assert memory_files.keep_files_in_memory() is None
    monkeypatch.setattr(memory_files, 'MEMORY', memory)
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    assert memory_files.keep_files_in_memory() is None
    assert list(memory.iterdir()) == []
