"""Tables, report and pages of the benchmark, made from records alone."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from benchmark_records import SMALL, add_record, with_numbers
from latex_compiler import compile_tables, needs_latex

from mmfas.benchmark.html_page import _first_seeds
from mmfas.benchmark.latex_tables import latex_report
from mmfas.benchmark.markdown_tables import RESULTS, SWEEP, refresh_page, refresh_pages
from mmfas.benchmark.methods import config_hash, find_method
from mmfas.benchmark.plan import SPLITS, Cell, recorded_as
from mmfas.benchmark.records import RecordError, read_records
from mmfas.benchmark.report import origin
from mmfas.benchmark.tables import build_tables, choose, columns_of, data_text
from mmfas.cli.benchmark import main
from mmfas.evaluation import read_published
from mmfas.evaluation.tables import NOT_RUN

CONFIGS = Path(__file__).parents[2] / 'configs'
CONCAT = 'concat_mini-vit_1xb32-12e_synthfas-cps2w'
BIG_MOE = 'big-moe_mini-vit_1xb32-12e_synthfas-cps2w'


def _cells(rows: tuple[tuple[str, ...], ...], *start: str) -> tuple[str, ...]:
    return next(row[len(start) :] for row in rows if row[: len(start)] == start)


def test_tables_from_records(tmp_path: Path) -> None:
    for seed, shift in ((0, 0.0), (1, 0.1)):
        for hter, split in enumerate(SPLITS[1], 1):
            paper = {'hter': 0.05 * hter, 'auc': 0.99, 'epoch': 3, 'every_epoch': []} if seed == 0 else None
            report = with_numbers(0.1 * hter + shift, 0.9)
            add_record(tmp_path, Cell(CONCAT, 1, split, seed), report=report, paper=paper)
    add_record(tmp_path, Cell(CONCAT, 1, 'cps2w', 2), report=with_numbers(0.3, 0.9))
    methods = [find_method(CONCAT), find_method(BIG_MOE)]
    records = read_records(tmp_path)
    chosen = choose(records)
    overview, details = build_tables(chosen, [1])
    # Every cell is of the two seeds that have all splits, so the mean is that of the cells.
    # 10 and 20 %: mean 15, half width 12.7062 * 7.0711 / sqrt(2).
    assert _cells(overview.rows, 'concat_mini-vit')[0] == '15.00 ± 63.53 / 90.00 ± 0.00'
    # Mean over splits: 25 and 35 %.
    assert _cells(overview.rows, 'concat_mini-vit')[4:] == (
        '30.00 ± 63.53 / 90.00 ± 0.00',
        '12.50 / 99.00',
        '-',
        '2',
    )
    assert _cells(details.rows, 'CPW→S', 'concat_mini-vit')[:5] == (
        '25.00 ± 63.53',
        '90.00 ± 0.00',
        '25.00 ± 63.53',
        '10.00',
        '99.00',
    )
    # 10, 20 and 30 % of three seeds: mean 20, half width 4.3027 * 10 / sqrt(3).
    assert _cells(details.rows, 'CPS→W', 'concat_mini-vit')[0] == '20.00 ± 24.84'
    assert _cells(details.rows, 'CPS→W', 'concat_mini-vit')[-1] == '0 1 2'
    assert overview.note == ''
    assert choose(records, methods=methods).methods == (CONCAT, BIG_MOE)
    assert '| mean | concat_mini-vit |' in details.markdown()
    assert '| mean  | concat_mini-vit |' in details.text()


def test_a_missing_cell_says_not_run(tmp_path: Path) -> None:
    own = config_hash(find_method(CONCAT).load())
    add_record(tmp_path, Cell(CONCAT, 1, 'cps2w', 0), config_hash=own, report=with_numbers(0.25, 0.75))
    chosen = choose(read_records(tmp_path), methods=[find_method(CONCAT), find_method(BIG_MOE)])
    for table in build_tables(chosen, [1, 2, 3]):
        filled = [row for row in table.rows if row[1:].count(NOT_RUN) < len(row) - 3]
        assert all(NOT_RUN in row for row in table.rows)
        assert len(filled) <= 1
    overview, details = build_tables(chosen, [1])
    assert _cells(overview.rows, 'concat_mini-vit') == ('25.00 / 75.00', *[NOT_RUN] * 5, '-', '0')
    assert all('0 seeds: none has every split yet' in text for text in (overview.text(), overview.markdown()))
    elsewhere = build_tables(chosen, [3])[0]
    assert [row[0] for row in elsewhere.rows] == ['big-moe_mini-vit']
    assert elsewhere.note == (
        'Methods with records of other protocols only, and without published numbers, are left out.'
    )
    assert _cells(details.rows, 'CPS→W', 'concat_mini-vit') == (
        '25.00',
        '75.00',
        '25.00',
        NOT_RUN,
        NOT_RUN,
        '-',
        '0',
    )
    assert [row[:2] for row in details.rows] == [('CPS→W', 'concat_mini-vit')]
    assert details.note == 'Rows with neither records of all their splits nor published numbers are left out.'


def test_foreign_records_are_refused_or_named(tmp_path: Path) -> None:
    own = config_hash(find_method(CONCAT).load())
    cell = Cell(CONCAT, 1, 'cps2w', 0)
    add_record(tmp_path, cell, config_hash=own, report=with_numbers(0.25, 0.75))
    add_record(tmp_path, cell, config_hash='old', report=with_numbers(0.5, 0.5))
    with pytest.raises(RecordError, match=f'records of 2 configs.*{own}'):
        choose(read_records(tmp_path))
    chosen = choose(read_records(tmp_path), methods=[find_method(CONCAT)])
    assert [record.config_hash for record in chosen.records] == [own]
    assert chosen.left_out == (f'{CONCAT} p1_cps2w_s0: of another config, old, which now says {own}',)

    tiny = {**SMALL, 'size': 'tiny'}
    add_record(tmp_path, cell, config_hash=own, data=tiny, report=with_numbers(0.5, 0.5))
    with pytest.raises(RecordError, match='of 2 data sets.*size=small.*size=tiny.*--data-root'):
        choose(read_records(tmp_path), methods=[find_method(CONCAT)])
    chosen = choose(read_records(tmp_path), methods=[find_method(CONCAT)], data=SMALL)
    assert [record.data for record in chosen.records] == [SMALL]
    assert chosen.left_out[1] == '1 cell(s) of 1 method(s): of other data, ' + data_text(tiny)
    assert (
        choose(read_records(tmp_path), methods=[find_method(CONCAT)], data={'size': 'tiny'}).records[0].data
        == tiny
    )
    add_record(tmp_path, cell, config_hash=own, select='dev', report=with_numbers(0.1, 0.9))
    chosen = choose(read_records(tmp_path), methods=[find_method(CONCAT)], data=SMALL)
    assert len(chosen.records) == 1
    assert f'{CONCAT} p1_cps2w_s0: of another choice of epoch, --select dev' in chosen.left_out


def test_records_of_two_versions_lie_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newer = {**SMALL, 'renderer_version': '1.1.0'}
    for data, numbers in ((SMALL, (0.25, 0.75)), (newer, (0.5, 0.5))):
        add_record(tmp_path, Cell(CONCAT, 1, 'cps2w', 0), data=data, report=with_numbers(*numbers))
    asked = ['report', '--records', str(tmp_path), '--protocols', '1']
    assert main(asked) == 1
    assert 'of 2 data sets' in (error := capsys.readouterr().err)
    assert '--renderer' in error
    for version, hter in (('1.0.0', '25.00'), ('1.1.0', '50.00')):
        assert main([*asked, '--renderer', version]) == 0
        assert hter in capsys.readouterr().out
    assert main([*asked, '--renderer', '2.0.0']) == 1
    assert 'none with --select last on this data' in capsys.readouterr().err


def test_published_numbers_stand_beside_the_method_they_are_of(tmp_path: Path) -> None:
    name = 'mmdg_vit-b16_1xb32-100e_cpsw-cps2w'
    methods = [find_method(text) for text in (name, f'{name}_released', CONCAT)]
    chosen = choose([], methods=[*methods, find_method('mmdg_mini-vit_1xb32-12e_synthfas-cps2w_no-ssp')])
    published = read_published()
    for protocol in (1, 2, 3):
        row = published.row_of('MMDG', protocol)
        overview, details = build_tables(chosen, [protocol])
        assert [row[-2] for row in overview.rows] == [str(row.exact_mean)] * 2 + ['-', '-']
        for column in columns_of(protocol)[:-1]:
            assert _cells(details.rows, column.title, 'mmdg_vit-b16')[-2] == str(row.cells[column.published])
    rows = build_tables(chosen, [2])[1].rows
    assert not [row for row in rows if row[0] == 'CPS→W, D missing' or row[1].startswith('concat')]
    assert [row[-1] for row in rows if row[1] == 'mmdg_vit-b16'] == [NOT_RUN] * len(columns_of(2))


@needs_latex
def test_tables_for_papers_are_compiled(tmp_path: Path) -> None:
    for method in (CONCAT, BIG_MOE):
        for seed in (0, 1):
            add_record(tmp_path, Cell(method, 1, 'cps2w', seed), report=with_numbers(0.1, 0.9))
    text = latex_report(choose(read_records(tmp_path)), [1, 2, 3])
    assert '10.00' in text and text.count('\\begin{tabular}') >= 6
    compile_tables(text, tmp_path)


def test_report_is_written_and_its_page_asks_for_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records, out = tmp_path / 'runs', tmp_path / 'out'
    for method in (CONCAT, BIG_MOE):
        add_record(records, Cell(method, 1, 'cps2w', 0), config_hash=config_hash(find_method(method).load()))
    add_record(records, Cell(CONCAT, 1, 'cpw2s', 0), config_hash='old')
    arguments = ['report', CONCAT, BIG_MOE, '--records', str(records), '--protocols', '1', '--out', str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    page, text = ((out / f'report.{kind}').read_text(encoding='utf-8') for kind in ('html', 'md'))
    content = json.loads((out / 'report.json').read_text(encoding='utf-8'))
    # One ROC, one DET, one figure of bars, of the only split that has scores of these configs.
    pictures = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,([^"]+)"', page)
    assert [alt for alt, _ in pictures] == [f'{kind}, CPS→W, seed 0' for kind in ('ROC', 'DET', 'Attack kinds')]
    assert all(base64.b64decode(data).startswith(b'\x89PNG') for _, data in pictures)
    assert re.findall(r'(?:src|href)="(?!data:)|url\(|@import|<script|https?:', page) == []
    report = content['cells'][0]['ours']
    pair = f'{100 * report["hter"]["value"]:.2f} / {100 * report["auc"]["value"]:.2f}'
    assert all(pair in shown for shown in (page, text, printed))
    assert main([*arguments[:-2], '--format', 'latex']) == 0
    latex = capsys.readouterr().out
    assert pair in latex and latex.count('\\begin{tabular}') == latex.count('\\bottomrule') >= 2
    best = f'{100 * min(cell["ours"]["hter"]["value"] for cell in content["cells"]):.2f}'
    assert f'\\textbf{{{best}}}' in latex
    assert content['tables'][0]['rows'][0][1] == pair
    for shown in (page, text, printed):
        assert f'{CONCAT} p1_cpw2s_s0: of another config, old' in shown
        assert 'not run' in shown
    assert 'no number is comparable with its neighbour' in text
    next((records / CONCAT).glob('p1_cps2w_*.test.csv.gz')).unlink()
    assert main(arguments) == 1
    assert 'is missing; restore it' in capsys.readouterr().err


def test_the_command_says_which_records_there_are_instead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records, synthfas, real = tmp_path / 'runs', tmp_path / 'synthfas', tmp_path / 'real'
    for split in SPLITS[1]:
        add_record(records, Cell(CONCAT, 1, split, 0))
    for folder in (synthfas, real):
        folder.mkdir()
    header = {key: value for key, value in SMALL.items() if key != 'name'}
    (synthfas / 'manifest.json').write_text(json.dumps({**header, 'seed': 1, 'chunks': {}}))
    (real / 'C-train.txt').write_text('a b c 1')
    first = f'{CONCAT} p1_cps2w_s0, p1_cpw2s_s0, p1_csw2p_s0 and 1 more: '
    other = f'4 cell(s) of 1 method(s): of other data, {data_text(SMALL)}'
    for options, message in (
        (
            ['--select', 'dev'],
            f'4 records, none with --select dev: {first}of another choice of epoch, --select last',
        ),
        (
            ['--data-root', str(synthfas)],
            f'none with --select last on this data: {other}',
        ),
        (['--data-root', str(real)], f'none with --select last on this data: {other}'),
        (['--data-root', str(tmp_path)], 'holds no protocol lists'),
    ):
        assert main(['report', '--records', str(records), *options]) == 1
        said = capsys.readouterr().err
        assert message in said
        assert said.count(CONCAT) == ('dev' in options)


def test_a_shared_training_and_hidden_protocols_are_not_counted(tmp_path: Path) -> None:
    for method in (BIG_MOE, f'{BIG_MOE}_no-code'):
        for protocol in (1, 2):
            add_record(
                tmp_path, Cell(method, protocol, SPLITS[protocol][0], 0), seconds={'train': 3600.0, 'score': 0}
            )
    add_record(tmp_path, Cell(BIG_MOE, 3, 'cw2ps', 0), seconds={'train': 7200.0, 'score': 0}, commit='7654321')
    chosen = choose(read_records(tmp_path))
    assert origin(chosen, [1])['records'].startswith('2 cells of 1 trainings, 1.00 h')
    assert origin(chosen, [1, 2, 3])['records'].startswith('5 cells of 2 trainings, 3.00 h')
    assert origin(chosen, [1])['commits (+ with changes)'] == '1234567'


def test_rows_are_rewritten_and_all_else_stays(tmp_path: Path) -> None:
    for number, split in enumerate((*SPLITS[1], *SPLITS[2]), 1):
        report = with_numbers(0.01 * number, 0.9)
        add_record(tmp_path / 'runs', Cell(CONCAT, 1 if number <= 4 else 2, split, 0), report=report)
    chosen = choose(read_records(tmp_path / 'runs'))
    page = tmp_path / 'page.md'
    rule = '| --- ' * (RESULTS.header.count('|') - 1) + '|'
    page.write_text(f'before\n\n{RESULTS.header}\n{rule}\n| `concat_mini-vit` | old | 1 |\n\nafter\n')
    refresh_pages([page], chosen)
    before, header, rule_again, row, after = (line for line in page.read_text().splitlines() if line)
    assert (before, header, rule_again, after) == ('before', RESULTS.header, rule, 'after')
    cells = [cell.strip() for cell in row.strip('|').split('|')]
    assert cells[0] == '`concat_mini-vit`' and len(cells) == RESULTS.header.count('|') - 1
    # 1 to 4 % of the splits of Protocol 1, whose mean is 2.5; 5 to 8 with depth missing
    assert cells[1] == '1.0 / 90.0' and cells[5] == '2.5 / 90.0' and cells[6] == '6.5 / 90.0' and cells[-1] == '1'
    page.write_text(page.read_text().replace('concat', 'concord'))
    with pytest.raises(
        RecordError, match=r"page.md': no record of `concord_mini-vit`; there are some of concat_mini"
    ):
        refresh_pages([page], chosen)
    page.write_text('nothing here\n')
    with pytest.raises(
        RecordError, match=r"page.md': there is no table of results; start one with one of the lines\n\| method"
    ):
        refresh_pages([page], chosen)


def test_the_sweep_in_report_and_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records, page = tmp_path / 'runs', tmp_path / 'page.md'
    gone = dict.fromkeys(('dev', 'test'), {'file': 'gone.csv.gz', 'sha256': 64 * '0', 'kept': False})  # no curves
    for number, split in enumerate(SPLITS['2s']):
        report = with_numbers(0.01 * (number // 4), 0.9)
        cell = Cell(CONCAT, recorded_as('2s', split), split, 0)
        add_record(records, cell, report=report, scores=gone)
    page.write_text(f'{SWEEP.header}\n|{" --- |" * (SWEEP.header.count("|") - 1)}\n| `concat_mini-vit` | old |\n')
    asked = ['report', '--records', str(records), '--protocols', '2s', '--out', str(tmp_path)]
    assert main([*asked, '--pages', str(page)]) == 0
    header, _, row = page.read_text().splitlines()
    subsets = ['R+D+I', 'R+D', 'R+I', 'D+I', 'R', 'D', 'I']
    assert header == f'| method | {" | ".join(subsets)} | mean | seeds |'
    assert row == f'| `concat_mini-vit` | {" | ".join(f"{n}.0 / 90.0" for n in range(7))} | 3.0 / 90.0 | 1 |'
    printed = capsys.readouterr().out
    html, text = ((tmp_path / f'report.{kind}').read_text(encoding='utf-8') for kind in ('html', 'md'))
    for shown in (printed, html, text):
        assert 'Protocol 2s: the models of Protocol 1, every subset' in shown
        assert all(f'{name}, ours' in shown for name in subsets)
        assert 'CPS→W, R and D missing' in shown
    overview, details = build_tables(choose(read_records(records)), ['2s'])
    assert overview.rows[0][1] == '0.00 / 90.00' and overview.rows[0][-3:] == (NOT_RUN, '-', '1')
    assert len(details.rows) == 28 + 8


def test_pages_count_the_seeds_of_both_protocols(tmp_path: Path) -> None:
    def seeds(records: Path) -> str:
        page = f'{RESULTS.header}\n|{" --- |" * (RESULTS.header.count("|") - 1)}\n| `concat_mini-vit` | old |\n'
        row = refresh_page(page, choose(read_records(records))).splitlines()[-1]
        return row.split('|')[-2].strip()

    for seed in (0, 1):
        for split in SPLITS[1]:
            add_record(tmp_path, Cell(CONCAT, 1, split, seed), report=with_numbers(0.25, 0.75))
    for split in SPLITS[2]:
        add_record(tmp_path, Cell(CONCAT, 2, split, 0), report=with_numbers(0.25, 0.75))
    assert seeds(tmp_path) == '2 / 1'
    for split in SPLITS[2]:
        add_record(tmp_path, Cell(CONCAT, 2, split, 1), report=with_numbers(0.25, 0.75))
    assert seeds(tmp_path) == '2'


def test_names_that_would_be_the_same_are_kept_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = CONCAT.replace('12e', '24e')
    for method in (CONCAT, other, BIG_MOE):
        add_record(tmp_path / 'runs', Cell(method, 1, 'cps2w', 0))
    chosen = choose(read_records(tmp_path / 'runs'))
    assert [row[0] for row in build_tables(chosen, [1])[0].rows] == ['big-moe_mini-vit', CONCAT, other]
    assert sorted(_first_seeds(chosen, 1, 'cps2w')) == ['big-moe_mini-vit', CONCAT, other]
    page = f'{RESULTS.header}\n|{" --- |" * (RESULTS.header.count("|") - 1)}\n| `concat_mini-vit` | old |\n'
    with pytest.raises(RecordError, match=f'no record of `concat_mini-vit`; there are some of .*{other}'):
        refresh_page(page, chosen)
    mine = tmp_path / f'{CONCAT}.py'
    mine.write_text(f"_base_ = '{CONFIGS}/baselines/{CONCAT}.py'")
    (tmp_path / 'metafile.yml').write_text(f'Models: [{{Name: {CONCAT}, In Collection: A, Config: {mine.name}}}]')
    for command in ('run', 'report'):
        assert main([command, CONCAT, CONCAT, str(mine), '--records', str(tmp_path / 'runs')]) == 2
        assert f"'{mine}' are both named {CONCAT}; rename one" in capsys.readouterr().err
