"""Judge pictures with a bundle: live, spoof, undecided or not judged."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError
from mmfas.cli.numbers import number, whole
from mmfas.cli.options import add_inferencer_options, inferencer_of, is_given

if TYPE_CHECKING:
    from mmfas.deploy.inferencer import FASInferencer
    from mmfas.deploy.verdict import Verdict

#: Exit status if something could not be judged.
NOT_ALL = 3
_SOURCES = ('watch', 'camera', 'video', 'probe')
#: Option -> what it is for; `inputs` are INPUT... and --rgb, --depth, --ir.
_FOR: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(('out', 'out_dir', 'batch_size'), ('inputs',)),
    **dict.fromkeys(('window', 'max_frames', 'out_video'), ('video', 'camera')),
    'fps': ('video',),
    'show': ('inputs', 'video', 'camera'),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_inferencer_options(parser)
    parser.add_argument(
        'inputs',
        nargs='*',
        metavar='INPUT',
        help='folder, CSV file with columns rgb, depth, ir, picture (rgb) or .npz of PADISI',
    )
    parser.add_argument('--rgb', help='picture of one sample, with --depth and --ir')
    parser.add_argument('--depth', help='its depth picture')
    parser.add_argument('--ir', help='its infrared picture')
    parser.add_argument('--watch', metavar='FOLDER', help='judge samples as they appear in a folder, until Ctrl-C')
    parser.add_argument(
        '--video', metavar='FILE', help='video file (rgb), or frames as a folder or .npz (see docs)'
    )
    parser.add_argument('--camera', type=whole(0), metavar='NUMBER', help='judge pictures of a camera (rgb only)')
    parser.add_argument('--window', type=whole(0), help='frames whose scores are joined (default: 1; 0: all)')
    parser.add_argument('--max-frames', type=whole(), help='frames of a video or camera to judge (default: all)')
    parser.add_argument(
        '--fps', type=number(above=0, most=1000), help='frames per second of a folder or .npz (default: 30)'
    )
    parser.add_argument('--out-video', metavar='FILE.mp4', help='write the frames with their verdicts')
    parser.add_argument(
        '--probe',
        nargs='?',
        const='sensor',
        choices=('sensor', 'all'),
        help='judge a wall, a white sheet, a covered and a dazzled lens, noise; with `all` also objects and a '
        'room: none may be called live',
    )
    parser.add_argument('--format', choices=('table', 'csv', 'jsonl'), default='table', help='what is printed')
    parser.add_argument('--out', metavar='FILE', help='write verdicts to FILE.csv or FILE.jsonl; can be resumed')
    parser.add_argument('--out-dir', help='folder for a picture of every sample with its verdict')
    parser.add_argument('--show', action='store_true', help='show every sample with its verdict in a window')
    parser.add_argument('--batch-size', type=whole(), help='samples that are scored at once (default: 8)')


@command(on_stop='with --out, verdicts so far are kept, and the same command continues')
def main(args: argparse.Namespace) -> int:
    """Judge; returns 0 if all was judged, 3 if not, 1 for wrong input or a probe that was called live."""
    triple = {m: getattr(args, m) for m in ('rgb', 'depth', 'ir') if getattr(args, m) is not None}
    chosen = [name for name in _SOURCES if getattr(args, name) is not None]
    if len(chosen) + bool(args.inputs) + bool(triple) != 1:
        raise UsageError(
            'give one thing to judge: INPUT..., --rgb with --depth and --ir, --watch, --video, --camera or --probe'
        )
    _refuse_without_effect(args, chosen[0] if chosen else 'inputs')

    from mmengine.logging import MMLogger

    MMLogger.get_current_instance().setLevel('WARNING')  # it writes to the standard output, which is for verdicts
    inferencer = inferencer_of(args)
    if args.probe:
        return _probe(inferencer, args.probe, args.format)
    if args.watch is not None:
        from mmfas.deploy.predicting import watch_folder

        return _print(watch_folder(inferencer, args.watch), args.format)
    if args.video is not None or args.camera is not None:
        return _frames(inferencer, args)
    return _samples(inferencer, args, [triple] if triple else args.inputs)


def _refuse_without_effect(args: argparse.Namespace, source: str) -> None:
    """Refuse options that this source has no use for."""
    for name, sources in _FOR.items():
        if is_given(args, name) and source not in sources:
            given = 'INPUT' if source == 'inputs' else f'--{source}'
            raise UsageError(f'--{name.replace("_", "-")} has no effect with {given}: leave it out')


def _samples(inferencer: FASInferencer, args: argparse.Namespace, inputs: list[object]) -> int:
    """Judge what was named."""
    from mmfas.cli.progress import Progress
    from mmfas.deploy.inputs import describe, read_inputs
    from mmfas.deploy.predicting import judge_to_file

    samples, batch_size = read_inputs(inputs), args.batch_size or 8
    print(describe(samples), file=sys.stderr)
    if args.out:
        verdicts = judge_to_file(inferencer, samples, args.out, batch_size=batch_size, show=Progress('samples'))
        print(f'verdicts: {args.out}', file=sys.stderr)
        status = _print(verdicts, args.format)
    else:
        verdicts = []
        status = _print(_kept(inferencer.stream(samples, batch_size=batch_size), verdicts), args.format)
    inferencer.visualize(samples, verdicts, show=args.show, out_dir=args.out_dir)
    return status


def _kept(verdicts: Iterable[Verdict], into: list[Verdict]) -> Iterable[Verdict]:
    """Pass verdicts on and keep them."""
    for verdict in verdicts:
        into.append(verdict)
        yield verdict


def _frames(inferencer: FASInferencer, args: argparse.Namespace) -> int:
    """Judge the frames of a video or camera."""
    from mmfas.deploy.video import judge_frames

    source = args.video if args.camera is None else args.camera
    frames = judge_frames(
        inferencer,
        source,
        window=1 if args.window is None else args.window,
        max_frames=args.max_frames,
        out_video=args.out_video,
        show=args.show,
        fps=args.fps,
    )
    status = _print(frames, args.format)
    if args.out_video:
        print(f'video: {args.out_video}', file=sys.stderr)
    return status


def _probe(inferencer: FASInferencer, probes: str, form: str) -> int:
    """Judge scenes without a face; returns 1 if one was called live."""
    from mmfas.deploy.decision import LIVE
    from mmfas.deploy.probe_run import judge_probes
    from mmfas.deploy.probes import PROBES, SENSOR_SET

    verdicts = judge_probes(inferencer, names=SENSOR_SET if probes == 'sensor' else tuple(PROBES))
    _print(verdicts, form)
    fooled = [verdict.sample_id for verdict in verdicts if verdict.decision == LIVE]
    if fooled:
        print(f'called live, but no face is there: {", ".join(fooled)}', file=sys.stderr)
    return 1 if fooled else 0


def _print(verdicts: Iterable[Verdict], form: str) -> int:
    """Print verdicts as they come; returns 0 if all were judged, else 3."""
    import csv

    from mmfas.deploy.verdict_files import COLUMNS, json_line, row_of, table_line

    writer = csv.writer(sys.stdout, lineterminator='\n')
    if form == 'csv':
        writer.writerow(COLUMNS)
    all_judged = True
    for verdict in verdicts:
        all_judged &= verdict.is_judged
        if form == 'csv':
            writer.writerow(row_of(verdict))
        else:
            print(json_line(verdict) if form == 'jsonl' else table_line(verdict))
        sys.stdout.flush()
    return 0 if all_judged else NOT_ALL
