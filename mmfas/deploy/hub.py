"""Bundles on a model hub: `hf://ORG/NAME` is a repository that holds one bundle and its card."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfas.deploy.bundle import Bundle, BundleError
from mmfas.deploy.bundle_file import read_bundle, write_bundle
from mmfas.deploy.card import markdown_card
from mmfas.utils.errors import MissingPackageError
from mmfas.utils.files import write_atomically

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ['HUB_FILE', 'check_address', 'open_bundle', 'push_bundle']

#: Name of the bundle in its repository: a format that holds no code.
HUB_FILE = 'model.mmfas.safetensors'
_ADDRESS = re.compile(r'hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?')


def _library() -> ModuleType:
    """Import the client of the hub."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingPackageError(
            'addresses that start with hf:// need the package huggingface_hub: pip install "mmfas[hub]"'
        ) from error
    return huggingface_hub


def _parse(address: str) -> tuple[str, str | None]:
    """Read the repository and the revision of an address."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise BundleError(f"an address of the hub is hf://ORG/NAME or hf://ORG/NAME@REVISION, got '{address}'")
    return match['repo'], match['revision']


def check_address(address: str) -> None:
    """Refuse what nothing can be pushed to, before work starts.

    Args:
        address: `hf://ORG/NAME`.

    Raises:
        BundleError: If it is not an address of the hub.
        ImportError: If the client of the hub is not installed.
    """
    _parse(address)
    _library()


def open_bundle(source: str | os.PathLike[str], **options: Any) -> Bundle:
    """Read a bundle from a file, or from a model hub.

    Args:
        source: Path of a bundle, or `hf://ORG/NAME`, with `@REVISION` for a branch, tag or commit.
        **options: Arguments of `huggingface_hub.hf_hub_download`, such as `endpoint`, `cache_dir` or
            `local_files_only`.

    Returns:
        The bundle, verified.

    Raises:
        FileNotFoundError: If there is no such file.
        BundleError: If it is refused, or cannot be fetched.
        ImportError: If the client of the hub is not installed.
    """
    if not str(source).startswith('hf://'):
        return read_bundle(source)
    repo, revision = _parse(str(source))
    library = _library()
    try:
        path = library.hf_hub_download(repo, HUB_FILE, revision=revision, **options)
    except Exception as error:  # the client raises its own errors and those of two network libraries
        raise BundleError(
            f"'{source}' cannot be fetched: {type(error).__name__}: {str(error).partition(chr(10))[0]}; check the "
            'address, the network and, for a private repository, `hf auth login`'
        ) from error
    return read_bundle(path)


def push_bundle(bundle: Bundle, address: str, *, api: Any = None) -> str:
    """Upload a bundle and its card to a model hub.

    Args:
        bundle: The bundle.
        address: `hf://ORG/NAME`; the repository is made if it is not there.
        api: Client with `create_repo` and `upload_folder`; `huggingface_hub.HfApi()` if None.

    Returns:
        Address of the commit.

    Raises:
        BundleError: If it cannot be uploaded.
        ImportError: If the client of the hub is not installed.
    """
    repo, revision = _parse(address)
    api = _library().HfApi() if api is None else api
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(bundle, Path(folder, HUB_FILE))
        write_atomically(Path(folder, 'README.md'), markdown_card(bundle))
        try:
            api.create_repo(repo, exist_ok=True)
            made = api.upload_folder(
                repo_id=repo, folder_path=folder, revision=revision, commit_message=f'Bundle {bundle.sha256[:8]}'
            )
        except Exception as error:  # the client raises its own errors and those of two network libraries
            raise BundleError(
                f"the bundle cannot be pushed to '{address}': {type(error).__name__}: "
                f'{str(error).partition(chr(10))[0]}; check the address and `hf auth login`'
            ) from error
    return str(made)
