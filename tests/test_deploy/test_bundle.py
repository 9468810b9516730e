"""Bundles: what they hold, how they travel, and what they refuse."""

from __future__ import annotations

import json
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_bundles import tiny_config, trained

from mmfas.apis.scoring import ScoreError
from mmfas.deploy.bundle import Bundle, BundleError, digest_of, json_of
from mmfas.deploy.bundle_file import read_bundle, write_bundle
from mmfas.deploy.bundle_making import _without_files, _without_scopes, make_bundle
from mmfas.deploy.golden_sample import check_golden_sample
from mmfas.deploy.inferencer import FASInferencer
from mmfas.deploy.torch_runtime import TorchRuntime
from mmfas.deploy.trusted_parts import check_parts
from mmfas.evaluation import ScoreRules, ScoreTable, dev_threshold
from mmfas.models.heads import read_prompts
from mmfas.registry import MODELS
from mmfas.utils.checkpoint import CheckpointError, write_checkpoint

pytestmark = pytest.mark.engine

FORMATS = ('model.mmfas.pth', 'model.mmfas.safetensors')


def test_a_config_that_inherits_from_a_package_gives_the_same_bundle(faces: Path, tmp_path: Path) -> None:
    cfg = tiny_config(faces)
    checkpoint, _ = trained(cfg, tmp_path)
    plain = make_bundle(cfg, checkpoint, rules=ScoreRules('fixed=0.5'))
    cfg.model['_scope_'] = cfg.model.head['_scope_'] = 'mmfas'  # as mmengine marks what comes from `mmfas::...`
    for step in cfg.test_dataloader.dataset.pipeline:
        step['_scope_'] = 'mmfas'
    marked = make_bundle(cfg, checkpoint, rules=ScoreRules('fixed=0.5'))
    assert (marked.model, marked.pipeline) == (plain.model, plain.pipeline)
    assert _without_scopes([dict(type='ResNet', _scope_='mmpretrain', depth=(18,))]) == [
        dict(type='mmpretrain.ResNet', depth=[18])
    ]


@pytest.mark.parametrize('name', FORMATS)
def test_a_file_brings_everything_back(bundle: Bundle, tmp_path: Path, name: str) -> None:
    read = read_bundle(write_bundle(bundle, tmp_path / name))
    assert json_of(read.record()) == json_of(bundle.record()) and read.sha256 == bundle.sha256
    assert all(torch.equal(value, read.tensors()[key]) for key, value in bundle.tensors().items())
    assert read.decision == bundle.decision and read.golden is not None
    # dev: 12 frames of the val list of C, at least half a dozen live
    assert read.decision.dev is not None and read.decision.dev['num_live'] + read.decision.dev['num_spoof'] == 12
    assert check_golden_sample(read, TorchRuntime(read.build_model())) == 0.0
    assert len(read.golden.scores) == len(read.allowed_subsets()) == 4


def test_threshold_is_that_of_the_dev_scores(faces: Path, tmp_path: Path) -> None:
    cfg = tiny_config(faces)
    checkpoint, scores = trained(cfg, tmp_path)
    table = ScoreTable.from_csv(scores)
    for criterion in ('eer', 'bpcer@apcer=0.2'):
        rules = ScoreRules(criterion)
        decision = make_bundle(cfg, checkpoint, dev_scores=scores, rules=rules).decision
        assert decision.threshold == float(dev_threshold(table, rules)) and decision.origin == f'dev-{criterion}'
    banded = make_bundle(cfg, checkpoint, dev_scores=scores, max_apcer=0.0, max_bpcer=0.0).decision
    low, high = banded.limits
    live, spoof = table.score[table.is_live], table.score[~table.is_live]
    assert low <= banded.threshold <= high
    assert (spoof < high).all() and (live >= low).all()
    assert banded.decide(high) == 'live' and banded.decide(low) == ('undecided' if low < high else 'live')


def test_scores_of_another_checkpoint_are_refused(faces: Path, tmp_path: Path) -> None:
    cfg = tiny_config(faces)
    checkpoint, scores = trained(cfg, tmp_path)
    (tmp_path / 'report.json').write_text(json.dumps(dict(origin=dict(sha256='0' * 64))))
    with pytest.raises(BundleError, match='holds scores of another checkpoint'):
        make_bundle(cfg, checkpoint, dev_scores=scores)
    with pytest.raises(BundleError, match='a threshold needs dev scores: give --dev-scores'):
        make_bundle(cfg, checkpoint)
    fixed = make_bundle(cfg, checkpoint, rules=ScoreRules('fixed=0.25'))
    assert fixed.decision.threshold == 0.25 and fixed.decision.origin == 'fixed'
    with pytest.raises(BundleError, match='--max-apcer and --max-bpcer are rates on dev scores'):
        make_bundle(cfg, checkpoint, rules=ScoreRules('fixed=0.25'), max_apcer=0.01)


def test_a_threshold_given_by_hand_keeps_the_other_options(faces: Path, tmp_path: Path) -> None:
    cfg = tiny_config(faces)
    checkpoint, scores = trained(cfg, tmp_path)
    rules = ScoreRules('fixed=0.5', level='video', frame_reduction='median')
    plain = make_bundle(cfg, checkpoint, rules=rules).decision
    assert (plain.level, plain.frame_reduction, plain.dev) == ('video', 'median', None)
    rule = make_bundle(cfg, checkpoint, dev_scores=scores, rules=rules, max_apcer=0.01, max_bpcer=0.05).decision
    assert (rule.threshold, rule.origin, rule.level, rule.frame_reduction) == (0.5, 'fixed', 'video', 'median')
    assert rule.dev is not None and rule.limits[0] <= 0.5 <= rule.limits[1]
    with pytest.raises(BundleError, match=r'a calibration \(platt\) belongs to a threshold of dev scores'):
        make_bundle(
            cfg, checkpoint, dev_scores=scores, site_scores=scores, rules=ScoreRules('site', calibration='platt')
        )


def test_averaged_weights_are_taken_unless_the_trained_ones_are_asked_for(faces: Path, tmp_path: Path) -> None:
    cfg = tiny_config(faces)
    checkpoint, _ = trained(cfg, tmp_path)
    call: dict[str, Any] = dict(rules=ScoreRules('fixed=0.5'))
    assert make_bundle(cfg, checkpoint, **call).origin['weights'] is None  # there is but one kind
    averaged = torch.load(checkpoint, weights_only=True)['state_dict']
    steps = {f'module.{name}': value * 0.5 for name, value in averaged.items() if value.is_floating_point()}
    both = dict(state_dict=averaged, ema_state_dict=dict(steps, steps=torch.tensor(3)))  # as mmengine saves them
    torch.save(dict(meta=dict(epoch=1), **both), tmp_path / 'both.pth')
    for kind, factor in (('ema', 1.0), ('raw', 0.5)):
        made = make_bundle(cfg, tmp_path / 'both.pth', weights=kind, **call)
        assert made.origin['weights'] == kind
        name = next(name for name, value in averaged.items() if value.is_floating_point())
        assert torch.equal(made.weights[name], averaged[name] * factor)


def test_pipelines_that_draw_at_random_are_refused(faces: Path, tmp_path: Path) -> None:
    cfg = tiny_config(faces, PhotometricModalities=dict(brightness=(-40, 40), gamma=(0.5, 2.0)))
    checkpoint, _ = trained(cfg, tmp_path)
    with pytest.raises(BundleError, match='gives other pictures each time'):
        make_bundle(cfg, checkpoint, rules=ScoreRules('fixed=0.5'))


def test_modalities_that_the_pipeline_takes_away_are_not_asked_for(faces: Path, tmp_path: Path) -> None:
    cfg = tiny_config(faces, FixedMissing=dict(missing=('depth',)))
    checkpoint, _ = trained(cfg, tmp_path)
    bundle = make_bundle(cfg, checkpoint, rules=ScoreRules('fixed=0.5'))
    assert bundle.required == ('rgb', 'ir') and bundle.allowed_subsets() == (('rgb', 'ir'),)
    assert bundle.missing(dict(rgb=1, ir=1)) == () and bundle.missing(dict(rgb=1, depth=1)) == ('ir',)


@pytest.mark.parametrize('name', FORMATS)
def test_every_changed_byte_is_noticed(bundle: Bundle, tmp_path: Path, name: str) -> None:
    path = write_bundle(bundle, tmp_path / name)
    content = path.read_bytes()
    for at in torch.linspace(0, len(content) - 1, 40).long().tolist():
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        with pytest.raises((BundleError, CheckpointError)):
            read_bundle(path)
    for size in (0, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises((BundleError, CheckpointError)):
            read_bundle(path)


def test_foreign_files_are_refused_in_a_sentence(bundle: Bundle, tmp_path: Path) -> None:
    write_checkpoint(dict(state_dict=dict(bundle.weights)), tmp_path / 'epoch_1.pth')
    with pytest.raises(
        BundleError, match="epoch_1.pth' is not a bundle, but a checkpoint; make one with `mmfas bundle"
    ):
        read_bundle(tmp_path / 'epoch_1.pth')
    save_file({'a': torch.zeros(2)}, tmp_path / 'other.safetensors')
    with pytest.raises(BundleError, match="other.safetensors' is not a bundle"):
        read_bundle(tmp_path / 'other.safetensors')
    for name in ('model.onnx', 'model.pt2'):
        with pytest.raises(BundleError, match=rf"{name}' is an? .*, but a bundle is needed here, such as the one"):
            read_bundle(tmp_path / name)
    for name in ('nothing.pth', '.'):
        with pytest.raises(FileNotFoundError, match=r"^bundle '.*' does not exist or is not a file"):
            read_bundle(tmp_path / name)
    with pytest.raises(BundleError, match=r'a bundle ends in \.pth or \.safetensors'):
        write_bundle(bundle, tmp_path / 'model.bin')


def test_a_rewritten_threshold_is_noticed(bundle: Bundle, tmp_path: Path) -> None:
    path = write_bundle(bundle, tmp_path / 'model.safetensors')
    with safe_open(path, 'pt') as file:
        head = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    record = json.loads(head['mmfas_bundle'])
    record['decision'].update(threshold=0.0, band=None)
    save_file(tensors, path, {**head, 'mmfas_bundle': json_of(record)})
    with pytest.raises(BundleError, match='was changed after it was made'):
        read_bundle(path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(type='os.system', command='touch {file}'), "asks for 'os.system', which is not a registered part"),
        (dict(type='mmengine.dump', obj='x', file='{file}'), "asks for 'mmengine.dump'"),
        (dict(type='subprocess.Popen', args='touch {file}', shell=True), "asks for 'subprocess.Popen'"),
        (dict(type='LinearFASHead', _scope_='mmengine'), "sets '_scope_'"),
        (dict(type=['os.system']), 'which is not a registered part'),
    ],
)
def test_nothing_a_bundle_names_is_run(
    bundle: Bundle, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    mark = tmp_path / 'mark'
    change = {name: value.format(file=mark) if isinstance(value, str) else value for name, value in change.items()}
    wrong = replace(bundle, model={**bundle.model, 'head': change})
    read = read_bundle(write_bundle(wrong, tmp_path / 'model.pth'))
    with pytest.raises(ValueError, match=message):
        read.build_model()
    steps = replace(bundle, pipeline=[bundle.pipeline[0], change, *bundle.pipeline[1:]])
    with pytest.raises(ValueError, match='nothing of it was built'):
        steps.preprocessing()
    assert not mark.exists()


def test_scores_that_mean_something_else_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    record = json.loads(json_of(bundle.record()))
    record['decision']['polarity'] = 'the higher, the more spoof'
    text, tensors = json_of(record), bundle.tensors()
    head = dict(mmfas_bundle=text, mmfas_bundle_sha256=digest_of(text, tensors))
    write_checkpoint({**head, 'state_dict': tensors}, tmp_path / 'model.pth')
    with pytest.raises(BundleError, match='scores must mean .* but the rule says .the higher, the more spoof'):
        read_bundle(tmp_path / 'model.pth')


def _odd(bundle: Bundle, **changes: Any) -> Bundle:
    """The bundle with another golden sample."""
    assert bundle.golden is not None
    return replace(bundle, golden=replace(bundle.golden, **changes))


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        (dict(present=(), scores=()), '0 scores of 0 sets'),
        (dict(scores=(0.5,)), '1 scores of 4 sets'),
        (dict(scores=(0.5, 0.5, 2.0, 0.5)), r'scores are in \[0, 1\], but one is 2.0'),
        (dict(present=(('rgb',), (), ('rgb',), ('rgb',))), r'but a score is of \[\]'),
        (dict(pictures={}), r'its pictures are \[\]'),
    ],
)
def test_a_golden_sample_that_proves_nothing_is_refused(
    bundle: Bundle, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    path = write_bundle(_odd(bundle, **changes), tmp_path / 'model.pth')
    with pytest.raises(BundleError, match=sentence):
        read_bundle(path)


def test_mislabelled_bundles_are_refused_in_a_sentence(bundle: Bundle, tmp_path: Path) -> None:
    steps, small = bundle.pipeline, json.loads(json.dumps(bundle.model))
    small['trunk']['vit']['arch']['embed_dims'] = -8
    wrong = {
        'mislabelled: it names': replace(bundle, modalities=('rgb', 'depth'), optional=()),
        'the pipeline .* cannot be built': replace(bundle, pipeline=[dict(steps[0], speed=3), *steps[1:]]),
        'the pipeline must start with': replace(bundle, pipeline=steps[1:]),
        'the model .* cannot be built': replace(bundle, model=small),
        'the golden sample .* cannot be scored': replace(bundle, pipeline=steps[:-1]),
    }
    for number, (sentence, other) in enumerate(wrong.items()):
        path = write_bundle(_odd(other, present=(('rgb',),), scores=(0.5,)), tmp_path / f'{number}.pth')
        with pytest.raises(ValueError, match=sentence):
            FASInferencer(path, 'cpu')
    for origin in (
        dict(data=5),
        dict(data=dict(synthfas=5)),
        dict(dev_scores='dev.csv'),
        dict(data=dict(synthfas={'size': 1})),
    ):
        with pytest.raises(BundleError, match='is not a usable bundle'):
            read_bundle(write_bundle(replace(bundle, origin=origin), tmp_path / 'origin.pth'))


@pytest.mark.parametrize(
    'size',
    [
        {'embed_dims': 2**18, 'feedforward_channels': 2**18},
        {'num_layers': 10**7},
        {'feedforward_channels': 2**40},
    ],
    ids=lambda size: next(iter(size)),
)
def test_a_config_that_asks_for_more_than_there_are_weights_is_refused(
    bundle: Bundle, tmp_path: Path, size: dict[str, int]
) -> None:
    model = json.loads(json.dumps(bundle.model))
    model['trunk']['vit']['arch'].update(size)
    path = write_bundle(_odd(replace(bundle, model=model), present=(('rgb',),), scores=(0.5,)), tmp_path / 'x.pth')
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r'asks for far more than|cannot be built'):
        FASInferencer(path, 'cpu')
    assert time.monotonic() - start < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1e6, 'kB'


def test_prompts_are_in_the_bundle_and_no_other_file_is_named(tmp_path: Path) -> None:
    (tmp_path / 'own.yml').write_text('spoof: [a mask]\nlive: [a face]\n')
    head = dict(
        anchors=dict(
            file='anchors.pth', text_tower=dict(prompts=str(tmp_path / 'own.yml'), pretrained='clip.pth')
        ),
        init_cfg=dict(checkpoint='x.pth'),
        trunk=dict(type='X', pretrained=None),
        other=dict(text_tower=dict(prompts='flip'), file='kept'),
    )
    assert _without_files(head) == dict(
        anchors=dict(text_tower=dict(prompts=dict(spoof=['a mask'], live=['a face']))),
        trunk=dict(type='X'),
        other=dict(text_tower=dict(prompts='flip'), file='kept'),
    )
    assert read_prompts(dict(spoof=['a mask'], live=['a face'])) == {0: ['a mask'], 1: ['a face']}
    with pytest.raises(ValueError, match='its prompts are in the file .*own.yml'):
        check_parts(head, MODELS, 'the model')


def test_a_golden_sample_with_other_scores_stops(bundle: Bundle) -> None:
    assert bundle.golden is not None
    wrong = replace(bundle, golden=replace(bundle.golden, scores=tuple(s + 0.01 for s in bundle.golden.scores)))
    runtime = TorchRuntime(bundle.build_model())
    with pytest.raises(BundleError, match='differ by 0.01, and 0.0001 is allowed'):
        check_golden_sample(wrong, runtime)
    assert check_golden_sample(wrong, runtime, tolerance=0.1) == pytest.approx(0.01)


def test_nan_weights_and_other_formats_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    weights = {name: value.clone() for name, value in bundle.weights.items()}
    next(iter(weights.values())).view(-1)[0] = float('nan')
    with pytest.raises(CheckpointError, match='NaN or infinite values in 1 of'):
        read_bundle(write_bundle(replace(bundle, weights=weights), tmp_path / 'model.pth'))
    other = replace(bundle, modalities=('rgb', 'depth', 'ir'), optional=('depth',))
    assert other.sha256 != bundle.sha256
    with pytest.raises(BundleError, match='must be among those of the model'):
        replace(bundle, optional=('thermal',))


def test_threshold_may_be_set_on_live_videos_of_the_site(faces: Path, tmp_path: Path) -> None:
    cfg = tiny_config(faces)
    checkpoint, scores = trained(cfg, tmp_path)
    table = ScoreTable.from_csv(scores)
    site = replace(table, score=np.where(table.is_live, table.score / 2, 1.0))
    site.to_csv(tmp_path / 'site.csv')
    rules = ScoreRules('site-2@bpcer=0')
    call: dict[str, Any] = dict(site_scores=tmp_path / 'site.csv', rules=rules)
    bundle = make_bundle(cfg, checkpoint, dev_scores=scores, **call)
    decision = bundle.decision
    assert decision.origin == 'site (2 live videos)' and decision.threshold == site.score[site.is_live].min()
    assert decision.band is None and decision.notes[0].startswith('The threshold was set on 2 of 2 live videos')
    assert decision.dev is not None and decision.dev['num_spoof'] == table.num_spoof
    assert bundle.origin['site_scores']['file'] == 'site.csv'
    read = read_bundle(write_bundle(bundle, tmp_path / 'x.mmfas.safetensors'))
    assert read.decision == decision
    assert make_bundle(cfg, checkpoint, **call).decision.dev is None
    with pytest.raises(ScoreError, match='have 2 live videos'):
        make_bundle(cfg, checkpoint, site_scores=tmp_path / 'site.csv', rules=ScoreRules('site-3'))
    with pytest.raises(BundleError, match='belong together'):
        make_bundle(cfg, checkpoint, rules=rules, dev_scores=scores)
    with pytest.raises(BundleError, match='widen a threshold of dev scores'):
        make_bundle(cfg, checkpoint, max_apcer=0.1, **call)
