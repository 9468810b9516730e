"""Check a GPU: correctness, training, scoring, the data path, SynthFAS; each within a time of its own."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfas.cli.command import command
from mmfas.cli.numbers import number, whole
from mmfas.utils.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from mmfas.analysis.gpu.scoring import ScorePictures
    from mmfas.analysis.gpu.section import Section
    from mmfas.models.fas import MultiModalFAS

#: Section -> seconds that it may take. The last one runs only if it is named.
SECONDS = {'correctness': 90, 'training': 180, 'scoring': 60, 'data_path': 30, 'synthfas': 300}
DEFAULT = tuple(SECONDS)[:-1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    limits = ', '.join(f'{name} {seconds} s' for name, seconds in SECONDS.items())
    parser.add_argument(
        'sections',
        nargs='*',
        metavar='SECTION',
        help=f'{limits} (default: all but synthfas, which renders and trains)',
    )
    parser.add_argument('--out', default='work_dirs/gpu_checks', help='folder of the lines, SECTION.jsonl')
    parser.add_argument('--device', default='cuda', help='device (default: cuda)')
    parser.add_argument('--seconds', type=number(above=0), help='another limit for each section named')
    parser.add_argument('--tiny', action='store_true', help='sizes that test the code, not the device')
    parser.add_argument('--workers', type=whole(0), help='processes that load and render (default: all cores)')
    parser.add_argument('--data', metavar='DIR', help='SynthFAS, rendered before; a temporary folder otherwise')
    parser.add_argument('--pretrained', metavar='FILE', help='synthfas: weights of a ViT-S/16, to be frozen')
    parser.add_argument('--tables', action='store_true', help='run nothing: print what the folder holds')
    parser.add_argument(
        '--list-wheels', action='store_true', help='run nothing: list what a machine without a network lacks'
    )
    parser.add_argument('--have', nargs='+', default=[], metavar='PACKAGE', help='--list-wheels: what it has')
    parser.add_argument('--lack', nargs='+', default=[], metavar='PACKAGE', help='--list-wheels: what it lacks')


@command()
def main(args: argparse.Namespace) -> int:
    """Run sections and print their tables as Markdown; returns 0, or 1 where an item failed or is off bounds."""
    _refuse_misuse(args)
    if args.list_wheels:
        return _list_wheels(args.have, args.lack)
    from mmfas.analysis.gpu.section import FAILED, read_records
    from mmfas.analysis.gpu.tables import tables_of

    for name in () if args.tables else args.sections or DEFAULT:
        _run(name, args)
    records = read_records(Path(args.out))
    print(tables_of(records))
    return int(any(record['status'] == FAILED or not record.get('is_within', True) for record in records))


def _list_wheels(have: list[str], lack: list[str]) -> int:
    """Print what has to be carried."""
    from mmfas.analysis.gpu.wheels import wheels_to_carry

    wheels = wheels_to_carry(have, lack)
    for wheel in wheels:
        kind = 'pure' if wheel.is_pure else 'compiled'
        print(f'{wheel.name:<24} {wheel.version:<12} {wheel.num_bytes / 2**20:8.2f} MiB  {kind}')
    print(f'{len(wheels)} packages, {sum(wheel.num_bytes for wheel in wheels) / 2**20:.1f} MiB once installed')
    return 0


def _refuse_misuse(args: argparse.Namespace) -> None:
    """Refuse options that do not go together, before anything heavy is imported."""
    unknown = [name for name in args.sections if name not in SECONDS]
    if unknown:
        raise InputError(f'there is no section {unknown[0]!r}; the sections are {", ".join(SECONDS)}')
    if (args.tables or args.list_wheels) and args.sections or args.tables and args.list_wheels:
        raise InputError('--tables and --list-wheels run nothing and stand alone; leave the rest out')
    if (args.have or args.lack) and not args.list_wheels:
        raise InputError('--have and --lack go with --list-wheels')
    if (args.data or args.pretrained) and 'synthfas' not in args.sections:
        raise InputError('--data and --pretrained are options of the section synthfas; name it')
    for path in filter(None, (args.data, args.pretrained)):
        if not Path(path).exists():
            raise InputError(f"'{path}' does not exist; check the path")
    if args.tables and not Path(args.out).is_dir():
        raise InputError(f"'{args.out}' is not a folder of lines; run the sections first, or give --out")
    if not (args.tables or args.list_wheels) and args.device.startswith('cuda'):
        import torch

        if not torch.cuda.is_available():
            raise InputError(
                f'--device {args.device} needs a GPU, and there is none; --device cpu --tiny tests the code'
            )


def _run(name: str, args: argparse.Namespace) -> None:
    """Run one section."""
    import torch

    from mmfas.analysis.gpu.section import Clock, Section

    device = torch.device(args.device)
    clock = Clock(args.seconds or SECONDS[name])
    section = Section(name, Path(args.out), device, clock, is_tiny=args.tiny)
    tiny = ' --tiny' if args.tiny else ''
    section.start(f'mmfas measure gpu {name} --device {args.device} --seconds {clock.seconds:g}{tiny}')
    _call(section, args)
    section.end()


def _call(section: Section, args: argparse.Namespace) -> None:
    """Call what a section consists of."""
    import tempfile

    from mmfas.apis.model_index import configs_folder

    configs = configs_folder()
    workers = (os.cpu_count() or 1) if args.workers is None else args.workers
    if section.name == 'correctness':
        from mmfas.analysis.gpu.correctness import run_correctness

        run_correctness(section, configs)
    elif section.name == 'training':
        from mmfas.analysis.gpu.training import run_training

        run_training(section, configs)
    elif section.name == 'scoring':
        from mmfas.analysis.gpu.scoring import run_scoring

        # the export takes longer than all else at tiny sizes, and has tests of its own
        run_scoring(section, configs, open_onnx=None if section.is_tiny else _open_onnx)
    elif section.name == 'data_path':
        from mmfas.analysis.gpu.data_path import run_data_path

        run_data_path(section, configs, num_workers=workers)
    else:
        from mmfas.analysis.gpu.synthfas import run_synthfas

        with tempfile.TemporaryDirectory() as folder:
            data, weights = Path(args.data or folder), args.pretrained and Path(args.pretrained)
            run_synthfas(section, configs, data=data, num_workers=workers, pretrained=weights or None)


def _open_onnx(model: MultiModalFAS, size: tuple[int, int], device: torch.device) -> ScorePictures:
    """Export a model and open it with onnxruntime on a device."""
    from mmfas.analysis.gpu.section import SkipItem
    from mmfas.deploy.export import onnx_content
    from mmfas.deploy.onnx_runtime import OnnxRuntime, require_device

    try:
        require_device(str(device))  # the export takes longer than all else
        content, _ = onnx_content(model, size=size)
        session = OnnxRuntime(content, str(device))
    except (ImportError, ValueError) as error:
        raise SkipItem(f'no ONNX session on {device}: {error}') from error

    def score(pictures: Mapping[str, np.ndarray]) -> Any:
        return session.run(pictures)

    return score
