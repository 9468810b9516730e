"""Bundles on a model hub, with a folder in its place: no network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmfas.cli.bundle import main
from mmfas.deploy.bundle import Bundle, BundleError
from mmfas.deploy.hub import HUB_FILE, open_bundle, push_bundle

hub = pytest.importorskip('huggingface_hub')
pytestmark = pytest.mark.engine


class FolderApi:
    """The two calls of `HfApi` that a push needs, on a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create_repo(self, repo: str, *, exist_ok: bool) -> None:
        (self.root / repo).mkdir(parents=True, exist_ok=exist_ok)

    def upload_folder(self, *, repo_id: str, folder_path: str, revision: str | None, commit_message: str) -> str:
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)
        return f'{repo_id}: {commit_message}'


def test_what_is_pushed_can_be_opened(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repo: str, name: str, *, revision: str | None, **options: Any) -> str:
        assert revision == 'v1' and options == dict(cache_dir='cache')
        return str(tmp_path / repo / name)

    monkeypatch.setattr(hub, 'hf_hub_download', download)
    made = push_bundle(bundle, 'hf://lab/face', api=FolderApi(tmp_path))
    assert made == f'lab/face: Bundle {bundle.sha256[:8]}'
    assert sorted(path.name for path in (tmp_path / 'lab/face').iterdir()) == ['README.md', HUB_FILE]
    page = (tmp_path / 'lab/face/README.md').read_text()
    head = yaml.safe_load(page.split('---')[1])
    assert (head['library_name'], head['license'], head['license_name']) == ('mmfas', 'other', 'CC0-1.0')
    assert page.startswith('---\n') and bundle.sha256 in page
    assert open_bundle('hf://lab/face@v1', cache_dir='cache').sha256 == bundle.sha256


def test_errors_of_the_hub_are_one_sentence(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: Any, **options: Any) -> str:
        raise ConnectionError('no route to host\nmany more lines')

    monkeypatch.setattr(hub, 'hf_hub_download', fail)
    with pytest.raises(
        BundleError, match=r"'hf://lab/face' cannot be fetched: ConnectionError: no route to host; check"
    ):
        open_bundle('hf://lab/face')
    for address in ('hf://lab', 'hf://lab/face/more', 'hf://../x y'):
        with pytest.raises(BundleError, match='an address of the hub is hf://ORG/NAME'):
            open_bundle(address)

    assert main(['c.py', 'e.pth', '--out', 'b.pth', '--push', 'lab/face']) == 1  # before c.py is read
    assert "hf://ORG/NAME or hf://ORG/NAME@REVISION, got 'lab/face'" in capsys.readouterr().err

    class Broken:
        create_repo = staticmethod(fail)

    with pytest.raises(BundleError, match='cannot be pushed'):
        push_bundle(bundle, 'hf://lab/face', api=Broken())
