"""No command writes over a file that it reads, or takes an empty name for none."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmfas.cli.__main__ import main
from mmfas.utils.files import write_atomically

ROWS = ''.join(f'{n}.png,C,,,{"live" if n % 2 else "print"},{n % 2},0.{n + 1}\n' for n in range(8))


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ('a.csv', 'b.csv'):
        Path(name).write_text('sample_id,domain,subject,video,pai,label,score\n' + ROWS)
    Path('mine.py').write_text('x = 1\n')
    Path('link.csv').symlink_to('a.csv')


@pytest.mark.parametrize(
    ('argv', 'file'),
    [
        (['scores', 'eval', 'a.csv', '--out', 'a.csv'], 'a.csv'),
        (['scores', 'eval', 'b.csv:a.csv', '--out', './a.csv'], 'a.csv'),
        (['scores', 'eval', 'a.csv', '--out', 'link.csv'], 'a.csv'),
        (['scores', 'ensemble', 'a.csv', 'b.csv', '--out', 'b.csv'], 'b.csv'),
        (['print_config', 'mine.py', '--out', 'mine.py'], 'mine.py'),
        (['predict', 'model.pth', '--video', 'a.csv', '--out-video', 'a.csv'], 'a.csv'),
    ],
)
def test_a_file_that_is_read_is_not_written_over(
    argv: list[str], file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path(file).read_bytes()
    with pytest.raises(SystemExit, match='2'):
        main(argv)
    assert 'would be read and written over; give another name' in capsys.readouterr().err
    assert Path(file).read_bytes() == before


@pytest.mark.parametrize(
    ('argv', 'option'),
    [
        (['scores', 'eval', 'a.csv', '--out='], '--out'),
        (['print_config', 'mine.py', '--out='], '--out'),
        (['train', 'mine.py', '--work-dir='], '--work-dir'),
        (['data', 'browse', 'mine.py', '--out-dir='], '--out-dir'),
    ],
)
def test_an_empty_name_is_refused(argv: list[str], option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match='2'):
        main(argv)
    assert f'{option} is empty; give a name' in capsys.readouterr().err


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='no such device here')
def test_a_full_device_is_named() -> None:
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_atomically('/dev/full', b'x' * 100_000)


def test_two_outputs_are_two_places(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match='2'):
        main(['bundle', 'mine.py', 'epoch_1.pth', '--dev-scores', 'a.csv', '--out', 'x.pth', '--card', './x.pth'])
    assert '--out, --card must be different places, got x.pth, ./x.pth' in capsys.readouterr().err
