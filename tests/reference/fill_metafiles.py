"""Write into metafiles Parameters and FLOPs, as `mmfas measure flops` counts, and Metrics, from `benchmarks/`.

python tests/reference/fill_metafiles.py            # all of them
python tests/reference/fill_metafiles.py --check    # says what differs; status 1 if anything does
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from mmengine.config import Config

from mmfas.analysis.complexity import measure_complexity
from mmfas.apis.building import build_model
from mmfas.apis.model_index import list_models, model_entry
from mmfas.benchmark.methods import config_hash
from mmfas.benchmark.records import Record, read_records

REPO = Path(__file__).resolve().parents[2]
#: What a metafile says of a model and this program writes.
_SIZES = re.compile(r'      (Parameters|FLOPs): \d+\n')
_METRICS = re.compile(r'        (Metrics:.*\n(          .*\n)*|Records: .*\n)')


def size_of(cfg: Config) -> tuple[int, int]:
    """Return parameters and FLOPs of the model of a config.

    Nothing is computed where all its parts can be built without values, which makes large models quick to count.

    Args:
        cfg: Config.
    """
    try:
        with torch.device('meta'):
            found = measure_complexity(build_model(cfg))
    except (RuntimeError, NotImplementedError):  # a part that looks at its own values
        found = measure_complexity(build_model(cfg))
    return found.total, found.flops


def sizes_of(names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return parameters and FLOPs of models by name; equal models are counted once.

    Args:
        names: Names in the model index.
    """
    counted: dict[str, tuple[int, int]] = {}
    sizes = {}
    for name in names:
        cfg = Config.fromfile(model_entry(name).config)
        key = json.dumps(cfg.model.to_dict(), sort_keys=True, default=str)
        counted.setdefault(key, size_of(cfg))
        sizes[name] = counted[key]
    return sizes


def metrics_of(name: str, records: Sequence[Record]) -> dict[str, Any]:
    """Return what the records of a model say of the split that its config trains for.

    Args:
        name: Name in the model index.
        records: Records; those of another config or another choice of epoch do not count.

    Returns:
        `Metrics`, HTER and AUC in percent, means over seeds, and `Records`, what they were made with; the first is
        empty and the second missing without records.
    """
    config = model_entry(name).config
    own = [r for r in records if (r.method, r.protocol, r.select) == (name, 1, 'last') and r.split in name]
    if own:
        now = config_hash(Config.fromfile(config))
        own = [record for record in own if record.config_hash == now and not record.data.get('stress')]
    if not own:
        return {'Metrics': {}}
    # while the benchmark is measured anew, records of two renderers lie beside each other
    data = max((record.data for record in own), key=lambda data: data.get('renderer_version', ''))
    own = [record for record in own if record.data.get('renderer_version') == data.get('renderer_version')]
    if any(record.data != data for record in own):
        raise ValueError(f'{name} has records of several data sets')
    percent = {
        label: round(100 * mean(record.report[key]['value'] for record in own), 1)
        for label, key in (('HTER', 'hter'), ('AUC', 'auc'))
    }
    seeds = ' '.join(str(record.seed) for record in sorted(own, key=lambda record: record.seed))
    made = f'renderer {data["renderer_version"]}, size {data["size"]}, mean over seeds {seeds}'
    return {'Metrics': percent, 'Records': made}


def filled(text: str, sizes: Mapping[str, tuple[int, int]], records: Sequence[Record]) -> str:
    """Return the text of a metafile with sizes and metrics in place of those that it has.

    Args:
        text: Content of a metafile; the rest of it stays as it is, comments too.
        sizes: Parameters and FLOPs by name; other models keep theirs.
        records: All records.
    """
    head, *models = re.split(r'(?m)^(?=  - Name: )', text[text.index('\nModels:') :])
    done = []
    for model in models:
        name = model.split('\n', 1)[0].removeprefix('  - Name: ')
        if name in sizes:
            lines = '      Parameters: {}\n      FLOPs: {}\n'.format(*sizes[name])
            model = re.sub(r'(      Training Data: .*\n)', rf'\g<1>{lines}', _SIZES.sub('', model))
        found = metrics_of(name, records)
        numbers = ''.join(f'\n          {label}: {value}' for label, value in found['Metrics'].items()) or ' {}'
        made = f'        Records: {found["Records"]}\n' if 'Records' in found else ''
        line = f'        Metrics:{numbers}\n{made}'
        done.append(re.sub(r'(        Dataset: .*\n)', rf'\g<1>{line}', _METRICS.sub('', model)))
    return text[: text.index('\nModels:')] + head + ''.join(done)


def main(argv: Sequence[str] | None = None) -> int:
    """Write or compare; returns 1 if `--check` finds a difference.

    Args:
        argv: Arguments.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing')
    args = parser.parse_args(argv)
    sizes, records = sizes_of(list_models()), read_records(REPO / 'benchmarks')
    different = []
    for file in sorted((REPO / 'configs').glob('*/metafile.yml')):
        before = file.read_text(encoding='utf-8')
        after = filled(before, sizes, records)
        if after != before:
            different.append(str(file.relative_to(REPO)))
            if not args.check:
                file.write_text(after, encoding='utf-8')
    print(f'{len(sizes)} models; {"different" if args.check else "written"}: {", ".join(different) or "none"}')
    return int(args.check and bool(different))


if __name__ == '__main__':
    raise SystemExit(main())
