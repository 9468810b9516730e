"""From pictures to verdicts: the inferencer, with the conventions of OpenMMLab."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.infer import BaseInferencer

from mmfas.datasets.transforms.loading import LoadedFile
from mmfas.deploy.bundle import Bundle
from mmfas.deploy.crop_record import face_front_of
from mmfas.deploy.face_front import FaceFront, FrontCrop
from mmfas.deploy.golden_sample import check_golden_sample
from mmfas.deploy.inputs import Sample, read_inputs
from mmfas.deploy.opening import open_runtime
from mmfas.deploy.quality import judge_quality
from mmfas.deploy.verdict import Verdict, not_judged, verdict_of
from mmfas.utils.errors import InputError
from mmfas.utils.files import write_atomically

__all__ = ['FASInferencer']


class FASInferencer(BaseInferencer):
    """Judges pictures with a bundle, and with nothing but a bundle: there are no random weights and no thresholds
    from elsewhere.

    Scores are those of `mmfas test` for the same files, exactly at the same batch size.

    Example::

        for verdict in FASInferencer('model.mmfas.pth')('folder of pictures')['predictions']:
            print(verdict['sample_id'], verdict['decision'], verdict['score'])

    Args:
        bundle: A bundle (`Bundle`), the path of one, `hf://ORG/NAME`, or the path of an ONNX file that
            `mmfas export` made.
        device: Such as `'cpu'` or `'cuda:0'`; the first accelerator, or the CPU, if None, and for an ONNX file the
            CPU.
        self_test: Check first that this machine gives the golden sample of the bundle the scores it must have.
        quality_gate: Answer `not judged` for pictures that show nothing (constant, black, saturated, the same
            picture as two modalities). Without it they get a score like any other.
        face_front: Finds and cuts out the face in frames; made from the bundle's `crop` if None.
        show_progress: Show a progress bar.

    Raises:
        FileNotFoundError: If there is no such file.
        BundleError: If the bundle is refused or this machine fails the self-test.
    """

    preprocess_kwargs: set[str] = set()
    forward_kwargs: set[str] = set()
    visualize_kwargs = {'show', 'out_dir'}
    postprocess_kwargs: set[str] = set()

    def __init__(
        self,
        bundle: Bundle | str | os.PathLike[str],
        device: str | None = None,
        *,
        self_test: bool = True,
        quality_gate: bool = True,
        face_front: FaceFront | None = None,
        show_progress: bool = False,
    ) -> None:
        # mmengine's own start reads a config and a checkpoint; a bundle is both, and verified.
        self.bundle, self.runtime = open_runtime(bundle, device)
        self.device, self.scope, self.show_progress = self.runtime.device, 'mmfas', show_progress
        self.preprocessing = self.bundle.preprocessing()
        self.quality_gate = quality_gate
        self.face_front = face_front or face_front_of(self.bundle)
        self.self_test_difference = check_golden_sample(self.bundle, self.runtime) if self_test else None

    def __call__(
        self,
        inputs: Any,
        return_datasamples: bool = False,
        batch_size: int = 1,
        *,
        show: bool = False,
        out_dir: str | os.PathLike[str] | None = None,
    ) -> dict[str, Any]:
        """Judge pictures.

        Args:
            inputs: See `mmfas.deploy.inputs.read_inputs`: a dictionary of pictures by modality, a path of a
                folder, CSV file or picture, an array, a PIL image, or a list of such.
            return_datasamples: Return `Verdict` records instead of dictionaries.
            batch_size: Samples that are scored at once.
            show: Show every sample with its verdict in a window.
            out_dir: Folder for `verdicts.csv` and a picture of every sample with its verdict.

        Returns:
            `predictions`: one dictionary per sample, in order, see `Verdict`; `visualization`: pictures
            (H, W, 3), uint8, RGB, if `show` or `out_dir` is given, else empty.

        Raises:
            FileNotFoundError: If a named file does not exist.
            ValueError: If there is nothing to judge, or an input is of an unknown kind.
        """
        samples = read_inputs(inputs)
        verdicts = list(self.stream(samples, batch_size=batch_size))
        pictures = self.visualize(samples, verdicts, show=show, out_dir=out_dir)
        return self.postprocess(verdicts, pictures, return_datasamples)

    def stream(self, samples: Sequence[Sample], *, batch_size: int = 1) -> Iterator[Verdict]:
        """Judge samples one after the other, without keeping them.

        Args:
            samples: What `read_inputs` returns.
            batch_size: Samples that are scored at once.

        Yields:
            A verdict for every sample, in order.
        """
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise InputError(f'batch_size must be a whole number, at least 1, got {batch_size!r}')
        waiting = self._progress(samples)
        while batch := list(islice(waiting, min(batch_size, len(samples)))):
            yield from self._judge(batch)

    def judge_pictures(self, pictures: Mapping[str, Any], sample_id: str = 'input') -> Verdict:
        """Judge one sample.

        Args:
            pictures: Modality -> path, array, PIL image or bytes of a file.
            sample_id: Its name in messages.
        """
        return self._judge([Sample(sample_id, pictures)])[0]

    def _judge(self, batch: Sequence[Sample]) -> list[Verdict]:
        """Judge one batch; what cannot be scored does not keep the rest from it."""
        verdicts: dict[int, Verdict] = {}
        ready: list[dict[str, Any]] = []
        places, prepared_ms = [], []
        for number, sample in enumerate(batch):
            start = time.perf_counter()
            found = self._prepare(sample)
            spent = 1000 * (time.perf_counter() - start)
            if isinstance(found, Verdict):
                verdicts[number] = replace(found, elapsed_ms=spent)
                continue
            ready.append(found)
            places.append(number)
            prepared_ms.append(spent)
        if ready:
            start = time.perf_counter()
            scores = self.runtime.score(ready)
            part = 1000 * (time.perf_counter() - start) / len(ready)
            for number, score, spent in zip(places, scores.tolist(), prepared_ms, strict=True):
                sample = batch[number]
                verdicts[number] = verdict_of(
                    sample.sample_id,
                    score,
                    self.bundle.decision,
                    modalities=self._used(sample),
                    elapsed_ms=spent + part,
                )
        return [verdicts[number] for number in range(len(batch))]

    def _prepare(self, sample: Sample) -> dict[str, Any] | Verdict:
        """Load a sample and look at it; returns why it cannot be judged, if so."""
        rule, name = self.bundle.decision, sample.sample_id
        missing = self.bundle.missing(sample.pictures)
        if missing:
            reason = f'{" and ".join(missing)} must be there: the bundle cannot do without'
            return not_judged(name, rule, code='missing modality', reason=reason)
        files: list[LoadedFile] = []
        try:
            pictures = sample.pictures
            if self.face_front is not None:
                front = self._crop(sample, self.face_front)
                if front.reason:
                    return not_judged(name, rule, code=front.reason, reason=front.message)
                pictures = front.pictures
            packed = self.preprocessing(pictures, name, watch=files.append)
        except (ValueError, OSError) as error:
            return not_judged(name, rule, code='unreadable', reason=str(error))
        refusals = judge_quality(files, self.preprocessing.loader) if self.quality_gate else []
        if refusals:
            reason = '; '.join(refusal.message for refusal in refusals)
            return not_judged(name, rule, code=refusals[0].code, reason=reason)
        return packed

    def _crop(self, sample: Sample, face_front: FaceFront) -> FrontCrop:
        """Cut the face out of the pictures of a sample that the score is of."""
        if 'npz' in sample.pictures:
            raise InputError('an .npz of PADISI holds crops already, but the bundle cuts faces out of frames')
        used = {m: sample.pictures[m] for m in self._used(sample)}
        return face_front(used, max_mb=self.preprocessing.loader.max_sample_mb)

    def _used(self, sample: Sample) -> tuple[str, ...]:
        """Name the pictures of a sample that the score is of."""
        return tuple(m for m in self.bundle.used if m in sample.pictures or 'npz' in sample.pictures)

    def _progress(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """Walk through samples, with a bar if wished."""
        if not self.show_progress:
            return iter(samples)
        from mmengine.utils import track_iter_progress

        return track_iter_progress(list(samples))

    def visualize(
        self,
        inputs: Sequence[Sample],
        preds: Sequence[Verdict],
        show: bool = False,
        out_dir: str | os.PathLike[str] | None = None,
    ) -> list[np.ndarray]:
        """Draw every sample with its verdict.

        Args:
            inputs: The samples.
            preds: Their verdicts.
            show: Show each in a window until a key is pressed.
            out_dir: Folder for `verdicts.csv` and the pictures.

        Returns:
            Pictures (H, W, 3), uint8, RGB; none if neither is asked for.
        """
        if not show and out_dir is None:
            return []
        from mmfas.deploy.verdict_files import csv_of, show_picture, write_picture
        from mmfas.visualization.verdict_pictures import draw_verdict

        drawn = [
            draw_verdict(self._pictures(sample), verdict.to_dict(), limits=self.bundle.decision.limits)
            for sample, verdict in zip(inputs, preds, strict=True)
        ]
        if out_dir is not None:
            for number, (picture, verdict) in enumerate(zip(drawn, preds, strict=True)):
                write_picture(picture, Path(out_dir), number, verdict.sample_id)
            write_atomically(Path(out_dir, 'verdicts.csv'), csv_of(preds))
        if show:
            for picture, verdict in zip(drawn, preds, strict=True):
                show_picture(picture, verdict.sample_id)
        return drawn

    def _pictures(self, sample: Sample) -> dict[str, np.ndarray]:
        """Load the pictures of a sample to look at; none where they cannot be read."""
        files: list[LoadedFile] = []
        with suppress(ValueError, OSError):
            self.preprocessing(sample.pictures, sample.sample_id, watch=files.append)
        return {file.modality: file.image for file in files}

    def postprocess(
        self, preds: Sequence[Verdict], visualization: list[np.ndarray], return_datasample: bool = False
    ) -> dict[str, Any]:
        """Pack verdicts and pictures.

        Args:
            preds: The verdicts.
            visualization: Pictures of `visualize`.
            return_datasample: Keep the verdicts as records.

        Returns:
            `predictions` and `visualization`.
        """
        predictions: list[Any] = list(preds) if return_datasample else [verdict.to_dict() for verdict in preds]
        return dict(predictions=predictions, visualization=visualization)

    def _init_pipeline(self, cfg: Any) -> Any:
        """Return the pipeline; part of mmengine's interface, which the start of this class does not use."""
        return self.preprocessing
