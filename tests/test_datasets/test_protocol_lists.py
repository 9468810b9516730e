"""The published lists are checked as they are, and their clean variants are made while reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmfas.cli.__main__ import main
from mmfas.datasets import MultiModalFaceDataset
from mmfas.datasets.cleaning import clean_records
from mmfas.datasets.protocol_lists import (
    CLEAN_LISTS,
    PUBLISHED_LISTS,
    ListCounts,
    clean_against,
    protocol_sizes,
    verify_protocols,
)

from .data_files import write_padisi, write_triple
from .test_protocols import COUNTS, LISTS, needs_lists

#: Video of WMCA, frame and label of the lines of three small lists: a repeat in train, and a test frame in val.
LINES = {
    'W-train': [('001_01_000_0_00', '0012', 1), ('098_03_021_3_11', '0012', 0), ('098_03_021_3_11', '0012', 0)],
    'W-val': [('002_01_000_0_00', '0012', 1), ('003_01_000_0_00', '0012', 1), ('099_03_021_3_11', '0012', 0)],
    'W-test': [('003_01_000_0_00', '0012', 1), ('003_01_000_0_00', '0024', 1), ('100_03_021_3_11', '0012', 0)],
}
EXPECTED = {
    'W-train': ListCounts(1, 2, 2, repeats=1),
    'W-val': ListCounts(2, 1, 3, leaks=1),
    'W-test': ListCounts(2, 1, 2),
}
CLEAN = {'W-train': ListCounts(1, 1, 2), 'W-val': ListCounts(1, 1, 2), 'W-test': ListCounts(2, 1, 2)}
PADISI = {'P-train': [('zc7db0ae', 1)], 'P-val': [('z892e2c8', 0)], 'P-test': [('zd6c8787', 1), ('zd6c8787', 1)]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Files and lists of W and P in the published formats: CRLF without an end, and tabs."""
    for name, lines in LINES.items():
        rows = []
        for seed, (video, frame, label) in enumerate(lines):
            paths = write_triple(tmp_path, f'WMCA-Image/R_CDIT/{video}', frame, seed)
            rows.append(f'{" ".join(paths)} {label}')
        (tmp_path / f'{name}.txt').write_bytes('\r\n'.join(rows).encode())
    for name, archives in PADISI.items():
        for seed, (archive, _) in enumerate(archives):
            write_padisi(tmp_path, f'{archive}.npz', seed)
        (tmp_path / f'{name}.txt').write_text(''.join(f'{a}.npz\t{label}\n' for a, label in archives))
    return tmp_path


def counts_of(folder: Path, domains: str, **kwargs: Any) -> dict[str, ListCounts | None]:
    """Verify and return the counts."""
    return {report.name: report.counts for report in verify_protocols(str(folder), domains=domains, **kwargs)}


def test_table_is_that_of_the_notes() -> None:
    assert len(PUBLISHED_LISTS) == 12
    for name, (lines, live, spoof, videos) in COUNTS.items():
        expected = PUBLISHED_LISTS[name]
        assert (expected.lines, *expected[:3]) == (lines, live, spoof, videos)
        clean = CLEAN_LISTS[name]
        assert clean.lines == lines - expected.repeats - expected.leaks
        assert clean[3:] == (0, 0)
    assert sum(counts.lines for counts in PUBLISHED_LISTS.values()) == 41967


@pytest.mark.slow
@needs_lists
@pytest.mark.parametrize('clean', [False, True])
def test_published_lists(clean: bool) -> None:
    reports = verify_protocols(str(LISTS), clean=clean)
    expected = CLEAN_LISTS if clean else PUBLISHED_LISTS
    assert {report.name: report.counts for report in reports} == expected
    assert [report.difference(expected) for report in reports] == [''] * 12
    leaks = [text for report in reports for text in report.leaks]
    frame = 'CeFA/CeFA-Race/AF/AF-300/1_300_1_1_1/profile/0026.jpg'
    assert leaks == ([] if clean else [f'C-val.txt:1201 is also C-test.txt:1: {frame}'])
    if not clean:
        train_and_test = {name: (train, test) for name, train, _, test in protocol_sizes(reports)}
        assert train_and_test == {
            'CPS-W': (12187, 1671),
            'CPW-S': (7585, 12564),
            'CSW-P': (12792, 667),
            'PSW-C': (9082, 6739),
            'CW-PS': (6495, 13231),
            'PS-CW': (7387, 8410),
        }


def test_written_lists(root: Path) -> None:
    assert counts_of(root, 'W') == EXPECTED
    assert counts_of(root, 'W', clean=True) == CLEAN
    assert counts_of(root, 'P')['P-test'] == ListCounts(2, 0, 1, repeats=1)
    train, val, test = verify_protocols(str(root), domains='W', data_root=str(root))
    assert train.repeats == ('W-train.txt:3 repeats W-train.txt:2',)
    leaked = 'WMCA-Image/R_CDIT/003_01_000_0_00/color/0012.jpg'
    assert val.leaks == (f'W-val.txt:2 is also W-test.txt:1: {leaked}',)
    assert [(report.num_files, report.missing) for report in (train, val, test)] == [(6, ()), (9, ()), (9, ())]
    assert dict(test.frames) == {2: 1, 1: 1}


def test_missing_files_are_named(root: Path) -> None:
    gone = root / 'WMCA-Image/R_CDIT/098_03_021_3_11/ir/0012.jpg'
    gone.unlink()
    (root / 'PADISI' / 'z892e2c8.npz').unlink()
    reports = {report.name: report for report in verify_protocols(str(root), domains='PW', data_root=str(root))}
    assert reports['W-train'].missing == (str(gone),)
    assert reports['P-val'].missing == (str(root / 'PADISI' / 'z892e2c8.npz'),)
    assert verify_protocols(str(root), domains='W')[0].num_files == 0


def test_command(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(['data', 'protocols', str(root), '--domains', 'pw', '--data-root', str(root)]) == 1
    out = capsys.readouterr().out
    assert 'W-train: live 1 instead of 372, spoof 2 instead of 1323' in out
    assert 'W-val, leaks: W-val.txt:2 is also W-test.txt:1' in out
    assert '6 lists (lists as published): 6 with other counts, 0 files missing' in out
    for name, table in (('PUBLISHED_LISTS', EXPECTED), ('CLEAN_LISTS', CLEAN)):
        monkeypatch.setattr(f'mmfas.datasets.protocol_lists.{name}', table)
    assert main(['data', 'protocols', str(root), '--domains', 'W']) == 0
    assert main(['data', 'protocols', str(root), '--domains', 'W', '--clean']) == 0
    assert '(clean variants): 0 with other counts' in capsys.readouterr().out
    (root / 'WMCA-Image/R_CDIT/001_01_000_0_00/color/0012.jpg').unlink()
    assert main(['data', 'protocols', str(root), '--domains', 'W', '--data-root', str(root)]) == 1
    assert 'W-train, missing: ' in capsys.readouterr().out


def test_command_names_absent_lists_and_unknown_domains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['data', 'protocols', str(tmp_path), '--domains', 'S']) == 1
    out = capsys.readouterr().out
    assert 'S-val.txt does not exist' in out
    assert '3 with other counts' in out
    assert main(['data', 'protocols', str(tmp_path), '--domains', 'X']) == 2
    assert "domains must be letters out of CPSW, but got 'X'" in capsys.readouterr().err


def test_data_set_reads_clean_variants(root: Path) -> None:
    def lines(name: str, **kwargs: Any) -> list[str]:
        dataset = MultiModalFaceDataset(name, str(root), **kwargs)
        return [dataset.get_data_info(index)['source_line'] for index in range(len(dataset))]

    assert lines('W-train.txt') == ['W-train.txt:1', 'W-train.txt:2', 'W-train.txt:3']
    assert lines('W-train.txt', clean=True) == ['W-train.txt:1', 'W-train.txt:2']
    assert lines('W-val.txt', clean=True) == ['W-val.txt:1', 'W-val.txt:2', 'W-val.txt:3']
    assert lines('W-val.txt', clean=clean_against('W-val')) == ['W-val.txt:1', 'W-val.txt:3']
    assert lines('W-val.txt', clean='W-test.txt') == ['W-val.txt:1', 'W-val.txt:3']
    both = MultiModalFaceDataset(['W-val.txt', 'W-test.txt'], str(root), clean=True)
    assert len(both) == 5  # repeats are found across the files of one data set
    assert not any('#' in both.get_data_info(index)['sample_id'] for index in range(5))
    with pytest.raises(FileNotFoundError, match=r'W-tset\.txt does not exist'):
        MultiModalFaceDataset('W-val.txt', str(root), clean='W-tset.txt')


def test_contradictions_and_empty_rests_are_refused() -> None:
    one = {'img_paths': {'rgb': 'a.jpg'}, 'label': 1, 'source_line': 'x.txt:1'}
    with pytest.raises(ValueError, match=r'x\.txt:2: label 0, but x\.txt:1 says 1 of the same files'):
        clean_records([one, {**one, 'label': 0, 'source_line': 'x.txt:2'}])
    with pytest.raises(ValueError, match=r'x\.txt:1 and all that follow .* nothing is left'):
        clean_records([one], [one])
