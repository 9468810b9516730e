"""The documentation builds without a warning, in both languages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.records
@pytest.mark.slow(60)
@pytest.mark.parametrize('language', ['en', 'zh_CN'])
def test_docs_build_without_warnings(language: str, tmp_path: Path) -> None:
    for package in ('sphinx', 'myst_parser', 'furo'):
        pytest.importorskip(package, reason='the docs extra is not installed')
    # The theme of the pages draws the whole tree of 400 of them on each, which takes as long as all else together.
    command = [sys.executable, '-m', 'sphinx', '-q', '-W', '--keep-going', '-D', 'html_theme=basic', '-b', 'html']
    built = subprocess.run(
        [*command, '-d', str(tmp_path / 'doctrees'), str(ROOT / 'docs' / language), str(tmp_path / 'html')],
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert built.returncode == 0, built.stderr[-4000:]
    assert (tmp_path / 'html' / 'index.html').is_file()
    if language == 'en':  # made by the build, not under version control
        report = tmp_path / 'html' / 'reports' / 'synthfas_small'
        assert {path.name for path in report.iterdir()} == {'report.html', 'report.json', 'report.md'}
