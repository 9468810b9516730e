"""中文文档的 Sphinx 设置: `make -C docs zh_CN`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shared_conf import connect, settings  # noqa: E402

globals().update(settings('zh_CN'))


def setup(app):
    """Connect what both languages share."""
    connect(app)
