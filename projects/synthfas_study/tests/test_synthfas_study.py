"""The studies of SynthFAS: which runs there are, what their configs say, and tables made from records."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmfas.evaluation.tables import mean_interval
from mmfas.synthfas import RENDERER_VERSIONS, Setting, render_dataset
from mmfas.synthfas.files.manifest import manifest_identity
from mmfas.utils.runs import read_run_record, write_run_record
from projects.synthfas_study.__main__ import main
from projects.synthfas_study.hardness import DOMAINS, StudyRun, config_text_hash, configure, hardness_runs
from projects.synthfas_study.perturbations import STRENGTHS, SweepStep, render_perturbed, run_sweeps, sweep_steps
from projects.synthfas_study.tables import hardness_table, perturbation_table

CONFIG = Path(__file__).parents[3] / 'configs/baselines/concat_mini-vit_1xb32-12e_synthfas-cps2w.py'


def test_no_target_is_trained_on_in_leave_one_out() -> None:
    runs = hardness_runs([0, 1])
    assert len({run.file_name for run in runs}) == len(runs) == 42
    for run in runs:
        if run.name != 'in-domain':
            assert not set(run.sources) & set(run.targets)
            assert set(run.sources) | set(run.targets) == set(DOMAINS)


def test_config_of_a_run_names_its_lists_and_modalities() -> None:
    run = StudyRun('lodo-cpw2s_ir', ('C', 'P', 'W'), ('S',), ('ir',), random_labels=True, seed=3)
    cfg, scoring = configure(Config.fromfile(str(CONFIG)), run, 'data/somewhere', 'work')
    assert cfg.train_dataloader.dataset.ann_file == [f'protocols/{d}-train.txt' for d in 'CPW']
    assert scoring.val_dataloader.dataset.ann_file == [f'protocols/{d}-val.txt' for d in 'CPW']
    assert scoring.extra_test_dataloaders.S.dataset.ann_file == ['protocols/S-test.txt']
    assert tuple(cfg.model.modalities) == ('ir',)
    assert cfg.randomness.seed == 3
    train_types = [step['type'] for step in cfg.train_dataloader.dataset.pipeline]
    assert train_types[-2:] == ['RandomLabel', 'PackFASInputs']
    tested = scoring.extra_test_dataloaders.S.dataset.pipeline
    assert 'RandomLabel' not in [step['type'] for step in tested]
    assert cfg.val_dataloader is None  # no look at dev or test on the way


def test_record_counts_for_the_same_run_config_and_data_only(tmp_path: Path) -> None:
    identity = dict(run=asdict(StudyRun('in-domain', DOMAINS, DOMAINS)), config='abc', data=dict(seed=0))
    write_run_record(tmp_path / 'r.json', {**identity, 'reports': {}})
    assert read_run_record(tmp_path / 'r.json', identity) == json.loads((tmp_path / 'r.json').read_text())
    assert read_run_record(tmp_path / 'r.json', {**identity, 'config': 'other'}) is None
    assert read_run_record(tmp_path / 'r.json', {**identity, 'data': dict(seed=1)}) is None
    assert read_run_record(tmp_path / 'r.json', {**identity, 'run': {**identity['run'], 'seed': 1}}) is None
    assert read_run_record(tmp_path / 'missing.json', identity) is None


def test_record_of_another_renderer_size_seed_or_perturbation_does_not_count(tmp_path: Path) -> None:
    header = dict(renderer_version='1.0.0', size='small', seed=0, stress={})
    (tmp_path / 'manifest.json').write_text(json.dumps({**header, 'chunks': {}}))
    identity = dict(data=manifest_identity(str(tmp_path)))
    write_run_record(tmp_path / 'r.json', identity)
    assert read_run_record(tmp_path / 'r.json', identity) is not None
    for change in (dict(renderer_version='0.9.0'), dict(size='full'), dict(seed=1), dict(stress={'blur': 0.5})):
        (tmp_path / 'manifest.json').write_text(json.dumps({**header, **change, 'chunks': {}}))
        assert read_run_record(tmp_path / 'r.json', dict(data=manifest_identity(str(tmp_path)))) is None, change


def test_config_hash_is_of_what_a_config_says(tmp_path: Path) -> None:
    (tmp_path / 'a.py').write_text('lr = 0.1\n')
    (tmp_path / 'b.py').write_text("_base_ = './a.py'\n")
    (tmp_path / 'c.py').write_text("_base_ = './a.py'\nlr = 0.2\n")
    one, same, other = (config_text_hash(str(tmp_path / f'{name}.py')) for name in 'abc')
    assert one == same != other


def test_hardness_table_means_over_seeds_and_says_what_was_not_run(tmp_path: Path) -> None:
    for seed, area in enumerate((0.9, 0.8)):
        run = StudyRun('in-domain', DOMAINS, DOMAINS, seed=seed)
        reports = {d: {'auc': {'value': area}} for d in DOMAINS}
        write_run_record(tmp_path / run.file_name, {'run': asdict(run), 'reports': reports})
    rows = hardness_table(tmp_path).splitlines()
    centre, half = mean_interval([0.9, 0.8])
    assert centre == pytest.approx(0.85)
    assert half == pytest.approx(12.7062 * 0.0707107 / 2**0.5, rel=1e-4)
    assert f'{100 * centre:.2f} ± {100 * half:.2f}' in rows[2]
    assert all('not run' in row for row in rows[3:])


def test_table_tells_a_working_perturbation_from_an_insensitive_one(tmp_path: Path) -> None:
    for step in STRENGTHS:
        for name, area in (('blur', 0.95 - 0.3 * step), ('dark_rgb', 0.9)):
            auc = {str(s): dict.fromkeys(DOMAINS, area + 0.001 * s) for s in range(3)}
            write_run_record(tmp_path / f'dial-{name}-{step:.2f}.json', dict(dial=name, step=step, auc=auc))
    rows = {row.split('|')[1].strip(): row for row in perturbation_table(tmp_path).splitlines()[2:]}
    assert 'works' in rows['blur']
    assert '1.00' in rows['blur']
    assert 'insensitive' in rows['dark_rgb']
    assert len(sweep_steps([0])) == 9 * len(STRENGTHS)


@pytest.mark.parametrize(
    ('areas', 'spread', 'verdict'),
    [
        ((0.95, 0.93, 0.90, 0.86, 0.80), 0.002, 'works'),
        ((0.95, 0.93, 0.94, 0.86, 0.80), 0.002, 'works'),  # one neighbour swapped: rank correlation 0.9
        ((0.95, 0.80, 0.93, 0.86, 0.90), 0.002, 'insensitive'),  # falls, but not step by step
        ((0.80, 0.86, 0.90, 0.93, 0.95), 0.002, 'insensitive'),  # rises
        ((0.95, 0.93, 0.90, 0.86, 0.80), 0.060, 'insensitive'),  # the intervals of the ends meet
        ((0.95, 0.93, 0.90, 0.86), 0.002, 'not run'),  # the last step is missing
    ],
)
def test_verdict_of_a_perturbation(tmp_path: Path, areas: tuple[float, ...], spread: float, verdict: str) -> None:
    for step, area in zip(STRENGTHS, areas):
        auc = {str(seed): dict.fromkeys(DOMAINS, area + spread * (seed - 1)) for seed in range(3)}
        write_run_record(tmp_path / f'dial-blur-{step:.2f}.json', dict(dial='blur', step=step, auc=auc))
    cells = [cell.strip() for cell in perturbation_table(tmp_path).splitlines()[2].split('|')]
    assert cells[-2] == verdict


def test_a_perturbation_takes_three_seeds(tmp_path: Path) -> None:
    for step in STRENGTHS:
        auc = {str(seed): dict.fromkeys(DOMAINS, 0.95 - 0.1 * step) for seed in range(2 if step == 0.5 else 3)}
        write_run_record(tmp_path / f'dial-blur-{step:.2f}.json', dict(dial='blur', step=step, auc=auc))
    assert 'fewer than 3 seeds' in perturbation_table(tmp_path)


@pytest.mark.parametrize('other', [dict(config='b'), dict(data=dict(seed=1)), dict(dials_version=1)])
def test_records_of_different_settings_are_not_mixed(tmp_path: Path, other: dict[str, Any]) -> None:
    setting = dict(config='a', data=dict(seed=0), dials_version=2)
    for step, change in ((0.0, {}), (0.25, other)):
        record = dict(setting, **change, dial='blur', step=step, auc={'0': dict.fromkeys(DOMAINS, 0.9)})
        write_run_record(tmp_path / f'dial-blur-{step:.2f}.json', record)
    with pytest.raises(ValueError, match='records of 2 different settings, which no table may mix'):
        perturbation_table(tmp_path)
    for name, change in (('lodo-a', {}), ('lodo-b', other)):
        run = StudyRun(name, ('C',), ('W',))
        record = dict(setting, **change, run=asdict(run), reports={'W': {'auc': {'value': 0.9}}})
        write_run_record(tmp_path / run.file_name, record)
    with pytest.raises(ValueError, match='records of 2 different settings'):
        hardness_table(tmp_path)


def test_sweeps_start_from_clean_data_of_a_known_renderer(tmp_path: Path) -> None:
    header = dict(renderer_version=RENDERER_VERSIONS[0], size='tiny', seed=0, stress={})
    for change, message in (
        (dict(renderer_version='0.9.0'), "unknown renderer version '0.9.0'"),
        (dict(stress={'blur': 0.5}), 'a sweep starts from clean data; render them into another'),
    ):
        (tmp_path / 'manifest.json').write_text(json.dumps({**header, **change, 'chunks': {}}))
        with pytest.raises(ValueError, match=message):
            render_perturbed(SweepStep('blur', 0.25, (0,)), str(tmp_path))


def test_sweeps_keep_the_renderer_of_their_data(tmp_path: Path) -> None:
    header = dict(renderer_version=RENDERER_VERSIONS[0], size='tiny', seed=0, stress={})
    (tmp_path / 'base').mkdir()
    (tmp_path / 'base/manifest.json').write_text(json.dumps({**header, 'chunks': {}}))
    folder = Path(render_perturbed(SweepStep('blur', 0.25, (0,)), str(tmp_path / 'base')))
    found = json.loads((folder / 'manifest.json').read_text())
    assert (found['renderer_version'], found['stress']) == (RENDERER_VERSIONS[0], {'blur': 0.25})
    # the same folder, once its base is of another version: refused before anything is trained
    (tmp_path / 'base/manifest.json').write_text(
        json.dumps({**header, 'renderer_version': RENDERER_VERSIONS[-1], 'chunks': {}})
    )
    with pytest.raises(ValueError, match='base_blur-0.25 holds SynthFAS data with renderer_version'):
        run_sweeps([SweepStep('blur', 0.25, (0,))], 'no.py', str(tmp_path / 'base'), str(tmp_path), str(tmp_path))


def test_mean_of_a_row_takes_only_seeds_with_all_domains(tmp_path: Path) -> None:
    for seed, targets in ((0, DOMAINS), (1, DOMAINS[:2])):
        for target in targets:
            run = StudyRun(f'lodo-rest2{target.lower()}', ('C',), (target,), seed=seed)
            reports = {target: {'auc': {'value': 0.9 - 0.1 * seed}}}
            write_run_record(tmp_path / run.file_name, {'run': asdict(run), 'reports': reports})
    row = next(row for row in hardness_table(tmp_path).splitlines() if row.startswith('| the other three |'))
    cells = [cell.strip() for cell in row.split('|')[2:-1]]
    assert cells[0].startswith('85.00 ± ')
    assert cells[2:] == ['90.00', '90.00', '90.00', '1']


def test_probe_prints_every_list_of_every_domain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    render_dataset(tmp_path, Setting('tiny'))
    assert main(['probe', '--data-root', str(tmp_path)]) == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert [cell.strip() for cell in head.strip('|').split('|')] == ['list', *DOMAINS]
    cells = [[cell.strip() for cell in row.strip('|').split('|')] for row in rows]
    assert [row[0] for row in cells] == [
        'train (21 frames)', 'val (12 frames)', 'test (21 frames)', 'all three (54 frames)'
    ]  # fmt: skip
    assert all(0 <= float(cell) <= 1 for row in cells for cell in row[1:])


def test_probe_names_what_it_cannot_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    render_dataset(tmp_path, Setting('tiny', renderer='1.0.0'), domains=('C', 'S'))
    asked = ['probe', '--data-root', str(tmp_path)]
    assert main(asked) == 0
    assert '| list | C | S |' in ' '.join(capsys.readouterr().out.split())
    file = tmp_path / 'protocols/C-val.txt'
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(''.join(line for line in lines if line.split()[-1] == '1'))
    assert main(asked) == 1
    assert 'C val: the probe needs two videos of each class' in ' '.join(capsys.readouterr().err.split())
    file.write_text(''.join(lines))
    picture = tmp_path / lines[0].split()[0]
    picture.unlink()
    assert main(asked) == 1
    assert picture.name in capsys.readouterr().err
    (tmp_path / 'protocols/S-val.txt').unlink()
    assert main(asked) == 1
    error = capsys.readouterr().err
    assert 'protocols/S-val.txt' in error
    assert '--size tiny --seed 0 --renderer 1.0.0' in error
