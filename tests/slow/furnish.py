"""Creates the probes' preconditions: `python -m tests.slow.furnish`; prints JSON."""

import base64
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pkiportal.settings")

import django

from pkiportal.environment.datafolder import ensure_data_folder


def main() -> None:
    """A CA with its RA, a profile with waiting requests, and a signed-in officer."""
    ensure_data_folder(Path(os.environ["PORTAL_DATA"]))
    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    call_command("collectstatic", verbosity=0, interactive=False)

    from django.utils import timezone

    from accounts.principals import PORTAL
    from accounts.roles import Role
    from ca.signing.authorities import AuthorityRequest, create_authority
    from ca.signing.service_keys import certify_service_keys
    from scep.ra.keys import ensure_ra_key, ra_keys
    from tests.pages import create_requests, signed_in
    from tests.pki import rsa_key
    from tests.scep.forge import Envelope, Message, csr, identity
    from tests.world import create_person, create_profile

    now = timezone.now()
    ca = create_authority(
        AuthorityRequest(name="slow", subject="CN=slow", key_type="rsa:2048", is_test=True),
        principal=PORTAL,
        now=now,
    )
    ensure_ra_key(ca, now=now)
    certify_service_keys(now=now)
    profile = create_profile(ca, "slow", approval="manual")
    create_requests(profile, [f"device-{number}" for number in range(100)])
    browser = signed_in(create_person("alice", Role.OFFICER))
    message = Message(
        envelope=Envelope(recipient_certificate=ra_keys.of(ca)[0].certificate_der, plaintext=csr()),
        key=rsa_key("alice"),
        certificate=identity("alice").certificate_der,
    )
    name = settings.SESSION_COOKIE_NAME
    facts = {
        "cookie": f"{name}={browser.cookies[name].value}",
        "message": base64.b64encode(message.encode()).decode(),
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
