"""The commands that are killed, each on a short run, and what must be the same in the end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmfas.utils.checkpoint import load_checkpoint
from mmfas.utils.files import is_leftover

METHOD = 'concat_mini-vit_1xb32-12e_synthfas-cps2w'
TINY = Path(__file__).parents[1] / 'test_engine' / 'tiny_config.py'


def _end_with(status: int) -> None:
    """End the process with the status of a command, as its program does, unless that is 0."""
    if status:
        raise SystemExit(status)


def train(folder: Path) -> None:
    """Train for three epochs, every one the best so far; the data have no workers."""
    checkpoint = 'default_hooks.checkpoint'
    _train(folder, f'{checkpoint}.save_best=dev/threshold', f'{checkpoint}.rule=greater')


def train_with_workers(folder: Path) -> None:
    """Train for three epochs with two loader workers; the best of two metrics are kept."""
    checkpoint = 'default_hooks.checkpoint'
    best = (f'{checkpoint}.save_best=[dev/hter,dev/threshold]', f'{checkpoint}.rule=[less,greater]')
    _train(folder, *best, 'train_dataloader.num_workers=2', 'train_dataloader.persistent_workers=True')


def _train(folder: Path, *options: str) -> None:
    from mmfas.cli.train import main

    os.environ['PYTHONPATH'] = str(TINY.parent)
    _end_with(
        main([str(TINY), '--work-dir', str(folder), '--resume', '--cfg-options', 'log_level=ERROR', *options])
    )


def render(folder: Path) -> None:
    """Render two lists of the tiny data set."""
    from mmfas.cli.data.render import main

    _end_with(
        main([str(folder), '--size', 'tiny', '--domains', 'C', 'P', '--splits', 'val', '--num-processes', '1'])
    )


def convert(folder: Path) -> None:
    """Convert seven recordings of CASIA-SURF."""
    from mmfas.datasets.conversion import CasiaSurfConverter, convert_dataset

    source = folder.parent / 'input'
    convert_dataset(CasiaSurfConverter(), source / 'raw', folder, lists=source / 'lists')


def crop(folder: Path) -> None:
    """Crop four samples."""
    from stub_detectors import RedDetector

    from mmfas.datasets.face_crop import CropSpec, crop_dataset

    spec = CropSpec(size=16, no_face='keep', several_faces='largest')
    crop_dataset(folder.parent / 'input/train.csv', folder, detector=RedDetector(), spec=spec)


def bundle(folder: Path) -> None:
    """Make a bundle in both formats and its card."""
    from mmfas.cli.bundle import main

    source = folder.parent / 'input'
    made = [str(source / 'tiny.py'), str(source / 'epoch_1.pth'), '--criterion', 'fixed=0.5']
    for name in ('model.mmfas.pth', 'model.mmfas.safetensors'):
        _end_with(main([*made, '--out', str(folder / name), '--card', str(folder / 'card.md')]))


def benchmark(folder: Path) -> None:
    """Train a small method for two epochs and record one cell."""
    from mmfas.benchmark.jobs import Job, Settings, do_job
    from mmfas.benchmark.methods import find_method
    from mmfas.benchmark.plan import cells_of, trainings_of

    settings = Settings(str(folder / 'runs'), str(folder / 'work'), str(folder.parent / 'input'))
    method = find_method(METHOD, {'train_cfg.max_epochs': 2, 'model.trunk.vit.arch.num_layers': 1})
    do_job(Job(method, trainings_of(cells_of([METHOD], [1], [0]))[0], settings))


def nothing_left_over(folder: Path) -> None:
    """Find no temporary file and no lock."""
    assert not [path for path in folder.rglob('*') if is_leftover(path.name) or path.name.endswith('lock')]


def same_training(one: Path, two: Path) -> None:
    """Compare checkpoints, whose times of day and seconds per step may differ."""
    assert {path.name for path in one.glob('*.pth')} == {path.name for path in two.glob('*.pth')}
    assert Path((two / 'last_checkpoint').read_text()).name == 'epoch_3.pth'
    for path in one.glob('*.pth'):
        first, second = (load_checkpoint(folder / path.name) for folder in (one, two))
        assert list(first) == list(second)
        for part in set(first) - {'meta', 'message_hub'}:
            _equal(first[part], second[part], f'{path.name}: {part}')
        assert [first['meta'][key] for key in ('epoch', 'iter', 'seed')] == [
            second['meta'][key] for key in ('epoch', 'iter', 'seed')
        ]
    infos = [load_checkpoint(folder / 'epoch_3.pth')['message_hub']['runtime_info'] for folder in (one, two)]
    best = [{key: str(info[key]) for key in info if key.startswith('best_')} for info in infos]
    assert len(best[0]) >= 2
    assert best[0] == {key: value.replace(str(two), str(one)) for key, value in best[1].items()}


def _equal(one: Any, two: Any, place: str) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), place
    elif isinstance(one, Mapping):
        assert list(one) == list(two), place
        for key, value in one.items():
            _equal(value, two[key], f'{place}.{key}')
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), place
        for number, pair in enumerate(zip(one, two)):
            _equal(*pair, f'{place}.{number}')
    else:
        assert one == two, place


def same_bytes(one: Path, two: Path) -> None:
    """Compare every file but the text that counts what this very run converted."""
    first, second = (
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}
        for folder in (one, two)
    )
    assert set(first) == set(second)
    for name, content in first.items():
        assert content == second[name] or name.startswith('conversion_') and name.endswith('.txt'), name


def same_records(one: Path, two: Path) -> None:
    """Compare records, whose seconds may differ, and their score files."""
    first, second = (sorted((folder / 'runs').rglob('*.*')) for folder in (one, two))
    assert [path.name for path in first] == [path.name for path in second]
    assert len(first) == 4  # the record; scores of dev, test and site
    for path, other in zip(first, second):
        if path.suffix == '.json':
            records = [{**json.loads(file.read_text()), 'seconds': 0} for file in (path, other)]
            assert records[0] == records[1]
        else:
            assert path.read_bytes() == other.read_bytes()
    checkpoints = [{path.name for path in (folder / 'work').rglob('*.pth')} for folder in (one, two)]
    assert checkpoints[0] == checkpoints[1]


def _write_originals(folder: Path) -> None:
    from test_datasets.data_files import write_cpsw_lists
    from test_datasets.original_files import write_surf

    (folder / 'lists').mkdir()
    write_cpsw_lists(folder / 'lists')
    write_surf(folder / 'raw')


def _write_footage(folder: Path) -> None:
    from test_datasets.test_face_crop_runs import write_footage

    write_footage(folder)


def _write_model(folder: Path) -> None:
    sys.path.append(str(Path(__file__).parents[1] / 'reference'))
    from tiny_bundles import save_random, tiny_config

    cfg = tiny_config(folder)
    cfg.dump(folder / 'tiny.py')
    save_random(cfg, folder / 'epoch_1.pth')


def _write_data(folder: Path) -> None:
    from mmfas.synthfas import Setting, render_dataset

    render_dataset(folder, Setting('tiny', 0), num_processes=1)


@dataclass(frozen=True)
class Command:
    """A command, what compares two of its results, and what writes its input."""

    run: Callable[[Path], None]
    same: Callable[[Path, Path], None]
    prepare: Callable[[Path], None] = lambda folder: None


COMMANDS = {
    'train': Command(train, same_training),
    'train_with_workers': Command(train_with_workers, same_training),
    'render': Command(render, same_bytes),
    'convert': Command(convert, same_bytes, _write_originals),
    'crop': Command(crop, same_bytes, _write_footage),
    'bundle': Command(bundle, same_bytes, _write_model),
    'benchmark': Command(benchmark, same_records, _write_data),
}
