"""Running the claims: what is perturbed, that cells are done once, and what a record holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmfas.apis.scoring import load_model
from mmfas.registry import HOOKS
from mmfas.structures import MODALITIES
from mmfas.synthfas import Setting, plan_split, render_dataset, render_video
from projects.claims import plan, runs
from projects.claims.__main__ import main
from projects.claims.plan import CLEAN, SOURCES, Claims, read_claims, stress_of

#: Perturbation -> what it touches.
TOUCHED = {'depth_dropout': 'depth', 'depth_noise': 'depth', 'dark_ir': 'ir', 'dark_rgb': 'rgb'}
CONDITIONS = sorted({text for claim in read_claims().claims for pair in claim.all_conditions for text in pair})


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run on one thread with a quiet log, and do not ask git for the commit in every training."""
    monkeypatch.setattr(runs, 'commit', lambda: 'abc')
    yield


@pytest.mark.parametrize('condition', [text for text in CONDITIONS if text not in (CLEAN, SOURCES)])
def test_perturbations_reach_the_named_modalities_and_no_other(condition: str) -> None:
    clean, perturbed = Setting('tiny', 0), Setting('tiny', 0, stress_of(condition))
    (video, *_), (same, *_) = (plan_split(setting, 'P', 'test') for setting in (clean, perturbed))
    assert video == same
    ours, theirs = (render_video(video, setting)[0] for setting in (clean, perturbed))
    touched = {TOUCHED[part.partition('=')[0]] for part in condition.split(',')}
    differs = {name for name in MODALITIES if not np.array_equal(getattr(ours, name), getattr(theirs, name))}
    assert differs == touched


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clean lists that one split reads after training."""
    root = tmp_path_factory.mktemp('claims') / 'tiny'
    render_dataset(root, Setting('tiny', 0), domains=('C', 'S', 'W'), splits=('val',))
    render_dataset(root, Setting('tiny', 0), domains=('P',), splits=('val', 'test'))
    return root


@pytest.mark.slow
def test_cells_are_done_once_and_a_stopped_run_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = read_claims()
    small = Claims(table.select(['u-adapter-dark-ir', 'ssp']).claims, ('csw2p',), (0,), 0.95)
    monkeypatch.setattr(plan, 'read_claims', lambda: small)
    trained: list[Any] = []

    def pretend(cfg: Any) -> None:
        trained.append(cfg)
        HOOKS.build(cfg.default_hooks.checkpoint)
        torch.manual_seed(0)
        Path(cfg.work_dir).mkdir(parents=True, exist_ok=True)
        torch.save(load_model(cfg, None).state_dict(), Path(cfg.work_dir, 'epoch_12.pth'))

    monkeypatch.setattr(runs, 'train', pretend)
    places = ['--data-root', str(data), '--perturbed', str(tmp_path / 'perturbed'), '--jobs', '1']
    places += ['--work-dir', str(tmp_path / 'work'), '--records', str(tmp_path / 'records')]
    assert main([*places, '--plan']) == 0
    assert '8 of 8 cells left; no cell has been timed yet' in capsys.readouterr().out
    assert main([*places, '--only', 'ssp']) == 0 and len(trained) == 2
    assert not (tmp_path / 'perturbed').exists(), 'only what is needed is rendered'
    assert main(places) == 0 and len(trained) == 4, 'two of the four were trained for the first claim'
    lines = capsys.readouterr().out.splitlines()
    counts = [*(f'[{n}/2' for n in (1, 2)), *(f'[{n}/6' for n in range(1, 7))]
    assert [line.partition(']')[0] for line in lines] == counts
    for cfg in trained:
        assert cfg.train_dataloader.dataset.ann_file == [f'protocols/{domain}-train.txt' for domain in 'CSW']
        assert cfg.get('test_dataloader') is None and cfg.get('val_dataloader') is None

    folder = tmp_path / 'records' / plan.REGIME
    files = {path.stem: json.loads(path.read_text()) for path in folder.glob('*.json')}
    assert len(files) == 8 and all(set(record['values']) == {'auc', 'hter'} for record in files.values())
    arm = 'mmdg_no-regrad_clean_csw2p_seed0_on_'
    assert files[f'{arm}dark_ir-1']['values'] != files[f'{arm}clean']['values'], 'it saw the perturbed list'
    lists = [tmp_path / 'perturbed/dark_ir-1/protocols' / f'P-{name}.txt' for name in ('val', 'test')]
    assert all(path.is_file() for path in lists)

    (folder / f'{arm}clean.json').unlink()
    assert main(places) == 0 and len(trained) == 4, 'scored again, not trained again'
    assert json.loads((folder / f'{arm}clean.json').read_text())['values'] == files[f'{arm}clean']['values']
    (tmp_path / 'work' / plan.REGIME / 'mmdg_clean_csw2p_seed0' / 'made_with.json').unlink()
    assert main(places) == 0 and len(trained) == 4, 'a cell with a record needs no checkpoint'
    assert main([*places, '--pack']) == 0 and not list(folder.glob('*.json'))
    assert main(places) == 0 and len(trained) == 4, 'packed records count'
    assert main([*places, '--plan']) == 0 and '0 of 8 cells left' in capsys.readouterr().out


def test_a_training_that_was_killed_is_not_taken_for_a_whole_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = Claims(read_claims().select(['md2a-domain']).claims, ('csw2p',), (0,), 0.95)
    (cell, *_) = plan.cells_of(claims, [0])
    settings = runs.RunSettings(str(tmp_path / 'r'), str(tmp_path / 'w'), str(data), str(tmp_path / 'p'))

    def pretend(cfg: Any, *, killed: bool) -> None:
        Path(cfg.work_dir).mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        torch.save({} if killed else load_model(cfg, None).state_dict(), Path(cfg.work_dir, 'epoch_12.pth'))
        if killed:
            raise KeyboardInterrupt

    monkeypatch.setattr(runs, 'train', lambda cfg: pretend(cfg, killed=True))
    with pytest.raises(KeyboardInterrupt):
        runs.run_cells([cell], settings, report=print)
    assert runs.unfinished([cell], settings) == [cell]
    monkeypatch.setattr(runs, 'train', lambda cfg: pretend(cfg, killed=False))
    lines: list[str] = []
    runs.run_cells([cell], settings, report=lines.append)
    assert lines[0].startswith('[1/1] mmda_clean_csw2p_seed0_on_sources: domain ')
    record = json.loads(settings.record(cell).read_text())
    assert 0 < record['values']['domain'] < 1 and record['weights'] and record['data']['size'] == 'tiny'
    assert runs.unfinished([cell], settings) == []


def test_perturbed_data_are_refused_as_a_start(data: Path, tmp_path: Path) -> None:
    (tmp_path / 'dark').mkdir()
    manifest = json.loads((data / 'manifest.json').read_text())
    manifest['stress'] = {'dark_ir': 1.0}
    (tmp_path / 'dark' / 'manifest.json').write_text(json.dumps(manifest))
    settings = runs.RunSettings(str(tmp_path), str(tmp_path), str(tmp_path / 'dark'), str(tmp_path / 'p'))
    with pytest.raises(ValueError, match='perturbations start from clean data'):
        runs.render_perturbed(plan.cells_of(read_claims(), [0]), settings, num_processes=1)
