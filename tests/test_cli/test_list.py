"""`mmfas list` shows what fits what."""

from __future__ import annotations

import pytest

from mmfas.cli.list import fits, main
from mmfas.registry import FUSION_NECKS

pytestmark = pytest.mark.engine


def test_trunks_name_their_networks_and_necks_their_trunks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['backbone', 'neck']) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]

    def below(name: str) -> str:
        return next(after for line, after in zip(lines, lines[1:], strict=False) if line.startswith(f'{name} '))

    assert below('MultiStreamViT').startswith('takes mmpretrain.VisionTransformer, ')
    assert 'mmpretrain.SwinTransformer' in below('MultiStreamCNN')
    assert below('ConcatNeck') == 'fits MultiStreamCNN, MultiStreamViT'
    assert below('UAdapterNeck') == 'fits MultiStreamViT; 2 modalities or more'


def test_a_trunk_that_does_not_say_what_it_yields_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmfas.registry import BACKBONES

    monkeypatch.setitem(BACKBONES.module_dict, 'PlugInTrunk', type('PlugInTrunk', (), {}))
    assert fits('fusion neck', FUSION_NECKS.get('AMANeck')) == ['fits MultiStreamViT, PlugInTrunk']
    assert fits('head', object()) == []
