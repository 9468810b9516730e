"""The report of a benchmark: Markdown, JSON and one HTML page, all from the same tables and records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmfas.apis.model_index import read_model_index
from mmfas.benchmark.last_epochs import all_tables
from mmfas.benchmark.plan import Protocol, is_shown
from mmfas.benchmark.record import Record, refusing_full_disk
from mmfas.benchmark.records import Folders
from mmfas.benchmark.site import MAX_BPCER
from mmfas.benchmark.tables import RecordSelection, Table, data_text
from mmfas.utils.files import write_atomically

_SCORINGS = (
    'ours: the threshold is the EER point of the dev scores (val lists of the source domains; in Protocol 2 with '
    'the same modalities missing), applied to the test set.',
    'paper (oracle): threshold and epoch chosen on the test set itself, as published numbers are made; never '
    'compare it with ours.',
    'published: what the paper of the method prints for the real sets (`mmfas/evaluation/published.yml`), with '
    'threshold and mostly epoch chosen on the test set; compare it with the column paper, on real sets only.',
    'Several seeds: mean ± half width of the 95 % interval of the mean (Student t). The first table of a protocol '
    'takes seeds that have all its splits, the second one every seed of a split.',
)

_AT_SITE = (
    'site (k live videos): the threshold was set on k live videos of the target that are not of its test list (3 '
    'and 5 of its val list, 20 and 50 of its list of live people alone), BPCER at most '
    f'{100 * MAX_BPCER:g} % on them; no attack and no test sample was used. The seed of the training draws the '
    'videos; with several targets each has a threshold of its own, and the mean is shown.'
)
_OTHER_DATA = (
    'These records are of SynthFAS, the published numbers of real faces: no number is comparable with its '
    'neighbour, they only show which methods the papers found better.'
)


def origin(chosen: RecordSelection, protocols: Sequence[Protocol]) -> dict[str, str]:
    """State where the numbers come from.

    Args:
        chosen: Records.
        protocols: Protocols to show; records of others are not counted.

    Returns:
        Data, choice of epoch, commits, versions, devices and wall time as text; empty without records.
    """
    records = [record for record in chosen.records if is_shown(record.cell, protocols)]
    if not records:
        return {}
    trainings = _seconds_of_trainings(records)
    hours = (sum(trainings.values()) + sum(record.seconds['score'] for record in records)) / 3600
    commits = sorted({f'{record.commit}{"+" if record.dirty else ""}' for record in records})
    return {
        'data': data_text(records[0].data),
        'epoch': 'last' if records[0].select == 'last' else 'best on dev',
        'commits (+ with changes)': ', '.join(commits),
        'torch': ', '.join(sorted({record.versions['torch'] for record in records})),
        'devices': ', '.join(sorted({record.device for record in records})),
        'records': f'{len(records)} cells of {len(trainings)} trainings, {hours:.2f} h of processes in all',
    }


def _seconds_of_trainings(records: Sequence[Record]) -> dict[tuple[str, ...], float]:
    """Return the wall time of every training, once where several methods score its checkpoints."""
    index = read_model_index()
    trained_as = {name: entry.trained_as for name, entry in index.items() if entry.trained_as}
    seconds: dict[tuple[str, ...], float] = {}
    for record in records:
        trained = trained_as.get(record.method, record.method)
        key = (trained, json.dumps(record.options), record.cell.trained_split, str(record.seed))
        seconds[key] = record.seconds['train']
    return seconds


def notes_of(chosen: RecordSelection) -> list[str]:
    """Return what a reader must know of the columns, one sentence each.

    Args:
        chosen: Records.
    """
    is_synthetic = any(record.data['name'] == 'synthfas' for record in chosen.records)
    has_site = any(record.site for record in chosen.records)
    return [*_SCORINGS, *([_AT_SITE] if has_site else []), *([_OTHER_DATA] if is_synthetic else [])]


def markdown_report(chosen: RecordSelection, protocols: Sequence[Protocol]) -> str:
    """Return the report as Markdown.

    Args:
        chosen: Records and methods.
        protocols: Protocols to show.
    """
    # Sphinx: a page of its own, in no table of contents.
    lines = ['---', 'orphan: true', '---', '', '# Benchmark', '']
    lines += [*(f'* {name}: {text}' for name, text in origin(chosen, protocols).items()), '']
    lines += [*(f'* {text}' for text in notes_of(chosen)), '']
    lines += [table.markdown() for table in all_tables(chosen, protocols)]
    if chosen.left_out:
        lines += ['## Records that were left out', '', *(f'* {text}' for text in chosen.left_out), '']
    return '\n'.join(lines)


def json_report(chosen: RecordSelection, protocols: Sequence[Protocol]) -> dict[str, Any]:
    """Return the report as plain values: its tables as text and the numbers of every record.

    Args:
        chosen: Records and methods.
        protocols: Protocols to show.
    """
    cells = [
        {
            'method': record.method,
            'protocol': record.protocol,
            'split': record.split,
            'seed': record.seed,
            'config_hash': record.config_hash,
            'commit': record.commit,
            'ours': record.report,
            'paper': record.paper,
            **({} if record.site is None else {'site': record.site}),
        }
        for record in chosen.records
        if is_shown(record.cell, protocols)
    ]
    tables = [vars(table) for table in all_tables(chosen, protocols)]
    left_out = list(chosen.left_out)
    return {'origin': origin(chosen, protocols), 'tables': tables, 'cells': cells, 'left_out': left_out}


def write_report(
    chosen: RecordSelection, protocols: Sequence[Protocol], records: Folders, out_dir: str | Path
) -> list[Path]:
    """Write the report.

    Args:
        chosen: Records and methods.
        protocols: Protocols to show.
        records: Folders of the records, for the curves of their scores.
        out_dir: Folder for `report.md`, `report.json` and `report.html`.

    Returns:
        The files.

    Raises:
        RecordError: If the disk is full, or a score file is missing or has changed.
    """
    from mmfas.benchmark.html_page import html_report  # imports matplotlib

    facts = [f'{name}: {text}' for name, text in origin(chosen, protocols).items()]
    page = html_report(chosen, protocols, records, facts=facts, notes=notes_of(chosen))
    content = json.dumps(json_report(chosen, protocols), indent=1, allow_nan=False) + '\n'
    texts = {'report.md': markdown_report(chosen, protocols), 'report.json': content, 'report.html': page}
    for name, text in texts.items():
        with refusing_full_disk(Path(out_dir, name)):
            write_atomically(Path(out_dir, name), text)
    return [Path(out_dir, name) for name in texts]


def terminal_report(chosen: RecordSelection, protocols: Sequence[Protocol]) -> str:
    """Return the tables for a terminal.

    Args:
        chosen: Records and methods.
        protocols: Protocols to show.
    """
    tables: list[Table] = all_tables(chosen, protocols)
    return '\n\n'.join([*(table.text() for table in tables), *chosen.left_out])
