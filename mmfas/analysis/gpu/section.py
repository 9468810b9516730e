"""One section of the checks: what it runs, how long it may take, and the lines that it leaves.

A section writes one line of JSON after every item and flushes it, so that a killed section leaves what it found.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch

from mmfas.utils.errors import InputError
from mmfas.utils.runs import commit

#: One line of a file: `section`, `method`, `check`, `status` and what was measured.
Record: TypeAlias = dict[str, Any]
DONE, FAILED, SKIPPED, NOT_REACHED = 'done', 'failed', 'skipped', 'not reached'
#: Item that says on what a section ran, and how it was called.
MACHINE = 'machine'
#: Item that says how a section ended.
END = 'end'


class SkipItem(InputError):
    """What an item raises where it cannot be measured here; the message says why."""


class Clock:
    """How much of a section's time is left.

    Args:
        seconds: The time, above 0.
        now: Source of the time in seconds.
    """

    def __init__(self, seconds: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._now = now
        self._start = now()

    @property
    def left(self) -> float:
        """Seconds that are left; below 0 when the time is over."""
        return self.seconds - (self._now() - self._start)

    @property
    def is_over(self) -> bool:
        """Whether no item may start any more."""
        return self.left <= 0


@dataclass(frozen=True)
class Section:
    """Runs items one by one and writes what they found.

    Args:
        name: Name of the section; its lines go to `<name>.jsonl`.
        folder: Folder of the lines.
        device: Where the models are.
        clock: Time of the section.
        is_tiny: Whether everything is so small that the code is tested rather than the device.
    """

    name: str
    folder: Path
    device: torch.device
    clock: Clock
    is_tiny: bool = False

    def start(self, command: str, **facts: Any) -> None:
        """Begin a new file with what the numbers depend on.

        Args:
            command: How this was called.
            **facts: Further plain values.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        self.write('', MACHINE, DONE, **machine_facts(self.device), command=command, is_tiny=self.is_tiny, **facts)

    def end(self) -> None:
        """Say that the section came to its end."""
        self.write('', END, DONE, seconds_left=round(self.clock.left, 1))

    def run(
        self, method: str, check: str, measure: Callable[..., Mapping[str, Any]], *args: Any
    ) -> Mapping[str, Any] | None:
        """Run one item, unless the time is over; whatever goes wrong is a line too, and the next item follows.

        Args:
            method: What is measured, such as `'mmdg'`.
            check: What is measured of it.
            measure: Returns plain values.
            *args: Its arguments.

        Returns:
            What was measured; None if it was not.
        """
        if self.clock.is_over:
            self.write(method, check, NOT_REACHED)
            return None
        begin = time.monotonic()
        status, found = self._outcome(measure, args)
        # models hold themselves in circles and errors their frames: what ran out of memory would take others along
        gc.collect()
        if self.device.type == 'cuda':
            torch.cuda.empty_cache()
        if status == DONE:
            found = {**found, 'seconds': round(time.monotonic() - begin, 2)}
        self.write(method, check, status, **found)
        return found if status == DONE else None

    @staticmethod
    def _outcome(measure: Callable[..., Mapping[str, Any]], args: tuple[Any, ...]) -> tuple[str, Record]:
        """Call what measures; return how it ended, and what it found or why not."""
        try:
            found = dict(measure(*args))
            json.dumps(found)
        except SkipItem as reason:
            return SKIPPED, dict(reason=str(reason))
        except Exception as error:  # any: an item that fails must not keep the others from being measured
            return FAILED, dict(reason=_reason(error))
        return DONE, found

    def write(self, method: str, check: str, status: str, **values: Any) -> None:
        """Append one line and flush it.

        Args:
            method: What was measured.
            check: What of it.
            status: How it ended.
            **values: Plain values.
        """
        line = {'section': self.name, 'method': method, 'check': check, 'status': status, **values}
        with self._path.open('a', encoding='utf-8') as file:
            file.write(json.dumps(line) + '\n')
            file.flush()
            os.fsync(file.fileno())

    @property
    def _path(self) -> Path:
        return self.folder / f'{self.name}.jsonl'


def _reason(error: Exception) -> str:
    """Shorten an error to its kind, its first lines and the place in mmfas that it came from."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if 'mmfas' in Path(frame.filename).parts
    ]
    place = f' ({Path(frames[-1].filename).name}:{frames[-1].lineno})' if frames else ''
    return f'{type(error).__name__}: {str(error)[:600]}{place}'


def machine_facts(device: torch.device) -> Record:
    """Say what numbers depend on: device, driver, versions, commit.

    Args:
        device: The device that is measured.
    """
    facts: Record = dict(
        device=device.type,
        device_name=platform.processor() or platform.machine(),
        num_cores=os.cpu_count(),
        python=platform.python_version(),
        torch=torch.__version__,
        cuda=torch.version.cuda,
        commit=os.environ.get('MMFAS_COMMIT') or commit(),
    )
    if device.type == 'cuda':
        properties = torch.cuda.get_device_properties(device)
        facts |= dict(
            device_name=properties.name,
            driver=_driver(),
            memory_gib=round(properties.total_memory / 2**30, 1),
            num_multiprocessors=properties.multi_processor_count,
        )
    return facts


def _driver() -> str:
    """Return the version of NVIDIA's driver, or nothing where it does not say."""
    try:
        text = Path('/proc/driver/nvidia/version').read_text(encoding='utf-8')
    except OSError:
        return ''
    words = text.split('\n', 1)[0].split()
    return next((word for word in words if word.count('.') >= 1 and word[0].isdigit()), '')


def read_records(folder: Path) -> list[Record]:
    """Read all lines that sections left in a folder.

    Args:
        folder: Folder of `<section>.jsonl`; one that does not exist holds none.

    Returns:
        Lines, section by section in the order of their names. A line that was cut off, because its section was
        killed, counts as an item that failed.
    """
    found: list[Record] = []
    for path in sorted(folder.glob('*.jsonl')):
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
            if not line:
                continue
            try:
                found.append(json.loads(line))
            except ValueError:
                cut = dict(section=path.stem, method='', check=f'line {number}', status=FAILED)
                found.append({**cut, 'reason': 'the line was cut off'})
    return found
