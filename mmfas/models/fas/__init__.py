"""The model that joins trunk, neck and head."""

from mmfas.models.fas.distributed import FASDistributedDataParallel
from mmfas.models.fas.multi_modal_fas import MultiModalFAS
from mmfas.models.fas.test_time import AverageScoreTTA
from mmfas.models.fas.train_step import fas_train_step
from mmfas.models.fas.watch import Watch

__all__ = ['AverageScoreTTA', 'FASDistributedDataParallel', 'MultiModalFAS', 'Watch', 'fas_train_step']
