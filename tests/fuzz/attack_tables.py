"""Attacks on lists of samples, score files and records of the benchmark."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from pathlib import Path
from random import Random
from typing import Any

from harness import Attack, must_be_refused
from mutators import damage, flip_bits, nested, slip

from mmfas.benchmark.plan import Cell
from mmfas.benchmark.records import read_record
from mmfas.datasets.annotations import read_annotations
from mmfas.evaluation import ScoreTable
from mmfas.evaluation.warning_signs import ranking_notes

sys.path.append(str(Path(__file__).parents[1] / 'test_benchmark'))
from benchmark_records import add_record  # noqa: E402

COLUMNS = ('sample_id', 'rgb', 'depth', 'ir', 'label', 'domain', 'pai', 'subject', 'video')


def _rows(rng: Random) -> list[dict[str, str]]:
    rows = []
    for i in range(rng.randint(2, 12)):
        paths = {m: f'{m}/{i:03d}.png' for m in ('rgb', 'depth', 'ir')}
        live = rng.random() < 0.5
        known = dict(domain='W', pai='live' if live else 'print', subject=f'p{i % 3}', video=f'v{i % 4}')
        rows.append({'sample_id': f's{i}', **paths, 'label': str(int(live)), **known})
    return rows


def _csv(rows: list[dict[str, str]], columns: tuple[str, ...]) -> str:
    text = io.StringIO(newline='')
    writer = csv.DictWriter(text, columns, lineterminator='\n')
    writer.writeheader()
    writer.writerows({name: row[name] for name in columns} for row in rows)
    return text.getvalue()


def _as_text(rows: list[dict[str, str]], form: str) -> str:
    if form == 'json':
        return json.dumps(rows, indent=1)
    if form == 'csv':
        return _csv(rows, COLUMNS)
    return ''.join(f'{row["rgb"]} {row["depth"]} {row["ir"]} {row["label"]}\n' for row in rows)


def lists(rng: Random, folder: Path) -> Attack:
    """Lists in all three formats."""
    form, rows = rng.choice(['txt', 'csv', 'json']), _rows(rng)
    path = folder / f'list.{form}'
    good = _as_text(rows, form)
    path.write_text(good, encoding='utf-8')
    expected = read_annotations(path)
    neutral = {
        'CRLF': good.replace('\n', '\r\n').encode(),
        'byte order mark': b'\xef\xbb\xbf' + good.encode(),
        'no last newline': good.rstrip('\n').encode(),
        'blank lines behind': good.encode() + b'\n\n',
    }
    row = rng.choice(rows)
    label = rng.choice(['2', '-1', 'live', '', '0.5', '1e0', '7' * 6000])
    harmful = {
        f'label {label:.9}': _as_text([*rows, {**row, 'label': label}], form).encode(),
        'not UTF-8': good.replace('rgb/', 'rgb\xff/', 3).encode('latin-1'),
        'empty': b'',
        'UTF-16': good.encode('utf-16'),
        **_harmful_of_form(form, good, rows, rng),
    }
    kind = rng.choice(['neutral', 'harmful', 'harmful', 'damage'])
    if kind == 'neutral':
        what = rng.choice(list(neutral))
        path.write_bytes(neutral[what])
        same = lambda result: None if _plain(result) == _plain(expected) else 'other records'  # noqa: E731
        return Attack(f'{form}, {what}', lambda: read_annotations(path), same, False)
    if kind == 'harmful':
        what = rng.choice(list(harmful))
        path.write_bytes(harmful[what])
        return Attack(f'{form}, {what}', lambda: read_annotations(path), must_be_refused)
    how, data = damage(good.encode(), rng)
    path.write_bytes(data)
    return Attack(f'{form}, {how}', lambda: read_annotations(path))


def _plain(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key != 'source_line'} for record in records]


def _harmful_of_form(form: str, good: str, rows: list[dict[str, str]], rng: Random) -> dict[str, bytes]:
    """Changes after which a list of one format means nothing."""
    if form == 'txt':
        return {
            'a word too few': good.replace(' depth/', 'depth/', 1).encode(),
            'a word too many': good.replace(' depth/', ' x depth/', 1).encode(),
        }
    if form == 'csv':
        name = rng.choice(['label', 'depth', 'sample_id'])
        return {
            'a misspelt column': good.replace(name, slip(name, rng), 1).encode(),
            'a column twice': good.replace('domain', 'label', 1).encode(),
            'a field too many': good.rstrip('\n').encode() + b',x\n',
            'semicolons': good.replace(',', ';').encode(),
        }
    return {
        'a key twice': good.replace('"label"', '"label": "1",\n  "label"', 1).encode(),
        'a misspelt key': good.replace('"label"', f'"{slip("label", rng)}"', 1).encode(),
        'cut off': good[: rng.randrange(1, len(good) - 1)].encode(),
        'nested deeply': nested('[', 5000).encode(),
        'nested objects': nested('[{"label":', 3000).encode(),
        'a number of 6,000 digits': good.replace(
            '"label": "', '"label": ' + '7' * 6000 + ', "pai": "', 1
        ).encode(),
        'no list': json.dumps(rows[0]).encode(),
        'numbers for objects': b'[1, 2]',
    }


#: Scores that are no decimal number; Python's `float` takes some of them.
ODD_SCORES = (
    'nan', 'inf', '-inf', '', 'high', '0,5', '1_000', '0_5', '\u0660.\u0665', '\uff10.5', '1e999', '0x1p-1',
    '7' * 6000,
)  # fmt: skip
#: Values that no record has in the places below.
ODD_VALUES: list[Any] = [
    None, float('nan'), float('inf'), -1.5, -1, [], {}, [[]], {'a': 1}, '', 'a/b', '\0', '\ud800',
]  # fmt: skip
_Ways = list[tuple[str, ...]]
#: Kind -> places of a record, and values that are odd there beside `ODD_VALUES`.
PLACES: dict[str, tuple[_Ways, list[Any]]] = {
    'count': ([('seed',), ('epoch',), ('max_epochs',), ('protocol',)], [True, 7.0, '7']),
    'format': ([('format',)], [True, 1.0, '1', 2]),
    'time': ([('seconds', 'train'), ('seconds', 'score')], [True, '7', 10**400]),
    'rate': (
        [('report', 'hter', 'value'), ('report', 'auc', 'value'), ('report', 'acer_max')],
        [True, '0.5', 7.0, 10**400],
    ),
    'text': ([('method',), ('split',), ('scores', 'dev', 'file'), ('scores', 'test', 'sha256')], [7, True]),
    'choice': ([('select',), ('split',)], ['first', 'last ', 'CPS2W', 7]),
    'mapping': ([('data',), ('versions',), ('report',), ('scores',), ('report', 'threshold')], [5, True]),
    'flag': ([('dirty',)], [0, 1, 'false']),
}
SCORE_COLUMNS = ('sample_id', 'domain', 'subject', 'video', 'pai', 'label', 'score')


def score_files(rng: Random, folder: Path) -> Attack:
    """Score files, plain and packed."""
    rows = [{**row, 'score': repr(rng.random())} for row in _rows(rng)]
    good = _csv(rows, SCORE_COLUMNS)
    path = folder / 'scores.csv'
    path.write_text(good, encoding='utf-8')
    expected = ScoreTable.from_csv(path)

    def differs(result: ScoreTable) -> str | None:
        same = all(list(getattr(result, n)) == list(getattr(expected, n)) for n in SCORE_COLUMNS)
        return None if same else 'another table'

    def attack(what: str, data: bytes, wrong: Any, may_refuse: bool = True, name: str = 'scores.csv') -> Attack:
        (folder / name).write_bytes(data)
        return Attack(f'scores, {what}', lambda: ScoreTable.from_csv(folder / name), wrong, may_refuse)

    kind = rng.choice(['value', 'value', 'column', 'rows', 'packed', 'damage', 'neutral', 'range'])
    if kind == 'packed':
        packed = gzip.compress(good.encode(), mtime=0)
        how, data = rng.choice([('flip', flip_bits(packed, rng, start=10)), damage(packed, rng)])
        return attack(f'packed, {how}', data, differs, name='scores.csv.gz')
    if kind == 'neutral':
        data = rng.choice([good.replace('\n', '\r\n').encode(), b'\xef\xbb\xbf' + good.encode()])
        return attack('CRLF or byte order mark', data, differs, may_refuse=False)
    if kind == 'damage':
        how, data = damage(good.encode(), rng)
        return attack(how, data, lambda result: None)
    if kind == 'range':
        rows[0]['score'] = rng.choice(['1.5', '-0.25', '85', '1e3'])
        outside = lambda table: None if _notes(table) else 'no word on scores outside [0, 1]'  # noqa: E731
        return attack('a score outside [0, 1]', _csv(rows, SCORE_COLUMNS).encode(), outside)
    if kind == 'column':
        name = rng.choice(SCORE_COLUMNS)
        if rng.random() < 0.5:
            return attack(f'column {name} twice', _with_repeated_column(good, name), must_be_refused)
        return attack(f'no column {name}', good.replace(name, slip(name, rng), 1).encode(), must_be_refused)
    if kind == 'rows':
        short = '\n'.join(good.splitlines()[:-1] + [good.splitlines()[-1].rpartition(',')[0]])
        broken = rng.choice(
            [short, good + good.splitlines()[-1] + '\n', good.splitlines()[0], good + ',,,,,,,,\n']
        )
        return attack('a short, repeated or missing row', broken.encode(), must_be_refused)
    key, value = rng.choice(
        [
            ('score', rng.choice(ODD_SCORES)),
            ('label', rng.choice(['2', '', 'live', '1.0', ' 1', '\u0661', '7' * 6000])),
            (rng.choice(SCORE_COLUMNS[:5]), rng.choice(['a\0', '\0', 'a\0b', 'a\x1b[1m', 'a\x7f'])),
        ]
    )
    rng.choice(rows)[key] = value
    return attack(f'{key} {value!r}', _csv(rows, SCORE_COLUMNS).encode(), must_be_refused)


def _with_repeated_column(text: str, name: str) -> bytes:
    """Add a second column of a name, with other values."""
    first, *rest = text.splitlines()
    return '\n'.join([f'{first},{name}', *(f'{line},0' for line in rest), '']).encode()


def _notes(table: ScoreTable) -> bool:
    """Tell whether the report warns of the range of the scores."""
    return any('outside [0, 1]' in note for note in ranking_notes(table, 'test'))


def records(rng: Random, folder: Path) -> Attack:
    """Records of the benchmark."""
    add_record(folder, Cell('concat', 1, 'cps2w', rng.randrange(3)))
    (path,) = folder.glob('*/*.json')
    good = path.read_text()
    expected, content = read_record(path), json.loads(good)
    same = lambda result: None if result == expected else 'another record'  # noqa: E731
    kind = rng.choice(['keys', 'value', 'value', 'damage', 'text', 'nested', 'name', 'same'])
    what, data, wrong = '', good.encode(), must_be_refused
    if kind == 'keys':
        what = _odd_key(content, rng)
        data = json.dumps(content, indent=1).encode()
    elif kind == 'value':
        what = _odd_place(content, rng)
        data = json.dumps(content, indent=1).encode()
    elif kind == 'damage':
        what, data = damage(good.encode(), rng)
        wrong = lambda result: None  # a digit may be another, within its range  # noqa: E731
    elif kind == 'text':
        data = rng.choice(
            ['', '[]', 'null', '5', '{}', '{"format": 1}', 'NaN', '\0', good + good, '7' * 6000]
        ).encode()
    elif kind == 'nested':
        what, data = _deep(good, rng)
    elif kind == 'name':
        path = path.rename(path.with_name(slip(path.stem, rng) + '.json'))
    else:
        data, wrong = json.dumps(dict(rng.sample(list(content.items()), len(content)))).encode(), same
    path.write_bytes(data)
    return Attack(f'record, {kind}: {what}', lambda: read_record(path), wrong, may_refuse=kind != 'same')


def _odd_key(content: dict[str, Any], rng: Random) -> str:
    """Remove or misspell a key that every record has; returns it."""
    place, key = rng.choice(
        [
            *(('', key) for key in content if len(key) >= 4),
            *(('report', key) for key in ('hter', 'auc', 'acer_max', 'threshold')),
            *((place, key) for place in ('scores', 'seconds') for key in content[place]),
            ('data', 'name'),
        ]
    )
    holder = content[place] if place else content
    value = holder.pop(key)
    if not place and rng.random() < 0.5:
        holder[slip(key, rng)] = value
    return f'{place} {key}'


def _odd_place(content: dict[str, Any], rng: Random) -> str:
    """Put an odd value into a place of a record for which there is a rule; returns the place."""
    kind = rng.choice(list(PLACES))
    ways, odd = PLACES[kind]
    way = rng.choice(ways)
    holder, value = content, rng.choice([*ODD_VALUES, *odd])
    for key in way[:-1]:
        holder = holder[key]
    holder[way[-1]] = value
    return f'{".".join(way)} = {value!r:.20}'


def _deep(good: str, rng: Random) -> tuple[str, bytes]:
    """Nest a record, or a value that it may hold, too deep to be read or checked."""
    depth = rng.choice([400, 900, 5000, 100_000])
    opening, closing = rng.choice([('[', ']'), ('{"a":', '}')])
    value = opening * depth + '1' + closing * depth
    within = good.replace('"options": {}', f'"options": {{"a": {value}}}')
    return f'{depth} {opening}', rng.choice([nested(opening, depth), value, within]).encode()
