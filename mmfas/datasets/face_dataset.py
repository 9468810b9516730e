"""The data set of multi-modal face presentations: lists and your own data in, packed samples out."""

from __future__ import annotations

import os.path as osp
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, count
from typing import Any

from mmengine.dataset import BaseDataset

from mmfas.datasets.annotations import PROVENANCE_KEYS, read_annotations, read_meta
from mmfas.datasets.cleaning import clean_records
from mmfas.datasets.protocols import PADISI_FOLDER, UNKNOWN
from mmfas.datasets.randomness import EpochClock, needs_full_seeding, sample_randomness
from mmfas.registry import DATASETS, SCOPE, TRANSFORMS
from mmfas.structures import LIVE, MODALITIES, SPOOF, check_modalities
from mmfas.utils.errors import InputError
from mmfas.utils.file_identity import FileIdentity
from mmfas.utils.names import plain_name

__all__ = ['MultiModalFaceDataset']

_PREFIXES = {'img': '', 'npz': PADISI_FOLDER}


@DATASETS.register_module()
class MultiModalFaceDataset(BaseDataset):
    """Faces with up to three registered images (RGB, depth, IR), a label and their provenance.

    Reads the published C / P / S / W lists and the CSV / JSON format for your own data (`docs/en/own_data.md`). A
    sample is never skipped or replaced: a broken one raises. All randomness of its pipeline derives from (seed,
    epoch, index), see `set_epoch`. A `RepeatDataset` around it therefore repeats the same draws within an epoch.

    Args:
        ann_file: Annotation file or files (`.txt`, `.csv`, `.json`), relative to `data_root` or absolute.
        data_root: Folder that holds the data.
        meta_file: Side-car CSV file(s) with provenance by sample id; what the path of a published list says is
            used where it has nothing.
        domain: Name that all samples get as domain, or None to keep what each of them says.
        domains: Keep only samples of these domains; None keeps all.
        live_label: Which of 0 and 1 means live in `ann_file`. It is never guessed; paths or side-car rows that
            contradict it raise.
        modalities: Modalities to read; the others count as absent.
        data_prefix: Folders below `data_root`: `img` (default `''`) for image paths, `npz` (default `'PADISI'`).
        clean: False reads the lists as they are. True leaves out repeated lines; names of lists (relative to
            `data_root`) leave out also every sample that these hold: `clean='C-test.txt'` for the published C-val.
            The file that a path names counts, not its spelling; `dict(lists=..., by_content=True)` treats byte
            copies as one file, too, and reads the files to find them.
        pipeline: Transforms, as configs or callables.
        **kwargs: `test_mode`, `indices`, `serialize_data`, `lazy_init` and `metainfo` of mmengine's `BaseDataset`.

    Raises:
        FileNotFoundError: If a list or side-car file is missing.
        ValueError: If a line is malformed, a label contradicts what is known of the sample, nothing is left, or a
            transform changes labels in `test_mode`.
    """

    METAINFO: dict = {'dataset_type': 'face_anti_spoofing', 'classes': ('spoof', 'live')}

    ann_file: str | Sequence[str]
    data_prefix: Mapping[str, str]

    def __init__(
        self,
        ann_file: str | Sequence[str],
        data_root: str = '',
        *,
        meta_file: str | Sequence[str] | None = None,
        domain: str | None = None,
        domains: Sequence[str] | None = None,
        live_label: int = LIVE,
        modalities: Sequence[str] = MODALITIES,
        data_prefix: Mapping[str, str] | None = None,
        clean: bool | str | Sequence[str] | Mapping[str, Any] = False,
        pipeline: Sequence[Any] = (),
        **kwargs: Any,
    ) -> None:
        if live_label not in (0, 1):
            raise InputError(f'live_label must be 0 or 1, but got {live_label!r}')
        if not _as_list(ann_file):
            raise InputError('ann_file names no file; give one or more')
        unknown = set(data_prefix or {}) - set(_PREFIXES)
        if unknown:
            raise InputError(f'data_prefix knows the keys {sorted(_PREFIXES)}, but got {sorted(unknown)}')
        self.meta_file = meta_file
        self.domain = None if domain is None else plain_name(domain)
        self.domains = None if domains is None else tuple(map(plain_name, _as_list(domains)))
        self.live_label = live_label
        self.is_clean = clean is not False
        self.clean, self._by_content = _clean_lists(clean)
        self.modalities = check_modalities(modalities)
        self._clock = EpochClock()
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix={**_PREFIXES, **(data_prefix or {})},
            pipeline=[_build_transform(transform) for transform in pipeline],
            max_refetch=0,
            **kwargs,
        )
        if self.test_mode:
            _check_for_test(self.pipeline.transforms)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config that builds without any file."""
        return {'type': cls.__name__, 'ann_file': 'train.txt', 'lazy_init': True}

    def _join_prefix(self) -> None:
        root = self.data_root or ''
        self.ann_file = [osp.join(root, name) for name in _as_list(self.ann_file)]
        self.meta_file = [osp.join(root, name) for name in _as_list(self.meta_file)]
        self.clean = [osp.join(root, name) for name in self.clean]
        self.data_prefix = {key: osp.join(root, prefix) for key, prefix in self.data_prefix.items()}

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read all annotation files.

        Returns:
            One dictionary per sample: `sample_id`, `gt_label` (1 live, 0 spoof), `domain`, `pai`, `subject`,
            `video`, `img_paths` (modality or `'npz'` -> path) and `source_line`.
        """
        meta: dict[str, dict[str, str]] = {}
        for name in _as_list(self.meta_file):
            meta.update(read_meta(name))
        records = [
            {**record, 'folder': osp.dirname(name)} for name in self.ann_file for record in read_annotations(name)
        ]
        if self.is_clean:
            records = self._clean(records)
        if self.meta_file:
            _check_known(records, meta, _as_list(self.meta_file))
        _make_ids_unique(records, meta)
        return [self.parse_data_info(record) for record in records]

    def _clean(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave out repeated lines and what the lists of `clean` hold."""
        others = [other for name in self.clean for other in read_annotations(name)]
        identity = FileIdentity(by_content=self._by_content)
        return clean_records(
            records, others, files_of=lambda record: identity.of_sample(self._located(record['img_paths']))
        )

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> dict[str, Any]:
        """Turn a record of a reader into a sample.

        Args:
            raw_data_info: Record as made by `read_annotations`, with the row of the side-car file under `meta` and
                the folder of the list under `folder`.

        Returns:
            The sample, as `load_data_list` describes it.

        Raises:
            ValueError: If label and PAI contradict each other.
        """
        record, meta = raw_data_info, raw_data_info.get('meta', {})
        label = LIVE if record['label'] == self.live_label else SPOOF
        known = {key: meta.get(key) or record.get(key) or UNKNOWN for key in PROVENANCE_KEYS}
        if label == LIVE and known['pai'] == UNKNOWN:
            known['pai'] = 'live'
        if (known['pai'] == 'live') != (label == LIVE) or meta.get('label', str(label)) != str(label):
            raise InputError(
                f'{_place(record)}: label {record["label"]} with live_label={self.live_label} means '
                f'{"live" if label else "spoof"}, but the path or the side-car file says pai {known["pai"]!r}, '
                f'label {meta.get("label", "-")}; is live_label right?'
            )
        if known['video'] == UNKNOWN:
            known['video'] = record['sample_id']
        if self.domain is not None:
            known['domain'] = self.domain
        return {
            'sample_id': record['sample_id'],
            'gt_label': label,
            **known,
            'img_paths': self._full_paths(record['img_paths'], _place(record)),
            'source_line': record['source_line'],
        }

    def _full_paths(self, paths: Mapping[str, str], place: str) -> dict[str, str]:
        """Join the prefixes and leave out modalities that are not wanted."""
        wanted = {key: path for key, path in paths.items() if key in ('npz', *self.modalities)}
        if not wanted:
            raise InputError(
                f'{place}: has {sorted(paths)} but none of modalities={self.modalities}; leave the sample out'
            )
        return self._located(wanted)

    def _located(self, paths: Mapping[str, str]) -> dict[str, str]:
        """Join the prefixes."""
        return {key: osp.join(self.data_prefix['npz' if key == 'npz' else 'img'], p) for key, p in paths.items()}

    def filter_data(self) -> list[dict[str, Any]]:
        """Keep the samples of the wanted domains.

        Returns:
            The samples.

        Raises:
            ValueError: If there is no sample of one of them.
        """
        kept = [s for s in self.data_list if self.domains is None or s['domain'] in self.domains]
        absent = tuple(sorted(set(self.domains or ()) - {s['domain'] for s in kept}))
        if absent or not kept:
            found = dict(Counter(s['domain'] for s in self.data_list))
            raise InputError(f'{self.ann_file}: no sample of domains {absent}; the files hold {found}')
        return kept

    def set_epoch(self, epoch: int, seed: int | None = None) -> None:
        """Set what the random draws derive from; running worker processes see it too.

        Args:
            epoch: Epoch, >= 0.
            seed: Seed of the run, >= 0; None keeps the present one (0 at first).
        """
        self._clock.set(epoch, seed)

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on one sample, with its own random state.

        Args:
            idx: Index of the sample.

        Returns:
            What the last transform returns.

        Raises:
            ValueError: If a transform returns None: a sample is never skipped.
        """
        info = self.get_data_info(idx)
        info['modalities'] = self.modalities
        # Checked every time, since hooks may exchange the transforms.
        only_numpy = not needs_full_seeding(self.pipeline.transforms)
        clock = self._clock
        info['epoch'] = clock.epoch
        with sample_randomness(clock.seed, clock.epoch, info['sample_idx'], only_numpy=only_numpy):
            data = self.pipeline(info)
        if data is None:
            raise InputError(f'{info["source_line"]}: the pipeline returned None for {info["sample_id"]}')
        return data

    def group_keys(self) -> list[tuple[str, int]]:
        """Return (domain, label) of every sample, in order, for balanced sampling."""
        infos = (self.get_data_info(index) for index in range(len(self)))
        return [(info['domain'], info['gt_label']) for info in infos]


def _build_transform(transform: Any) -> Any:
    """Build a transform in the scope of mmfas, whatever the default scope is; callables pass."""
    if not isinstance(transform, Mapping):
        return transform
    return TRANSFORMS.build({'_scope_': SCOPE, **transform})


def _check_for_test(transforms: Sequence[Any]) -> None:
    """Refuse transforms that change labels, where samples are scored."""
    for transform in transforms:
        if getattr(transform, 'relabels', False):
            raise InputError(
                f'pipeline: {type(transform).__name__} changes labels, which is for training only; leave it out '
                'of a data set with test_mode=True'
            )


def _as_list(names: str | Sequence[str] | None) -> list[str]:
    """Return one name, several or none as a list."""
    if names is None:
        return []
    return [names] if isinstance(names, str) else list(names)


def _clean_lists(clean: bool | str | Sequence[str] | Mapping[str, Any]) -> tuple[list[str], bool]:
    """Return the lists that `clean` names, and whether files are known by their content."""
    if not isinstance(clean, Mapping):
        return ([] if isinstance(clean, bool) else _as_list(clean)), False
    unknown = set(clean) - {'lists', 'by_content'}
    if unknown:
        raise InputError(f'clean knows the keys lists and by_content, but got {sorted(unknown)}')
    return _as_list(clean.get('lists')), bool(clean.get('by_content', False))


def _place(record: Mapping[str, Any]) -> str:
    """Return path and line of a record, for messages."""
    return osp.join(record.get('folder', ''), record['source_line'])


def _check_known(records: Sequence[Mapping[str, Any]], meta: Mapping[str, Any], files: Sequence[str]) -> None:
    """Raise if samples are missing from the side-car files."""
    missing = [record for record in records if record['sample_id'] not in meta]
    if missing:
        raise InputError(
            f'{len(missing)} of {len(records)} samples are not in the side-car file {", ".join(files)}, the first '
            f'is {missing[0]["sample_id"]!r} at {_place(missing[0])}; add a row for each, or leave meta_file out'
        )


def _make_ids_unique(records: list[dict[str, Any]], meta: Mapping[str, dict[str, str]]) -> None:
    """Attach the side-car row to every record, then add `#<line>` to ids that were there before."""
    seen: set[str] = set()
    for record in records:
        sample_id = record['sample_id']
        record['meta'] = meta.get(sample_id, {})
        file, _, line = record['source_line'].rpartition(':')
        numbered = (f'#{file}:{line}#{number}' for number in count(2))
        suffixes = chain(('', f'#{line}', f'#{file}:{line}'), numbered)
        record['sample_id'] = next(sample_id + s for s in suffixes if sample_id + s not in seen)
        seen.add(record['sample_id'])
