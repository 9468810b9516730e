"""Runs of a conversion: several processes, killed and started again, refusals, reports and exit statuses."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from mmfas.cli.data.convert import main
from mmfas.datasets.conversion import CasiaSurfConverter, Converted, Unit, WmcaConverter, convert_dataset
from mmfas.datasets.conversion.entry import Entry
from mmfas.datasets.journal import Journal

from . import original_files as originals
from .data_files import write_cpsw_lists


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Originals of SURF and WMCA, beside the lists."""
    (tmp_path / 'lists').mkdir()
    write_cpsw_lists(tmp_path / 'lists')
    originals.write_surf(tmp_path / 'raw' / 'casia_surf')
    originals.write_wmca_originals(tmp_path / 'raw' / 'wmca')
    return tmp_path / 'raw'


def contents(root: Path) -> dict[str, str]:
    """Checksum of every file below a folder."""
    files = sorted(path for path in root.rglob('*') if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class KilledConverter(WmcaConverter):
    """Is killed in the middle of the fourth recording."""

    def convert(self, unit: Unit) -> Converted:
        """Convert, or die with half a file written."""
        if unit.recording.name.endswith(('016_01_000_2_15',)):
            target = unit.recording.targets[0].path
            folder = Path(os.environ['MMFAS_TEST_OUT'], target).parent
            folder.mkdir(parents=True)
            (folder / f'{Path(target).name}.partial').write_bytes(b'half')
            os.kill(os.getpid(), signal.SIGKILL)
        return super().convert(unit)


def killed_run(raw: Path, out: Path) -> int | None:
    """Convert in a process that is killed; returns how it ended."""
    os.environ['MMFAS_TEST_OUT'] = str(out)
    kwargs = {'lists': raw.parent / 'lists'}
    process = multiprocessing.get_context('fork').Process(
        target=convert_dataset, args=(KilledConverter(), raw / 'wmca', out), kwargs=kwargs
    )
    process.start()
    process.join(60)
    return process.exitcode


def test_a_killed_run_goes_on_to_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    lists = tmp_path / 'lists'
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    report = convert_dataset(WmcaConverter(), raw / 'wmca', whole, lists=lists)
    assert report.num_converted == 7
    assert killed_run(raw, parts) == -signal.SIGKILL
    journal = parts / 'conversion_wmca.jsonl'
    finished = [json.loads(line)['name'] for line in journal.read_text().splitlines()[1:]]
    assert 1 <= len(finished) < 7
    with journal.open('a') as file:
        file.write('{"name": "cut')
    first = parts / finished[0]
    before = {path: path.stat().st_mtime_ns for path in first.rglob('*.jpg')}
    report = convert_dataset(WmcaConverter(), raw / 'wmca', parts, lists=lists)
    assert (report.num_kept, report.num_converted) == (len(finished), 7 - len(finished))
    assert {path: path.stat().st_mtime_ns for path in first.rglob('*.jpg')} == before
    assert len(before) == 3
    ignored = 'conversion_wmca.txt'  # tells how many were kept
    assert {k: v for k, v in contents(parts).items() if k != ignored} == {
        k: v for k, v in contents(whole).items() if k != ignored
    }


def test_two_processes_write_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    for name, num_processes in (('one', 1), ('two', 2)):
        done: list[tuple[int, int]] = []
        convert_dataset(
            CasiaSurfConverter(),
            raw / 'casia_surf',
            tmp_path / name,
            lists=tmp_path / 'lists',
            num_processes=num_processes,
            progress=lambda *counts, into=done: into.append(counts),
        )
        assert done == [(number, 7) for number in range(1, 8)]
    assert contents(tmp_path / 'one') == contents(tmp_path / 'two')
    manifest = (tmp_path / 'two/conversion_casia_surf.jsonl').read_text().splitlines()
    assert json.loads(manifest[0]) == {'data': 'CASIA-SURF', 'version': 1}
    names = [json.loads(line)['name'] for line in manifest[1:]]
    assert names == sorted(names)
    assert len(names) == 7


def test_what_is_changed_or_deleted_is_made_again(raw: Path, tmp_path: Path) -> None:
    def run(*, verify: bool = False) -> tuple[int, int]:
        report = convert_dataset(
            WmcaConverter(), raw / 'wmca', tmp_path / 'out', lists=tmp_path / 'lists', verify=verify
        )
        return report.num_converted, report.num_kept

    assert run() == (7, 0)
    before = contents(tmp_path / 'out')
    first, second = sorted((tmp_path / 'out').rglob('*.jpg'))[::3][:2]
    first.unlink()
    second.write_bytes(bytes(len(second.read_bytes())))  # the same size
    assert run() == (1, 6)
    assert run(verify=True) == (1, 6)
    assert run(verify=True) == (0, 7)
    after = contents(tmp_path / 'out')
    assert {k: v for k, v in after.items() if k.endswith('.jpg')} == {
        k: v for k, v in before.items() if k.endswith('.jpg')
    }


def test_oddities_of_earlier_runs_are_reported_again_and_gaps_tried_again(raw: Path, tmp_path: Path) -> None:
    def run() -> Any:
        return convert_dataset(
            CasiaSurfConverter(), raw / 'casia_surf', tmp_path / 'out', lists=tmp_path / 'lists'
        )

    crop = raw / 'casia_surf/CASIA-SURF-CROP/real_part/real_train_part/CLKJ_AS0005/real.rssdk'
    whole = (crop / 'ir/131.jpg').read_bytes()
    (crop / 'ir/131.jpg').write_bytes(whole[:-20])
    originals.write_jpeg(
        crop.parents[3] / 'real_part/real_val_part/CLKJ_AS0010/real.rssdk/ir/161.jpg', originals.picture(0, 9)
    )
    first, second = run(), run()
    assert [o.kind for o in first.oddities] == ['unreadable', 'size']
    assert second.oddities == first.oddities
    assert (second.num_converted, second.num_kept) == (1, 6)
    name = crop.relative_to(raw / 'casia_surf').as_posix()
    assert second.missing == first.missing == (f'{name}/ir/131.jpg',)
    (crop / 'ir/131.jpg').write_bytes(whole)
    assert [o.kind for o in run().oddities] == ['size']
    assert run().missing == ()


def test_originals_may_come_in_several_folders(raw: Path, tmp_path: Path) -> None:
    def run(part: str) -> Any:
        source = raw / 'casia_surf/CASIA-SURF-CROP' / part
        return convert_dataset(CasiaSurfConverter(), source, tmp_path / 'out', lists=tmp_path / 'lists')

    real = run('real_part')
    assert (len(real.missing), real.num_converted, real.num_kept) == (12, 3, 0)
    assert [oddity.kind for oddity in real.oddities] == ['missing'] * 4
    both = run('fake_part')
    assert (both.missing, both.oddities, both.num_converted, both.num_kept) == ((), (), 4, 3)


def run_command(name: str, raw: Path, *options: str) -> int:
    """Run a command on originals; the lists lie beside them."""
    folders = [str(raw / name), str(raw.parent / 'out')]
    return main([name, *folders, '--lists', str(raw.parent / 'lists'), '--num-processes', '1', *options])


def test_report_is_printed_and_written_and_status_tells_what_is_missing(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = raw / 'casia_surf/CASIA-SURF-CROP'
    for number in range(3):
        originals.write_jpeg(
            folder / f'real_part/real_test_part/X{number}/real.rssdk/color/1.jpg', originals.picture(0)
        )
    assert run_command('casia_surf', raw, '--show', '2') == 0
    printed = capsys.readouterr().out
    assert 'CASIA-SURF: lists S-train 5, S-val 2, S-test 2 lines; 21 files of 7 recordings' in printed
    assert 'unlisted (in the originals, but no list names it): 3' in printed
    assert '  ... and 1 more' in printed
    assert '21/21 files: all that the lists need is there' in printed
    written = (raw.parent / 'out/conversion_casia_surf.txt').read_text()
    assert written.count('real.rssdk: recording') == 3
    crop = folder / 'real_part/real_train_part/CLKJ_AS0005/real.rssdk'
    (crop / 'depth/131.jpg').unlink()
    (raw.parent / 'out' / crop.relative_to(raw / 'casia_surf') / 'depth/131.jpg').unlink()
    assert run_command('casia_surf', raw) == 1
    printed = capsys.readouterr().out
    assert 'missing (named by the lists, but not in the originals): 1' in printed
    assert 'depth/131.jpg does not exist' in printed
    assert '20/21 files: 1 missing' in printed


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('cefa', 'holds no recording of CASIA-CeFA; expected AF/AF-000/'),
        ('casia_surf', 'holds no recording of CASIA-SURF; expected CASIA-SURF-CROP/'),
        ('wmca', 'holds no RGB and no CDIT files of WMCA; expected <date>/<recording>.hdf5'),
        ('padisi', 'padisi_USC_FACE_preprocessed.bz2 must be unpacked first; only MULTI-SPECTRAL has depth'),
    ],
)
def test_other_data_are_refused(
    name: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'lists').mkdir()
    write_cpsw_lists(tmp_path / 'lists')
    (tmp_path / 'raw' / name).mkdir(parents=True)
    (tmp_path / 'raw' / name / 'padisi_USC_FACE_preprocessed.bz2').write_bytes(b'')
    assert run_command(name, tmp_path / 'raw') == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_mistakes_are_listed_in_one_message(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists = raw.parent / 'lists'

    def message(*words: str) -> str:
        assert main(['casia_surf', *words]) == 2
        return capsys.readouterr().err

    source, out = str(raw / 'casia_surf'), str(raw.parent / 'out')
    assert 'lacks S-train.txt, S-val.txt, S-test.txt; the lists come from' in message(source, out)
    assert "'nowhere' does not exist; unpack the archives first" in message('nowhere', out)
    common = ('--lists', str(lists))
    assert 'overlap; give an OUT outside' in message(source, source, *common)
    assert 'overlap; give an OUT outside' in message(str(raw.parent), out, *common)
    (lists / 'S-val.txt').write_text('WMCA-Image/R_CDIT/001_01_000_0_00/color/0012.jpg a b 1')
    assert "S-val.txt:1: 'WMCA-Image/R_CDIT/001_01_000_0_00/color/0012.jpg' is not a file of domain S" in message(
        source, out, *common
    )
    (lists / 'S-val.txt').write_text('CASIA-SURF-CROP/../../x/a/b/color/1.jpg a b 1')
    assert "S-val.txt:1: 'CASIA-SURF-CROP/../../x/a/b/color/1.jpg' leads out of the folder" in message(
        source, out, *common
    )


def test_results_of_other_options_or_lists_are_not_mixed(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    originals.write_cefa(raw / 'cefa')
    assert run_command('cefa', raw, '--remove-borders', '255') == 2
    assert 'a border level is a grey level below white, 0..254, but got 255' in capsys.readouterr().err
    assert run_command('cefa', raw, '--remove-borders') == 0
    assert run_command('cefa', raw, '--remove-borders', '10') == 0
    assert run_command('cefa', raw) == 2
    assert 'is of a conversion with border_level = 10, this one has None' in capsys.readouterr().err
    (raw.parent / 'lists/C-val.txt').write_bytes((raw.parent / 'lists/C-train.txt').read_bytes())
    assert run_command('cefa', raw, '--remove-borders') == 2
    assert 'C-val.txt' in (message := capsys.readouterr().err)
    assert 'delete the one that is wrong' in message


def test_a_broken_manifest_names_the_mend(tmp_path: Path) -> None:
    path = tmp_path / 'conversion_wmca.jsonl'
    path.write_text('{"data": "WMCA"}\n{"name": "a"}\n')
    with pytest.raises(ValueError, match="conversion_wmca.jsonl' is broken .*; delete it"):
        Journal(path, {'data': 'WMCA'}, kind='conversion', encode=Entry.as_json, decode=Entry.of)


def test_wmca_without_h5py_names_the_extra(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, 'h5py', None)
    assert run_command('wmca', raw) == 2
    assert "pip install 'mmfas[datasets]'" in capsys.readouterr().err


def test_a_full_disk_is_named(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (raw.parent / 'out').mkdir()
    (raw.parent / 'out/CASIA-SURF-CROP').write_text('a file where a folder must be')
    assert run_command('casia_surf', raw) == 2
    assert 'cannot be written below' in capsys.readouterr().err
