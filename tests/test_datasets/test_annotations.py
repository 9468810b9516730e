"""Readers: what is accepted, and what the errors say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmfas.datasets.annotations import read_annotations, read_meta

TRIPLE = 'a/color/1.jpg a/depth/1.jpg a/ir/1.jpg'


def write(folder: Path, name: str, text: str) -> Path:
    """Write a file exactly as given."""
    path = folder / name
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    'text', [f'{TRIPLE} 1\r\n{TRIPLE} 0', f'{TRIPLE} 1\n{TRIPLE} 0\n', f'\ufeff{TRIPLE} 1\n\n{TRIPLE} 0']
)
def test_list_with_any_line_end(tmp_path: Path, text: str) -> None:
    records = read_annotations(write(tmp_path, 'list.txt', text))
    assert [record['label'] for record in records] == [1, 0]
    assert records[0]['img_paths'] == {'rgb': 'a/color/1.jpg', 'depth': 'a/depth/1.jpg', 'ir': 'a/ir/1.jpg'}
    assert records[0]['source_line'] == 'list.txt:1'


def test_padisi_list(tmp_path: Path) -> None:
    records = read_annotations(write(tmp_path, 'P.txt', 'zd6c8787.npz\t1\n1c7d905a.npz\t0\n'))
    assert [record['img_paths'] for record in records] == [{'npz': 'zd6c8787.npz'}, {'npz': '1c7d905a.npz'}]
    assert [record['domain'] for record in records] == ['P', 'P']


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        (
            'l.txt',
            f'{TRIPLE} 1\na/1.jpg 0\n',
            r"l\.txt:2: expected 'rgb depth ir label' .* got 2 words: 'a/1.jpg 0'",
        ),
        ('l.txt', f'{TRIPLE} -1\n', r"l\.txt:1: the label must be 0 or 1, but is '-1'"),
        ('l.txt', f'{TRIPLE} live\n', r"l\.txt:1: the label must be 0 or 1, but is 'live'"),
        ('l.txt', '\n\n', r'l\.txt: holds no samples'),
        ('l.tsv', '', r'ends in \.txt, \.csv, \.json'),
        ('l.csv', 'rgb,lable\na.png,1\n', r"l\.csv:1: unknown column 'lable'; did you mean 'label'"),
        ('l.csv', 'rgb,depth\na.png,b.png\n', r"l\.csv:1: column 'label' is missing"),
        ('l.csv', 'rgb,label\na.png,1,2\n', r'l\.csv:2: more fields than the 2 columns'),
        ('l.csv', 'rgb,label\n,1\n', r'l\.csv:2: no image'),
        ('l.csv', 'rgb,npz,label\na.png,b.npz,1\n', r'l\.csv:2: give either npz or image files'),
        ('l.csv', 'rgb,label\na.png,\n', r"l\.csv:2: the label must be 0 or 1, but is ''"),
        ('l.csv', 'rgb,label\n', r'l\.csv: holds no samples'),
        ('l.csv', 'rgb,rgb,label\na.png,b.png,1\n', r"l\.csv:1: column 'rgb' is there 2 times; keep one"),
        ('l.csv', 'rgb;label\na.png;1\n', r"l\.csv:1: unknown column 'rgb;label'; commas separate the columns"),
        ('l.csv', f'rgb,label\n{"a" * 200_000},1\n', r'l\.csv: cannot be read as CSV: field larger than'),
        ('l.json', '{', r'l\.json:1: not valid JSON'),
        ('l.json', '{"samples": []}', r"l\.json: expected a list of objects, or an object with 'data_list'"),
        ('l.json', '[1]', r'l\.json:\[0\]: expected an object, but got int'),
        ('l.json', '[{"rbg": "a.png", "label": 1}]', r"l\.json:\[0\]: unknown column 'rbg'; did you mean 'rgb'"),
    ],
)
def test_error_names_file_line_and_remedy(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(ValueError, match=message) as caught:
        read_annotations(path)
    assert str(caught.value).startswith(str(path))


def test_all_malformed_lines_are_named_at_once(tmp_path: Path) -> None:
    text = ''.join(f'{TRIPLE} {1 if number == 3 else 7}\n' for number in range(25))
    with pytest.raises(ValueError) as caught:
        read_annotations(write(tmp_path, 'l.txt', text))
    lines = str(caught.value).splitlines()
    assert [line.split(':')[1] for line in lines[:4]] == ['1', '2', '3', '5']
    assert (len(lines), lines[-1]) == (21, '... and 4 more')


@pytest.mark.parametrize('name', ['l.txt', 'l.csv', 'l.json'])
def test_another_encoding_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes('rgb,label\nJosé.png,1\n'.encode('latin-1'))
    with pytest.raises(ValueError, match=rf'{name}: is not UTF-8 text .*; save it as UTF-8'):
        read_annotations(path)
    with pytest.raises(ValueError, match=rf'{name}: is not UTF-8 text'):
        read_meta(path)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='check data_root and ann_file'):
        read_annotations(tmp_path / 'no.txt')
    with pytest.raises(FileNotFoundError, match='check data_root and meta_file'):
        read_meta(tmp_path / 'no.csv')


def test_csv_and_json_say_the_same(tmp_path: Path) -> None:
    header = 'rgb,depth,ir,label,domain,pai,subject,video'
    csv_file = write(tmp_path, 'own.csv', f'{header}\nr.png,d.png,,0,X,print,s1,v1\nr2.png,,,1,,,,\n')
    rows = [
        {
            'rgb': 'r.png',
            'depth': 'd.png',
            'label': 0,
            'domain': 'X',
            'pai': 'print',
            'subject': 's1',
            'video': 'v1',
        },
        {'rgb': 'r2.png', 'ir': None, 'label': 1},
    ]
    plain = write(tmp_path, 'own.json', json.dumps(rows))
    engine = write(tmp_path, 'engine.json', json.dumps({'metainfo': {}, 'data_list': rows}))
    expected = [{k: v for k, v in record.items() if k != 'source_line'} for record in read_annotations(csv_file)]
    assert expected[0]['img_paths'] == {'rgb': 'r.png', 'depth': 'd.png'}
    for path in (plain, engine):
        assert [{k: v for k, v in r.items() if k != 'source_line'} for r in read_annotations(path)] == expected


def test_side_car(tmp_path: Path) -> None:
    path = write(
        tmp_path, 'records.csv', 'sample_id,split,pai,label\na.jpg,train,print,0\na.jpg,test,print,0\nb.jpg,,,\n'
    )
    assert read_meta(path) == {'a.jpg': {'pai': 'print', 'label': '0'}, 'b.jpg': {}}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'sample_id,pai\na.jpg,print\na.jpg,replay\n',
            r"records\.csv:3: contradicts an earlier row of sample 'a\.jpg'",
        ),
        ('sample,pai\na.jpg,print\n', r"unknown column 'sample'; did you mean 'sample_id'"),
        ('pai\nprint\n', r"column 'sample_id' is missing"),
    ],
)
def test_side_car_errors(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_meta(write(tmp_path, 'records.csv', text))
