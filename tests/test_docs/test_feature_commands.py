"""Commands of the page of features that take a config, checkpoint or bundle run as they stand, on tiny data."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from test_docs.test_features import ROWS
from tiny_bundles import tiny_config, trained

from mmfas.apis.scoring import build_loader, load_model, score_loader
from mmfas.cli.__main__ import main
from mmfas.deploy.bundle_file import write_bundle
from mmfas.deploy.bundle_making import make_bundle
from mmfas.synthfas import Setting, render_dataset

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures('small_and_quiet')]

#: Word of the page -> what it stands for here.
FILES = {
    'CONFIG': 'config.py',
    'CHECKPOINT': 'epoch_1.pth',
    'BUNDLE': 'model.mmfas.pth',
    'FOLDER': 'faces/WMCA-Image',
}
#: Others draw for seconds, or need more than this; the tests of their rooms run them.
QUICK = re.compile(
    r'mmfas (print_config|check|test|bundle|data verify|predict BUNDLE FOLDER|measure (flops|speed|batch))( |$)'
)
COMMANDS = list(dict.fromkeys(command for *_, command in ROWS if QUICK.match(command)))
LEAST_QUICK = 12


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the files that the page names: a tiny model of random weights, its scores, and its bundle."""
    folder = tmp_path_factory.mktemp('features')
    for domain, split in (('C', 'val'), ('W', 'test')):
        render_dataset(folder / 'faces', Setting('tiny'), domains=(domain,), splits=(split,), num_processes=1)
    cfg = tiny_config(folder / 'faces')
    cfg.dump(folder / FILES['CONFIG'])
    checkpoint, scores = trained(cfg, folder)
    write_bundle(make_bundle(cfg, checkpoint, dev_scores=scores), folder / FILES['BUNDLE'])
    scores.rename(folder / 'DEV.csv')
    table = score_loader(load_model(cfg, str(checkpoint)), build_loader(cfg.test_dataloader))
    assert table is not None
    table.to_csv(folder / 'TEST.csv')
    missed = 'sample_id,domain,subject,video,pai,label,score,reason\nx,W,,,live,1,,no face\n'
    (folder / 'FAILED.csv').write_text(missed, encoding='utf-8')
    return folder


@pytest.mark.parametrize('command', COMMANDS)
def test_a_command_with_a_model_runs_as_the_page_says(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(COMMANDS) >= LEAST_QUICK
    monkeypatch.chdir(folder)
    monkeypatch.setattr('mmfas.visualization.save_score_plots', lambda *_, **__: {})  # they take most of the time
    status = main([FILES.get(word, word) for word in shlex.split(command)[1:]])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    assert printed.out
