"""The renderer can still be imported from where it was, with a warning."""

from __future__ import annotations

import pytest

from mmfas import synthfas
from mmfas.datasets import synthetic


def test_the_old_place_hands_out_what_the_new_one_has() -> None:
    with pytest.warns(DeprecationWarning, match=r'moved to mmfas\.synthfas'):
        assert synthetic.render_dataset is synthfas.render_dataset
    with pytest.warns(DeprecationWarning), pytest.raises(AttributeError):
        _ = synthetic.no_such_name
