"""Print the closing table of the quick start from the report and the score files of a test run."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mmfas.cli.errors import reports_user_errors
from mmfas.utils.errors import InputError

#: Criterion of the site's row: five live videos of the target, of which at most a tenth may be rejected.
SITE_CRITERION = 'site-5@bpcer=0.1'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command.

    Args:
        parser: Parser to extend.
    """
    parser.add_argument('folder', type=Path, help='output folder of `mmfas test`, with report.json')


def _row(name: str, low: float | None, value: float, high: float | None, counts: str) -> tuple[str, ...]:
    """Return the cells of one number in percent."""
    interval = '' if low is None or high is None else f'{100 * low:.1f} to {100 * high:.1f}'
    return name, f'{100 * value:.1f}', interval, counts


def closing_rows(report: dict[str, Any], at_site: dict[str, Any] | None = None) -> list[tuple[str, ...]]:
    """Pick HTER at every kind of threshold, ACER with the worst instrument and AUC from a report.

    Args:
        report: One entry of `reports` in `report.json`, with both classes and a threshold.
        at_site: The same scores judged at a threshold of the site; None without live videos of it.

    Returns:
        Cells: name, percent, 95 % interval, counts.
    """
    bpcer, worst, auc, eer = report['bpcer'], report['apcer_max'], report['auc'], report['oracle']['eer']
    ends = report['acer_max_interval']
    samples = f'{report["num_live"]} live, {report["num_spoof"]} attacks'
    accepted = f'{worst["errors"]}/{worst["total"]} {worst["pai"]} accepted'
    counts = f'{accepted}, {bpcer["errors"]}/{bpcer["total"]} live rejected'
    rows = [_hter_row('dev threshold', report, samples)]
    if at_site is not None:
        rows.append(_hter_row('site threshold', at_site, at_site['threshold']['origin']))
    return [
        *rows,
        _row('HTER, oracle (EER)', None, eer['value'], None, 'threshold from the test itself'),
        _row('ACER (max PAI), dev threshold', ends['low'], report['acer_max'], ends['high'], counts),
        _row('AUC', auc['low'], auc['value'], auc['high'], samples),
    ]


def _hter_row(threshold: str, report: dict[str, Any], counts: str) -> tuple[str, ...]:
    """Return the cells of the error at one threshold."""
    hter = report['hter']
    return _row(f'HTER, {threshold}', hter['low'], hter['value'], hter['high'], counts)


def judge_at_site(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """Judge the test scores at a threshold of the site.

    Args:
        folder: Output folder of `mmfas test` with `test.csv` and, after `--site-list`, `site.csv`.

    Returns:
        The report, None if there is none; and why there is none.
    """
    from mmfas.evaluation import ScoreTable, evaluate_scores

    if not (folder / 'site.csv').is_file():
        return None, f'{folder / "site.csv"} does not exist; `mmfas test --site-list` writes it'
    site, test = (ScoreTable.from_csv(folder / f'{name}.csv') for name in ('site', 'test'))
    try:
        return evaluate_scores(test, site=site, criterion=SITE_CRITERION).to_dict(), ''
    except InputError as error:
        return None, str(error)


@reports_user_errors()
def main(argv: list[str] | None = None) -> int:
    """Print the table; returns 0, or 1 without a report."""
    parser = argparse.ArgumentParser(prog='python -m mmfas.cli.quickstart_report', description=__doc__)
    add_arguments(parser)
    folder = parser.parse_args(argv).folder
    path = folder / 'report.json'
    if not path.is_file():
        print(f'{path} does not exist; run `mmfas test` first', file=sys.stderr)
        return 1
    from mmfas.evaluation.tables import text_table

    content = json.loads(path.read_text(encoding='utf-8'))
    at_site, reason = judge_at_site(folder)
    for report in content['reports']:
        print(text_table(('SynthFAS', '%', '95 % interval', 'counts'), closing_rows(report, at_site)))
        threshold = report['threshold']
        print(f'dev threshold {threshold["value"]:.4f} ({threshold["origin"]}), fixed without any test score')
        if at_site is None:
            print(f'no site threshold: {reason}')
        else:
            threshold = at_site['threshold']
            print(f'site threshold {threshold["value"]:.4f}, BPCER at most 10 % on five live videos of the target')
    return 0


if __name__ == '__main__':
    sys.exit(main())
