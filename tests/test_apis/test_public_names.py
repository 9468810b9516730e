"""`mmfas.apis` is the public face: functions and classes, imported when they are first used."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from mmfas import apis


@pytest.mark.parametrize('name', apis.__all__)
def test_every_name_is_a_function_or_class_whatever_was_imported_before(name: str) -> None:
    """A module of the package with the name of a function would take its place once it is imported."""
    import mmfas.apis.testing
    import mmfas.apis.training  # noqa: F401

    assert inspect.isclass(getattr(apis, name)) if name[0].isupper() else inspect.isfunction(getattr(apis, name))
    assert name in dir(apis)


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, mmfas.apis; assert 'torch' not in sys.modules and 'mmfas.apis.training' not in sys.modules"
    subprocess.run([sys.executable, '-c', code], check=True)


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = apis.no_such_name
