"""Sphinx settings of the English documentation: `make -C docs en`."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shared_conf import REPO, connect, settings  # noqa: E402

#: Protocols of the report of the benchmark.
REPORTED_PROTOCOLS = (1, '2s', 3)
globals().update(settings('en'))

# Pages of modules that have been moved since the last build would fail this one.
for page in Path(__file__).with_name('api').glob('generated/*.rst'):
    module = REPO / page.stem.replace('.', '/')
    if not (module.is_dir() or module.with_suffix('.py').is_file()):
        page.unlink()

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.mathjax',
    'sphinx.ext.napoleon',
]
templates_path = ['_templates']

# Docstrings put code between single backticks.
default_role = 'code'
autosummary_generate = True
add_module_names = False
autosummary_imported_members = False
# Re-exported names are described once, on the page of the module that defines them.
autodoc_default_options = {'members': True, 'ignore-module-all': True}
autodoc_member_order = 'bysource'
# Of the extras `serve` and `demo`; their pages need none of them.
autodoc_mock_imports = ['fastapi', 'gradio', 'prometheus_client', 'python_multipart', 'starlette', 'uvicorn']
autodoc_typehints = 'signature'
autodoc_typehints_format = 'short'
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [('Differs from', 'notes_style')]


def escape_plain_text(app, what, name, obj, options, lines):
    """Keep `|x|`, `*x`, `name_` and `TPR@FPR` of plain docstring text from being read as reStructuredText."""
    if what == 'property':  # napoleon would take a first line 'this: that' for 'type: text'
        lines[:1] = [line.replace(': ', ' \N{EN DASH} ') for line in lines[:1]]
    is_code = False  # code between backticks may run over the end of a line
    for number, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith(('>>>', '...')):
            is_code = False
            continue
        parts = line.split('`')
        for index, part in enumerate(parts):
            if (index % 2 == 1) is is_code:
                parts[index] = re.sub(r'[|@]|\*(?=\S)|(?<=\w)_(?!\w)', r'\\\g<0>', part)
        is_code ^= len(parts) % 2 == 0
        lines[number] = '`'.join(parts)


def write_benchmark_report(app, exception):
    """Put the benchmark's report beside the pages, as one page and as JSON: both are made, not versioned."""
    if exception is not None or app.builder.format != 'html':
        return
    from mmfas.benchmark.records import read_records
    from mmfas.benchmark.report import write_report
    from mmfas.benchmark.tables import choose

    packs = REPO / 'benchmarks'
    chosen = choose(read_records(packs))
    write_report(chosen, REPORTED_PROTOCOLS, packs, Path(app.outdir, 'reports', 'synthfas_small'))


def setup(app):
    """Connect the first handler ahead of napoleon, whose own markup must not be escaped."""
    app.connect('autodoc-process-docstring', escape_plain_text, priority=100)
    app.connect('build-finished', write_benchmark_report)
    connect(app)
