"""Render random sites into a folder: one list without labels to pretrain on, and lists of held-out sites.

The lists, below `protocols/`:

* `pretrain.csv`: every frame of the sites to pretrain on. It has no label, no instrument and no subject, and the
  names of its files and their order say nothing of them.
* `heldout.csv`: the frames of the held-out sites in the same form, for the loss on sites that were not trained on.
* `heldout-fit.csv`, `heldout-test.csv`: the same frames with labels, the sites in two halves.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmfas.synthfas.files.layout import frame_files, subject_key, video_key
from mmfas.synthfas.files.manifest import load_manifest
from mmfas.synthfas.files.writer import Chunk, RenderReport, render_chunks
from mmfas.synthfas.plan.domains import RENDERER_VERSION
from mmfas.synthfas.plan.plan import Setting, VideoPlan, plan_site
from mmfas.synthfas.plan.sites import SITES_VERSION, site_key
from mmfas.utils.errors import InputError
from mmfas.utils.files import write_atomically
from mmfas.utils.locks import lock_folder

__all__ = ['LABELLED_COLUMNS', 'UNLABELLED_COLUMNS', 'Sites', 'render_sites']

UNLABELLED_COLUMNS: tuple[str, ...] = ('sample_id', 'rgb', 'depth', 'ir', 'domain')
LABELLED_COLUMNS: tuple[str, ...] = (*UNLABELLED_COLUMNS, 'subject', 'video', 'pai', 'label')


@dataclass(frozen=True)
class Sites:
    """How many random sites there are, and how many frames each has.

    Args:
        setting: Size and seed.
        num_train: Sites to pretrain on.
        num_heldout: Sites with labels, never pretrained on; an even number, as they are cut in two halves.
        frames: Frames of a site.
    """

    setting: Setting
    num_train: int
    num_heldout: int
    frames: int

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: If a number is out of its range, or the renderer is not the newest one.
        """
        if self.num_train < 1 or self.num_heldout < 2 or self.num_heldout % 2:
            raise InputError(
                'expected at least 1 site to pretrain on and an even number of held-out sites, at least 2, got '
                f'{self.num_train} and {self.num_heldout}'
            )
        if self.frames < 4:
            raise InputError(f'a site needs at least 4 frames, got {self.frames}')
        if self.setting.renderer != RENDERER_VERSION:
            raise InputError(f'random sites are rendered by version {RENDERER_VERSION} of the renderer alone')

    def header(self) -> dict[str, object]:
        """Return what must agree between two runs in the same folder, beside the setting."""
        return {'sites_version': SITES_VERSION, 'frames_per_site': self.frames}

    def plans(self, kind: str, numbers: Iterable[int]) -> list[VideoPlan]:
        """Plan the videos of some sites of a kind, site by site."""
        keys = [site_key(kind, number) for number in numbers]
        return [plan for key in keys for plan in plan_site(self.setting, key, self.frames)]

    def chunks(self) -> list[Chunk]:
        """Return one chunk per site."""
        keys = [site_key('heldout', number) for number in range(self.num_heldout)]
        keys += [site_key('site', number) for number in range(self.num_train)]
        return [Chunk(key, self.setting, tuple(plan_site(self.setting, key, self.frames))) for key in keys]


def render_sites(
    root: str | Path,
    sites: Sites,
    *,
    num_processes: int = 1,
    verify: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> RenderReport:
    """Render random sites into a folder, or finish what an earlier run began.

    Args:
        root: Folder of the data; new, empty or holding sites of the same setting. More sites may be added.
        sites: What to render.
        num_processes: Worker processes; the bytes do not depend on it.
        verify: Compare checksums of what is there, not only names and sizes.
        progress: Called with (frames done, frames in all) after every site.

    Returns:
        What was done; its chunks are sites.

    Raises:
        ValueError: If the folder holds something else.
        BusyError: If another process renders into the folder.
        OSError: If a file cannot be written.
    """
    root = Path(root)
    load_manifest(root, sites.setting, sites.header())  # refuses a folder of something else before it is touched
    with lock_folder(root, 'give another folder', below=True, of_data=True):
        manifest = load_manifest(root, sites.setting, sites.header())
        chunks = sites.chunks()
        report = render_chunks(
            chunks, manifest, root, num_processes=num_processes, verify=verify, progress=progress
        )
        for name, text in _lists(sites):
            write_atomically(root / 'protocols' / name, text)
    return report


def _lists(sites: Sites) -> Iterable[tuple[str, str]]:
    """Yield name and text of every list."""
    half = sites.num_heldout // 2
    heldout = range(sites.num_heldout)
    yield 'pretrain.csv', _table(sites.setting, sites.plans('site', range(sites.num_train)), UNLABELLED_COLUMNS)
    yield 'heldout.csv', _table(sites.setting, sites.plans('heldout', heldout), UNLABELLED_COLUMNS)
    for name, numbers in (('heldout-fit.csv', heldout[:half]), ('heldout-test.csv', heldout[half:])):
        yield name, _table(sites.setting, sites.plans('heldout', numbers), LABELLED_COLUMNS)


def _table(setting: Setting, plans: Sequence[VideoPlan], columns: Sequence[str]) -> str:
    """Write a list of frames, sorted by their names, which are hashes."""
    rows = []
    for plan in plans:
        for frame in range(plan.num_frames):
            files = frame_files(setting, plan, frame)
            known = {
                'sample_id': video_key(setting, plan), 'rgb': files.rgb, 'depth': files.depth, 'ir': files.ir,
                'domain': plan.domain, 'subject': subject_key(setting, plan), 'video': video_key(setting, plan),
                'pai': plan.pai, 'label': str(plan.label),
            }  # fmt: skip
            rows.append([known[column] for column in columns])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(columns)
    writer.writerows(sorted(rows))
    return text.getvalue()
