"""Numbers of the command line: every option that takes one refuses what it cannot use, before anything starts."""

from __future__ import annotations

import pytest

from mmfas.cli.__main__ import main

CONFIG = 'configs/baselines/concat_mini-vit_1xb32-12e_synthfas-cps2w.py'


@pytest.mark.parametrize('value', ['-1', '1.5', 'nan', '', '٣.٥', '9' * 5000])
@pytest.mark.parametrize(
    ('words', 'option'),
    [
        ('measure speed', '--batch-size'),
        ('measure speed', '--warm-up'),
        ('measure speed', '--threads'),
        ('measure leakage', '--max-samples'),
        ('predict', '--max-frames'),
        ('data verify', '--show'),
        ('data render', '--num-processes'),
    ],
)
def test_counts(words: str, option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*words.split(), CONFIG, f'{option}={value}'])
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert f'argument {option}: must be an integer of at least ' in error
    assert len(error) < 5000


@pytest.mark.parametrize('value', ['x', 'cpu:x', 'meta', ''])
def test_devices(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['measure', 'speed', CONFIG, f'--device={value}'])
    assert 'argument --device: ' in capsys.readouterr().err
