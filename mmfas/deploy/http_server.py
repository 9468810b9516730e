"""Running an ASGI app at an address until a signal ends it."""

from __future__ import annotations

import logging
import socket
from typing import Any

import uvicorn

from mmfas.utils.errors import RunError

__all__ = ['address_of', 'bind', 'run_app']


def bind(host: str, port: int) -> socket.socket:
    """Reserve the address of a service; connections are refused until it runs.

    Args:
        host: Name or number of a network interface.
        port: Number from 0 to 65535; 0 takes a free one.

    Returns:
        Socket at this address.

    Raises:
        RuntimeError: If the address cannot be used.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        place = socket.socket(family, kind)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise RunError(f'cannot listen at {host}:{port}: {reason}; choose another --host or --port') from error
    return place


def address_of(place: socket.socket) -> str:
    """Return the address of a socket for a browser.

    Args:
        place: Socket of `bind`.
    """
    host, port = place.getsockname()[:2]
    return f'http://[{host}]:{port}' if ':' in host else f'http://{host}:{port}'


def run_app(app: Any, place: socket.socket, *, max_connections: int | None = None, grace_s: int = 30) -> None:
    """Serve until SIGINT or SIGTERM; requests in work are answered first, then the signal takes its course.

    Args:
        app: An ASGI app.
        place: Socket of `bind`.
        max_connections: Connections that are kept open at once; one more is refused with 503.
        grace_s: Time that requests in work have to end, in seconds.
    """
    # A line per malformed body is a log that clients can fill.
    logging.getLogger('python_multipart').setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        log_level='warning',
        access_log=False,
        server_header=False,
        limit_concurrency=max_connections,
        timeout_graceful_shutdown=grace_s,
    )
    uvicorn.Server(config).run(sockets=[place])
