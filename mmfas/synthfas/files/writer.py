"""Render a data set into a folder: chunks over processes, resumable, with lists, records and manifest."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from mmfas.synthfas.files.files import encode_frame
from mmfas.synthfas.files.layout import frame_files, list_line, list_name, sample_id, subject_key, video_key
from mmfas.synthfas.files.manifest import Manifest, load_manifest
from mmfas.synthfas.plan.domains import DOMAINS, LISTS, SPLITS
from mmfas.synthfas.plan.plan import Setting, VideoPlan, plan_split
from mmfas.synthfas.render import render_video
from mmfas.utils.errors import InputError
from mmfas.utils.files import write_atomically
from mmfas.utils.jobs import ChunkEntry, digest, is_complete, run_tasks
from mmfas.utils.locks import lock_folder

__all__ = ['RECORD_COLUMNS', 'Chunk', 'RenderReport', 'render_dataset']

RECORD_COLUMNS: tuple[str, ...] = ('sample_id', 'domain', 'split', 'subject', 'video', 'pai', 'label')
_VIDEOS_PER_CHUNK = 10
#: Below this many chunks the start of worker processes costs more than it saves.
_MIN_CHUNKS_FOR_POOL = 24


@dataclass(frozen=True)
class Chunk:
    """Videos that are rendered, checked and counted together."""

    name: str
    setting: Setting
    plans: tuple[VideoPlan, ...]

    def frames(self) -> Iterator[tuple[VideoPlan, int]]:
        """Yield every (video, frame number)."""
        for plan in self.plans:
            for frame in range(plan.num_frames):
                yield plan, frame

    def paths(self) -> list[str]:
        """Return the relative paths of all files, without repeats, in order."""
        names: dict[str, None] = {}
        for plan, frame in self.frames():
            files = frame_files(self.setting, plan, frame)
            names.update(dict.fromkeys((files.rgb, files.depth, files.ir)))
        return list(names)


@dataclass(frozen=True)
class RenderReport:
    """What a run did: frames in the folder for the requested lists, chunks rendered and chunks found complete."""

    num_frames: int
    num_rendered: int
    num_kept: int

    @property
    def num_triples(self) -> int:
        """Former name of `num_frames`, for one release."""
        return self.num_frames


def plan_chunks(setting: Setting, domains: tuple[str, ...], splits: tuple[str, ...]) -> list[Chunk]:
    """Cut the requested lists into chunks; the cut of a list does not depend on the other lists."""
    chunks = []
    for domain in domains:
        for split in splits:
            plans = plan_split(setting, domain, split)
            for number, start in enumerate(range(0, len(plans), _VIDEOS_PER_CHUNK)):
                part = tuple(plans[start : start + _VIDEOS_PER_CHUNK])
                chunks.append(Chunk(f'{domain}-{split}-{number:04d}', setting, part))
    return chunks


def render_chunk(task: tuple[Chunk, str]) -> tuple[str, ChunkEntry]:
    """Render and write one chunk (runs in a worker process).

    Args:
        task: The chunk and the root folder.

    Returns:
        The name of the chunk and its entry for the manifest.
    """
    # One thread per worker: the pool already fills the cores.
    cv2.setNumThreads(1)
    chunk, root = task
    contents: dict[str, bytes] = {}
    for plan in chunk.plans:
        for number, frame in enumerate(render_video(plan, chunk.setting)):
            contents.update(encode_frame(chunk.setting, plan, number, frame))
    for name, data in contents.items():
        # Not waiting for the disk: the sizes are compared before a later run takes them for finished.
        write_atomically(Path(root, name), data, durable=False)
    return chunk.name, ChunkEntry(digest(contents), len(contents), sum(map(len, contents.values())))


def _check_repeat(name: str, old: ChunkEntry | None, new: ChunkEntry) -> None:
    """Refuse to mix data of two renderers under one version."""
    if old is not None and old.sha256 != new.sha256:
        raise InputError(
            f'chunk {name} was rendered again and differs from the manifest: other numpy or OpenCV, or '
            'changed code? Delete the folder and render all of it'
        )


def write_lists(setting: Setting, chunks: list[Chunk], root: Path) -> int:
    """Write protocol lists and `protocols/records.csv` of the given chunks; returns the number of frames."""
    lists: dict[str, list[str]] = {}
    table = io.StringIO()
    rows = csv.writer(table, lineterminator='\n')
    rows.writerow(RECORD_COLUMNS)
    for chunk in chunks:
        for plan, frame in chunk.frames():
            lists.setdefault(list_name(plan.domain, plan.split), []).append(list_line(setting, plan, frame))
            row = (sample_id(setting, plan, frame), plan.domain, plan.split, subject_key(setting, plan))
            rows.writerow((*row, video_key(setting, plan), plan.pai, plan.label))
    for name, lines in lists.items():
        # As published: CRLF without a final one; P has LF.
        text = '\n'.join(lines) + '\n' if '/P-' in name else '\r\n'.join(lines)
        write_atomically(root / name, text)
    write_atomically(root / 'protocols' / 'records.csv', table.getvalue())
    return sum(map(len, lists.values()))


def _complete_splits(setting: Setting, manifest: Manifest) -> list[Chunk]:
    """Return the chunks of every list that is rendered to its end; half a list would pass for a whole one."""
    lists = [plan_chunks(setting, (domain,), (split,)) for domain in DOMAINS for split in LISTS]
    complete = [chunks for chunks in lists if all(chunk.name in manifest.chunks for chunk in chunks)]
    return [chunk for chunks in complete for chunk in chunks]


def _check_names(domains: tuple[str, ...], splits: tuple[str, ...]) -> None:
    """Check the requested domains and splits."""
    for given, known, word in ((domains, tuple(DOMAINS), 'domain'), (splits, LISTS, 'split')):
        for name in given:
            if name not in known:
                raise InputError(f'unknown {word} {name!r}; choose from {", ".join(known)}')
        if len(set(given)) < len(given):
            raise InputError(f'{word}s are there twice: {" ".join(given)}; name each once')


def render_dataset(
    root: str | Path,
    setting: Setting,
    *,
    domains: tuple[str, ...] = tuple(DOMAINS),
    splits: tuple[str, ...] = SPLITS,
    num_processes: int = 1,
    verify: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> RenderReport:
    """Render SynthFAS into a folder, or finish what an earlier run began.

    Args:
        root: Folder of the data; new, empty or holding the same setting.
        setting: Size, seed and perturbations.
        domains: Domains to render, some of 'C', 'P', 'S', 'W'.
        splits: Lists to render, some of 'train', 'val', 'test' and 'site' (live videos alone, of other people).
        num_processes: Worker processes; the bytes do not depend on it.
        verify: Compare checksums of what is there, not only names and sizes.
        progress: Called with (frames done, frames in all) after every chunk.

    Returns:
        What was done.

    Raises:
        ValueError: For unknown names, or a folder of another setting.
        BusyError: If another process renders into the folder.
        OSError: If a file cannot be written.
    """
    _check_names(domains, splits)
    root = Path(root)
    load_manifest(root, setting)  # refuses a folder of something else before it is touched
    chunks = plan_chunks(setting, domains, splits)
    with lock_folder(root, 'give another folder', below=True, of_data=True):
        manifest = load_manifest(root, setting)
        report = render_chunks(
            chunks, manifest, root, num_processes=num_processes, verify=verify, progress=progress
        )
        write_lists(setting, _complete_splits(setting, manifest), root)
    return report


def render_chunks(
    chunks: Sequence[Chunk],
    manifest: Manifest,
    root: Path,
    *,
    num_processes: int,
    verify: bool,
    progress: Callable[[int, int], None] | None,
) -> RenderReport:
    """Render the chunks that are not there yet, and enter them in the manifest; see `render_dataset`."""
    weight = {chunk.name: sum(plan.num_frames for plan in chunk.plans) for chunk in chunks}
    todo = [
        chunk
        for chunk in chunks
        if not is_complete(chunk.paths(), manifest.chunks.get(chunk.name), root, verify=verify)
    ]
    total = sum(weight.values())
    done = total - sum(weight[chunk.name] for chunk in todo)
    manifest.save(root)
    if len(todo) < _MIN_CHUNKS_FOR_POOL:
        num_processes = 1
    results = run_tasks(render_chunk, [(chunk, str(root)) for chunk in todo], num_processes)
    try:
        for number, (name, entry) in enumerate(results):
            _check_repeat(name, manifest.chunks.get(name), entry)
            manifest.chunks[name] = entry
            done += weight[name]
            if number % 16 == 15:
                manifest.save(root)
            if progress is not None:
                progress(done, total)
    finally:  # a stopped run keeps every chunk it finished
        manifest.save(root)
    return RenderReport(total, len(todo), len(chunks) - len(todo))
