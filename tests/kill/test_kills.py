"""Commands that are killed or stopped at any moment and run again end as if nothing had happened.

`MMFAS_KILLS=100 pytest tests/kill -m fuzz` kills 100 times; `MMFAS_KILL_SEED` chooses other moments.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

sys.path += [str(Path(__file__).parents[1])]
from commands import COMMANDS, Command, nothing_left_over
from killing import Death, End, remaining, run_until

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.engine,
    pytest.mark.skipif(sys.platform != 'linux', reason='looks for left processes in /proc'),
]
#: Kills in all, and which part of them each command gets: those that write more, or start processes, get more.
KILLS = int(os.environ.get('MMFAS_KILLS', '12'))
SEED = int(os.environ.get('MMFAS_KILL_SEED', '0'))
PARTS = {'train': 4, 'train_with_workers': 2, 'render': 2, 'convert': 2, 'crop': 1, 'bundle': 1, 'benchmark': 1}


@dataclass(frozen=True)
class Case:
    """A command with its input, and the result of an undisturbed run of it."""

    command: Command
    folder: Path
    whole: End

    @property
    def broken(self) -> Path:
        """Where the runs write that are ended."""
        return self.folder / 'broken'

    def check_and_clear(self) -> None:
        """Compare the result with that of the undisturbed run, and remove it."""
        nothing_left_over(self.broken)
        self.command.same(self.folder / 'whole', self.broken)
        self.clear()

    def clear(self) -> None:
        """Remove the result, which a test that failed has left, too."""
        shutil.rmtree(self.broken, ignore_errors=True)


@pytest.fixture(scope='module', params=COMMANDS)
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of a command."""
    return str(request.param)


@pytest.fixture(scope='module')
def case(name: str, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Prepare the input of a command and run it undisturbed; slow, so that both tests use it."""
    folder, command = tmp_path_factory.mktemp(name), COMMANDS[name]
    (folder / 'input').mkdir()
    command.prepare(folder / 'input')
    whole = run_until(command.run, folder / 'whole', Death())
    assert whole.code == 0, whole.log[-3000:]
    nothing_left_over(folder / 'whole')
    return Case(command, folder, whole)


def test_a_killed_command_that_is_run_again_gives_the_same(name: str, case: Case) -> None:
    rng, num_events = np.random.default_rng([SEED, *name.encode()]), case.whole.events
    case.clear()
    left = max(1, round(KILLS * PARTS[name] / sum(PARTS.values())))
    # Every event once, in any order, then some again; now and then a moment between them.
    events = np.concatenate([rng.permutation(num_events) + 1 for _ in range(1 + left // num_events)]).tolist()
    while left:
        death = Death(at_event=events.pop())
        while (end := run_until(case.command.run, case.broken, death)).code:
            assert end.code == -signal.SIGKILL, end.log[-3000:]
            left -= 1
            death = Death()
            if left and rng.random() < 0.5:
                death = Death(after_s=rng.uniform(0.05, case.whole.seconds))
            elif left and events:
                death = Death(at_event=events.pop())
        case.check_and_clear()
    assert not remaining(10.0)


def test_sigterm_ends_cleanly_at_any_event(name: str, case: Case) -> None:
    events = np.random.default_rng([SEED, signal.SIGTERM, *name.encode()]).permutation(case.whole.events)[:2] + 1
    case.clear()
    for event, to_all in zip(events.tolist(), (False, True)):
        death = Death(at_event=event, number=signal.SIGTERM, to_all=to_all)
        end = run_until(case.command.run, case.broken, death)
        assert end.code == 128 + signal.SIGTERM, end.log[-3000:]
        assert 'Traceback' not in end.log, end.log[-3000:]  # torch's, of loader workers that got the signal, too
        assert not remaining(4.0)
        nothing_left_over(case.broken)
        again = run_until(case.command.run, case.broken, Death())
        assert again.code == 0, again.log[-3000:]
        case.check_and_clear()
