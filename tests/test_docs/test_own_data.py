"""The config on the page about own data is one that `mmfas train` takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mmfas.config.check import check_config

PAGE = (Path(__file__).parents[2] / 'docs' / 'en' / 'own_data.md').read_text(encoding='utf-8')
BASE = "_base_ = 'mmfas::baselines/concat_mini-vit_1xb32-12e_synthfas-cps2w.py'\n"

pytestmark = pytest.mark.engine


def test_the_config_passes_the_check_with_its_pipeline_as_a_variable(tmp_path: Path) -> None:
    (pipeline,) = re.findall(r'^pipeline = \[\n.*?^\]\n', PAGE, re.MULTILINE | re.DOTALL)
    (loader,) = re.findall(r'^train_dataloader = dict\(\n.*?^\)\n', PAGE, re.MULTILINE | re.DOTALL)
    config = tmp_path / 'own.py'
    # The data of the base are replaced, not merged with.
    config.write_text(
        BASE + pipeline + loader.replace('dict(\n', 'dict(\n    _delete_=True,\n', 1), encoding='utf-8'
    )
    cfg = Config.fromfile(config)
    assert cfg.train_dataloader.dataset.ann_file == 'train.csv'
    assert len(cfg.pipeline) == len(cfg.train_dataloader.dataset.pipeline) == 5
    assert check_config(cfg) == []
