"""Pictures that come over the network: a multipart body, read strictly and within limits.

Nothing of a client is ever a path: a picture is the content of an uploaded file, its name is not looked at, and
nothing is written to disk.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from mmfas.utils.errors import InputError

__all__ = ['BusyServerError', 'TooLargeError', 'UnusablePictureError', 'Upload', 'UploadError', 'WrongKindError']

_KIND = 'multipart/form-data'
_EXAMPLE = 'such as `curl -F rgb=@rgb.png -F depth=@depth.png -F ir=@ir.png`'
#: Bytes that the headers of a part may have; some versions of the parser know no bound.
_MAX_HEADERS = 8192
_BROKEN = f'the body is not the {_KIND} that its Content-Type announces'


class UploadError(InputError):
    """A request that cannot be answered with a verdict; the message is one sentence for the client.

    `status` is that of the answer, `kind` the name under which the metrics count it.
    """

    status, kind = 400, 'malformed'


class TooLargeError(UploadError):
    """A body above the limit."""

    status, kind = 413, 'too large'


class TooSlowError(UploadError):
    """A body that does not arrive."""

    status, kind = 408, 'too slow'


class WrongKindError(UploadError):
    """A body of another kind."""

    status, kind = 415, 'wrong kind'


class UnusablePictureError(UploadError):
    """A picture that cannot be read, or one that is missing."""

    status, kind = 422, 'unusable picture'


class BusyServerError(UploadError):
    """More requests at once than the server takes."""

    status, kind = 503, 'busy'


class Upload:
    """Collects the pictures of a multipart body as it arrives.

    Args:
        content_type: Header of the request.
        names: Fields that may be there, each at most once, as files.

    Raises:
        UploadError: If the header is not that of a multipart body.
    """

    def __init__(self, content_type: str, names: Sequence[str]) -> None:
        kind, options = parse_options_header(content_type)
        if kind != _KIND.encode():
            raise WrongKindError(f'the pictures must come as {_KIND}, {_EXAMPLE}')
        boundary = options.get(b'boundary')
        if not boundary:
            raise UploadError(f'the Content-Type lacks the boundary of {_KIND}')
        self._names = tuple(names)
        self._files: dict[str, bytearray] = {}
        self._header = [b'', b'']  # name and value of the one that is being read
        self._header_bytes = 0  # of all that this part has had
        self._disposition = b''
        self._name = ''
        self._is_complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    'on_part_begin': self._begin,
                    'on_header_field': lambda data, start, end: self._extend(0, data[start:end]),
                    'on_header_value': lambda data, start, end: self._extend(1, data[start:end]),
                    'on_header_end': self._end_header,
                    'on_headers_finished': self._open_file,
                    'on_part_data': lambda data, start, end: self._files[self._name].extend(data[start:end]),
                    'on_end': self._finish,
                },
            )
        except FormParserError as error:
            raise UploadError(f'the boundary of {_KIND} is too long') from error

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Args:
            chunk: The bytes.

        Raises:
            UploadError: If they are malformed, or a field is unknown, repeated or not a file.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise UploadError(_BROKEN) from error

    def pictures(self) -> dict[str, bytes]:
        """Return the pictures: field -> content of its file.

        Raises:
            UploadError: If the body ended too early, or a file is empty.
        """
        if not self._is_complete:
            raise UploadError('the body ends before its last boundary: it is cut off')
        for name, content in self._files.items():
            if not content:
                raise UploadError(f'{name} is an empty file')
        return {name: bytes(content) for name, content in self._files.items()}

    def _begin(self) -> None:
        self._header, self._disposition, self._header_bytes = [b'', b''], b'', 0

    def _extend(self, at: int, data: bytes) -> None:
        self._header[at] += data
        self._header_bytes += len(data)
        if self._header_bytes > _MAX_HEADERS:
            raise UploadError(_BROKEN)

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b'content-disposition':
            self._disposition = value
        self._header = [b'', b'']

    def _open_file(self) -> None:
        """Look at the headers of a part."""
        _, options = parse_options_header(self._disposition)
        name = options.get(b'name', b'').decode('latin-1')
        known = ', '.join(self._names)
        if name not in self._names:
            raise UploadError(f'a field is named {name[:40]!r}, but the bundle looks at {known}')
        if b'filename' not in options:
            raise UploadError(f'{name} must be an uploaded file, not text: no path is opened here; {_EXAMPLE}')
        if name in self._files:
            raise UploadError(f'{name} is given twice')
        self._name, self._files[name] = name, bytearray()

    def _finish(self) -> None:
        self._is_complete = True


async def read_upload(
    stream: AsyncIterable[bytes], upload: Upload, *, declared: str | None, max_mb: float
) -> dict[str, bytes]:
    """Read the pictures of a body, which is refused as soon as it is too large.

    Args:
        stream: The body, in chunks.
        upload: What collects them.
        declared: Header Content-Length, if there is one.
        max_mb: Size that the body may have, in megabytes (10^6 bytes).

    Returns:
        Field -> content of its file.

    Raises:
        UploadError: If the body is too large or malformed.
    """
    too_large = f'the body is larger than the {max_mb:g} MB that are taken'
    if declared is not None and declared.isdecimal() and int(declared) > max_mb * 1e6:
        raise TooLargeError(too_large)
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > max_mb * 1e6:
            raise TooLargeError(too_large)
        upload.write(chunk)
    return upload.pictures()
