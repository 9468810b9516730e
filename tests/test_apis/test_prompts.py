"""Prompts are encoded class by class with the weights that are given; what does not fit is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from mmfas.apis.prompts import encode_prompts
from mmfas.cli.encode_prompts import main
from mmfas.models.heads import TextAnchors

PROMPTS = {0: ['a spoof', 'a mask'], 1: ['a face']}


class TinyClip(nn.Module):
    """A text tower that counts letters: stands for open_clip's model."""

    def __init__(self) -> None:
        super().__init__()
        self.text_projection = nn.Parameter(torch.zeros(26, 4))
        self.register_buffer('attn_mask', torch.zeros(2, 2))

    def encode_text(self, letters: Tensor) -> Tensor:
        """Embed counts of letters (K, 26) as (K, 4)."""
        assert not self.training
        return letters @ self.text_projection


def count_letters(texts: list[str]) -> Tensor:
    """Stand for a tokenizer: (K, 26)."""
    return torch.tensor([[float(text.count(chr(97 + i))) for i in range(26)] for text in texts])


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    stub = SimpleNamespace(
        create_model=lambda arch, pretrained: TinyClip(), get_tokenizer=lambda arch: count_letters
    )
    monkeypatch.setitem(sys.modules, 'open_clip', stub)
    return {'text_projection': torch.randn(26, 4).half(), 'vocab_size': torch.tensor(26)}


def test_anchors_are_the_encoded_prompts_spoof_first(weights: dict[str, Tensor]) -> None:
    anchors = encode_prompts(weights, {1: PROMPTS[1], 0: PROMPTS[0]})
    assert anchors['prompts'] == ['a spoof', 'a mask', 'a face'] and anchors['num_anchors'] == [2, 1]
    expected = count_letters(anchors['prompts']) @ weights['text_projection'].float()
    torch.testing.assert_close(anchors['embeddings'], expected)


def test_command_writes_a_file_that_a_head_reads(weights: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(weights, tmp_path / 'clip.pth')
    (tmp_path / 'prompts.yml').write_text('spoof: [a spoof, a mask]\nlive: [a face]')
    out = tmp_path / 'anchors.pth'
    assert main([str(tmp_path / 'clip.pth'), str(out), '--prompts', str(tmp_path / 'prompts.yml')]) == 0
    anchors = TextAnchors(4, num_anchors=(2, 1), file=str(out))
    anchors.init_weights()
    torch.testing.assert_close(anchors.embeddings, encode_prompts(weights, PROMPTS)['embeddings'])


def test_refusals(weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"1 names are missing, such as \['text_projection'\], 1 are left over"):
        encode_prompts({'visual.proj': torch.zeros(1)}, PROMPTS)
    monkeypatch.setitem(sys.modules, 'open_clip', None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mmfas\[clip\]'"):
        encode_prompts(weights, PROMPTS)
