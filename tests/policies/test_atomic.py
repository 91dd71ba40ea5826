"""Written whole or not at all."""

import pytest

from policies.atomic import replace_file, replacing


def test_the_new_content_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "file"
    for durable, content in ((False, "ü"), (True, b"\x00second")):
        replace_file(path, content, durable)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_the_old_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    replace_file(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as part:
        part.write_text("half")
        assert path.read_text() == "old"
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
