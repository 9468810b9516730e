"""Tables of the claims and of the plan, and the pages that show them, in both languages."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from mmfas.evaluation.tables import NOT_RUN, markdown_table
from mmfas.utils.errors import InputError
from mmfas.utils.files import write_atomically
from mmfas.utils.runs import load_records
from projects.claims.plan import Cell, Claim, Claims, by_training
from projects.claims.verdicts import BESIDE, FAILS, HOLDS, UNDECIDED, Effect, complete_seeds, effects_of

#: Page by language, from the root of a checkout.
PAGES = {'en': 'docs/en/claims.md', 'zh': 'docs/zh_CN/claims.md'}
HEADERS = {
    'en': ('claim (where in the paper)', 'experiment', 'AUC or part', 'HTER', 'targets', 'seeds', 'verdict'),
    'zh': ('论断（论文中的位置）', '实验', 'AUC 或占比', 'HTER', '目标域', '种子', '结论'),
}
WORDS = {
    'en': {word: word for word in (HOLDS, FAILS, UNDECIDED, NOT_RUN)},
    'zh': {HOLDS: '成立', FAILS: '不成立', UNDECIDED: '未定', NOT_RUN: '未运行'},
}
_BRACKETS = {'en': ' ({})', 'zh': '（{}）'}
_MISSING = '-'


def read_values(folder: str | Path) -> dict[str, dict[str, float]]:
    """Read the values of all cells of a regime.

    Args:
        folder: Folder of its records.

    Returns:
        Values by name of the cell.

    Raises:
        ValueError: If records are of different data, regimes, or configs of one arm: a table is of one thing.
    """
    records = load_records(folder)
    for key in ('data', 'regime', 'perturbations_version', 'config_hash'):
        found: dict[str, set[str]] = defaultdict(set)
        for record in records.values():
            # configs are those of an arm; all else holds for all
            found[record['arm'] if key == 'config_hash' else 'all arms'].add(str(record[key]))
        if mixed := next((arm for arm, values in found.items() if len(values) > 1), None):
            raise InputError(
                f"'{folder}' holds records of different {key} of {mixed}: {' and '.join(sorted(found[mixed]))}; "
                'delete those that do not belong here, or run them again'
            )
    return {name.removesuffix('.json'): record['values'] for name, record in records.items()}


def claims_tables(claims: Claims, values: Mapping[str, Mapping[str, float]], language: str) -> dict[str, str]:
    """Make the tables of all claims.

    Args:
        claims: The table of claims.
        values: Values by name of the cell.
        language: `'en'` or `'zh'`.

    Returns:
        Markdown by paper.
    """
    rows: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for claim in claims.claims:
        rows[claim.paper].append(claim_row(claim, claims, values, language))
    return {paper: _text_table(HEADERS[language], own) for paper, own in rows.items()}


def _text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table of texts, which read better from the left."""
    lines = (header, ['---'] * len(header), *rows)
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def claim_row(
    claim: Claim, claims: Claims, values: Mapping[str, Mapping[str, float]], language: str
) -> tuple[str, ...]:
    """Make the row of a claim; without all seeds that were planned it says that it was not run.

    Args:
        claim: The claim.
        claims: The table, for seeds and splits.
        values: Values by name of the cell.
        language: `'en'` or `'zh'`.
    """
    words = WORDS[language]
    where, text, experiment = (claim.texts[key][language] for key in ('where', 'claim', 'experiment'))
    head = (text + _BRACKETS[language].format(where), experiment)
    seeds = complete_seeds(claim, claims, values)
    if not set(claims.seeds) <= set(seeds):
        return (*head, words[NOT_RUN], _MISSING, _MISSING, str(len(seeds)), words[NOT_RUN])
    effects = effects_of(claim, claims, values, seeds)
    decides = effects[claim.measure]
    beside = effects.get(BESIDE.get(claim.measure, ''))
    targets = f'{decides.num_splits_as_claimed} / {len(claims.splits)}'
    cells = (_points(decides), _points(beside) if beside else _MISSING, targets, str(len(seeds)))
    return (*head, *cells, words[decides.verdict])


def _points(effect: Effect) -> str:
    """Return an effect with its interval, in points."""
    low, high = (f'{100 * value:+.1f}' for value in (effect.low, effect.high))
    return f'{100 * effect.value:+.1f} [{low}, {high}]'


def refresh_page(text: str, tables: Mapping[str, str]) -> str:
    """Put tables between the marks of a page.

    Args:
        text: The page.
        tables: Markdown by paper.

    Raises:
        ValueError: If the page has no marks for a table.
    """
    for paper, table in tables.items():
        marks = f'<!-- claims of {paper} -->', '<!-- end -->'
        parts = re.split(f'{re.escape(marks[0])}\n.*?{re.escape(marks[1])}', text, flags=re.DOTALL)
        if len(parts) != 2:
            raise InputError(
                f"the page needs one line '{marks[0]}' and one '{marks[1]}' behind it, found {len(parts) - 1}"
            )
        text = f'{parts[0]}{marks[0]}\n\n{table}\n\n{marks[1]}{parts[1]}'
    return text


def refresh_pages(claims: Claims, values: Mapping[str, Mapping[str, float]], root: str | Path) -> list[Path]:
    """Write the tables into the pages of both languages.

    Args:
        claims: The table of claims.
        values: Values by name of the cell.
        root: Root of the checkout.

    Returns:
        The pages.

    Raises:
        ValueError: If a page has no marks for a table.
    """
    written = []
    for language, name in PAGES.items():
        page = Path(root, name)
        text = page.read_text(encoding='utf-8')
        write_atomically(page, refresh_page(text, claims_tables(claims, values, language)))
        written.append(page)
    return written


def plan_table(cells: Sequence[Cell], todo: Sequence[Cell], records: Mapping[str, Mapping[str, Any]]) -> str:
    """Lay out what is to be run, with the time it takes by what was measured.

    Args:
        cells: All cells.
        todo: Those without a record.
        records: Records by file name, for their seconds.

    Returns:
        A table with a row per arm and data trained on, and a line with the sum; arms without any measured
        training are counted with the mean of the others, and the line says so.
    """
    seconds = _measured(records)
    rows, total, guessed = [], 0.0, 0
    left = by_training(todo)
    groups: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[cell.training.arm.name, cell.training.train].append(cell)
    for (arm, train), own in groups.items():
        open_trainings = {cell.training for cell in own} & left.keys()
        open_cells = sum(len(left[training]) for training in open_trainings)
        found = seconds['train'].get(arm)
        rows.append((arm, train, f'{len(by_training(own))}', f'{len(own)}', f'{open_cells}', _seconds(found)))
        guessed += len(open_trainings) * (found is None)
        total += len(open_trainings) * _mean_of(found, seconds['train'])
        total += open_cells * _mean_of(seconds['score'].get(arm), seconds['score'])
    header = ('arm', 'trained on', 'trainings', 'cells', 'left', 'seconds a training')
    return f'{markdown_table(header, rows)}\n\n{_sum_line(len(cells), len(todo), total, guessed, seconds)}'


def _measured(records: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of trainings and of scorings, by arm."""
    found: dict[str, dict[str, list[float]]] = {'train': {}, 'score': {}}
    for record in records.values():
        for kind, by_arm in found.items():
            by_arm.setdefault(record['arm'], []).append(record['seconds'][kind])
    return found


def _seconds(values: Sequence[float] | None) -> str:
    """Return the mean of seconds, or that none was measured."""
    return 'not measured' if values is None else f'{mean(values):.0f}'


def _mean_of(values: Sequence[float] | None, others: Mapping[str, Sequence[float]]) -> float:
    """Return the mean of what was measured of an arm, else of all arms; 0 without any."""
    pool = [value for own in others.values() for value in own] if values is None else values
    return mean(pool) if pool else 0.0


def _sum_line(
    num_cells: int, num_left: int, total: float, guessed: int, seconds: Mapping[str, Mapping[str, Sequence[float]]]
) -> str:
    """Say how much is left."""
    line = f'{num_left} of {num_cells} cells left'
    if not num_left:
        return line
    if not seconds['train']:
        return f'{line}; no cell has been timed yet, so the hours are unknown'
    note = f', {guessed} trainings of which by the mean of other arms' if guessed else ''
    return f'{line}, {total / 3600:.1f} hours of one process{note}'
