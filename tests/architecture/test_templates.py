"""Each template that code or another template names is there, and each one is used."""

import re

import pytest

from tests.architecture.measures import ROOT, modules, tracked

#: The files of the tree are listed by git.
pytestmark = pytest.mark.usefixtures("starts_processes")

NAME = re.compile(r"""["']([\w/-]+\.(?:html|txt))["']""")
#: Found by Django, its admin and allauth under their own names.
BY_CONVENTION = re.compile(r"\d{3}(_csrf)?\.html|(account|allauth|admin)/.*")


def templates() -> dict[str, str]:
    """Return the texts of all templates by their names."""
    paths = (path for path in tracked() if path.startswith("templates/"))
    return {path.removeprefix("templates/"): (ROOT / path).read_text() for path in paths}


def test_every_template_that_a_template_names_is_there() -> None:
    used = {name for text in templates().values() for name in NAME.findall(text)}
    missing = {name for name in used - set(templates()) if not BY_CONVENTION.fullmatch(name)}
    assert missing == set()


def test_every_template_is_named_somewhere() -> None:
    texts = [*templates().values(), *(module.text for module in modules())]
    used = {name for text in texts for name in NAME.findall(text)}
    unused = {name for name in set(templates()) - used if not BY_CONVENTION.fullmatch(name)}
    assert unused == set()


def test_every_template_that_a_view_draws_is_there() -> None:
    drawn = re.compile(
        r"""(?:render|live|shown_once|render_to_string)\(\s*(?:request,\s*)?"([^"]+)\""""
    )
    used = {name for module in modules() for name in drawn.findall(module.text)}
    assert used
    assert used - set(templates()) == set()
