"""Sample triples of the demo: rendered by this version, and enough for every bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmfas.deploy.bundle import Bundle
from mmfas.deploy.demo_samples import SAMPLES, size_for, write_samples
from mmfas.deploy.inputs import read_inputs

pytestmark = pytest.mark.engine

PROJECT = Path(__file__).resolve().parents[2] / 'projects' / 'demo'


def test_the_samples_of_the_project_are_those_of_the_renderer(tmp_path: Path) -> None:
    labels = ('live', 'print', 'replay')
    write_samples(tmp_path, labels)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(made) == 9
    # PNG files may be packed in other ways; what they hold is the same
    from mmfas.datasets.image_files import decode_raw

    kept = {path.name: path.read_bytes() for path in (PROJECT / 'samples').iterdir()}
    assert set(kept) == set(made)
    for name in made:
        one, two = (decode_raw(files[name]).astype(int) for files in (kept, made))
        # the last digit of a sum of floats, and so the rounding of single values, is that of the processor
        assert one.shape == two.shape and np.abs(one - two).max() <= 1 and (one != two).mean() < 0.01, name
    assert [sample.sample_id for sample in read_inputs(str(PROJECT / 'samples'))] == list(labels)
    assert {path.name for path in PROJECT.iterdir()} == {'README.md', 'samples'}


def test_samples_resemble_the_training_data(bundle: Bundle, tmp_path: Path) -> None:
    assert size_for(bundle) == 'small'  # the tiny size lacks some labels
    for data, size in (
        (dict(synthfas=dict(size='medium')), 'medium'),
        (dict(root='faces'), 'small'),
        (None, 'small'),
    ):
        assert size_for(replace(bundle, origin=dict(data=data))) == size
    files = write_samples(tmp_path, size='small')
    assert list(files) == list(SAMPLES)
    assert all(Path(path).is_file() for sample in files.values() for path in sample.values())
