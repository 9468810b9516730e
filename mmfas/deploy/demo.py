"""A page that judges pictures and shows why, made with Gradio; what it shows comes from `demo_views`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from fastapi import FastAPI

from mmfas.deploy.bundle import Bundle
from mmfas.deploy.demo_samples import SAMPLES, size_for, write_samples
from mmfas.deploy.demo_views import (
    CSS,
    UNCERTAINTY,
    heading,
    parts_table,
    section,
    uncertainty_picture,
    verdict_card,
)
from mmfas.deploy.explaining import explain
from mmfas.deploy.inferencer import FASInferencer

__all__ = ['make_demo']

#: An upload may be as large as a request of `mmfas serve`.
_MAX_UPLOAD = '16mb'
#: Uploads are looked at every so many seconds, and removed at this age.
_CLEAN_UP_S = (600, 3600)


class _Page:
    """What the page does with pictures."""

    def __init__(self, inferencer: FASInferencer, folder: Path) -> None:
        bundle = inferencer.bundle
        self.inferencer, self.rule = inferencer, bundle.decision
        self.names = bundle.used
        self.samples = write_samples(folder, size=size_for(bundle))

    def show(self, *files: str | None) -> tuple[str, str, np.ndarray | None]:
        """Judge what is in the slots: card, table and map of uncertainty, if there is one."""
        pictures = {m: Path(file).read_bytes() for m, file in zip(self.names, files, strict=True) if file}
        found = explain(self.inferencer, pictures)
        maps = None if found.maps is None else uncertainty_picture(found.maps)
        return verdict_card(found.verdict, self.rule), parts_table(found, self.rule), maps

    def show_sample(self, label: str) -> tuple[Any, ...]:
        """Put a sample into the slots and judge it."""
        files = [self.samples[label][m] for m in self.names]
        return (*files, *self.show(*files))

    def choose(self, event: gr.SelectData) -> tuple[Any, ...]:
        """Show the sample that was clicked."""
        return self.show_sample(list(SAMPLES)[event.index])


def _slot(modality: str, bundle: Bundle, value: str) -> gr.Image:
    """Make the slot of a picture."""
    return gr.Image(
        value,
        label=f'{modality} (optional)' if modality in bundle.optional else modality,
        type='filepath',
        image_mode=None,  # files reach the loader as they are, 16 bits included
        sources=['upload', 'webcam', 'clipboard'] if modality == 'rgb' else ['upload', 'clipboard'],
        webcam_options=gr.WebcamOptions(mirror=False),  # a mirrored face fits no depth or infrared picture
        height=230,
        buttons=[],
        elem_classes='fas-slot',
        elem_id=f'slot-{modality}',
    )


def _layout(page: _Page, bundle: Bundle) -> gr.Blocks:
    """Lay the page out; it opens with the first sample judged."""
    first = page.show_sample(next(iter(SAMPLES)))
    card, table, maps = first[len(page.names) :]
    with gr.Blocks(title=f'mmfas: {bundle.name}', analytics_enabled=False, delete_cache=_CLEAN_UP_S) as blocks:
        gr.HTML(heading(bundle))
        with gr.Row(equal_height=False):
            with gr.Column(scale=6):
                with gr.Row():
                    slots = [_slot(m, bundle, value) for m, value in zip(page.names, first)]
                button = gr.Button('Judge', variant='primary', elem_id='judge')
            with gr.Column(scale=5):
                shown: list[Any] = [gr.HTML(card, elem_id='verdict')]
        gr.HTML(section('Samples', 'Click one: it is put into the slots and judged.'))
        gallery = gr.Gallery(
            [(page.samples[label]['rgb'], text) for label, text in SAMPLES.items()],
            show_label=False,
            columns=len(SAMPLES),
            allow_preview=False,
            buttons=[],
            interactive=False,
            elem_id='samples',
        )
        with gr.Row(equal_height=False):
            with gr.Column(min_width=420):
                shown.append(gr.HTML(table, elem_id='parts'))
            with gr.Column(min_width=420, visible=maps is not None):
                gr.HTML(section('Where the model is unsure', UNCERTAINTY))
                shown.append(gr.Image(maps, show_label=False, buttons=[], elem_id='uncertainty'))
        button.click(page.show, slots, shown, api_name='judge')
        # a click while another sample is being judged counts
        gallery.select(page.choose, None, [*slots, *shown], trigger_mode='always_last', api_visibility='private')
    return blocks


def make_demo(inferencer: FASInferencer, folder: Path) -> FastAPI:
    """Return the demo as an ASGI app.

    Nothing is sent to anybody: no telemetry, no link for others, no fonts from elsewhere.

    Args:
        inferencer: What judges; nothing else may use it while the app runs.
        folder: Holds the samples while the app runs.
    """
    page = _Page(inferencer, folder)
    return gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        _layout(page, inferencer.bundle),
        path='/',
        footer_links=[],
        run_history=False,
        allowed_paths=[str(folder)],
        show_error=False,
        max_file_size=_MAX_UPLOAD,
        ssr_mode=False,
        enable_monitoring=False,
        theme=gr.themes.Default(primary_hue='blue', neutral_hue='slate', font=['system-ui', 'sans-serif']),
        css=CSS,
    )
