"""docs/map.md is the tree as it is, and each file says in its first line what it is."""

import make_map


def test_the_map_is_up_to_date() -> None:
    assert make_map.PAGE.read_text(encoding="utf-8") == make_map.page(), "run: make map"


def test_every_file_says_what_it_is() -> None:
    silent = [name for name, line in make_map.rows(make_map.PACKAGE) if not line]
    assert not silent
