"""The card of a bundle: what it decides, on what evidence, for whom, as text or as Markdown for a model hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mmfas.deploy.bundle import Bundle
from mmfas.deploy.decision import POLARITY
from mmfas.evaluation.tables import Row, markdown_table, percent, text_table

__all__ = ['card', 'markdown_card', 'notes']

_SYNTHETIC = 'Trained on rendered faces (SynthFAS): it judges no real face and must not guard anything.'


def card(bundle: Bundle) -> str:
    """Return the card for a terminal.

    Args:
        bundle: The bundle.
    """
    facts = list(_facts(bundle))
    width = max(len(name) for name, _ in facts)
    sections = [bundle.name, '-' * len(bundle.name), *(f'{name:<{width}}  {value}' for name, value in facts)]
    rates = list(_rates(bundle))
    if rates:
        sections.append(text_table(_RATE_HEADER, rates))
    return '\n'.join([*sections, *(f'* {note}' for note in notes(bundle))])


def markdown_card(bundle: Bundle) -> str:
    """Return the card as Markdown, with the header that model hubs read.

    Args:
        bundle: The bundle.
    """
    tags = ['face-anti-spoofing', 'presentation-attack-detection', 'mmfas', *bundle.modalities]
    head = ['---', 'library_name: mmfas', 'tags:', *(f'- {tag}' for tag in tags)]
    if bundle.licence:
        head += ['license: other', f'license_name: {json.dumps(bundle.licence, ensure_ascii=False)}']
    lines = [*head, '---', '', f'# {bundle.name}', '', *(f'* {note}' for note in notes(bundle)), '']
    lines += [markdown_table(('fact', 'value'), [(name, f'`{value}`') for name, value in _facts(bundle)]), '']
    rates = list(_rates(bundle))
    if rates:
        lines += ['## Error rates on dev at the threshold', '', markdown_table(_RATE_HEADER, rates), '']
    lines += [
        '## Use',
        '',
        '```bash',
        'pip install "mmfas[onedl,deploy]"',
        f'mmfas predict {_USE_FILE} FOLDER',
        '```',
        '',
    ]
    return '\n'.join(lines)


_USE_FILE = 'model.mmfas.safetensors'
_RATE_HEADER = ('dev, in %', 'rate', 'errors', '95 % interval')


def _facts(bundle: Bundle) -> Iterator[Row]:
    """Yield what a bundle is, one fact a row."""
    rule, origin = bundle.decision, bundle.origin
    low, high = rule.limits
    yield 'modalities', ', '.join(f'{m} (may be absent)' if m in bundle.optional else m for m in bundle.modalities)
    yield 'score', POLARITY
    yield 'threshold', f'{rule.threshold:.6g} ({rule.origin}, {_level(bundle)})'
    yield 'undecided', 'nothing' if low == high else f'scores from {low:.6g} up to {high:.6g}'
    if rule.calibration is not None:
        fitted = rule.calibration
        yield (
            'probability',
            f'sigmoid({fitted.slope:.6g} logit(score) {fitted.intercept:+.6g}) ({fitted.method}, of dev), '
            f'threshold {fitted.threshold(rule.threshold):.6g}',
        )
    if rule.dev:
        yield 'dev samples', f'{rule.dev["num_live"]} live, {rule.dev["num_spoof"]} spoof'
    yield 'pipeline', ' > '.join(_step(step) for step in bundle.pipeline)
    yield 'face crop', 'none: pictures come cropped' if bundle.crop is None else _arguments(bundle.crop)
    for name in ('config', 'checkpoint', 'epoch', 'seed', 'weights', 'commit', 'mmfas_version', 'torch_version'):
        if origin.get(name) is not None:
            yield name.replace('_', ' '), str(origin[name])
    yield 'data', _data(origin.get('data') or {})
    yield 'parameters', f'{sum(value.numel() for value in bundle.weights.values()):,}'
    yield 'licence', bundle.licence or 'not stated'
    yield 'SHA-256', bundle.sha256


def _rates(bundle: Bundle) -> Iterator[Row]:
    """Yield the error rates on dev."""
    dev = bundle.decision.dev or {}
    named = {'BPCER': dev['bpcer'], **{f'APCER {pai}': rate for pai, rate in dev['apcer'].items()}} if dev else {}
    for name, rate in named.items():
        interval = f'[{percent(rate["low"])}, {percent(rate["high"])}]'
        yield name, percent(rate['value']), f'{rate["errors"]}/{rate["total"]}', interval


def notes(bundle: Bundle) -> Iterator[str]:
    """Yield what a reader must know before anything else.

    Args:
        bundle: The bundle.
    """
    if (bundle.origin.get('data') or {}).get('synthfas'):
        yield _SYNTHETIC
    scores = bundle.origin.get('dev_scores')
    if scores and not scores.get('is_of_this_checkpoint'):
        yield f'No report beside {scores["file"]} ties the dev scores to this checkpoint.'
    yield from bundle.decision.notes


def _level(bundle: Bundle) -> str:
    """Name what the threshold was chosen on."""
    rule = bundle.decision
    return rule.level if rule.level == 'frame' else f'{rule.level}, {rule.frame_reduction} of frames'


def _step(step: Mapping[str, Any]) -> str:
    """Write a transform in a line."""
    arguments = _arguments({name: value for name, value in step.items() if name != 'type'})
    return f'{step["type"]}({arguments})'


def _arguments(values: Mapping[str, Any]) -> str:
    """Write arguments in a line."""
    return ', '.join(f'{name}={value}' for name, value in values.items())


def _data(data: Mapping[str, Any]) -> str:
    """Name the training data."""
    synth = data.get('synthfas')
    if synth:
        return f'SynthFAS, renderer {synth["renderer_version"]}, size {synth["size"]}, seed {synth["seed"]}'
    return str(data.get('root') or 'not stated')
