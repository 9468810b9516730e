"""What the tests of deployment share: a little rendered data, tiny models, and bundles of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_bundles import tiny_config, trained

from mmfas.deploy.bundle import Bundle
from mmfas.deploy.bundle_making import make_bundle
from mmfas.synthfas.files.writer import render_dataset
from mmfas.synthfas.plan.plan import Setting


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> Iterator[None]:
    """Run on one thread with a quiet log."""
    yield


@pytest.fixture(scope='session')
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of SynthFAS with the val list of C and the test list of W, 48 px."""
    root = tmp_path_factory.mktemp('synthfas')
    render_dataset(root, Setting('tiny'), domains=('C',), splits=('val',), num_processes=1)
    render_dataset(root, Setting('tiny'), domains=('W',), splits=('test',), num_processes=1)
    return root


@pytest.fixture(scope='session')
def bundle(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Bundle of a tiny model whose depth and ir may be absent."""
    cfg = tiny_config(faces)
    checkpoint, scores = trained(cfg, tmp_path_factory.mktemp('tiny'))
    return make_bundle(cfg, checkpoint, dev_scores=scores, optional=('depth', 'ir'), licence='CC0-1.0')


@pytest.fixture(scope='session')
def unsure_bundle(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Bundle of a tiny model that estimates its uncertainty, with a band in which nothing is decided."""
    cfg = tiny_config(faces, 'UAdapterNeck')
    checkpoint, scores = trained(cfg, tmp_path_factory.mktemp('unsure'))
    return make_bundle(cfg, checkpoint, dev_scores=scores, max_apcer=0.0, optional=('depth', 'ir'))
