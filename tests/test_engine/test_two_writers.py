"""Two commands in one folder: the second ends with one sentence, before it writes anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from engine_process import CONFIG, run_ranks
from other_process import another_process_in

from mmfas.cli import test, train
from mmfas.cli.data import convert, crop, render
from mmfas.utils import locks

pytestmark = pytest.mark.engine
DETECTOR = 'test_datasets.stub_detectors.RedDetector'


def train_in(folder: Path) -> int:
    return train.main([str(CONFIG), '--work-dir', str(folder)])


def score_in(folder: Path) -> int:
    return test.main([str(CONFIG), 'not_read.pth', '--out', str(folder)])


def render_in(folder: Path) -> int:
    return render.main([str(folder), '--size', 'tiny', '--domains', 'W', '--splits', 'val'])


def convert_in(folder: Path) -> int:
    from test_datasets.data_files import write_cpsw_lists
    from test_datasets.original_files import write_surf

    lists = folder.parent / 'lists'
    lists.mkdir()
    write_cpsw_lists(lists)
    write_surf(folder.parent / 'raw')
    return convert.main(['casia_surf', str(folder.parent / 'raw'), str(folder), '--lists', str(lists)])


def crop_in(folder: Path) -> int:
    from test_datasets.test_face_crop_runs import write_footage

    source = write_footage(folder.parent / 'in')
    return crop.main([str(source), str(folder), '--detector', DETECTOR, '--num-processes', '1'])


@pytest.mark.parametrize(
    ('second', 'code', 'name', 'advice'),
    [
        (train_in, 1, '.lock', 'give this one another --work-dir'),
        (score_in, 1, '.lock', 'give another --out'),
        (render_in, 2, '.lock', 'give another folder'),
        (convert_in, 2, '.conversion_casia_surf.lock', 'give another OUT'),
        (crop_in, 2, '.lock', 'give another OUT'),
    ],
)
def test_the_second_ends_with_one_sentence(
    second: Callable[[Path], int],
    code: int,
    name: str,
    advice: str,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    monkeypatch.setattr(locks, 'WAIT_S', 0.0)
    folder = tmp_path / 'results'
    with another_process_in(folder, name):
        assert second(folder) == code
        said = capsys.readouterr().err.strip().splitlines()
        assert said == [f"BusyError: another process works in '{folder}'; wait until it has ended, or {advice}"]
        assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.slow
def test_of_two_ranks_both_end(tmp_path: Path) -> None:
    log = tmp_path / 'log.txt'
    with another_process_in(tmp_path / 'w'):
        assert run_ranks('mmfas.cli.train', [CONFIG, '--work-dir', tmp_path / 'w'], log) == [1, 1]
        for path in (log, log.with_suffix('.1')):
            assert 'BusyError: another process works in' in path.read_text()
        assert [path.name for path in (tmp_path / 'w').iterdir()] == ['.lock']
