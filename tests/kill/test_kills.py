"""Commands that are killed at any moment and run again end as if nothing had happened.

`MMFAS_KILLS=100 pytest tests/kill -m fuzz` kills 100 times; `MMFAS_KILL_SEED` chooses other moments.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path += [str(Path(__file__).parents[1])]
from commands import COMMANDS, nothing_left_over
from killing import Death, remaining, run_until

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.engine,
    pytest.mark.skipif(sys.platform != 'linux', reason='looks for left processes in /proc'),
]
#: Kills in all, and which part of them each command gets: those that write more, or start processes, get more.
KILLS = int(os.environ.get('MMFAS_KILLS', '12'))
SEED = int(os.environ.get('MMFAS_KILL_SEED', '0'))
PARTS = {'train': 4, 'train_with_workers': 2, 'render': 2, 'convert': 2, 'crop': 1, 'benchmark': 1}


@pytest.mark.parametrize('name', COMMANDS)
def test_a_killed_command_that_is_run_again_gives_the_same(name: str, tmp_path: Path) -> None:
    command, rng = COMMANDS[name], np.random.default_rng([SEED, *name.encode()])
    (tmp_path / 'input').mkdir()
    command.prepare(tmp_path / 'input')
    whole = run_until(command.run, tmp_path / 'whole', Death())
    assert whole.code == 0, whole.log[-3000:]
    nothing_left_over(tmp_path / 'whole')
    left = max(1, round(KILLS * PARTS[name] / sum(PARTS.values())))
    # Every event once, in any order, then some again; now and then a moment between them.
    events = np.concatenate([rng.permutation(whole.events) + 1 for _ in range(1 + left // whole.events)]).tolist()
    folder = tmp_path / 'broken'
    while left:
        death = Death(at_event=events.pop())
        while (end := run_until(command.run, folder, death)).code:
            assert end.code == -signal.SIGKILL, end.log[-3000:]
            left -= 1
            death = Death()
            if left and rng.random() < 0.5:
                death = Death(after_s=rng.uniform(0.05, whole.seconds))
            elif left and events:
                death = Death(at_event=events.pop())
        nothing_left_over(folder)
        command.same(tmp_path / 'whole', folder)
        shutil.rmtree(folder)
    assert not remaining(10.0)


@pytest.mark.parametrize('name', ['train', 'train_with_workers'])
def test_sigterm_ends_cleanly_at_any_event(name: str, tmp_path: Path) -> None:
    command, rng = COMMANDS[name], np.random.default_rng([SEED, 143])
    whole = run_until(command.run, tmp_path / 'whole', Death())
    folder = tmp_path / 'broken'
    for event, to_all in zip((rng.permutation(whole.events)[:2] + 1).tolist(), (False, True)):
        end = run_until(command.run, folder, Death(at_event=event, number=signal.SIGTERM, to_all=to_all))
        assert end.code == 128 + signal.SIGTERM, end.log[-3000:]
        assert not remaining(4.0)
        nothing_left_over(folder)
        again = run_until(command.run, folder, Death())
        assert again.code == 0, again.log[-3000:]
        command.same(tmp_path / 'whole', folder)
        shutil.rmtree(folder)
