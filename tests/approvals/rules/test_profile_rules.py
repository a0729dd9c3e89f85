"""The settings of an enrollment profile are in one table, and their rules in one function."""

from argparse import ArgumentParser
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib import admin

from approvals.admin import EnrollmentProfileForm
from approvals.models.profiles import EnrollmentProfile
from approvals.profiles.settings import SECTIONS, SETTINGS, fields_of, setting_of
from approvals.rules.profile_rules import ProfileSettings, profile_faults
from pkiportal.management.commands.createprofile import Command
from pkiportal.management.portal_command import worded
from pkiportal.management.profile_options import settings_in

REQUIRED = ["routers", "--ca", "issuing", "--approval", "manual", "--challenge", "none"]


def faults(
    approval: str = "manual",
    challenge: str = "none",
    *,
    has_list: bool = False,
    networks: tuple[str, ...] = (),
    lock_exempt_networks: tuple[str, ...] = (),
    has_static_challenge: bool = False,
    service: str = "",
) -> list[str]:
    """Return the fields of the broken rules."""
    together = ProfileSettings(
        approval,
        challenge,
        has_list,
        networks,
        lock_exempt_networks,
        has_static_challenge,
        service,
    )
    return [fault.field for fault in profile_faults(together)]


def test_settings_that_go_together_have_no_fault() -> None:
    assert faults() == []
    assert faults("automatic", has_list=True, networks=("10.0.0.0/8", "2001:db8::/32")) == []
    assert faults("automatic", "static", has_static_challenge=True) == []
    assert faults("automatic", "one-time") == []
    assert faults("automatic", "webhook", service="webhook") == []


def test_without_a_challenge_an_officer_decides_or_a_list_with_networks_stands_for_it() -> None:
    assert faults("automatic") == ["challenge"]
    assert faults("automatic", has_list=True) == ["challenge"]
    assert faults("automatic", networks=("10.0.0.0/8",)) == ["challenge"]


def test_a_list_stands_instead_of_a_challenge() -> None:
    assert faults(challenge="one-time", has_list=True) == ["eligibility"]


def test_what_devices_present_has_to_be_known() -> None:
    assert faults(challenge="static") == ["new_static_challenge"]
    assert faults(challenge="intune") == ["challenge"]
    assert faults(challenge="intune", service="webhook") == ["challenge"]
    assert faults(challenge="one-time", service="webhook") == ["challenge"]


@pytest.mark.parametrize(
    ("together", "sentence"),
    [
        (
            ProfileSettings("automatic", "none", has_list=False, networks=()),
            "challenge none: only together with approval manual, or with --devices and --network",
        ),
        (
            ProfileSettings("manual", "one-time", has_list=True, networks=()),
            "devices: a list of expected devices stands instead of a challenge: --challenge none",
        ),
        (
            ProfileSettings("manual", "one-time", has_list=False, networks=(), service="intune"),
            "challenge one-time: no intune is asked about it",
        ),
        (
            ProfileSettings("manual", "webhook", has_list=False, networks=()),
            "a service has to be named that knows the challenges: ./portal validation set",
        ),
    ],
)
def test_a_command_words_a_fault_with_its_options(together: ProfileSettings, sentence: str) -> None:
    assert [worded(fault.error) for fault in profile_faults(together)] == [sentence]


@pytest.mark.parametrize("field", ["networks", "lock_exempt_networks"])
def test_networks_are_written_in_cidr_form(field: str) -> None:
    assert faults(**{field: ("10.0.0.1/8",)}) == [field]  # type: ignore[arg-type]


def test_the_form_shows_every_setting_that_has_a_section() -> None:
    shown = [
        name
        for _, options in admin.site.get_model_admin(EnrollmentProfile).fieldsets or ()
        for name in options["fields"]
    ]
    in_table = [field for section in SECTIONS for field in fields_of(section)]
    assert sorted(shown) == sorted([*in_table, "slug", "new_static_challenge"])


def test_options_that_are_not_given_leave_the_defaults_of_the_model() -> None:
    parser = ArgumentParser()
    Command().add_arguments(parser)
    taken = settings_in(vars(parser.parse_args(REQUIRED)))
    assert taken == {name: getattr(EnrollmentProfile(), name) for name in taken}
    assert len(taken) == len([setting for setting in SETTINGS if setting.option])


@pytest.mark.parametrize("flag", [one.option.flag for one in SETTINGS if one.option])
def test_each_option_is_in_the_documents(flag: str) -> None:
    assert f"`{flag}" in (Path(settings.BASE_DIR) / "docs" / "commands.md").read_text()


def test_form_and_documents_take_label_and_help_from_the_table() -> None:
    form = EnrollmentProfileForm()
    shown = [setting for setting in SETTINGS if setting.section]
    for setting in shown:
        field = form.fields[setting.field]
        assert field.label == setting.label
        assert field.help_text.removesuffix(" One a line.") == setting.help
    assert len({setting.label for setting in SETTINGS}) == len(SETTINGS)
    assert not [one.field for one in SETTINGS if one.of_model.help_text]
    assert not [one.field for one in SETTINGS if not one.help.endswith(".")]


def test_the_help_of_an_option_names_what_holds_where_it_is_left_out() -> None:
    parser = ArgumentParser()
    Command().add_arguments(parser)
    text = " ".join(parser.format_help().split())
    assert f"{setting_of('renewal_mode').help} Left out: off." in text
    assert "0: at any time. Write it like 30d, 12h or 10m. Left out: 30d." in text
    assert f"{setting_of('networks').help} May be repeated." in text
    with pytest.raises(LookupError, match="no row for it"):
        setting_of("slug")
