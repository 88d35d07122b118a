"""The slider of the panels: its value stays within its steps, whoever sets it."""

from __future__ import annotations

import pytest
import traitlets

from absdb.panels.slider import Slider


def test_value_beyond_the_steps_becomes_the_nearest():
    slider = Slider(max=3)
    slider.set_state({"value": 9})
    assert slider.value == 3
    slider.set_state({"value": -1})
    assert slider.value == 0


def test_fewer_steps_take_the_value_with_them():
    slider = Slider(max=3, value=3)
    seen = []
    slider.observe(lambda change: seen.append(change["new"]), names="value")
    slider.max = 1
    assert (slider.value, seen) == (1, [1])


def test_what_is_no_number_is_refused():
    slider = Slider(max=3, value=1)
    with pytest.raises(traitlets.TraitError):
        slider.set_state({"value": "far"})
    assert slider.value == 1
