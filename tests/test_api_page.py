"""docs/api.md is what the docstrings say, and every public name is there and has a docstring."""

import make_api

import nkca


def test_the_page_is_up_to_date() -> None:
    assert make_api.PAGE.read_text(encoding="utf-8") == make_api.page(), "run: make map"


def test_every_public_name_can_be_had() -> None:
    assert all(getattr(nkca, name) is not None for name in nkca.__all__)
