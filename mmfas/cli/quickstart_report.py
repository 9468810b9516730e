"""Print the closing table of the quick start from the report of a test run."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mmfas.cli.errors import reports_user_errors


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


def closing_rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """Pick HTER, ACER with the worst instrument and AUC from a report.

    Args:
        report: One entry of `reports` in `report.json`, with both classes and a threshold.

    Returns:
        Cells: name, percent, 95 % interval, counts.
    """
    hter, bpcer, worst, auc = (report[key] for key in ('hter', 'bpcer', 'apcer_max', 'auc'))
    ends = report['acer_max_interval']
    samples = f'{report["num_live"]} live, {report["num_spoof"]} attacks'
    accepted = f'{worst["errors"]}/{worst["total"]} {worst["pai"]} accepted'
    counts = f'{accepted}, {bpcer["errors"]}/{bpcer["total"]} live rejected'
    return [
        _row('HTER', hter['low'], hter['value'], hter['high'], samples),
        _row('ACER (max PAI)', ends['low'], report['acer_max'], ends['high'], counts),
        _row('AUC', auc['low'], auc['value'], auc['high'], samples),
    ]


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
    for report in content['reports']:
        threshold = report['threshold']
        print(text_table(('SynthFAS', '%', '95 % interval', 'counts'), closing_rows(report)))
        print(f'threshold {threshold["value"]:.4f} ({threshold["origin"]}), fixed without any test score')
    return 0


if __name__ == '__main__':
    sys.exit(main())
