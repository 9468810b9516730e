"""Store readouts of training samples in a checkpoint, as the references that MD2ANeck uses at test time."""

from __future__ import annotations

import argparse

from mmfas.cli.command import command
from mmfas.cli.configs import read_checked_config
from mmfas.cli.options import add_config_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file of a model with MD2ANeck')
    parser.add_argument('checkpoint', help='checkpoint of its training')
    parser.add_argument('out', help='file to write: the weights and the bank')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Fill; returns 0, 1 if it could not be done, 2 for a wrong config."""

    from mmfas.apis.reference_bank import BANK, fill_reference_bank
    from mmfas.utils.checkpoint import write_checkpoint

    cfg = read_checked_config(args.config, args.cfg_options)
    filled = fill_reference_bank(cfg, args.checkpoint)
    sha256 = write_checkpoint(filled, args.out)
    print(f'{args.out}: a bank of {len(filled["state_dict"][BANK])} samples, sha256 {sha256}')
    print('test it with --cfg-options model.neck.reference=bank')
    return 0
