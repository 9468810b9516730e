"""Judge pictures over HTTP: POST /judge with the files rgb, depth and ir; the answer is the verdict as JSON."""

from __future__ import annotations

import argparse

from mmfas.cli.command import command
from mmfas.cli.numbers import number, whole
from mmfas.cli.options import add_inferencer_options, inferencer_of
from mmfas.utils.errors import MissingPackageError

#: Options that are fields of `mmfas.deploy.serve.Limits`.
_LIMITS = ('max_body_mb', 'max_sample_mb', 'max_requests', 'max_batch', 'max_wait_ms', 'read_s')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_inferencer_options(parser)
    parser.add_argument(
        '--host', default='127.0.0.1', help='where to listen (default: 127.0.0.1, for this machine)'
    )
    parser.add_argument(
        '--port', type=whole(0, 65535), default=8000, help='where to listen (default: 8000); 0: a free port'
    )
    parser.add_argument(
        '--max-body-mb', type=number(above=0), metavar='MB', help='size of a request (default: 16)'
    )
    parser.add_argument(
        '--max-sample-mb',
        type=number(above=0),
        metavar='MB',
        help='memory of its pictures once unpacked (default: 128)',
    )
    parser.add_argument('--max-requests', type=whole(), help='requests at once; more get 503 (default: 64)')
    parser.add_argument('--max-batch', type=whole(), help='requests that are judged at once (default: 8)')
    parser.add_argument(
        '--max-wait-ms',
        type=number(least=0),
        metavar='MS',
        help='how long a request waits for others (default: 2)',
    )
    parser.add_argument(
        '--read-s', type=number(above=0), metavar='S', help='time for a request to arrive (default: 30)'
    )


@command(on_stop='requests in work were answered')
def main(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C (status 130) or SIGTERM (143); returns 1 if it cannot start."""
    try:
        from mmfas.deploy.http_server import address_of, bind, run_app
        from mmfas.deploy.serve import Limits, make_app
    except ModuleNotFoundError as error:
        if str(error.name).startswith('mmfas'):
            raise
        raise MissingPackageError(
            f"`mmfas serve` needs the package {error.name}: pip install 'mmfas[serve]'"
        ) from error

    chosen = {name: getattr(args, name) for name in _LIMITS if getattr(args, name) is not None}
    limits = Limits(**chosen)
    with bind(args.host, args.port) as place:
        inferencer = inferencer_of(args)
        app = make_app(inferencer, limits)
        print(f'{inferencer.bundle.name} judges at {address_of(place)}/judge (Ctrl-C ends)', flush=True)
        run_app(app, place, max_connections=4 * limits.max_requests)
    return 0
