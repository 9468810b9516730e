"""The command that renders SynthFAS: what it refuses, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmfas.cli.data.render import main

SHORT = ('--size', 'tiny', '--domains', 'S', '--splits', 'val', '--num-processes', '1')


@pytest.mark.parametrize(
    ('words', 'text'),
    [
        (('--stress', 'fog=1'), "unknown perturbation 'fog'; choose from depth_noise"),
        (('--stress', 'blur=nan'), 'perturbation blur must lie in 0..1'),
        (('--stress', 'blur=1.01'), 'perturbation blur must lie in 0..1'),
        (('--domains', 's'), "unknown domain 's'; choose from C, P, S, W"),
        (('--splits', 'dev'), "unknown split 'dev'; choose from train, val, test"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str], text: str
) -> None:
    assert main([str(tmp_path / 'new'), *SHORT, *words]) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / 'new').exists()


def test_second_run_keeps_all_and_another_setting_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), *SHORT]) == 0
    assert '12 frames (1 chunks rendered, 0 found complete)' in capsys.readouterr().out
    assert main([str(tmp_path), *SHORT, '--verify']) == 0
    assert '(0 chunks rendered, 1 found complete)' in capsys.readouterr().out
    assert main([str(tmp_path), *SHORT, '--stress', 'blur=0.5']) == 2
    assert 'give another folder, or delete this one' in capsys.readouterr().err
    assert main([str(tmp_path), *SHORT, '--renderer', '1.0.0']) == 2
    assert "renderer_version = '1.1.0', this run has '1.0.0'" in (error := capsys.readouterr().err)
    assert '--renderer 1.1.0 continues it' in error
    assert main([str(tmp_path), *SHORT, '--statistics', str(tmp_path / 'plot.png')]) == 2
    assert "has no list of the split 'test'; render it first" in capsys.readouterr().err
    assert json.loads((tmp_path / 'manifest.json').read_text())['stress'] == {}


def test_no_folder_and_a_file_for_a_folder_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert 'give the folder to render into, or --contact-sheet PNG' in capsys.readouterr().err
    (tmp_path / 'file').write_text('not a folder')
    assert main([str(tmp_path / 'file'), *SHORT]) == 2
    assert 'File exists' in capsys.readouterr().err
