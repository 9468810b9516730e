"""The parts of the demo page as HTML and pictures: pure functions, which need no web framework."""

from __future__ import annotations

from html import escape

import numpy as np

from mmfas.apis.uncertainty import UncertaintyMaps
from mmfas.deploy.bundle import Bundle
from mmfas.deploy.card import notes
from mmfas.deploy.decision import LIVE, SPOOF, UNDECIDED, DecisionRule
from mmfas.deploy.explaining import Explanation
from mmfas.deploy.verdict import Verdict
from mmfas.visualization.uncertainty_plots import draw_uncertainty
from mmfas.visualization.verdict_pictures import DECISION_COLOURS

__all__ = ['CSS', 'UNCERTAINTY', 'heading', 'parts_table', 'section', 'uncertainty_picture', 'verdict_card']

#: Says of every page what its samples are; that of a model trained on them comes from the card of the bundle.
_SAMPLES_ARE_RENDERED = 'The samples below are rendered (SynthFAS): no person is in them.'
#: Explains the map.
UNCERTAINTY = (
    'In the last block of the network, from sure (dark) to unsure (bright). This does not show where an attack '
    'is: a patch may be unsure because it is rare.'
)

CSS = """
.fas-title { display: flex; align-items: baseline; gap: .8em; flex-wrap: wrap; margin: 0 0 .4em }
.fas-title h1 { font-size: 1.7em; font-weight: 650; margin: 0; letter-spacing: -.01em }
.fas-title code { opacity: .65; font-size: .8em }
.fas-notes { border-left: 4px solid #e69f00; background: rgba(230, 159, 0, .12); padding: .6em .9em;
  border-radius: 4px; line-height: 1.5 }
.fas-notes b { font-weight: 650 }
.fas-card { border: 1px solid var(--border-color-primary); border-top: 5px solid var(--fas);
  border-radius: 10px; padding: 1em 1.3em 1.1em; background: var(--background-fill-primary) }
.fas-head { display: flex; justify-content: space-between; align-items: baseline }
.fas-word { font-size: 2.3em; font-weight: 700; letter-spacing: -.02em; line-height: 1.2 }
.fas-number { font-size: 1.5em; font-variant-numeric: tabular-nums }
.fas-scale { position: relative; height: 12px; border-radius: 6px; background: rgba(128, 128, 128, .2) }
.fas-big { margin: 2.4em 0 .35em }
.fas-zone { position: absolute; top: 0; bottom: 0; opacity: .35 }
.fas-zone:first-child { border-radius: 6px 0 0 6px }
.fas-zone.fas-last { border-radius: 0 6px 6px 0 }
.fas-tick { position: absolute; top: -5px; bottom: -5px; width: 2px; margin-left: -1px;
  background: var(--body-text-color) }
.fas-label { position: absolute; bottom: calc(100% + 7px); transform: translateX(-50%); white-space: nowrap;
  font-size: .82em }
.fas-dot { position: absolute; top: 50%; width: 22px; height: 22px; margin: -11px 0 0 -11px; border-radius: 50%;
  background: var(--fas); border: 3px solid var(--background-fill-primary); box-shadow: 0 1px 4px #0006 }
.fas-ends { display: flex; justify-content: space-between; font-size: .82em; opacity: .7 }
.fas-fine { margin: .8em 0 0; line-height: 1.5; opacity: .85 }
.fas-parts { width: 100%; margin-top: .6em; border: 0 !important; border-collapse: collapse;
  font-variant-numeric: tabular-nums }
.fas-parts tr, .fas-parts th, .fas-parts td { border: 0 !important; background: none !important }
.fas-parts th { text-align: left; font-weight: 500; font-size: .82em; opacity: .7;
  padding: .2em .8em .4em 0 !important }
.fas-parts td { padding: .5em .8em .5em 0 !important;
  border-top: 1px solid var(--border-color-primary) !important }
.fas-parts .fas-right { text-align: right }
.fas-parts .fas-scale { height: 8px; min-width: 6em }
.fas-parts .fas-tick { top: -3px; bottom: -3px }
.fas-parts .fas-dot { width: 14px; height: 14px; margin: -7px 0 0 -7px; border-width: 2px }
.fas-chip { display: inline-block; padding: .05em .6em; margin: 0 .25em .1em 0; border-radius: 1em;
  font-size: .86em; border: 1px solid currentColor }
.fas-off { opacity: .35; text-decoration: line-through; border-style: dashed }
.fas-decision { font-weight: 600; white-space: nowrap }
.fas-section h2 { font-size: 1.15em; font-weight: 650; margin: .5em 0 .1em }
.fas-section p { margin: 0 0 .5em; opacity: .75; font-size: .92em }
.fas-slot img { width: 100% !important; height: 100% !important; object-fit: contain }
.fas-word, .fas-decision { color: color-mix(in srgb, var(--fas) 85%, black) }
.dark .fas-word, .dark .fas-decision { color: color-mix(in srgb, var(--fas) 65%, white) }
.html-container { padding: 0 !important }
#samples .grid-wrap { min-height: 0 !important; height: auto !important }
"""


def _variable(decision: str) -> str:
    """Return the colour of a decision as a style."""
    return f'--fas: rgb{DECISION_COLOURS[decision]}'


def _percent(value: float) -> str:
    """Return a place on a scale from 0 to 1."""
    return f'{100 * min(max(value, 0.0), 1.0):.2f}%'


def heading(bundle: Bundle) -> str:
    """Return the head of the page: which bundle judges, and what a reader must know first.

    Args:
        bundle: The bundle.
    """
    lines = [*notes(bundle), _SAMPLES_ARE_RENDERED]
    texts = ''.join(f'<div>{escape(line)}</div>' for line in lines)
    return (
        f'<div class="fas-title"><h1>Live or spoof? {escape(bundle.name)}</h1>'
        f'<code>sha256 {bundle.sha256[:12]}</code></div><div class="fas-notes" role="note">{texts}</div>'
    )


def section(title: str, text: str) -> str:
    """Return the head of a part of the page.

    Args:
        title: Its title.
        text: A sentence below.
    """
    return f'<div class="fas-section"><h2>{escape(title)}</h2><p>{escape(text)}</p></div>'


def verdict_card(verdict: Verdict, rule: DecisionRule) -> str:
    """Return a verdict with its score on a scale: zones of spoof, undecided and live, and the threshold.

    Args:
        verdict: The verdict.
        rule: How its score became a decision.
    """
    number = '' if verdict.score is None else f'{verdict.score:.4f}'
    head = (
        f'<div class="fas-card" style="{_variable(verdict.decision)}"><div class="fas-head">'
        f'<span class="fas-word">{verdict.decision}</span><span class="fas-number">{number}</span></div>'
    )
    if verdict.score is None or verdict.margin is None:
        return f'{head}<p class="fas-fine"><b>{escape(verdict.code)}</b>: {escape(verdict.reason)}</p></div>'
    side = 'below' if verdict.margin < 0 else 'above'
    label = f'<span class="fas-label" style="left: clamp(4.5em, {_percent(rule.threshold)}, calc(100% - 4.5em))">'
    return (
        f'{head}{_scale(verdict.score, rule, "fas-big", f"{label}threshold {rule.threshold:.4f}</span>")}'
        '<div class="fas-ends"><span>0, spoof</span><span>1, live</span></div>'
        f'<p class="fas-fine">{abs(verdict.margin):.4f} {side} the threshold ({escape(rule.origin)}); '
        f'from {_joined(verdict.modalities)}; {verdict.elapsed_ms:.0f} ms{_band(rule)}</p></div>'
    )


def _joined(names: tuple[str, ...]) -> str:
    """Join names as in a sentence."""
    return names[0] if len(names) == 1 else f'{", ".join(names[:-1])} and {names[-1]}'


def _band(rule: DecisionRule) -> str:
    """Say which scores are not decided."""
    low, high = rule.limits
    return '' if low == high else f'<br>Scores from {low:.4f} up to {high:.4f} are not decided.'


def _scale(score: float, rule: DecisionRule, kind: str = '', label: str = '') -> str:
    """Return a scale from 0 to 1 with a score on it."""
    low, high = (min(max(value, 0.0), 1.0) for value in rule.limits)
    bounds = {SPOOF: (0.0, low), UNDECIDED: (low, high), LIVE: (high, 1.0)}
    zones = ''.join(
        f'<div class="fas-zone{" fas-last" if name == LIVE else ""}" style="left: {_percent(start)}; '
        f'width: {_percent(end - start)}; background: rgb{DECISION_COLOURS[name]}"></div>'
        for name, (start, end) in bounds.items()
        if end > start
    )
    text = f'score {score:.4f} from 0, spoof, to 1, live; threshold {rule.threshold:.4f}'
    return (
        f'<div class="fas-scale {kind}" role="img" aria-label="{text}">{zones}{label}'
        f'<div class="fas-tick" style="left: {_percent(rule.threshold)}"></div>'
        f'<div class="fas-dot" style="left: {_percent(score)}"></div></div>'
    )


def parts_table(explanation: Explanation, rule: DecisionRule) -> str:
    """Return the table of what is said if some of the pictures are left out.

    Args:
        explanation: Verdicts of the sample and of its parts.
        rule: How scores became decisions.
    """
    whole = explanation.verdict
    title = 'What each modality says'
    if not whole.is_judged:
        return section(title, 'Nothing was judged.')
    if not explanation.parts:
        return section(title, 'None of these can be left out; `mmfas bundle --optional` says what may be absent.')
    rows = ''.join(_row(verdict, whole, rule) for verdict in (whole, *explanation.parts))
    return (
        f'{section(title, "The same sample, judged as if a camera were absent; only what the bundle allows.")}'
        '<table class="fas-parts"><tr><th>pictures</th><th>score</th><th></th>'
        f'<th class="fas-right">change</th><th>decision</th></tr>{rows}</table>'
    )


def _row(verdict: Verdict, whole: Verdict, rule: DecisionRule) -> str:
    """Return the row of a part."""
    used = verdict.modalities or tuple(verdict.sample_id.split(' + '))
    chips = ''.join(
        f'<span class="fas-chip{"" if m in used else " fas-off"}">{m}</span>' for m in whole.modalities
    )
    style = _variable(verdict.decision)
    if verdict.score is None or whole.score is None:
        cells = f'<td colspan="3">{escape(verdict.reason)}</td>'
    else:
        change = '' if verdict is whole else f'{verdict.score - whole.score:+.4f}'
        cells = (
            f'<td>{_scale(verdict.score, rule)}</td><td class="fas-right">{verdict.score:.4f}</td>'
            f'<td class="fas-right">{change}</td>'
        )
    return f'<tr style="{style}"><td>{chips}</td>{cells}<td class="fas-decision">{verdict.decision}</td></tr>'


def uncertainty_picture(maps: UncertaintyMaps) -> np.ndarray:
    """Draw how unsure the model is of every patch, in its last block.

    Args:
        maps: Maps of one sample.

    Returns:
        Picture (H, W, 3), uint8, RGB.
    """
    last = len(maps.patch_confidence) - 1
    figure = draw_uncertainty(
        maps.pictures,
        maps.modalities,
        maps.patch_confidence,
        present=maps.present.tolist(),
        blocks=[last],
        title='',
    )
    canvas = figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
