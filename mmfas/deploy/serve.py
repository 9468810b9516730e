"""A small HTTP service around an inferencer: pictures in, a verdict as JSON out.

| address | answer |
| --- | --- |
| `POST /judge` | multipart, files `rgb`, `depth`, `ir` -> the verdict; 4xx with one sentence otherwise |
| `GET /healthz` | that the server runs, with which bundle, and whether its self-test passed |
| `GET /metrics` | counts of decisions and refusals, latency, sizes of batches, for Prometheus |
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mmfas.deploy.batching import Batcher
from mmfas.deploy.inferencer import FASInferencer
from mmfas.deploy.inputs import Sample
from mmfas.deploy.uploads import (
    BusyServerError,
    TooSlowError,
    UnusablePictureError,
    Upload,
    UploadError,
    read_upload,
)
from mmfas.deploy.verdict import Verdict
from mmfas.utils.errors import InputError

__all__ = ['Limits', 'make_app']

_LOGGER = logging.getLogger(__name__)
#: What every uploaded sample is called in messages.
_SAMPLE_ID = 'upload'
#: Reasons for `not judged` that lie in the request, not in what the pictures show.
_UNUSABLE = ('unreadable', 'missing modality')


@dataclass(frozen=True)
class Limits:
    """What the service takes.

    Args:
        max_body_mb: Size of a body, in megabytes (10^6 bytes); more is refused while it arrives.
        max_sample_mb: Memory that the pictures of a request may take once unpacked, in megabytes; the lower one of
            this and `max_sample_mb` of the bundle's pipeline holds.
        max_requests: Requests that are read or judged at once; one more is refused with 503.
        max_batch: Requests that are judged at once.
        max_wait_ms: Time that the first request of a batch waits for others, in milliseconds.
        read_s: Time in which a body must arrive, in seconds.

    Raises:
        ValueError: If a number is out of its range.
    """

    max_body_mb: float = 16.0
    max_sample_mb: float = 128.0
    max_requests: int = 64
    max_batch: int = 8
    max_wait_ms: float = 2.0
    read_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ('max_body_mb', 'max_sample_mb', 'read_s'):
            if not 0 < getattr(self, name) < float('inf'):
                raise InputError(f'{name} must be above 0, got {getattr(self, name)}')
        if not 0 <= self.max_wait_ms < float('inf'):
            raise InputError(f'max_wait_ms must be 0 or more, got {self.max_wait_ms}')
        for name in ('max_requests', 'max_batch'):
            if getattr(self, name) < 1:
                raise InputError(f'{name} must be at least 1, got {getattr(self, name)}')


class _Metrics:
    """What is counted, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.verdicts = Counter('mmfas_verdicts', 'Verdicts', ['decision'], registry=self.registry)
        self.refused = Counter('mmfas_refused', 'Requests refused', ['reason'], registry=self.registry)
        self.failed = Counter('mmfas_failed', 'Requests that failed unexpectedly', registry=self.registry)
        self.seconds = Histogram(
            'mmfas_request_seconds', 'Time from first byte to answer, in seconds', registry=self.registry
        )
        sizes = [2**n for n in range(8)]
        self.batch = Histogram('mmfas_batch_size', 'Samples judged at once', buckets=sizes, registry=self.registry)


class _Service:
    """The endpoints."""

    def __init__(self, inferencer: FASInferencer, limits: Limits) -> None:
        self.inferencer, self.bundle, self.limits = inferencer, inferencer.bundle, limits
        self.names = self.bundle.used
        self.metrics = _Metrics()
        self.batcher = Batcher(
            self._judge_batch,
            max_batch=limits.max_batch,
            max_wait_ms=limits.max_wait_ms,
            watch=self.metrics.batch.observe,
        )
        self._open_requests = 0

    def _judge_batch(self, samples: Sequence[Sample]) -> list[Verdict]:
        return list(self.inferencer.stream(samples, batch_size=len(samples)))

    async def judge(self, request: Request) -> Response:
        """Judge one sample."""
        start = time.perf_counter()
        try:
            verdict = await self._judge(request)
        except UploadError as error:
            self.metrics.refused.labels(error.kind).inc()
            headers = {'Retry-After': '1'} if isinstance(error, BusyServerError) else None
            return JSONResponse({'error': str(error)}, error.status, headers)
        except ClientDisconnect:
            self.metrics.refused.labels('disconnected').inc()
            return JSONResponse({'error': 'the client has gone'}, 400)
        except Exception:
            number = uuid4().hex
            self.metrics.failed.inc()
            _LOGGER.exception('request %s failed', number)
            return JSONResponse(
                {'error': 'internal error; the log of the server has it under this id', 'id': number}, 500
            )
        self.metrics.verdicts.labels(verdict.decision).inc()
        self.metrics.seconds.observe(time.perf_counter() - start)
        return JSONResponse(verdict.to_dict())

    async def _judge(self, request: Request) -> Verdict:
        """Read a request and wait for its verdict, unless too many wait already."""
        if self._open_requests >= self.limits.max_requests:
            raise BusyServerError(f'{self._open_requests} requests are in work already; try again in a second')
        self._open_requests += 1
        try:
            pictures = await self._read(request)
            verdict = await asyncio.wrap_future(self.batcher.submit(Sample(_SAMPLE_ID, pictures)))
        finally:
            self._open_requests -= 1
        if verdict.code in _UNUSABLE:
            raise UnusablePictureError(verdict.reason)
        return verdict

    async def _read(self, request: Request) -> dict[str, bytes]:
        """Read the pictures of a request."""
        headers, limits = request.headers, self.limits
        upload = Upload(headers.get('content-type', ''), self.names)
        reading = read_upload(
            request.stream(), upload, declared=headers.get('content-length'), max_mb=limits.max_body_mb
        )
        try:
            return await asyncio.wait_for(reading, limits.read_s)
        except asyncio.TimeoutError as error:
            raise TooSlowError(f'the body did not arrive within {limits.read_s:g} s') from error

    async def healthz(self) -> Response:
        """Say whether samples are judged, and with what."""
        is_running, difference = self.batcher.is_running, self.inferencer.self_test_difference
        state = {
            'status': 'ok' if is_running else 'stopped',
            'bundle': self.bundle.name,
            'sha256': self.bundle.sha256,
            'modalities': list(self.names),
            'required': list(self.bundle.required),
            'device': self.inferencer.device,
            'self_test': 'skipped' if difference is None else 'passed',
            'self_test_difference': difference,
        }
        return JSONResponse(state, 200 if is_running else 503)

    async def show_metrics(self) -> Response:
        """Return all counts."""
        return Response(generate_latest(self.metrics.registry), headers={'Content-Type': CONTENT_TYPE_LATEST})

    def body_schema(self) -> dict[str, Any]:
        """Describe the body of a request, for `/openapi.json`."""
        files = {name: {'type': 'string', 'format': 'binary'} for name in self.names}
        schema = {'type': 'object', 'properties': files, 'required': list(self.bundle.required)}
        return {'requestBody': {'required': True, 'content': {'multipart/form-data': {'schema': schema}}}}


def make_app(inferencer: FASInferencer, limits: Limits | None = None) -> FastAPI:
    """Return the service as an ASGI app; its own registry counts what it does.

    The limit of the inferencer's loader is lowered to that of the service.

    Args:
        inferencer: What judges; nothing else may use it while the app runs.
        limits: What is taken; see `Limits` for the defaults.
    """
    limits = limits or Limits()
    loader = inferencer.preprocessing.loader
    loader.max_sample_mb = min(loader.max_sample_mb, limits.max_sample_mb)
    service = _Service(inferencer, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await asyncio.to_thread(service.batcher.close)

    # The pages of FastAPI that explain an interface fetch scripts from elsewhere.
    app = FastAPI(title=f'mmfas: {inferencer.bundle.name}', docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_api_route('/judge', service.judge, methods=['POST'], openapi_extra=service.body_schema())
    app.add_api_route('/healthz', service.healthz, methods=['GET'])
    app.add_api_route('/metrics', service.show_metrics, methods=['GET'])
    app.add_exception_handler(HTTPException, _refuse)
    return app


async def _refuse(request: Request, error: Any) -> Response:
    """Answer a wrong address or method in the form of all refusals."""
    return JSONResponse({'error': str(error.detail)}, error.status_code, error.headers)
