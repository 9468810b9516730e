"""Compile tables as a paper would."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

import pytest

__all__ = ['compile_tables', 'needs_latex']

needs_latex = pytest.mark.skipif(which('pdflatex') is None, reason='pdflatex (texlive) is not installed')


def compile_tables(text: str, folder: Path) -> None:
    """Make a page of these tables with booktabs; it is complete, without an error, or the test fails."""
    page = '\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n' + text + '\n\\end{document}\n'
    (folder / 'page.tex').write_text(page, encoding='utf-8')
    call = ['pdflatex', '-interaction=nonstopmode', '-halt-on-error', '-no-shell-escape', 'page.tex']
    result = subprocess.run(call, cwd=folder, capture_output=True, text=True, errors='replace', timeout=120)
    assert result.returncode == 0, result.stdout[-2000:]
    assert (folder / 'page.pdf').stat().st_size > 5000
