"""From the original files of CASIA-CeFA, PADISI-USC, CASIA-SURF and WMCA to the layout of the published lists.

Only what the lists name is converted. Nothing in here imports torch or mmengine when a worker process starts.
`docs/en/datasets.md` says where to ask for the sets, and what is known and what assumed of their layouts.
"""

from .casia_surf import CasiaSurfConverter
from .cefa import CefaConverter
from .convert import convert_dataset
from .needed import Needed, Recording, Target, read_needed
from .padisi import PadisiConverter
from .report import KINDS, ConversionReport, Oddity
from .unit import Converted, Converter, Plan, Unit
from .wmca import WmcaConverter

__all__ = [
    'KINDS',
    'CasiaSurfConverter',
    'CefaConverter',
    'ConversionReport',
    'Converted',
    'Converter',
    'Needed',
    'Oddity',
    'PadisiConverter',
    'Plan',
    'Recording',
    'Target',
    'Unit',
    'WmcaConverter',
    'convert_dataset',
    'read_needed',
]
