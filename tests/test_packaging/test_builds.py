"""Wheel, sdist, wheel from sdist and editable install carry the same files, `.mim` included."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
SOURCES = (
    *('mmfas', 'configs', 'tools', 'requirements', 'docs', 'docker', 'projects', 'tests', 'benchmarks'),
    *('.ci', '.github'),
)
FILES = (
    *('setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'CITATION.cff', 'constraints.txt', 'conftest.py'),
    *('README.md', 'README_zh-CN.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'CODE_OF_CONDUCT.md', 'SECURITY.md'),
    *('.readthedocs.yaml', '.pre-commit-config.yaml', '.gitignore'),
)
IGNORED = shutil.ignore_patterns('__pycache__', '.mim', '*.pyc', '_build', 'generated')
REPOSITORY = 'some/where'

pytestmark = [pytest.mark.slow, pytest.mark.engine]


def run(*command: str, cwd: Path, **environment: str) -> str:
    """Run a command that must succeed and return what it printed."""
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy of what the builds read, so that they leave nothing in the checkout."""
    folder = tmp_path_factory.mktemp('source')
    for name in SOURCES:
        shutil.copytree(REPO / name, folder / name, ignore=IGNORED)
    for name in (*FILES, 'model-index.yml'):
        shutil.copy2(REPO / name, folder / name)
    return folder


@pytest.fixture(scope='module')
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build everything once: the wheel, the sdist, the wheel made from the sdist, the editable wheel."""
    out = tmp_path_factory.mktemp('dist')
    build = (sys.executable, '-m', 'build', '--no-isolation', '--skip-dependency-check')
    run(*build, '--wheel', '--outdir', str(out / 'direct'), str(source), cwd=out, GITHUB_REPOSITORY=REPOSITORY)
    run(*build, '--outdir', str(out / 'both'), str(source), cwd=out)  # the sdist, and a wheel from it
    (out / 'editable').mkdir()
    hook = 'import sys; from setuptools.build_meta import build_editable; build_editable(sys.argv[1])'
    run(sys.executable, '-c', hook, str(out / 'editable'), cwd=source)
    return {
        'wheel': next((out / 'direct').glob('*.whl')),
        'wheel from sdist': next((out / 'both').glob('*.whl')),
        'sdist': next((out / 'both').glob('*.tar.gz')),
        'editable': next((out / 'editable').glob('*.whl')),
    }


def package_files(wheel: Path) -> set[str]:
    """Files below `mmfas/` in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if name.startswith('mmfas/') and not name.endswith('/')}


def files_below(folder: Path) -> set[str]:
    """Relative paths of the files in a folder, through links, without caches."""
    found = (Path(root, name) for root, _, names in os.walk(folder, followlinks=True) for name in names)
    return {str(path.relative_to(folder)) for path in found if '__pycache__' not in path.parts}


def test_both_wheels_carry_the_same_files(built: dict[str, Path]) -> None:
    assert package_files(built['wheel']) == package_files(built['wheel from sdist'])


def test_wheel_has_every_source_config_and_tool(built: dict[str, Path], source: Path) -> None:
    names = package_files(built['wheel'])
    modules = {f'mmfas/{name}' for name in files_below(REPO / 'mmfas') if not name.startswith('.mim')}
    assert modules <= names
    for folder in ('configs', 'tools'):
        assert {f'mmfas/.mim/{folder}/{name}' for name in files_below(source / folder)} <= names
    assert 'mmfas/.mim/model-index.yml' in names
    assert 'mmfas/py.typed' in names


def test_editable_install_links_the_same_mim(built: dict[str, Path], source: Path) -> None:
    wheel = {name.removeprefix('mmfas/.mim/') for name in package_files(built['wheel']) if '/.mim/' in name}
    assert files_below(source / 'mmfas' / '.mim') == wheel
    assert (source / 'mmfas' / '.mim' / 'configs').is_symlink()


def test_sdist_has_what_a_build_reads(built: dict[str, Path], source: Path) -> None:
    with tarfile.open(built['sdist']) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    assert {*FILES, 'model-index.yml', 'requirements/runtime.txt', 'tools/run_tests.sh'} <= names
    assert 'mmfas/evaluation/published.yml' in names
    for folder in SOURCES:
        kept = {f'{folder}/{name}' for name in files_below(source / folder) if not name.startswith('.mim')}
        assert kept <= names, folder
    assert not any(name.startswith('mmfas/.mim') for name in names)


def test_sdist_has_all_that_is_kept(built: dict[str, Path]) -> None:
    if not (REPO / '.git').exists():
        pytest.skip('this is no checkout, so nothing says which files are kept')
    kept = set(run('git', 'ls-files', '-z', cwd=REPO).rstrip('\0').split('\0'))
    with tarfile.open(built['sdist']) as archive:
        assert kept - {name.partition('/')[2] for name in archive.getnames()} == set()


def test_metadata(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built['wheel']) as archive:
        text = {
            Path(name).name: archive.read(name).decode() for name in archive.namelist() if '.dist-info/' in name
        }
    assert 'mmfas = mmfas.cli.__main__:main' in text['entry_points.txt']
    required = [line for line in text['METADATA'].splitlines() if line.startswith('Requires-Dist')]
    plain = [line for line in required if 'extra ==' not in line]
    assert any('torch>=2.4' in line for line in plain)
    assert not any('mm' in line.partition(':')[2].partition('>')[0] for line in plain)  # no engine
    extras = 'onedl openmmlab clip datasets deploy serve demo facecrop hub cluster timm tests docs all'
    for extra in extras.split():
        assert f'Provides-Extra: {extra}' in text['METADATA']
    assert 'License-Expression: Apache-2.0' in text['METADATA']
    assert 'Project-URL: Source, https://github.com/some/where' in text['METADATA']
    assert all(f'Programming Language :: Python :: 3.{minor}' in text['METADATA'] for minor in range(10, 14))


def test_links_of_the_package_page_are_absolute(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built['wheel']) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
        page = archive.read(name).decode()
    links = re.findall(r'\]\(([^)]+)\)', page)
    assert len(links) > 20 and all(link.startswith(('https://', 'http://', '#')) for link in links)
    assert '](https://raw.githubusercontent.com/some/where/v' in page
    start = f'https://github.com/{REPOSITORY}/blob/v'
    own = [link.removeprefix(start).partition('/')[2] for link in links if link.startswith(start)]
    assert own and all((REPO / link.partition('#')[0]).exists() for link in own)


@pytest.mark.parametrize('kind', ['wheel', 'editable'])
def test_configs_are_inherited_from_the_installed_package(
    kind: str, built: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    site = source
    if kind == 'wheel':
        site = tmp_path / 'site'
        with zipfile.ZipFile(built['wheel']) as archive:
            archive.extractall(site)
    config = tmp_path / 'own.py'
    config.write_text("_base_ = 'mmfas::_base_/default_runtime.py'\nown_key = 1\n")
    code = (
        'import mmfas; from mmengine.config import Config; cfg = Config.fromfile("own.py"); '
        'print(mmfas.__file__, cfg.own_key, cfg.default_scope)'
    )
    out = run(sys.executable, '-c', code, cwd=tmp_path, PYTHONPATH=str(site)).split()[-3:]
    assert out == [str(site / 'mmfas' / '__init__.py'), '1', 'mmfas']


def test_models_are_listed_from_the_installed_package(built: dict[str, Path], tmp_path: Path) -> None:
    site = tmp_path / 'site'
    with zipfile.ZipFile(built['wheel']) as archive:
        archive.extractall(site)
    code = (
        'from mmfas.apis import list_models, model_entry; names = list_models(); '
        'print(len(names), model_entry(names[0]).config)'
    )
    number, config = run(sys.executable, '-c', code, cwd=tmp_path, PYTHONPATH=str(site)).split()[-2:]
    assert int(number) >= 49
    assert Path(config).is_file() and Path(config).is_relative_to(site / 'mmfas' / '.mim' / 'configs')
