"""Seeded attacks: 300 by default, as many as the variable MMFAS_FUZZ_CASES says.

`python -m pytest tests/fuzz -m fuzz` runs them; a case is repeated by its name, which a failure shows. Another
`MMFAS_FUZZ_SEED` gives other cases.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random

import attack_bundles
import attack_checkpoints
import attack_configs
import attack_pictures
import attack_tables
import pytest
from harness import CANARY, Attack, fault_of, must_be_refused

from mmfas.registry import register_all_modules

pytestmark = pytest.mark.fuzz

#: Name -> what makes an attack from a generator and a folder.
ATTACKS: dict[str, Callable[[Random, Path], Attack]] = {
    'lists': attack_tables.lists,
    'pictures': attack_pictures.pictures,
    'archives': attack_pictures.archives,
    'config-values': attack_configs.values,
    'config-keys': attack_configs.keys,
    'config-files': attack_configs.files,
    'config-options': attack_configs.options,
    'score-files': attack_tables.score_files,
    'records': attack_tables.records,
    'checkpoints': attack_checkpoints.checkpoints,
    'bundles': attack_bundles.bundles,
    'onnx-files': attack_bundles.onnx_files,
}
NUM_CASES = int(os.environ.get('MMFAS_FUZZ_CASES', '300'))
SEED = os.environ.get('MMFAS_FUZZ_SEED', '0')
PER_KIND = -(-NUM_CASES // len(ATTACKS))


@pytest.fixture(scope='module', autouse=True)
def _everything_is_imported() -> None:
    register_all_modules()


@pytest.mark.parametrize('number', range(PER_KIND))
@pytest.mark.parametrize('kind', ATTACKS)
def test_attack(kind: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of decoders and unpicklers, about the files
        fault = fault_of(ATTACKS[kind](Random(f'{SEED}/{kind}/{number}'), tmp_path), tmp_path)
    repeat = f'MMFAS_FUZZ_SEED={SEED} MMFAS_FUZZ_CASES={max(NUM_CASES, 1)} python -m pytest -m fuzz'
    assert fault is None, f"{fault}\nrepeat: {repeat} 'tests/fuzz/test_fuzz.py::test_attack[{kind}-{number}]'"


@pytest.mark.parametrize(
    ('attack', 'expected'),
    [
        (Attack('bug', lambda: {}['x']), 'RAW TRACEBACK'),
        (Attack('silence', lambda: 5, must_be_refused), 'SILENT: accepted without a word: 5'),
        (Attack('hang', lambda: [None for _ in iter(int, 1)], must_be_refused), 'HANG'),
        (Attack('exit', lambda: exec('raise SystemExit')), 'ENDED THE PROCESS: SystemExit'),
        (Attack('payload', lambda: Path(CANARY).touch()), 'EXECUTED'),
        (
            Attack('right', lambda: Path('nowhere').read_text(), must_be_refused, False),
            'REFUSED though nothing is wrong',
        ),
    ],
)
def test_the_harness_sees(attack: Attack, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (fault_of(attack, tmp_path, limit=1.0) or '').startswith(expected)


def test_a_case_is_the_same_when_it_is_repeated(tmp_path: Path) -> None:
    for kind, make in ATTACKS.items():
        names = []
        for name in ('a', 'b'):
            (tmp_path / kind / name).mkdir(parents=True)
            names.append(make(Random(f'{kind}'), tmp_path / kind / name).what)
        assert names[0] == names[1]
