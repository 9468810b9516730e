"""mmfas: a modular toolkit for multi-modal (RGB + depth + infrared) face anti-spoofing.

Importing the package is cheap: parts are imported when a registry is first asked for one.
"""

from mmfas.utils.compat import prepare_engine
from mmfas.version import __version__

__all__ = ['__version__']

prepare_engine()
