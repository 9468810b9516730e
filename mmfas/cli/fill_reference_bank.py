"""Store readouts of training samples in a checkpoint, as the references that MD2ANeck takes at test."""

from __future__ import annotations

import argparse
import sys

from mmfas.cli.errors import report_problems, reports_user_errors
from mmfas.config.reading import read_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    from mmfas.cli.options import ConfigOptions

    parser.add_argument('config', help='config file of a model with MD2ANeck')
    parser.add_argument('checkpoint', help='checkpoint of its training')
    parser.add_argument('out', help='file to write: the weights and the bank')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='override config values')


@reports_user_errors()
def main(argv: list[str] | None = None) -> int:
    """Fill; returns 0, 1 if it could not be done, 2 for a wrong config."""
    parser = argparse.ArgumentParser(prog='mmfas fill_reference_bank', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)

    from mmfas.apis.reference_bank import BANK, fill_reference_bank
    from mmfas.config.check import check_config
    from mmfas.utils.checkpoint import write_checkpoint

    cfg = read_config(args.config, args.cfg_options)
    problems = check_config(cfg)
    if problems:
        return report_problems(args.config, problems)
    filled = fill_reference_bank(cfg, args.checkpoint)
    sha256 = write_checkpoint(filled, args.out)
    print(f'{args.out}: a bank of {len(filled["state_dict"][BANK])} samples, sha256 {sha256}')
    print('test it with --cfg-options model.neck.reference=bank')
    return 0


if __name__ == '__main__':
    sys.exit(main())
