"""The data set of the example project: what paths say, what is absent, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from mmfas.config.check import check_config
from mmfas.registry import DATASETS
from mmfas.utils.errors import InputError

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _project(monkeypatch: pytest.MonkeyPatch) -> None:
    """Import the project as its config does."""
    monkeypatch.syspath_prepend(PROJECT.parents[1])
    import projects.example_dataset  # noqa: F401


def touch(root: Path, *names: str) -> None:
    """Make empty pictures."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def build(root: Path) -> list[dict]:
    """Return the samples of the split `train`."""
    dataset = DATASETS.build(dict(type='KindFolderDataset', data_root=str(root), ann_file='train'))
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def test_paths_say_label_instrument_and_subject(tmp_path: Path) -> None:
    touch(
        tmp_path / 'train',
        'live/anna_1_rgb.png',
        'live/anna_1_depth.png',
        'live/anna_1_ir.png',
        'print/bo_7_rgb.png',
    )
    touch(tmp_path / 'test', 'live/cleo_1_rgb.png')  # another split
    live, attack = build(tmp_path)
    assert [live[key] for key in ('sample_id', 'gt_label', 'pai', 'subject')] == [
        'train/live/anna_1',
        1,
        'live',
        'anna',
    ]
    assert [attack[key] for key in ('gt_label', 'pai', 'subject')] == [0, 'print', 'bo']
    assert set(live['img_paths']) == {'rgb', 'depth', 'ir'} and set(attack['img_paths']) == {'rgb'}
    assert Path(live['img_paths']['ir']).name == 'anna_1_ir.png'


@pytest.mark.parametrize(
    ('name', 'message'), [('live/anna_1.png', 'has no picture'), ('live/x_rgb.png', 'no subject')]
)
def test_another_layout_is_refused(name: str, message: str, tmp_path: Path) -> None:
    touch(tmp_path / 'train', name)
    with pytest.raises(InputError, match=message):
        build(tmp_path)


def test_its_config_passes_the_check() -> None:
    (path,) = (PROJECT / 'configs').glob('*.py')
    cfg = Config.fromfile(path)
    assert cfg.train_dataloader.dataset.type == 'KindFolderDataset'
    assert check_config(cfg) == []
