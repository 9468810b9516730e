"""Build of mmfas: metadata, extras, and the `.mim` folder that `mmfas::...` configs are read from."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
#: `owner/name` where GitHub builds a release: the address is that of the repository which releases it.
REPOSITORY = os.environ.get('GITHUB_REPOSITORY', '')
#: Extras that `all` leaves out: the second engine, which excludes the first, and what only developers need.
NOT_IN_ALL = ('openmmlab', 'tests', 'docs')
#: What an installed package carries beside its modules.
MIM_SOURCES = ('configs', 'tools', 'model-index.yml')
EXTRAS = (
    *('onedl', 'openmmlab', 'clip', 'datasets', 'deploy', 'serve', 'demo', 'facecrop', 'hub', 'cluster', 'timm'),
    *('tests', 'docs'),
)


def requirements(name: str) -> list[str]:
    """Read `requirements/<name>.txt`, one requirement a line."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def extras() -> dict[str, list[str]]:
    """Read the extras; `tests` includes `docs`, because a test builds the documentation; `all` is for users."""
    table = {name: requirements(name) for name in EXTRAS}
    everything = sorted({line for name in EXTRAS if name not in NOT_IN_ALL for line in table[name]})
    return {**table, 'tests': table['tests'] + table['docs'], 'all': everything}


def project_urls() -> dict[str, str]:
    """Return the links of the package page; none where it is not known which repository releases it."""
    if not REPOSITORY:
        return {}
    site = f'https://github.com/{REPOSITORY}'
    pages = {'Documentation': 'tree/main/docs/en', 'Changelog': 'blob/main/CHANGELOG.md', 'Issues': 'issues'}
    return {'Source': site, **{name: f'{site}/{page}' for name, page in pages.items()}}


def long_description() -> str:
    """Return the README; where the repository is known, links to its files lead there, pictures too."""
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    if not REPOSITORY:
        return text
    relative, tag = r'\]\((?!https?:|#|mailto:)', f'v{version()}'
    pictures, files = 'https://raw.githubusercontent.com', 'https://github.com'
    text = re.sub(r'(!\[[^\]]*)' + relative, rf'\1]({pictures}/{REPOSITORY}/{tag}/', text)
    return re.sub(relative, f']({files}/{REPOSITORY}/blob/{tag}/', text)


def version() -> str:
    """Read the version without importing the package, which needs an engine."""
    scope: dict[str, str] = {}
    exec((ROOT / 'mmfas' / 'version.py').read_text(encoding='utf-8'), scope)
    return scope['__version__']


class BuildWithMim(build_py):
    """Build step that adds `mmfas/.mim`: copies in a wheel, links to the checkout in an editable install."""

    def run(self) -> None:
        """Build the modules, then the `.mim` folder."""
        super().run()
        editable = getattr(self, 'editable_mode', False)
        mim = (ROOT if editable else Path(self.build_lib)) / 'mmfas' / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for name in MIM_SOURCES:
            if editable:
                (mim / name).symlink_to(Path('..', '..', name), target_is_directory=(ROOT / name).is_dir())
            elif (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, mim / name, ignore=shutil.ignore_patterns('__pycache__', '*.pyc'))
            else:
                shutil.copy2(ROOT / name, mim / name)


setup(
    name='mmfas',
    version=version(),
    description='Modular toolkit for multi-modal (RGB + depth + infrared) face anti-spoofing',
    long_description=long_description(),
    long_description_content_type='text/markdown',
    license_expression='Apache-2.0',
    license_files=['LICENSE'],
    author='The mmfas contributors',
    project_urls=project_urls(),
    keywords='face anti-spoofing, presentation attack detection, multi-modal fusion, OpenMMLab',
    python_requires='>=3.10',
    packages=find_packages(include=['mmfas', 'mmfas.*']),
    package_data={'mmfas': ['py.typed', '**/*.yml', '**/*.json', '**/*.csv', '**/*.txt', 'shipped/*']},
    install_requires=requirements('runtime'),
    extras_require=extras(),
    entry_points={'console_scripts': ['mmfas = mmfas.cli.__main__:main']},
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3',
        *(f'Programming Language :: Python :: 3.{minor}' for minor in range(10, 14)),
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Typing :: Typed',
    ],
)
