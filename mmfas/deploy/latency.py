"""How long one verdict takes: preprocessing and scoring apart, by runtime, batch size and number of threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmfas.deploy.bundle import Bundle
from mmfas.deploy.bundle_export import OnnxScorer, picture_size
from mmfas.deploy.export import onnx_content
from mmfas.deploy.onnx_runtime import OnnxRuntime
from mmfas.deploy.preprocessing import Preprocessing
from mmfas.deploy.torch_runtime import Runtime, TorchRuntime
from mmfas.evaluation.tables import Row, text_table
from mmfas.utils.errors import InputError

__all__ = ['RUNTIMES', 'Latency', 'instruction_sets', 'latency_table', 'measure_latency']

#: Wall time, or the CPU time of this process, which other programs hardly influence.
CLOCKS: dict[str, Callable[[], float]] = {'wall': time.perf_counter, 'cpu': time.process_time}
#: Instructions that decide how fast a processor multiplies matrices, as Linux names them.
_INSTRUCTIONS = ('avx2', 'fma', 'avx512f', 'avx512_vnni', 'avx_vnni', 'amx_int8', 'asimd', 'asimddp', 'i8mm')


@dataclass(frozen=True)
class Latency:
    """Times of one thing.

    Args:
        name: What was timed: `'preprocessing'` or a runtime.
        batch_size: Samples that were scored at once.
        threads: Threads of an operator.
        median_ms: Median over the rounds, per sample, in milliseconds.
        p99_ms: 99th percentile, likewise.
        ratio: Median over the rounds of its time divided by that of `torch` in the same round; 1 for that.
        num_rounds: Number of timed rounds.
    """

    name: str
    batch_size: int
    threads: int
    median_ms: float
    p99_ms: float
    ratio: float
    num_rounds: int


#: Makes the runtime for a number of threads.
_Maker = Callable[[int], Runtime]


def _torch(bundle: Bundle) -> _Maker:
    runtime = TorchRuntime(bundle.build_model())
    return lambda threads: runtime


def _compiled(bundle: Bundle) -> _Maker:
    """Compile the layers, anew for each number of threads; the dispatch between modes stays as it is."""

    def make(threads: int) -> Runtime:
        model = bundle.build_model()
        model.extract_feat = torch.compile(model.extract_feat, dynamic=False)  # type: ignore[method-assign]
        return TorchRuntime(model)

    return make


def _onnx(bundle: Bundle) -> _Maker:
    content, _ = onnx_content(bundle.build_model(), size=picture_size(bundle))
    return lambda threads: OnnxScorer(OnnxRuntime(content, threads=threads))


def _int8(bundle: Bundle) -> _Maker:
    """Calibrate on the golden sample: the ranges decide the scores, which nobody sees here, but not the time."""
    assert bundle.golden is not None
    inputs = bundle.preprocessing()(bundle.golden.arrays())['inputs']
    pictures = {m: inputs[m][None].numpy() for m in bundle.modalities}
    content, _ = onnx_content(
        bundle.build_model(), size=picture_size(bundle), precision='int8', calibration=pictures
    )
    return lambda threads: OnnxScorer(OnnxRuntime(content, threads=threads))


#: Name -> what prepares the runtime of a bundle, once for all numbers of threads: an export may take minutes.
RUNTIMES: dict[str, Callable[[Bundle], _Maker]] = {
    'torch': _torch,
    'compiled': _compiled,
    'onnx': _onnx,
    'int8': _int8,
}


def measure_latency(
    bundle: Bundle,
    *,
    runtimes: Sequence[str] = ('torch', 'onnx'),
    batch_sizes: Sequence[int] = (1, 8),
    threads: Sequence[int] = (1,),
    num_rounds: int = 200,
    num_warm_up: int = 20,
    clock: str = 'wall',
    report: Callable[[str], None] | None = None,
) -> list[Latency]:
    """Time the runtimes of a bundle in turn, round by round, on pictures in memory.

    Args:
        bundle: The bundle; its golden sample is what is judged.
        runtimes: Some of `RUNTIMES`; the first one is the reference of the ratios.
        batch_sizes: Samples that are scored at once.
        threads: Threads of an operator.
        num_rounds: Timed rounds; a 99th percentile needs 100 at least.
        num_warm_up: Rounds before the clock starts.
        clock: One of `CLOCKS`; `'cpu'` is for one thread on a busy machine.
        report: Called with a line before each piece of work; None for silence.

    Returns:
        For each batch size and number of threads: preprocessing, then the runtimes.

    Raises:
        ValueError: If a runtime is unknown or a number is below 1.
    """
    unknown = [name for name in runtimes if name not in RUNTIMES]
    if unknown or not runtimes:
        raise InputError(f"there is no runtime '{unknown[0] if unknown else ''}'; there are {', '.join(RUNTIMES)}")
    if min(*batch_sizes, *threads, num_rounds) < 1 or num_warm_up < 0:
        raise InputError('batch sizes, threads and rounds must be at least 1')
    if clock == 'cpu' and max(threads) > 1:
        raise InputError(f'CPU time adds up all threads, so it says nothing of {max(threads)} of them; time 1')
    assert bundle.golden is not None
    pictures = bundle.golden.arrays()
    preprocess = bundle.preprocessing()
    found: list[Latency] = []
    say = report or (lambda text: None)
    prepared = {}
    for name in runtimes:
        say(f'preparing {name}')
        prepared[name] = RUNTIMES[name](bundle)
    for number in threads:
        with _threads(number):
            made = {name: make(number) for name, make in prepared.items()}
            for batch_size in batch_sizes:
                say(f'timing batch size {batch_size}, {number} thread(s): {num_warm_up} + {num_rounds} rounds')
                batch = [preprocess(pictures) for _ in range(batch_size)]
                candidates = {name: _call(runtime, batch) for name, runtime in made.items()}
                candidates['preprocessing'] = partial(_prepare, preprocess, pictures, batch_size)
                times = _rounds(candidates, num_rounds, num_warm_up, CLOCKS[clock])
                found += _summarise(times, batch_size, number, reference=runtimes[0])
    return found


def _prepare(preprocess: Preprocessing, pictures: Mapping[str, np.ndarray], num: int) -> None:
    """Prepare a batch, one sample after the other."""
    for _ in range(num):
        preprocess(pictures)


def _call(runtime: Runtime, batch: list[Any]) -> Callable[[], object]:
    """Bind a batch to a runtime."""
    return lambda: runtime.score(batch)


def _rounds(
    candidates: Mapping[str, Callable[[], object]], rounds: int, warm_up: int, now: Callable[[], float]
) -> dict[str, np.ndarray]:
    """Time all candidates in every round, each round starting with another one; seconds by name."""
    names = list(candidates)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warm_up, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            start = now()
            candidates[name]()
            spent = now() - start
            if number >= 0:
                times[name].append(spent)
    return {name: np.array(values) for name, values in times.items()}


def _summarise(
    times: Mapping[str, np.ndarray], batch_size: int, threads: int, *, reference: str
) -> Iterator[Latency]:
    """Turn seconds into times per sample."""
    for name in sorted(times, key=lambda name: name != 'preprocessing'):
        per_sample = 1000 * times[name] / batch_size
        median, p99 = (float(np.quantile(per_sample, part)) for part in (0.5, 0.99))
        ratio = float(np.median(times[name] / times[reference]))
        yield Latency(name, batch_size, threads, median, p99, ratio, len(per_sample))


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Let torch and OpenCV use a number of threads."""
    import cv2

    before, before_cv = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(number)
    cv2.setNumThreads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(before_cv)


def latency_table(found: Sequence[Latency]) -> str:
    """Return the times as a table for a terminal.

    Args:
        found: What `measure_latency` returned.
    """
    header = ('what', 'batch', 'threads', 'median ms', 'p99 ms', 'ratio')
    rows: list[Row] = [
        (
            one.name,
            str(one.batch_size),
            str(one.threads),
            f'{one.median_ms:.2f}',
            f'{one.p99_ms:.2f}',
            '' if one.name == 'preprocessing' else f'{one.ratio:.2f}',
        )
        for one in found
    ]
    return text_table(header, rows)


def instruction_sets(cpuinfo: Path = Path('/proc/cpuinfo')) -> str:
    """Return model and instructions of the processor, as far as the system tells.

    Args:
        cpuinfo: What Linux says of the processor.
    """
    try:
        lines = dict(line.split(':', 1) for line in cpuinfo.read_text().splitlines() if ':' in line)
    except OSError:
        return 'unknown processor'
    values = {key.strip(): value.strip() for key, value in lines.items()}
    flags = (values.get('flags') or values.get('Features') or '').split()
    known = [name for name in _INSTRUCTIONS if name in flags]
    return f'{values.get("model name", "unknown processor")}: {", ".join(known) or "none of the known ones"}'
