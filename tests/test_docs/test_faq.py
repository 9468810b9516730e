"""What the answers of the FAQ promise, beyond what the tests of the parts show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mmengine.config import Config
from torch import hub

from mmfas.cli.errors import TRACEBACK_VARIABLE
from mmfas.config.check import check_config
from mmfas.utils.loading import cached_path

FAQ = (Path(__file__).parents[2] / 'docs' / 'en' / 'faq.md').read_text(encoding='utf-8')
BASE = "_base_ = 'mmfas::baselines/concat_mini-vit_1xb32-12e_synthfas-cps2w.py'\n"

pytestmark = pytest.mark.engine


def answer(question: str) -> str:
    """The text below the question that has these words."""
    found = [part for part in re.split(r'^### ', FAQ, flags=re.MULTILINE) if question in part.partition('\n')[0]]
    assert len(found) == 1
    return found[0].partition('\n')[2]


def test_hooks_are_added_as_the_answer_says(tmp_path: Path) -> None:
    inherited, own = re.findall(r'^```python\n(.*?)^```', answer('early stopping'), re.MULTILINE | re.DOTALL)
    for name, text in (('inherited', inherited), ('own', BASE + own)):
        config = tmp_path / f'{name}.py'
        config.write_text(text)
        cfg = Config.fromfile(config)
        assert {hook.type for hook in cfg.custom_hooks} == {'EMAHook', 'EarlyStoppingHook'}
        assert cfg.default_hooks.sample_seed.type == 'SampleSeedHook'  # the hooks of the base are still there
        assert check_config(cfg) == []
        cfg.custom_hooks[-1 if name == 'inherited' else 0].monitor = 'dev/htr'
        assert any("never gives 'dev/htr'" in problem for problem in check_config(cfg))


def test_the_folder_of_downloads_is_the_one_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = answer('`load_from=` a URL')
    assert '`checkpoints/<digits of the URL>/`' in text and '`TORCH_HOME`' in text
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    path = cached_path('https://example.org/model.pth')
    assert path.parents[1] == Path(hub.get_dir(), 'checkpoints') == tmp_path / 'hub' / 'checkpoints'


def test_the_variable_is_the_one_that_is_read() -> None:
    assert f'`{TRACEBACK_VARIABLE}=1`' in answer('The message is one sentence')
