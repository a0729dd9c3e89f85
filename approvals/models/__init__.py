"""The tables of the RA. Code imports the modules; this file imports them for Django."""

from approvals.models import (  # noqa: F401
    challenges,
    decisions,
    devices,
    ndes,
    operations,
    orders,
    profile_versions,
    profiles,
    requests,
    validations,
)
