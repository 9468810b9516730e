"""The scoring of the papers: HTER at the target's own EER threshold, in the epoch that is best on the target.

It looks at the test set twice, for the threshold and for the epoch, so it is an oracle. It is here because
published numbers are computed this way, and it has columns of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmfas.apis.scoring import build_loader, load_model, prepare_scoring, score_loader
from mmfas.benchmark.record import rounded
from mmfas.evaluation import ScoreTable, auc, eer
from mmfas.utils.checkpoint import load_into


def score_as_papers(
    cfg: Config, checkpoints: Sequence[Path], out_dir: Path, *, allow_duplicates: bool
) -> dict[str, Any]:
    """Score the target with the checkpoint of every epoch and take the best.

    The scores of an epoch are kept, so that a process that was killed continues with the next one.

    Args:
        cfg: Config whose `test_dataloader` is the target.
        checkpoints: One file per epoch, in their order.
        out_dir: Folder for the score files.
        allow_duplicates: Accept a sample id more than once.

    Returns:
        `epoch` (the best, counted from 1; the first of several), its `hter` and `auc`, and both of `every_epoch`.
    """
    prepare_scoring(cfg)
    model, loader = load_model(cfg, str(checkpoints[0])), build_loader(cfg.test_dataloader)
    every = []
    for number, checkpoint in enumerate(checkpoints, 1):
        file = out_dir / f'epoch_{number}.csv'
        if file.is_file():
            table = ScoreTable.from_csv(file, allow_duplicates=allow_duplicates)
        else:
            if number > 1:  # the first is in it already
                load_into(model, checkpoint)
            scored = score_loader(model, loader, allow_duplicates=allow_duplicates)
            assert scored is not None  # one process
            table = scored
            table.to_csv(file)
        every.append({'hter': eer(table.score, table.is_live).value, 'auc': auc(table.score, table.is_live)})
    # as a record keeps them: two epochs that it cannot tell apart are equal here, too
    best = min(range(len(every)), key=lambda index: rounded(every[index]['hter']))
    return {'epoch': best + 1, **every[best], 'every_epoch': every}
