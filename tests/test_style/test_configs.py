"""Config names follow one grammar, base files are no copies of each other, texts need no imports."""

from __future__ import annotations

import ast
import difflib
import itertools
import re
from pathlib import Path

import yaml
from style_source import REPO, sources

CONFIGS = sources('configs')
BASES = [source for source in CONFIGS if '_base_' in source.path.parts]
LEAVES = [source for source in CONFIGS if '_base_' not in source.path.parts]

#: {method}_{trunk}_{gpus}xb{batch}-{epochs}e_{data}-{protocol}[_{modalities or variant}]
NAME = re.compile(
    r'(?P<method>[a-z0-9]+(-[a-z0-9]+)*)_(?P<trunk>[a-z0-9]+(-[a-z0-9]+)*)_(?P<gpus>\d+)xb(?P<batch>\d+)'
    r'-(?P<epochs>\d+)e_(?P<data>[a-z0-9]+(-[a-z0-9]+)*)(_[a-z0-9]+(-[a-z0-9]+)*)*'
)
MOST_ALIKE = 0.9


def test_configs_are_found() -> None:
    assert len(BASES) >= 5
    assert len(LEAVES) >= 10


def test_names_follow_the_grammar() -> None:
    assert not [str(source.path) for source in LEAVES if not NAME.fullmatch(source.path.stem)]


def test_base_files_are_no_copies() -> None:
    code = {source.path: ast.unparse(source.tree).splitlines() for source in BASES}
    alike = []
    for one, other in itertools.combinations(code, 2):
        ratio = difflib.SequenceMatcher(None, code[one], code[other], autojunk=False).ratio()
        if one.parent == other.parent and ratio > MOST_ALIKE and min(len(code[one]), len(code[other])) > 5:
            alike.append(f'{one} and {other}: {ratio:.2f}')
    assert not alike


def test_texts_import_nothing() -> None:
    assert not [
        str(source.path)
        for source in CONFIGS
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]


def test_every_config_is_in_a_metafile_and_every_metafile_in_the_index() -> None:
    files = sorted(str(path.relative_to(REPO)) for path in (REPO / 'configs').glob('*/metafile.yml'))
    assert yaml.safe_load((REPO / 'model-index.yml').read_text(encoding='utf-8'))['Import'] == files
    models = [
        model for name in files for model in yaml.safe_load((REPO / name).read_text(encoding='utf-8'))['Models']
    ]
    assert sorted(model['Config'] for model in models) == sorted(str(source.path) for source in LEAVES)
    assert all(model['Name'] == Path(model['Config']).stem for model in models)


def test_every_config_folder_has_a_readme_that_names_its_configs() -> None:
    for source in LEAVES:
        readme = (REPO / source.path).parent / 'README.md'
        assert source.path.stem in readme.read_text(encoding='utf-8'), source.path
