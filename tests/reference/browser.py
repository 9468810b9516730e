"""A headless Chromium that is driven over a pipe (DevTools protocol), without a further package."""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)
#: Mark of tests that open a page.
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason='needs Chromium to open the page (Debian: apt-get install chromium)'
)
FLAGS = (
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--hide-scrollbars',
)
#: Of a browser that is driven, and reaches this machine only.
_DRIVEN = ('--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1', '--remote-debugging-pipe')
#: Of one with a camera that pages may use unasked.
_CAMERA = ('--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream')
#: Seconds; the machines of CI are slow and shared.
PATIENCE = 90.0


class Tab:
    """One page of the browser.

    Args:
        read: File descriptor of its answers.
        write: File descriptor of its commands.
    """

    def __init__(self, read: int, write: int) -> None:
        self.requested: list[str] = []  # addresses that the page fetched
        self.errors: list[str] = []  # that its scripts raised
        self._read, self._write, self._buffer, self._number = read, write, b'', 0
        self._session = ''
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        self._session = self.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Network', 'Runtime'):
            self.call(f'{domain}.enable')

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events on the way are kept."""
        self._number += 1
        message = dict(id=self._number, method=method, params=parameters)
        if self._session:
            message['sessionId'] = self._session
        os.write(self._write, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._next()
            if answer.get('id') == self._number:
                assert 'error' not in answer, answer
                return answer['result']
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b'\0' not in self._buffer:
            assert select.select([self._read], [], [], PATIENCE)[0], 'the browser does not answer'
            chunk = os.read(self._read, 1 << 20)
            assert chunk, 'the browser has ended'
            self._buffer += chunk
        message, self._buffer = self._buffer.split(b'\0', 1)
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        if event['method'] == 'Network.requestWillBeSent':
            self.requested.append(event['params']['request']['url'])
        elif event['method'] == 'Runtime.exceptionThrown':
            self.errors.append(json.dumps(event['params']['exceptionDetails'])[:2000])

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of the page."""
        answer = self.call('Runtime.evaluate', expression=expression, returnByValue=True)
        assert 'exceptionDetails' not in answer, answer
        return answer['result'].get('value')

    def wait_for(self, condition: str) -> None:
        """Wait until an expression of the page is true."""
        until = time.monotonic() + PATIENCE
        while not self.evaluate(f'!!({condition})'):
            assert time.monotonic() < until, f'{condition} did not come; {self.errors}'
            time.sleep(0.1)

    def open(self, address: str, *, width: int, height: int) -> None:
        """Open a page in a window of some size."""
        self.call(
            'Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        self.call('Page.navigate', url=address)

    def screenshot(self) -> np.ndarray:
        """Return what is seen (H, W, 3), uint8, RGB."""
        data = self.call('Page.captureScreenshot', format='png')['data']
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert('RGB'))


@contextmanager
def browser(profile: Path, *, camera: Path | None = None) -> Iterator[Tab]:
    """Start the browser; it finds no host but this machine, and its camera shows the frames of an MJPEG file."""
    seen = () if camera is None else (*_CAMERA, f'--use-file-for-fake-video-capture={camera}')
    (commands, write), (read, answers) = os.pipe(), os.pipe()

    def place() -> None:  # the browser reads descriptor 3 and writes 4
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (commands, answers)]
        for number, end in zip((3, 4), ends):
            os.dup2(end, number)

    process = subprocess.Popen(
        [str(BROWSER), *FLAGS, *_DRIVEN, *seen, f'--user-data-dir={profile}'],
        pass_fds=(3, 4),
        preexec_fn=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands)
    os.close(answers)
    try:
        yield Tab(read, write)
    finally:
        process.kill()
        process.wait()
        os.close(read)
        os.close(write)
