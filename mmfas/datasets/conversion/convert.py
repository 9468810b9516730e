"""Convert a data set: plan, recordings over processes, manifest, report; its converter does what is specific."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import cv2

from mmfas.datasets.conversion.entry import Entry
from mmfas.datasets.conversion.needed import SPLITS, Needed, Recording, read_needed
from mmfas.datasets.conversion.report import ConversionReport
from mmfas.datasets.conversion.unit import Converter, Plan, Unit
from mmfas.datasets.journal import Journal
from mmfas.utils.errors import InputError, MissingFileError
from mmfas.utils.file_identity import FileIdentity
from mmfas.utils.files import name_file, remove_leftovers, write_atomically
from mmfas.utils.jobs import ChunkEntry, digest, is_complete, run_tasks
from mmfas.utils.locks import lock_folder

__all__ = ['CONVERSION_VERSION', 'convert_dataset', 'report_path']

#: Grows when the bytes that a converter writes change.
CONVERSION_VERSION = 1

_Task = tuple[Converter, Unit, str]


def report_path(out: str | Path, converter: Converter) -> Path:
    """Return where the report of a conversion lies.

    Args:
        out: Folder of the results.
        converter: The data set.
    """
    return Path(out, f'conversion_{converter.name}.txt')


def convert_unit(task: _Task) -> tuple[str, Entry | None, OSError | None]:
    """Convert and write one recording (runs in a worker process).

    Args:
        task: Converter, unit and folder of the results.

    Returns:
        Name of the recording, its entry, and None; or None and why its files cannot be written.
    """
    cv2.setNumThreads(1)  # the processes fill the cores
    converter, unit, root = task
    converted = converter.convert(unit)
    contents = dict(converted.contents)
    try:
        for name, data in contents.items():
            # Not waiting for the disk: a later run compares the sizes before it accepts the files as finished.
            write_atomically(Path(root, name), data, durable=False)
    except OSError as error:  # a full disk is not an oddity of the originals
        return unit.recording.name, None, error
    files = ChunkEntry(digest(contents), len(contents), sum(map(len, contents.values())))
    return unit.recording.name, Entry(files, converted.oddities), None


def convert_dataset(
    converter: Converter,
    source: str | Path,
    out: str | Path,
    *,
    lists: str | Path | None = None,
    num_processes: int = 1,
    verify: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ConversionReport:
    """Convert what the published lists name, or finish what an earlier run began.

    Below `out` come the files that the lists name, the lists themselves (copied from `lists`), a manifest
    `conversion_<name>.jsonl` and the report `conversion_<name>.txt`. The bytes depend on the originals alone, not
    on processes or interruptions. A recording with all its files is skipped by later runs, one that lacks files is
    tried again; so originals in several folders are converted one folder after the other.

    Args:
        converter: The data set and its options.
        source: Folder of the originals.
        out: Folder of the results, which may hold other data sets already.
        lists: Folder of the lists; `out` if None.
        num_processes: Worker processes.
        verify: Compare checksums of what is there already, not only names and sizes.
        progress: Called with (recordings done, recordings in all) after every recording.

    Returns:
        What was found and made.

    Raises:
        FileNotFoundError: If a folder or list is missing.
        ValueError: If the originals are not of this data set, or `out` holds the result of other options.
        BusyError: If another process converts this data set into `out`.
        OSError: If a file cannot be written.
    """
    source, out = Path(source), Path(out)
    if not source.is_dir():
        raise MissingFileError(f"folder of the originals '{source}' does not exist; unpack the archives first")
    needed = read_needed(lists or out, converter.letter)
    _check_apart(source, out, needed)
    plan = converter.plan(source, needed)
    # Other data sets may be converted into the same folder meanwhile.
    with lock_folder(out, 'give another OUT', name=f'.conversion_{converter.name}.lock', of_data=True):
        _copy_lists(Path(lists or out), out, converter.letter)
        for name, content in plan.extras.items():
            write_atomically(out / name, content)
        return _convert(
            converter, plan, needed, out, num_processes=num_processes, verify=verify, progress=progress
        )


def _convert(
    converter: Converter,
    plan: Plan,
    needed: Needed,
    out: Path,
    *,
    num_processes: int,
    verify: bool,
    progress: Callable[[int, int], None] | None,
) -> ConversionReport:
    """Convert what is not finished yet, and write the report."""
    header = {'data': converter.title, 'version': CONVERSION_VERSION, **converter.header()}
    path = out / f'conversion_{converter.name}.jsonl'
    with Journal(path, header, kind='conversion', encode=Entry.as_json, decode=Entry.of) as journal:
        done = {r.name for r in needed.recordings if _is_done(r, journal.entries.get(r.name), out, verify=verify)}
        todo = [unit for unit in plan.units if unit.recording.name not in done]
        for folder in {(out / target.path).parent for unit in todo for target in unit.recording.targets}:
            remove_leftovers(folder, of_data=True)
        _work(converter, todo, out, journal, num_processes, _counted(progress, len(plan.units), len(todo)))
        made = done | {unit.recording.name for unit in todo}
        entries = [journal.entries[name] for name in sorted(made)]
    here = _places(recording for recording in needed.recordings if recording.name in done)
    oddities = [oddity for oddity in plan.oddities if oddity.kind != 'missing' or oddity.place not in here]
    report = ConversionReport(
        converter.title,
        needed.lines,
        len(set(_paths(needed.recordings))),
        len(needed.recordings),
        len(todo),
        len(done),
        tuple(_unwritten(needed, made, out)),
        (*oddities, *(oddity for entry in entries for oddity in entry.oddities)),
    )
    write_atomically(report_path(out, converter), report.text() + '\n')
    return report


def _work(
    converter: Converter,
    todo: Sequence[Unit],
    out: Path,
    journal: Journal[Entry],
    num_processes: int,
    done: Callable[[], None],
) -> None:
    """Convert the units and write each down."""
    tasks: list[_Task] = [(converter, unit, str(out)) for unit in todo]
    for name, entry, failure in run_tasks(convert_unit, tasks, num_processes):
        if failure is not None:
            reason = f"the files of {name} cannot be written below '{out}': {failure.strerror}"
            raise name_file(OSError(failure.errno, reason), failure.filename)
        assert entry is not None
        journal.add(name, entry)
        done()


def _counted(progress: Callable[[int, int], None] | None, total: int, todo: int) -> Callable[[], None]:
    """Return what to call after every unit."""
    count = total - todo

    def done() -> None:
        nonlocal count
        count += 1
        if progress is not None:
            progress(count, total)

    return done


def _paths(recordings: Iterable[Recording]) -> Iterator[str]:
    """Yield the targets of recordings."""
    return (target.path for recording in recordings for target in recording.targets)


def _places(recordings: Iterable[Recording]) -> set[str]:
    """Return what oddities call recordings and their files."""
    return {place for r in recordings for place in (r.name, *(target.path for target in r.targets))}


def _is_done(recording: Recording, entry: Entry | None, out: Path, *, verify: bool) -> bool:
    """Tell whether an earlier run made all files of a recording."""
    names = [target.path for target in recording.targets]
    return entry is not None and is_complete(names, entry.files, out, verify=verify)


def _unwritten(needed: Needed, made: set[str], out: Path) -> Iterator[str]:
    """Yield the targets that are missing or of unknown origin."""
    for recording in needed.recordings:
        for target in recording.targets:
            if recording.name not in made or not (out / target.path).is_file():
                yield target.path


def _check_apart(source: Path, out: Path, needed: Needed) -> None:
    """Raise if originals and results lie inside one another."""
    identity = FileIdentity()
    here, above = identity.of(source), set(map(identity.of, source.resolve().parents))
    for top in sorted({PurePosixPath(path).parts[0] for path in _paths(needed.recordings)}):
        there = (out / top).resolve()
        if identity.of(there) in above or here in map(identity.of, (there, *there.parents)):
            raise InputError(
                f"the originals '{source}' and the results '{out / top}' overlap; give an OUT outside of the "
                'originals. Files that have their final names already need no conversion: '
                'see `mmfas data protocols`'
            )


def _copy_lists(folder: Path, out: Path, letter: str) -> None:
    """Put the lists where the configs look for them."""
    for name in (f'{letter}-{split}.txt' for split in SPLITS):
        content, target = (folder / name).read_bytes(), out / name
        if target.is_file() and target.read_bytes() != content:
            raise InputError(f"'{target}' differs from '{folder / name}'; delete the one that is wrong")
        if not target.is_file():
            write_atomically(target, content)
