"""The inferencer: the scores of `mmfas test`, whatever form pictures come in, and what it will not judge."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from contracts.cases import names_in
from PIL import Image
from tiny_bundles import tiny_config, trained

import mmfas.apis
from mmfas.apis.scoring import build_loader, load_trained_model, score_loader
from mmfas.cli.bundle import main as bundle_main
from mmfas.cli.predict import main as predict_main
from mmfas.deploy.bundle import Bundle, BundleError
from mmfas.deploy.bundle_file import read_bundle, write_bundle
from mmfas.deploy.bundle_making import make_bundle
from mmfas.deploy.golden_sample import rendered_triple
from mmfas.deploy.inferencer import FASInferencer
from mmfas.deploy.inputs import read_inputs
from mmfas.evaluation import ScoreRules
from mmfas.registry import FUSION_NECKS, HEADS

pytestmark = pytest.mark.engine

LIVE = rendered_triple()


@pytest.fixture(scope='module')
def inferencer(bundle: Bundle) -> FASInferencer:
    """Inferencer of the tiny bundle."""
    return FASInferencer(bundle, 'cpu')


def write_triple(folder: Path, name: str = '1', **changes: np.ndarray) -> dict[str, str]:
    """Write a rendered triple; return its paths by modality."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {m: folder / f'{name}_{m}.png' for m in LIVE}
    for modality, path in paths.items():
        image = changes.get(modality, LIVE[modality])
        cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)
    return {m: str(path) for m, path in paths.items()}


#: Every neck, and every head with one of them.
NECKS, ALL_HEADS = names_in(FUSION_NECKS), names_in(HEADS)
PAIRS = [(neck, ALL_HEADS[number % len(ALL_HEADS)]) for number, neck in enumerate(NECKS)]


@pytest.mark.parametrize(
    ('trunk', 'neck', 'head'),
    [
        *(('MultiStreamViT', *pair) for pair in PAIRS),
        ('MultiStreamCNN', 'ConcatNeck', 'LinearFASHead'),
        ('MultiStreamCNN', 'MeanNeck', 'CrossModalFocalHead'),
    ],
)
def test_scores_are_those_of_a_test_run(faces: Path, tmp_path: Path, trunk: str, neck: str, head: str) -> None:
    cfg = tiny_config(faces, neck, head, trunk)
    checkpoint, _ = trained(cfg, tmp_path)
    model, _ = load_trained_model(cfg, str(checkpoint))
    table = score_loader(model.cpu(), build_loader(cfg.test_dataloader))
    assert table is not None
    dataset = build_loader(cfg.test_dataloader).dataset
    inputs = [dict(dataset.get_data_info(i)['img_paths'], sample_id=table.sample_id[i]) for i in range(len(table))]
    judge = FASInferencer(make_bundle(cfg, checkpoint, rules=ScoreRules('fixed=0.5')), 'cpu')
    for batch_size, bound in ((cfg.test_dataloader.batch_size, 0.0), (1, 1e-6), (len(table), 1e-6)):
        found = judge(inputs, batch_size=batch_size)['predictions']
        assert [verdict['sample_id'] for verdict in found] == table.sample_id.tolist()
        worst = np.abs(np.array([verdict['score'] for verdict in found]) - table.score).max()
        assert worst <= bound
        assert all(v['margin'] == v['score'] - 0.5 and v['elapsed_ms'] > 0 for v in found)


def test_every_form_of_a_triple_gets_one_score(inferencer: FASInferencer, tmp_path: Path) -> None:
    paths = write_triple(tmp_path / 'faces')
    with open(tmp_path / 'list.csv', 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerows([['sample_id', *paths], ['first', *(f'faces/{Path(p).name}' for p in paths.values())]])
    forms: list[Any] = [
        paths,
        {m: Path(p) for m, p in paths.items()},
        dict(LIVE),
        {m: Image.fromarray(image) for m, image in LIVE.items()},
        {m: Path(p).read_bytes() for m, p in paths.items()},
        str(tmp_path / 'faces'),
        tmp_path / 'list.csv',
    ]
    scores = {verdict['score'] for verdict in inferencer(forms, batch_size=1)['predictions']}
    assert len(scores) == 1
    rgb_only = inferencer([paths['rgb'], LIVE['rgb'], {'rgb': LIVE['rgb'], 'ir': None}])['predictions']
    assert len({verdict['score'] for verdict in rgb_only}) == 1 and rgb_only[0]['modalities'] == ['rgb']
    assert rgb_only[0]['score'] not in scores


def test_folders_are_read_by_the_names_of_modalities(tmp_path: Path) -> None:
    for folder in ('rgb', 'depth', 'ir', '.hidden'):
        (tmp_path / 'a' / folder).mkdir(parents=True)
        for name in ('1', '2'):
            cv2.imwrite(str(tmp_path / 'a' / folder / f'{name}.png'), LIVE['ir'])
    write_triple(tmp_path / 'b', 'x')
    found = {s.sample_id: tuple(s.pictures) for s in read_inputs(tmp_path)}
    assert found == dict.fromkeys(('a/1', 'a/2', 'b/x'), ('depth', 'ir', 'rgb'))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='holds no pictures: looked for'):
        read_inputs(tmp_path / 'empty')
    shutil.copy(tmp_path / 'b' / 'x_rgb.png', tmp_path / 'b' / 'x_color.png')
    with pytest.raises(ValueError, match='are both rgb of one sample'):
        read_inputs(tmp_path)


@pytest.mark.parametrize(
    ('given', 'error', 'message'),
    [
        ([], ValueError, 'the list of inputs is empty'),
        ('nowhere', FileNotFoundError, "'nowhere' does not exist"),
        (dict(rgb='nowhere.png'), FileNotFoundError, "rgb of nowhere.png: 'nowhere.png' does not exist"),
        (dict(thermal='a.png'), ValueError, 'one or more of rgb, depth, ir'),
        ({}, ValueError, 'one or more of rgb, depth, ir'),
        (5, TypeError, 'got a int'),
    ],
)
def test_wrong_inputs_are_named_before_work_starts(
    inferencer: FASInferencer, given: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        inferencer(given)
    with pytest.raises(error, match=message):
        inferencer([dict(LIVE), given] if given != [] else given)


@pytest.mark.parametrize('batch_size', [0, -1, 2.5, '2', None])
def test_odd_batch_sizes_are_refused(inferencer: FASInferencer, batch_size: Any) -> None:
    with pytest.raises(ValueError, match='batch_size must be a whole number, at least 1'):
        inferencer([dict(LIVE)], batch_size=batch_size)


def test_what_cannot_be_judged_says_why_and_keeps_nobody_else_from_it(
    bundle: Bundle, inferencer: FASInferencer, tmp_path: Path
) -> None:
    flat = np.full_like(LIVE['ir'], 128)
    (tmp_path / 'broken.png').write_bytes(Path(write_triple(tmp_path)['rgb']).read_bytes()[:300])
    found = inferencer(
        [
            {**LIVE, 'ir': flat},
            {**LIVE, 'depth': LIVE['ir']},
            {'depth': LIVE['depth']},
            {'rgb': str(tmp_path / 'broken.png')},
            {**LIVE, 'rgb': LIVE['rgb'].astype(np.float32)},
            dict(LIVE),
        ],
        batch_size=3,
    )['predictions']
    assert [verdict['decision'] for verdict in found[:5]] == ['not judged'] * 5
    assert [verdict['code'] for verdict in found[:5]] == [
        'no content',
        'one file twice',
        'missing modality',
        'unreadable',
        'unreadable',
    ]
    assert 'broken.png' in found[3]['reason'] and found[2]['reason'].startswith('rgb must be there')
    assert all(verdict['score'] is None and verdict['margin'] is None for verdict in found[:5])
    assert all(verdict['elapsed_ms'] > 0 for verdict in found)
    assert found[5]['score'] == inferencer(dict(LIVE))['predictions'][0]['score']
    open_gate = FASInferencer(bundle, 'cpu', quality_gate=False)
    assert open_gate({**LIVE, 'ir': flat})['predictions'][0]['score'] is not None


def test_band_and_threshold_decide(bundle: Bundle) -> None:
    score = FASInferencer(bundle, 'cpu')(dict(LIVE))['predictions'][0]['score']
    for threshold, band, decision in (
        (score, None, 'live'),
        (np.nextafter(score, 1), None, 'spoof'),
        (score, (score, score + 0.1), 'undecided'),
    ):
        rule = replace(bundle.decision, threshold=float(threshold), band=band)
        verdict = FASInferencer(replace(bundle, decision=rule), 'cpu')(dict(LIVE))['predictions'][0]
        assert verdict['decision'] == decision and verdict['threshold'] == float(threshold)


def test_pictures_and_table_are_written(inferencer: FASInferencer, tmp_path: Path) -> None:
    result = inferencer([dict(LIVE), {'depth': LIVE['depth']}], out_dir=tmp_path / 'out')
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == [
        '0000_input-0.png',
        '0001_input-1.png',
        'verdicts.csv',
    ]
    assert [picture.shape for picture in result['visualization']] == [(218, 480, 3), (218, 320, 3)]
    rows = list(csv.DictReader((tmp_path / 'out' / 'verdicts.csv').read_text().splitlines()))
    assert float(rows[0]['score']) == result['predictions'][0]['score'] and rows[1]['code'] == 'missing modality'


def test_random_weights_and_other_machines_are_impossible(bundle: Bundle, tmp_path: Path) -> None:
    torch.save(dict(state_dict=dict(bundle.weights)), tmp_path / 'epoch_1.pth')
    with pytest.raises(BundleError, match='is not a bundle, but a checkpoint'):
        FASInferencer(tmp_path / 'epoch_1.pth')
    assert bundle.golden is not None
    scores = tuple(1 - score for score in bundle.golden.scores)
    wrong = replace(bundle, golden=replace(bundle.golden, scores=scores))
    with pytest.raises(BundleError, match='gives the golden sample'):
        FASInferencer(wrong, 'cpu')
    assert FASInferencer(wrong, 'cpu', self_test=False)(dict(LIVE))['predictions'][0]['score'] is not None
    with pytest.raises(ValueError, match="device 'cuda:99' cannot be used|device 'nowhere' cannot be used"):
        FASInferencer(bundle, 'nowhere')
    assert mmfas.apis.FASInferencer is FASInferencer


def test_commands_from_checkpoint_to_verdict(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = tiny_config(faces)
    cfg.dump(tmp_path / 'tiny.py')
    checkpoint, scores = trained(cfg, tmp_path)
    target = tmp_path / 'tiny.mmfas.safetensors'
    made = [str(tmp_path / 'tiny.py'), str(checkpoint), '--dev-scores', str(scores), '--out', str(target)]
    assert bundle_main([*made, '--card', str(tmp_path / 'card.md'), '--optional', 'ir']) == 0
    assert bundle_main(['--show', str(target)]) == 0
    shown = capsys.readouterr().out
    assert shown.count('dev-eer, frame') == 2 and read_bundle(target).sha256 in shown
    assert 'judges no real face' in (tmp_path / 'card.md').read_text()
    write_triple(tmp_path / 'faces', '1')
    write_triple(tmp_path / 'faces', '2', ir=np.zeros_like(LIVE['ir']))
    out = tmp_path / 'verdicts.jsonl'
    command = [str(target), str(tmp_path / 'faces'), '--out', str(out), '--format', 'jsonl']
    assert predict_main(command) == 3
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{')]
    assert [json.loads(line) for line in out.read_text().splitlines()] == printed
    assert [record['decision'] == 'not judged' for record in printed] == [False, True]
    assert not out.with_name(f'{out.name}.journal').exists()
    assert predict_main([str(target), '--rgb', str(tmp_path / 'faces/1_rgb.png')]) == 3
    assert 'missing modality: depth must be there' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        predict_main([str(target)])
    assert 'give one thing to judge' in capsys.readouterr().err
    assert predict_main([str(checkpoint), str(tmp_path / 'faces')]) == 1
    assert 'is not a bundle, but a checkpoint' in capsys.readouterr().err


def test_a_stopped_prediction_continues(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmfas.deploy import predicting

    judge = FASInferencer(bundle, 'cpu')
    samples = read_inputs([dict(LIVE, sample_id=str(i)) for i in range(4)])
    whole = predicting.judge_to_file(judge, samples, tmp_path / 'whole.csv')
    seen: list[str] = []
    stream = FASInferencer.stream

    def stop(self: FASInferencer, given: Any, **options: Any) -> Any:
        for verdict in stream(self, given, **options):
            seen.append(verdict.sample_id)
            if len(seen) == 3:
                raise KeyboardInterrupt
            yield verdict

    monkeypatch.setattr(FASInferencer, 'stream', stop)
    with pytest.raises(KeyboardInterrupt):
        predicting.judge_to_file(judge, samples, tmp_path / 'v.csv')
    assert not (tmp_path / 'v.csv').exists()
    verdicts = predicting.judge_to_file(judge, samples, tmp_path / 'v.csv')
    assert seen == ['0', '1', '2', '2', '3'] and [v.score for v in verdicts] == [v.score for v in whole]
    assert sorted(p.name for p in tmp_path.iterdir()) == ['v.csv', 'whole.csv']


def test_a_bundle_in_memory_and_from_a_file_judge_alike(bundle: Bundle, tmp_path: Path) -> None:
    path = write_bundle(bundle, tmp_path / 'model.mmfas.pth')
    scores = {FASInferencer(b, 'cpu')(dict(LIVE))['predictions'][0]['score'] for b in (bundle, path, str(path))}
    assert len(scores) == 1


def test_frames_are_judged_and_smoothed(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    triples = [rendered_triple(), rendered_triple('print'), rendered_triple(number=1)]
    arrays = {m: np.stack([triple[m] for triple in triples]) for m in LIVE}
    np.savez(tmp_path / 'frames.npz', **arrays)
    judge = FASInferencer(bundle, 'cpu')
    single = [judge(triple)['predictions'][0]['score'] for triple in triples]
    path = write_bundle(bundle, tmp_path / 'model.mmfas.pth')
    command = [str(path), '--video', str(tmp_path / 'frames.npz'), '--format', 'jsonl', '--device', 'cpu']
    options = ['--window', '2', '--fps', '12', '--out-video', str(tmp_path / 'out.mp4')]
    assert predict_main([*command, *options]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{')]
    expected = [single[0], (single[0] + single[1]) / 2, (single[1] + single[2]) / 2]
    assert [line['score'] for line in lines] == pytest.approx(expected, abs=1e-12)
    assert [line['sample_id'] for line in lines] == [f'frames.npz:{i}' for i in range(3)]
    video = cv2.VideoCapture(str(tmp_path / 'out.mp4'))
    assert (video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)) == (3, 12)


def test_probes_that_are_called_live_end_with_status_1(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for threshold, status in ((1.1, 0), (0.0, 1)):
        rule = replace(bundle.decision, threshold=threshold, band=None)
        path = write_bundle(replace(bundle, decision=rule), tmp_path / f'{status}.pth')
        assert predict_main([str(path), '--device', 'cpu', '--probe']) == status
        captured = capsys.readouterr()
        assert 'probe: black frame: no content' in captured.out
        assert ('called live, but no face is there: probe: wall' in captured.err) == (status == 1)
        assert predict_main([str(path), '--device', 'cpu', '--probe', 'all']) == status
        assert 'probe: curtain' in capsys.readouterr().out
