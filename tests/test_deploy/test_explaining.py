"""What lies behind a verdict, and how the demo page shows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmfas.apis.uncertainty import uncertainty_of
from mmfas.deploy.bundle import Bundle
from mmfas.deploy.decision import DecisionRule
from mmfas.deploy.demo_views import heading, parts_table, uncertainty_picture, verdict_card
from mmfas.deploy.explaining import Explanation, explain, uncertainty
from mmfas.deploy.golden_sample import rendered_triple
from mmfas.deploy.inferencer import FASInferencer
from mmfas.deploy.verdict import Verdict, not_judged, verdict_of
from mmfas.structures import MODALITIES
from mmfas.visualization.verdict_pictures import DECISION_COLOURS

pytestmark = pytest.mark.engine

RULE = DecisionRule(0.5, 'dev-eer', band=(0.4, 0.7))


def judged(score: float, rule: DecisionRule = RULE, modalities: tuple[str, ...] = MODALITIES) -> Verdict:
    """Verdict of a score."""
    return verdict_of('input', score, rule, modalities=modalities, elapsed_ms=12.3)


@pytest.fixture(scope='module')
def inferencer(unsure_bundle: Bundle) -> FASInferencer:
    """Judges with a model that estimates its uncertainty."""
    return FASInferencer(unsure_bundle, 'cpu')


def test_every_allowed_part_is_judged_alone(inferencer: FASInferencer) -> None:
    triple = rendered_triple('print', size='tiny')
    found = explain(inferencer, triple)
    assert found.verdict.score == inferencer.judge_pictures(triple).score
    assert [part.modalities for part in found.parts] == [('rgb', 'depth'), ('rgb', 'ir'), ('rgb',)]
    for part in found.parts:
        assert part.score == inferencer.judge_pictures({m: triple[m] for m in part.modalities}).score
        assert part.sample_id == ' + '.join(part.modalities)
    assert explain(inferencer, {'rgb': triple['rgb']}).parts == ()
    without = explain(inferencer, {'ir': triple['ir']})
    assert without.verdict.code == 'missing modality' and (without.parts, without.maps) == ((), None)


def test_uncertainty_is_that_of_the_model(inferencer: FASInferencer, bundle: Bundle) -> None:
    pictures = {m: picture for m, picture in rendered_triple(size='tiny').items() if m != 'ir'}
    maps = explain(inferencer, pictures).maps
    assert maps is not None
    expected = uncertainty_of(inferencer.runtime.model, inferencer.preprocessing(pictures))  # type: ignore[attr-defined]
    assert (maps.patch_confidence == expected.patch_confidence).all() and maps.score == expected.score
    assert maps.present.tolist() == [True, True, False] and maps.label == -1
    drawn = uncertainty_picture(maps)
    assert drawn.ndim == 3 and drawn.shape[2] == 3 and drawn.dtype == np.uint8
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 100
    # other necks estimate none, and an ONNX file does not give it
    assert explain(FASInferencer(bundle, 'cpu', self_test=False), pictures).maps is None
    other = FASInferencer(bundle, 'cpu', self_test=False)
    other.runtime = type('Other', (), {})()
    assert uncertainty(other, pictures) is None


@pytest.mark.parametrize(('score', 'decision'), [(0.1, 'spoof'), (0.45, 'undecided'), (0.9, 'live')])
def test_the_card_shows_score_threshold_and_zones(score: float, decision: str) -> None:
    card = verdict_card(judged(score), RULE)
    assert (
        f'--fas: rgb{DECISION_COLOURS[decision]}' in card and f'<span class="fas-word">{decision}</span>' in card
    )
    assert f'<div class="fas-dot" style="left: {100 * score:.2f}%">' in card
    assert '<div class="fas-tick" style="left: 50.00%">' in card and 'threshold 0.5000' in card
    for name, left, width in (('spoof', 0, 40), ('undecided', 40, 30), ('live', 70, 30)):
        zone = f'left: {left:.2f}%; width: {width:.2f}%; background: rgb{DECISION_COLOURS[name]}'
        assert zone in card
    side = 'below' if score < 0.5 else 'above'
    assert f'{abs(score - 0.5):.4f} {side} the threshold (dev-eer); from rgb, depth and ir; 12 ms' in card
    assert 'Scores from 0.4000 up to 0.7000 are not decided.' in card


def test_a_threshold_given_by_hand_stays_on_the_scale() -> None:
    rule = DecisionRule(1.5, 'fixed')
    card = verdict_card(judged(0.9, rule, ('rgb',)), rule)
    assert 'fas-tick" style="left: 100.00%"' in card and 'threshold 1.5000' in card
    assert 'not decided' not in card and card.count('fas-zone') == 1 and 'from rgb; ' in card


def test_what_was_not_judged_says_why_and_nothing_is_markup() -> None:
    reason = '<script>alert(1)</script> & more'
    verdict = not_judged('input', RULE, code='unreadable', reason=reason)
    card = verdict_card(verdict, RULE)
    assert '<script>' not in card and '&lt;script&gt;alert(1)&lt;/script&gt; &amp; more' in card
    assert 'fas-scale' not in card and f'rgb{DECISION_COLOURS["not judged"]}' in card
    assert 'Nothing was judged.' in parts_table(Explanation(verdict), RULE)


def test_the_table_has_a_row_for_every_part() -> None:
    parts = (judged(0.45, modalities=('rgb', 'ir')), replace(judged(0.2, modalities=('rgb',)), sample_id='rgb'))
    table = parts_table(Explanation(judged(0.9), parts), RULE)
    rows = table.split('<tr')[2:]
    assert len(rows) == 3 and ['fas-off' in row for row in rows] == [False, True, True]
    assert '<span class="fas-chip fas-off">depth</span>' in rows[1] and '-0.4500' in rows[1]
    assert '>spoof</td>' in rows[2] and '-0.7000' in rows[2] and '0.2000' in rows[2]
    refused = not_judged('rgb + ir', RULE, code='no content', reason='ir is black')
    row = parts_table(Explanation(judged(0.9), (refused,)), RULE).split('<tr')[3]
    assert (
        'ir is black' in row and '<span class="fas-chip fas-off">depth</span>' in row and '>not judged</td>' in row
    )
    assert 'None of these can be left out' in parts_table(Explanation(judged(0.9)), RULE)


def test_the_head_says_that_no_real_face_is_judged(bundle: Bundle) -> None:
    text = heading(replace(bundle, name='<b>a & b'))
    assert 'Trained on rendered faces (SynthFAS): it judges no real face and must not guard anything.' in text
    assert '&lt;b&gt;a &amp; b' in text and 'The samples below are rendered' in text
