"""Make one file that is enough to decide: weights, preprocessing, threshold and its origin; or show one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError
from mmfas.cli.numbers import number
from mmfas.cli.options import add_config_options, add_rule_options, is_given, rules_of
from mmfas.cli.score_inputs import add_calibration_argument
from mmfas.cli.site import add_site_arguments, set_site_criterion

if TYPE_CHECKING:
    from mmfas.deploy.bundle import Bundle

#: Options that go with a bundle that is there already.
_OF_SHOW = ('show', 'card', 'push')
#: Fields that are not called as they are typed.
_SPELLED = {'config': 'CONFIG', 'checkpoint': 'CHECKPOINT', 'site': '--site-scores'}
#: Options that say by hand how faces are cropped, beside the margin.
_OF_CROP = ('align', 'detect_on', 'detector')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', nargs='?', help='config file; its test pipeline becomes that of the bundle')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file')
    parser.add_argument('--show', metavar='BUNDLE', help='print a bundle as a model card; makes nothing')
    parser.add_argument('--card', metavar='FILE.md', help='write the card as Markdown, for a model hub')
    parser.add_argument('--out', metavar='FILE', help='bundle to write: NAME.mmfas.pth or NAME.mmfas.safetensors')
    parser.add_argument('--push', metavar='hf://ORG/NAME', help='upload bundle and card to a model hub')
    parser.add_argument('--dev-scores', metavar='DEV.csv', help='score file of the dev split, from `mmfas test`')
    add_rule_options(parser)
    add_calibration_argument(parser)
    add_site_arguments(parser, '--site-scores')
    parser.add_argument(
        '--max-apcer',
        type=number(least=0, below=1),
        metavar='RATE',
        help='undecided unless at most this part of dev attacks passes',
    )
    parser.add_argument(
        '--max-bpcer',
        type=number(least=0, below=1),
        metavar='RATE',
        help='undecided unless at most this part of dev live is rejected',
    )
    parser.add_argument(
        '--optional',
        nargs='*',
        metavar='MODALITY',
        help='modalities that may be absent (default: those that training dropped at random)',
    )
    parser.add_argument(
        '--crop-like',
        metavar='FOLDER',
        help='faces are cut out of frames first, as `mmfas data crop` did in this folder, its OUT',
    )
    parser.add_argument(
        '--crop-margin', type=number(above=-0.5, most=5), help='the same with this margin, given by hand'
    )
    parser.add_argument('--align', choices=('eyes', 'none'), help='level the eyes or not (default: eyes)')
    parser.add_argument(
        '--detect-on', choices=('rgb', 'depth', 'ir'), help='where the face is searched (default: rgb)'
    )
    parser.add_argument('--detector', help='face detector of the crop (default: CenterFaceDetector)')
    parser.add_argument('--weights', choices=('ema', 'raw'), help='averaged (default) or trained weights')
    parser.add_argument('--licence', default='', help='under what terms weights and data may be used')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Make or show a bundle; returns 0, 1 if it could not be done, 2 for a wrong config."""
    _refuse_what_does_not_fit(args)
    set_site_criterion(args, option='--site-scores')
    from mmfas.deploy.bundle_file import SUFFIXES, write_bundle
    from mmfas.deploy.card import card, markdown_card
    from mmfas.deploy.hub import check_address, open_bundle, push_bundle
    from mmfas.utils.files import write_atomically

    if args.out and Path(args.out).suffix not in SUFFIXES:
        raise UsageError(f'--out: a bundle ends in {" or ".join(SUFFIXES)}, got {args.out}')
    if args.push:
        check_address(args.push)
    bundle = open_bundle(args.show) if args.show is not None else _make(args)
    print(card(bundle))
    if args.out:
        print(f'bundle: {write_bundle(bundle, args.out)}')
    if args.card:
        write_atomically(args.card, markdown_card(bundle))
        print(f'card: {args.card}')
    if args.push:
        print(f'pushed: {push_bundle(bundle, args.push)}')
    return 0


def _refuse_what_does_not_fit(args: argparse.Namespace) -> None:
    """Refuse too few options, and those that would have no effect."""
    if args.show is None and not (args.config and args.checkpoint and args.out):
        raise UsageError('give CONFIG CHECKPOINT --out FILE to make a bundle, or --show FILE to look at one')
    given = [name for name in vars(args) if is_given(args, name) and name not in _OF_SHOW]
    if args.show is not None and given:
        names = [_SPELLED.get(name) or f'--{name.replace("_", "-")}' for name in given]
        raise UsageError(f'--show makes nothing: leave out {", ".join(names)}')
    if args.crop_like is not None and args.crop_margin is not None:
        raise UsageError('--crop-like has a margin already: leave out --crop-margin')
    for name in _OF_CROP:
        if getattr(args, name) is not None and args.crop_margin is None:
            option = f'--{name.replace("_", "-")}'
            raise UsageError(f'{option} is for faces that --crop-margin cuts out: give that as well')


def _make(args: argparse.Namespace) -> Bundle:
    """Make the bundle that the options ask for."""
    from mmfas.cli.configs import read_checked_config
    from mmfas.deploy.bundle_making import make_bundle

    cfg = read_checked_config(args.config, args.cfg_options)
    return make_bundle(
        cfg,
        args.checkpoint,
        dev_scores=args.dev_scores,
        rules=rules_of(cfg, args, calibration=args.calibration),
        site_scores=args.site,
        max_apcer=args.max_apcer,
        max_bpcer=args.max_bpcer,
        optional=args.optional,
        crop=_crop(args),
        weights=args.weights or 'ema',
        licence=args.licence,
    )


def _crop(args: argparse.Namespace) -> Mapping[str, Any] | None:
    """Return how faces are cropped, if frames come uncropped."""
    from mmfas.deploy.crop_record import crop_record, crop_record_of_folder

    if args.crop_like is not None:
        return crop_record_of_folder(args.crop_like)
    if args.crop_margin is None:
        return None
    detector = dict(type=args.detector or 'CenterFaceDetector')
    align, searched = args.align or 'eyes', args.detect_on or 'rgb'
    return crop_record(detector, detect_on=searched, margin=args.crop_margin, align=align)
