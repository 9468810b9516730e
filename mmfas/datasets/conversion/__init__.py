"""From the original files of CASIA-CeFA, PADISI-USC, CASIA-SURF and WMCA to the layout of the published lists.

Only what the lists name is converted. Nothing in here imports torch or mmengine when a worker process starts.
`docs/en/datasets.md` says where to ask for the sets, and what is known and what assumed of their layouts.
"""

from mmfas.datasets.conversion.casia_surf import CasiaSurfConverter
from mmfas.datasets.conversion.cefa import CefaConverter
from mmfas.datasets.conversion.convert import convert_dataset
from mmfas.datasets.conversion.needed import Needed, Recording, Target, read_needed
from mmfas.datasets.conversion.padisi import PadisiConverter
from mmfas.datasets.conversion.report import KINDS, ConversionReport, Oddity
from mmfas.datasets.conversion.unit import Converted, Converter, Plan, Unit
from mmfas.datasets.conversion.wmca import WmcaConverter

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
