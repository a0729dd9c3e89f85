"""Settings of an enrollment profile as options of `createprofile`, by the table of settings."""

from argparse import ArgumentParser, _MutuallyExclusiveGroup
from collections.abc import Mapping
from typing import Any

from django.db import models

from approvals.profiles.settings import SETTINGS, Option, Setting, setting_of
from pkiportal.management.arguments import count, duration, duration_or_none


def add_option(parser: ArgumentParser | _MutuallyExclusiveGroup, field: str) -> None:
    """Add the option of the setting with this field."""
    setting = setting_of(field)
    option = setting.option
    if option is None:
        raise LookupError(f"{field}: the table of settings has no option for it")
    parser.add_argument(option.flag, help=_help_of(setting), **_kind_of(setting, option))


def add_section(parser: ArgumentParser, section: str) -> None:
    """Add the options of all settings in a section, in the order of the table."""
    for setting in SETTINGS:
        if setting.section == section and setting.option is not None:
            add_option(parser, setting.field)


def settings_in(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings among the options of a command, by field; defaults fill the rest."""
    return {
        setting.field: options[_destination(setting.option)]
        for setting in SETTINGS
        if setting.option is not None
    }


def option_names() -> dict[str, str]:
    """Return the options by the names that errors and records have for their settings."""
    return {
        setting.key or setting.field: setting.option.flag
        for setting in SETTINGS
        if setting.option is not None
    }


def _help_of(setting: Setting) -> str:
    """Return the help of the table, with what holds where the option is left out."""
    field = setting.of_model
    if isinstance(field, models.BooleanField):
        return setting.help
    if isinstance(field, models.JSONField):
        return f"{setting.help} May be repeated."
    default = field.get_default()
    if isinstance(field, models.DurationField):
        left_out = "" if default is None else f" Left out: {default.days}d."
        return f"{setting.help} Write it like 30d, 12h or 10m.{left_out}"
    return f"{setting.help} Left out: {default}."


def _kind_of(setting: Setting, option: Option) -> dict[str, Any]:
    """Return the arguments for argparse, by the kind of the field."""
    field = setting.of_model
    if isinstance(field, models.BooleanField):
        return {"action": "store_true"}
    shared = {"metavar": option.metavar}
    if isinstance(field, models.JSONField):
        return shared | {"action": "append", "default": []}
    shared["default"] = field.get_default()
    if isinstance(field, models.DurationField):
        return shared | {"type": duration if option.least_one else duration_or_none}
    if isinstance(field, models.IntegerField):
        return shared | {"type": count}
    return shared | {"choices": [value for value, _ in field.flatchoices]}


def _destination(option: Option) -> str:
    return option.flag.removeprefix("--").replace("-", "_")
