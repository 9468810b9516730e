"""Open a page that judges pictures and shows why: the score on its scale, each modality alone, uncertainty."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from mmfas.cli.command import command
from mmfas.cli.numbers import whole
from mmfas.cli.options import add_inferencer_options, inferencer_of
from mmfas.utils.errors import MissingPackageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_inferencer_options(parser)
    parser.add_argument(
        '--host', default='127.0.0.1', help='where to listen (default: 127.0.0.1, for this machine)'
    )
    parser.add_argument(
        '--port', type=whole(0, 65535), default=7860, help='where to listen (default: 7860); 0: a free port'
    )


@command()
def main(args: argparse.Namespace) -> int:
    """Show the page until Ctrl-C (status 130) or SIGTERM (143); returns 1 if it cannot start."""
    try:
        from mmfas.deploy.demo import make_demo
        from mmfas.deploy.http_server import address_of, bind, run_app
    except ModuleNotFoundError as error:
        if str(error.name).startswith('mmfas'):
            raise
        raise MissingPackageError(
            f"`mmfas demo` needs the package {error.name}: pip install 'mmfas[demo]'"
        ) from error
    with bind(args.host, args.port) as place, TemporaryDirectory(prefix='mmfas_demo_') as folder:
        inferencer = inferencer_of(args)
        app = make_demo(inferencer, Path(folder))
        print(f'{inferencer.bundle.name} judges at {address_of(place)} (Ctrl-C ends)', flush=True)
        run_app(app, place, grace_s=1)
    return 0
