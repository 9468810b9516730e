"""A plain `pytest` leaves records, fuzzing and tutorials out; who names them gets them."""

from __future__ import annotations

from pathlib import Path

import pytest
from optional_markers import OPTIONAL, is_left_out

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / 'tests' / 'test_docs' / 'test_studies.py'


@pytest.mark.parametrize('marker', sorted(OPTIONAL))
def test_optional_tests_are_left_out_unless_asked_for(marker: str) -> None:
    def left_out(*arguments: str, markers: tuple[str, ...] = (marker, 'slow'), expression: str = '') -> bool:
        return is_left_out(markers, FILE, arguments=arguments, expression=expression)

    assert left_out()
    assert left_out(str(ROOT / 'tests'), str(ROOT / 'projects')) and left_out(str(FILE.parent))
    assert left_out(str(FILE.with_name('test_faq.py')))
    assert not left_out(str(FILE.parent), markers=('slow', 'engine'))
    assert not left_out(str(FILE)) and not left_out(str(ROOT / 'tests'), f'{FILE}::test_name[a::b]')
    assert not left_out(expression=marker) and not left_out(expression=f'slow and not (gpu or {marker})')
    assert left_out(expression='not slow') and left_out(expression='engine')


def test_the_hook_is_that_of_all_tests(pytestconfig: pytest.Config) -> None:
    registered = {line.partition(':')[0] for line in pytestconfig.getini('markers')}
    assert registered >= OPTIONAL
    # at the root, so that it holds for `tests` and `projects`, together and alone
    plugin = pytestconfig.pluginmanager.get_plugin(str(ROOT / 'conftest.py'))
    assert hasattr(plugin, 'pytest_collection_modifyitems')
    assert not (ROOT / 'tests' / 'conftest.py').exists()
