"""What is imported is declared, what is declared is imported, and `constraints.txt` has a version of it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPO = Path(__file__).resolve().parents[2]
#: Package -> modules, where the names differ.
MODULES = {
    'opencv-python': 'cv2',
    'pillow': 'PIL',
    'protobuf': 'google',
    'pyyaml': 'yaml',
    'scikit-image': 'skimage',
    'scikit-learn': 'sklearn',
    'open_clip_torch': 'open_clip',
    'onedl-mmcv': 'mmcv',
    'onedl-mmengine': 'mmengine',
    'onedl-mmpretrain': 'mmpretrain',
    'mmcv-lite': 'mmcv',
}
#: Declared, though no file of the package says `import`.
NOT_IMPORTED = {
    'torchvision': 'mmpretrain and timm need it, in the build that fits torch',
    'onnxscript': 'torch.onnx.export imports it',
    'mmpretrain': 'its registry is imported by name, for trunks',
}
USERS = ('clip', 'cluster', 'datasets', 'demo', 'deploy', 'facecrop', 'hub', 'onedl', 'runtime', 'serve', 'timm')


def declared(name: str) -> list[Requirement]:
    """Read a file of `requirements/`."""
    lines = (REPO / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith('#')]


def module_of(requirement: Requirement) -> str:
    """Return what a package is imported as."""
    return MODULES.get(requirement.name, requirement.name.replace('-', '_'))


def imported() -> Iterator[str]:
    """Yield the first part of every module that a file of mmfas imports."""
    for path in (REPO / 'mmfas').rglob('*.py'):
        if '.mim' in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition('.')[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield str(node.module).partition('.')[0]


def test_declared_is_imported() -> None:
    modules = {module_of(requirement) for name in USERS for requirement in declared(name)}
    used = set(imported()) - set(sys.stdlib_module_names) - {'mmfas'}
    assert used - modules == set()
    assert modules - used == set(NOT_IMPORTED)


@pytest.mark.parametrize('name', USERS)
def test_constraints_have_a_version_of_all_that_users_install(name: str) -> None:
    text = (REPO / 'constraints.txt').read_text(encoding='utf-8')
    pinned = {re.sub(r'[-_.]+', '-', line.partition('==')[0]).lower() for line in text.splitlines()}
    assert {re.sub(r'[-_.]+', '-', requirement.name).lower() for requirement in declared(name)} <= pinned


def test_constraints_fit_what_is_declared() -> None:
    lines = (REPO / 'constraints.txt').read_text(encoding='utf-8').splitlines()
    wanted = {requirement.name: requirement for name in USERS for requirement in declared(name)}
    for line in map(Requirement, lines):
        (pin,) = line.specifier
        assert pin.operator == '=='
        if line.name in wanted:
            assert wanted[line.name].specifier.contains(pin.version), line
