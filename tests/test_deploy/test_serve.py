"""The HTTP service: verdicts in batches, limits, refusals that say nothing of the server, load."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from http_bodies import CONTENT_TYPE, MUTATIONS, body, bomb, pictures
from starlette.testclient import TestClient

from mmfas.cli.serve import main
from mmfas.deploy.bundle import Bundle
from mmfas.deploy.bundle_file import write_bundle
from mmfas.deploy.http_server import bind
from mmfas.deploy.inferencer import FASInferencer
from mmfas.deploy.serve import Limits, make_app
from mmfas.deploy.uploads import TooLargeError, Upload, read_upload

#: Requests of the load test; `MMFAS_SERVE_REQUESTS=2000` for as many as the page states.
REQUESTS = int(os.environ.get('MMFAS_SERVE_REQUESTS', '400'))
pytestmark = pytest.mark.engine

LABELS = ('live', 'print', 'replay', 'mask3d', 'papermask', 'silicone')


@pytest.fixture(scope='module')
def inferencer(bundle: Bundle) -> FASInferencer:
    """Judges with a tiny bundle that must have rgb."""
    return FASInferencer(bundle, 'cpu')


@contextmanager
def client_of(inferencer: FASInferencer, **limits: Any) -> Iterator[TestClient]:
    """Run the service in this process."""
    with TestClient(make_app(inferencer, Limits(**limits)), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(inferencer: FASInferencer) -> Iterator[TestClient]:
    """A client of the service with its default limits."""
    with client_of(inferencer) as client:
        yield client


def files(label: str = 'live', without: str = '') -> dict[str, tuple[str, bytes]]:
    """A rendered triple as files to upload, perhaps without one."""
    return {name: ('/etc/passwd', content) for name, content in pictures(label).items() if name != without}


def metric(client: TestClient, name: str) -> float:
    """Read a number from `/metrics`."""
    found = re.search(rf'^{re.escape(name)} (\S+)$', client.get('/metrics').text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_the_verdict_is_that_of_the_inferencer(client: TestClient, inferencer: FASInferencer) -> None:
    for label in LABELS:
        answer = client.post('/judge', files=files(label))
        expected = inferencer.judge_pictures(pictures(label)).to_dict()
        got = answer.json()
        assert answer.status_code == 200
        assert got.pop('elapsed_ms') > 0 and got.pop('sample_id') == 'upload'
        assert got == {name: expected[name] for name in got} and set(expected) - set(got) == {
            'elapsed_ms',
            'sample_id',
        }
    rgb_only = client.post('/judge', files={'rgb': files()['rgb']}).json()
    assert rgb_only['modalities'] == ['rgb'] and rgb_only['score'] is not None
    counts = [metric(client, f'mmfas_verdicts_total{{decision="{name}"}}') for name in ('live', 'spoof')]
    assert sum(counts) == metric(client, 'mmfas_request_seconds_count') == len(LABELS) + 1


def test_requests_at_the_same_time_are_judged_together_and_alike(inferencer: FASInferencer) -> None:
    wanted = [files(label, without) for label in LABELS for without in ('', 'ir')]
    alone = [inferencer.judge_pictures({m: data for m, (_, data) in one.items()}).score for one in wanted]
    with client_of(inferencer, max_wait_ms=500, max_batch=4) as client, ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda one: client.post('/judge', files=one).json(), wanted))
        num_batches = metric(client, 'mmfas_batch_size_count')
        assert metric(client, 'mmfas_batch_size_sum') == len(wanted) > 2 * num_batches
    np.testing.assert_allclose([answer['score'] for answer in answers], alone, rtol=0, atol=1e-6)


def test_health_names_the_bundle(client: TestClient, bundle: Bundle, inferencer: FASInferencer) -> None:
    state = client.get('/healthz').json()
    assert (state['status'], state['bundle'], state['sha256']) == ('ok', bundle.name, bundle.sha256)
    assert state['self_test'] == 'passed' and state['self_test_difference'] == inferencer.self_test_difference
    schema = client.get('/openapi.json').json()['paths']['/judge']['post']['requestBody']['content']
    assert list(schema['multipart/form-data']['schema']['properties']) == ['rgb', 'depth', 'ir']
    untested = FASInferencer(bundle, 'cpu', self_test=False)
    stopped = TestClient(make_app(untested)).get('/healthz')  # never started
    assert stopped.status_code == 503 and stopped.json()['self_test'] == 'skipped'


@pytest.mark.parametrize(
    ('request_body', 'status', 'sentence'),
    [
        (dict(data={'rgb': '/etc/passwd'}), 415, 'the pictures must come as multipart/form-data'),
        (dict(files={'rgb': (None, '/etc/passwd')}), 400, 'rgb must be an uploaded file, not text'),
        (dict(files={'rgb': ('a.png', b'')}), 400, 'rgb is an empty file'),
        (dict(files={'rgb': ('a.png', b'/etc/passwd')}), 422, 'rgb bytes of upload'),
        (dict(files={'rgb': ('a.png', bomb())}), 422, 'MB'),
        (dict(files={'thermal': ('a.png', b'x')}), 400, "named 'thermal', but the bundle looks at rgb, depth, ir"),
        (dict(files={'depth': ('a.png', b'x')}), 422, 'rgb must be there'),
        (dict(json={'rgb': '/etc/passwd'}), 415, 'the pictures must come as multipart/form-data'),
        (
            dict(content=b'x', headers={'Content-Type': CONTENT_TYPE}),
            400,
            'the body is not the multipart/form-data',
        ),
    ],
)
def test_malformed_requests_get_one_sentence(
    client: TestClient, request_body: dict[str, Any], status: int, sentence: str
) -> None:
    answer = client.post('/judge', **request_body)
    assert answer.status_code == status and list(answer.json()) == ['error']
    assert sentence in answer.json()['error'] and '\n' not in answer.json()['error']


def test_wrong_addresses_are_refused_in_the_same_form(client: TestClient) -> None:
    assert client.get('/judge').status_code == 405 and list(client.get('/judge').json()) == ['error']
    assert client.get('/docs').status_code == 404


def test_large_bodies_are_refused_by_their_header_and_while_they_arrive(inferencer: FASInferencer) -> None:
    with client_of(inferencer, max_body_mb=0.001) as client:
        answer = client.post('/judge', files=files())
        assert answer.status_code == 413 and 'larger than the 0.001 MB' in answer.json()['error']
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield body({'rgb': b'x' * 1000})[:1000]
        while True:
            sent += 1
            yield bytes(1000)

    upload = Upload(CONTENT_TYPE, ('rgb',))
    with pytest.raises(TooLargeError, match='larger than the 0.01 MB'):
        asyncio.run(read_upload(endless(), upload, declared=None, max_mb=0.01))
    assert sent == 10


def test_unpacked_pictures_are_limited(bundle: Bundle) -> None:
    own = FASInferencer(bundle, 'cpu', self_test=False)
    with client_of(own, max_sample_mb=0.005) as client:  # 48 x 48 x 3 bytes are more
        answer = client.post('/judge', files=files())
    assert answer.status_code == 422 and own.preprocessing.loader.max_sample_mb == 0.005
    assert 'MB' in answer.json()['error']


def test_a_body_that_does_not_arrive_is_given_up(inferencer: FASInferencer) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield body(pictures())[:100]
        await asyncio.sleep(5)

    async def post() -> Any:
        transport = httpx.ASGITransport(make_app(inferencer, Limits(read_s=0.05)))
        async with httpx.AsyncClient(transport=transport, base_url='http://test') as client:
            return await client.post('/judge', content=slow(), headers={'Content-Type': CONTENT_TYPE})

    answer = asyncio.run(post())
    assert answer.status_code == 408 and answer.json()['error'] == 'the body did not arrive within 0.05 s'


def test_one_more_than_can_wait_gets_503(inferencer: FASInferencer, monkeypatch: pytest.MonkeyPatch) -> None:
    is_judging, may_end = Event(), Event()
    score = inferencer.runtime.score

    def wait(samples: Any) -> np.ndarray:
        is_judging.set()
        assert may_end.wait(30)
        return score(samples)

    monkeypatch.setattr(inferencer.runtime, 'score', wait)
    with client_of(inferencer, max_requests=1) as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, '/judge', files=files())
        assert is_judging.wait(30)
        refused = client.post('/judge', files=files())
        may_end.set()
        assert first.result().status_code == 200
        assert refused.status_code == 503 and refused.headers['retry-after'] == '1'
        assert client.post('/judge', files=files()).status_code == 200
        assert metric(client, 'mmfas_refused_total{reason="busy"}') == 1


def test_unexpected_errors_go_to_the_log_only(
    inferencer: FASInferencer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    score = inferencer.runtime.score

    def fail(samples: Any) -> np.ndarray:
        if any(int(sample['data_samples'].present.sum()) == 1 for sample in samples):
            raise RuntimeError('a secret at /home')
        return score(samples)

    monkeypatch.setattr(inferencer.runtime, 'score', fail)
    with client_of(inferencer, max_wait_ms=500, max_batch=2) as client, ThreadPoolExecutor(2) as pool:
        bad = pool.submit(client.post, '/judge', files={'rgb': files()['rgb']})
        good = pool.submit(client.post, '/judge', files=files())
        assert good.result().status_code == 200  # though they were one batch
        answer = bad.result()
        assert metric(client, 'mmfas_failed_total') == 1
    assert answer.status_code == 500 and set(answer.json()) == {'error', 'id'}
    assert 'secret' not in answer.text and '/home' not in answer.text
    assert answer.json()['id'] in caplog.text and 'a secret at /home' in caplog.text


@pytest.mark.parametrize('number', [60, pytest.param(500, marks=pytest.mark.fuzz)])
def test_mutated_bodies_get_4xx_and_the_server_goes_on(client: TestClient, number: int) -> None:
    for case in range(number):
        mutate = MUTATIONS[case % len(MUTATIONS)]
        kind, content = mutate(Random(case), pictures())
        answer = client.post('/judge', content=content, headers={'Content-Type': kind})
        assert 400 <= answer.status_code < 500, (case, mutate.__name__, answer.status_code, answer.text)
        assert '\n' not in answer.json()['error'] and 'Traceback' not in answer.text, (case, answer.text)
    assert client.post('/judge', files=files()).status_code == 200
    assert metric(client, 'mmfas_failed_total') == 0
    assert metric(client, 'mmfas_batch_size_count') > number / len(MUTATIONS)  # some came as far as the decoder


def load(address: str, number: int, *, num_clients: int = 4) -> np.ndarray:
    """Send requests from several clients at once; returns the seconds that each answer took."""

    def send(own: int) -> list[float]:
        found = []
        with httpx.Client(base_url=address, timeout=60) as client:
            for at in range(own, number, num_clients):
                start = time.perf_counter()
                answer = client.post('/judge', files=files(LABELS[at % len(LABELS)]))
                found.append(time.perf_counter() - start)
                assert answer.status_code == 200, answer.text
        return found

    with ThreadPoolExecutor(num_clients) as pool:
        return np.array([seconds for found in pool.map(send, range(num_clients)) for seconds in found])


def test_load_on_a_real_socket(inferencer: FASInferencer) -> None:
    with bind('127.0.0.1', 0) as place:
        server = uvicorn.Server(uvicorn.Config(make_app(inferencer), log_level='warning'))
        thread = Thread(target=server.run, kwargs=dict(sockets=[place]))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            seconds = load(f'http://127.0.0.1:{place.getsockname()[1]}', 100)
        finally:
            server.should_exit = True
            thread.join()
    assert len(seconds) == 100
    print(f'p99 of 100 requests: {1000 * np.quantile(seconds, 0.99):.1f} ms')


def resident_mb(process: int) -> float:
    """Memory of a process, in megabytes."""
    text = Path(f'/proc/{process}/status').read_text()
    return int(re.findall(r'VmRSS:\s+(\d+) kB', text)[0]) / 1000


@contextmanager
def served(path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `mmfas serve` in a process of its own; yields it and its address."""
    command = [sys.executable, '-m', 'mmfas', 'serve', str(path), '--port', '0', '--device', 'cpu']
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if 'judges at' in line)  # after lines of the log
            yield process, re.findall(r'http://[\d.:]+', line)[0]
        finally:
            process.kill()


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='needs /proc to measure memory')
def test_many_requests_leave_the_memory_as_it_was(bundle: Bundle, tmp_path: Path) -> None:
    with served(write_bundle(bundle, tmp_path / 'tiny.mmfas.pth')) as (process, address):
        until = time.monotonic() + 120
        while True:
            try:
                assert httpx.get(f'{address}/healthz').json()['status'] == 'ok'
                break
            except httpx.ConnectError:
                assert time.monotonic() < until
                time.sleep(0.1)
        load(address, 200)
        before = resident_mb(process.pid)
        seconds = load(address, REQUESTS)
        grown = resident_mb(process.pid) - before
        process.terminate()
        assert process.wait(30) == 143
        assert process.stderr is not None and 'requests in work were answered' in process.stderr.read()
    median, p99 = 1000 * np.quantile(seconds, [0.5, 0.99])
    print(f'{REQUESTS} requests, 4 clients: median {median:.1f} ms, p99 {p99:.1f} ms, memory {grown:+.1f} MB')
    assert len(seconds) == REQUESTS and grown <= 10


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = str(tmp_path / 'nothing.pth')
    with pytest.raises(SystemExit):
        main([nothing, '--max-batch', '0'])
    assert '--max-batch: must be an integer of at least 1' in capsys.readouterr().err
    with socket.create_server(('127.0.0.1', 0)) as other:
        port = other.getsockname()[1]
        assert main([nothing, '--port', str(port)]) == 1
    assert f'cannot listen at 127.0.0.1:{port}: Address already in use; choose another' in capsys.readouterr().err
    assert main([nothing, '--port', '0']) == 1
    assert 'nothing.pth' in capsys.readouterr().err


def test_the_command_names_the_extra(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == 'fastapi' or name.startswith('fastapi.')]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, 'mmfas.deploy.serve')
    monkeypatch.setitem(sys.modules, 'fastapi', None)
    assert main(['nothing.pth']) == 1
    assert "`mmfas serve` needs the package fastapi: pip install 'mmfas[serve]'" in capsys.readouterr().err


def test_bodies_of_the_tests_are_read(client: TestClient) -> None:
    read: Callable[..., Any] = client.post
    answer = read('/judge', content=body(pictures()), headers={'Content-Type': CONTENT_TYPE})
    assert answer.status_code == 200 and json.loads(answer.text)['modalities'] == ['rgb', 'depth', 'ir']
