"""MMDA on two processes: references come from the batch of each process, gradients are the mean of both."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch
from warm_python import warm_python

import mmfas

pytestmark = pytest.mark.engine

# One program that forks twice: pytest's own process is never forked.
STEP = """
import multiprocessing, sys
import torch
import torch.distributed as dist
from mmfas.models import FASDistributedDataParallel, MD2ANeck
from test_models.helpers import build, images, samples
from test_models.test_mmda import HEAD, NECK

folder = sys.argv[1]
torch.set_num_threads(1)

def step(rank, world):
    torch.manual_seed(0)
    model, whole, labelled = build(neck=NECK, head=HEAD).double().train(), images(8), samples(8)
    if world > 1:
        dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=world)
        model = FASDistributedDataParallel(model)
    # both processes have the domains C and W twice: every sample has one partner of its own process
    mine = slice(4 * rank, 4 * rank + 4)
    inputs = {m: image[mine].double() for m, image in whole.items()}
    sum(model(inputs, labelled[mine], mode='loss').values()).backward()
    grads = {name.removeprefix('module.'): p.grad for name, p in model.named_parameters()}
    torch.save(grads, f'{folder}/{world}_{rank}.pth')
    if world > 1:
        dist.destroy_process_group()

for rank in range(2):
    step(rank, 1)
workers = [multiprocessing.get_context('fork').Process(target=step, args=(rank, 2)) for rank in range(2)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join(60)
sys.exit([worker.exitcode for worker in workers] != [0, 0])
"""


@pytest.mark.slow
def test_references_stay_in_their_process(tmp_path: Path) -> None:
    paths = [
        str(Path(mmfas.__file__).parents[1]),
        str(Path(__file__).parents[1]),
        os.environ.get('PYTHONPATH', ''),
    ]
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(paths)}
    command = [warm_python(), '-c', STEP, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    alone, together = ([torch.load(tmp_path / f'{world}_{rank}.pth') for rank in range(2)] for world in (1, 2))
    assert alone[0].keys() == together[0].keys() and len(alone[0]) > 30
    for name, grad in together[0].items():
        torch.testing.assert_close(grad, together[1][name], rtol=0, atol=0)
        torch.testing.assert_close(grad, (alone[0][name] + alone[1][name]) / 2, msg=name)
    name = 'neck.attention.reference_query_key.weight'
    assert not torch.allclose(alone[0][name], alone[1][name]), 'the halves are different batches'
