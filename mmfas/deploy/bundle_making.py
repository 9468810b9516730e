"""Making a bundle from a config, a checkpoint and dev scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmfas.apis.publish import select_weights
from mmfas.apis.scoring import ScoreError
from mmfas.config.lookup import type_name
from mmfas.datasets.transforms import RandomModalityDropout
from mmfas.deploy.bundle import Bundle, BundleError
from mmfas.deploy.decision import DecisionRule, fixed_rule, rule_at_site, rule_from_dev
from mmfas.deploy.golden_sample import with_golden_sample
from mmfas.deploy.preprocessing import test_pipeline_of
from mmfas.evaluation import ScoreRules, ScoreTable
from mmfas.models.heads import PROMPT_SETS, read_prompts
from mmfas.models.layers import without_lora
from mmfas.structures import LIVE, MODALITIES, SPOOF
from mmfas.synthfas.files.manifest import manifest_identity
from mmfas.utils.checkpoint import check_finite, find_meta, read_checkpoint, sha256_of
from mmfas.utils.plain_values import plain
from mmfas.utils.runs import commit
from mmfas.version import __version__

__all__ = ['make_bundle']


def make_bundle(
    cfg: Config,
    checkpoint: str | Path,
    *,
    dev_scores: str | Path | None = None,
    site_scores: str | Path | None = None,
    rules: ScoreRules | None = None,
    max_apcer: float | None = None,
    max_bpcer: float | None = None,
    optional: Iterable[str] | None = None,
    crop: Mapping[str, Any] | None = None,
    weights: str = 'ema',
    licence: str = '',
) -> Bundle:
    """Make a bundle, its golden sample included.

    Args:
        cfg: Whole config of the model; its test pipeline becomes that of the bundle.
        checkpoint: File with the weights.
        dev_scores: Score file of the dev split, as `mmfas test` writes it with this checkpoint; needed unless
            the criterion is `fixed=VALUE` or `'site'`.
        site_scores: Score file of live videos of the place where the bundle will work, for the criterion `'site'`;
            the dev scores then only show the error rates at this threshold.
        rules: How dev scores fix the threshold; those of the config's `val_evaluator` if None.
        max_apcer: See `rule_from_dev`.
        max_bpcer: See `rule_from_dev`.
        optional: Modalities that may be absent. None: those that training dropped at random, so that the model
            has learned to do without them, but for the one on which the face is searched.
        crop: How faces are cut out of frames, see `Bundle`.
        weights: `'ema'` for the averaged weights where the run had some, `'raw'` for those that were trained.
        licence: Under what terms weights and data may be used.

    Returns:
        The bundle.

    Raises:
        FileNotFoundError: If a file does not exist.
        CheckpointError: If the checkpoint is damaged, refused or does not fit the config.
        ScoreError: If the scores cannot fix a threshold.
        BundleError: If scores are needed and not given, or are of another checkpoint, or the pipeline is not
            one for inference.
    """
    rules = rules or ScoreRules.from_config(cfg)
    decision = _decide(dev_scores, site_scores, rules, max_apcer, max_bpcer)
    content, sha256 = read_checkpoint(checkpoint)
    meta, state_dict = find_meta(content, checkpoint), select_weights(content, checkpoint, weights)
    check_finite(state_dict, checkpoint, 'use an earlier checkpoint of the run')
    modalities = tuple(cfg.model.get('modalities', MODALITIES))
    # one file, one way to compute it: low-rank updates become part of the weights
    model, state_dict = without_lora(_without_files(cfg.model), state_dict)
    origin = dict(
        config=Path(cfg.filename).name if cfg.filename else None,
        checkpoint=Path(checkpoint).name,
        checkpoint_sha256=sha256,
        weights=weights if content.get('ema_state_dict') else None,  # where the run had but one kind
        epoch=meta.get('epoch'),
        seed=meta.get('seed'),
        data=_data_of(cfg),
        dev_scores=_origin_of_scores(dev_scores, sha256),
        **({} if site_scores is None else {'site_scores': _origin_of_scores(site_scores, sha256)}),
        commit=commit(),
        mmfas_version=__version__,
        torch_version=torch.__version__,
    )
    return with_golden_sample(
        Bundle(
            name=Path(cfg.filename).stem if cfg.filename else str(cfg.model.get('type')),
            model=_as_data(model),
            weights={name: value.detach().cpu() for name, value in state_dict.items()},
            modalities=modalities,
            optional=tuple(_may_be_absent(cfg, modalities, crop) if optional is None else optional),
            pipeline=_as_data(test_pipeline_of(cfg.get('test_dataloader') or {})),
            decision=decision,
            crop=None if crop is None else _as_data(crop),
            origin=_as_data(origin),
            licence=licence,
        )
    )


def _decide(
    path: str | Path | None,
    site_path: str | Path | None,
    rules: ScoreRules,
    max_apcer: float | None,
    max_bpcer: float | None,
) -> DecisionRule:
    """Choose the threshold on a score file: of a site if there is one, else of the dev split."""
    if site_path is not None or rules.parsed.kind == 'site':
        return _decide_at_site(dev_path=path, path=site_path, rules=rules, band=(max_apcer, max_bpcer))
    if path is None:
        fixed = fixed_rule(rules)
        if rules.calibration != 'none':
            raise BundleError(
                f'a calibration ({rules.calibration}) is fitted on dev scores: give --dev-scores dev.csv'
            )
        if (max_apcer, max_bpcer) != (None, None):
            raise BundleError('--max-apcer and --max-bpcer are rates on dev scores: give --dev-scores dev.csv')
        if fixed is None:
            raise BundleError(
                'a threshold needs dev scores: give --dev-scores dev.csv (`mmfas test` writes it), or '
                '--criterion fixed=VALUE for one that was chosen elsewhere'
            )
        return fixed
    try:
        dev = ScoreTable.from_csv(path, allow_duplicates=rules.allow_duplicates)
        return rule_from_dev(dev, rules, max_apcer=max_apcer, max_bpcer=max_bpcer)
    except ValueError as error:
        raise ScoreError(f"'{path}': {error}") from error


def _decide_at_site(
    *,
    path: str | Path | None,
    dev_path: str | Path | None,
    rules: ScoreRules,
    band: tuple[float | None, float | None],
) -> DecisionRule:
    """Set the threshold on the score file of a site."""
    if path is None or rules.parsed.kind != 'site':
        raise BundleError(
            'the criterion site and the scores of a site belong together: give --criterion site and --site-scores '
            'SITE.csv'
        )
    if band != (None, None):
        raise BundleError('--max-apcer and --max-bpcer widen a threshold of dev scores, not one of a site')
    if rules.calibration != 'none':
        raise BundleError(
            f'a calibration ({rules.calibration}) belongs to a threshold of dev scores, not of a site'
        )
    try:
        site = ScoreTable.from_csv(path, allow_duplicates=rules.allow_duplicates)
        dev = None if dev_path is None else ScoreTable.from_csv(dev_path, allow_duplicates=rules.allow_duplicates)
        return rule_at_site(site, rules, dev)
    except ValueError as error:
        raise ScoreError(f"'{path}': {error}") from error


def _origin_of_scores(path: str | Path | None, sha256: str) -> dict[str, Any] | None:
    """Say where scores come from; refuse those that a report beside them ties to another checkpoint."""
    if path is None:
        return None
    report = Path(path).with_name('report.json')
    try:
        stated = json.loads(report.read_text(encoding='utf-8'))['origin']['sha256']
    except (OSError, ValueError, KeyError, TypeError):
        stated = None
    if stated not in (None, sha256):
        raise BundleError(
            f"'{path}' holds scores of another checkpoint: {report.name} beside it says SHA-256 {stated}, this "
            f'one has {sha256}; score this checkpoint with `mmfas test`'
        )
    return dict(file=Path(path).name, sha256=sha256_of(path), is_of_this_checkpoint=stated == sha256)


def _without_files(config: Any, name: str = '') -> Any:
    """Copy the config of a model without files: those that only training reads go, prompts are read into it."""
    if isinstance(config, Mapping):
        starts = ('init_cfg', 'file') if name == 'anchors' else ('init_cfg',)
        kept = {key: value for key, value in config.items() if key not in starts and not _is_start(key, value)}
        return {
            key: _prompts(value) if key == 'prompts' else _without_files(value, key) for key, value in kept.items()
        }
    if isinstance(config, list | tuple):
        return [_without_files(value) for value in config]
    return config


def _is_start(key: str, value: Any) -> bool:
    """Tell whether an argument names weights to start from: a file, or those that a library would fetch."""
    return key in ('pretrained', 'checkpoint_path') and (value is None or isinstance(value, str | bool))


def _prompts(value: Any) -> Any:
    """Return prompts without a file: a name of those that come with mmfas, or their texts."""
    if not isinstance(value, str) or value in PROMPT_SETS:
        return value
    texts = read_prompts(value)
    return dict(spoof=texts[SPOOF], live=texts[LIVE])


def _as_data(value: Any) -> Any:
    """Return a config as JSON would give it back, so that a bundle is the same before and after a file."""
    return json.loads(json.dumps(_without_scopes(plain(value)), allow_nan=False))


def _without_scopes(value: Any) -> Any:
    """Drop the marks that mmengine puts on what a base such as `mmfas::...` holds; name other packages instead."""
    if isinstance(value, list | tuple):
        return [_without_scopes(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    found = {key: _without_scopes(item) for key, item in value.items() if key != '_scope_'}
    scope, kind = value.get('_scope_', 'mmfas'), found.get('type')
    if scope != 'mmfas' and isinstance(kind, str) and '.' not in kind:
        found['type'] = f'{scope}.{kind}'
    return found


def _may_be_absent(cfg: Config, modalities: Sequence[str], crop: Mapping[str, Any] | None) -> list[str]:
    """Name the modalities that the model can do without, and the crop of the face as well."""
    searched = None if crop is None else crop['detect_on']
    return [m for m in _dropped_in_training(cfg, modalities) if m != searched]


def _dropped_in_training(cfg: Config, modalities: Sequence[str]) -> list[str]:
    """Name the modalities that the training pipeline drops at random."""
    try:
        steps = test_pipeline_of(cfg.get('train_dataloader') or {})
    except ValueError:
        return []
    dropped: set[str] = set()
    for step in steps:
        if type_name(step) == 'RandomModalityDropout':
            options = {key: value for key, value in step.items() if key not in ('type', '_scope_')}
            dropped |= set(RandomModalityDropout(**options).droppable)
    return [m for m in modalities if m in dropped]


def _data_of(cfg: Config) -> dict[str, Any]:
    """Say which data the model was trained on, as far as the config tells."""
    root = str(cfg.get('data_root') or '')
    lists = (cfg.get('train_dataloader') or {}).get('dataset', {})
    found: dict[str, Any] = dict(root=Path(root).name, lists=plain(lists.get('ann_file', lists.get('lists'))))
    if root and Path(root, 'manifest.json').is_file():
        found['synthfas'] = manifest_identity(root)
    return found
