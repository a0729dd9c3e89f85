"""The tables of the CA. Code imports the modules; this file imports them for Django."""

from ca.models import (  # noqa: F401
    authorities,
    certificates,
    crls,
    keys,
    profiles,
)
