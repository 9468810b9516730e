"""中文文档的 Sphinx 设置: `sphinx-build -W -b html docs/zh_CN docs/_build/zh_CN`."""

import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))

from mmfas import __version__  # noqa: E402

project = 'mmfas'
author = 'The mmfas contributors'
copyright = '2026, The mmfas contributors'
version = release = __version__
language = 'zh_CN'

extensions = ['myst_parser']
exclude_patterns = ['_build']
myst_enable_extensions = ['attrs_block', 'colon_fence']
myst_heading_anchors = 3

html_theme = 'furo'
html_title = f'mmfas {version}'
html_static_path = ['../en/_static']
html_css_files = ['mmfas.css']
html_show_sphinx = False
