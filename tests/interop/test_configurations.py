"""The portal's texts are pasted: each runs unchanged, in its client."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scep.transport import fetch
from tests.interop.clients import Certmonger, Chain
from tests.interop.conftest import program
from tests.interop.portal import REPOSITORY, Portal, wait_until

pytestmark = pytest.mark.interop
#: The officer of these tests decides by command.
MANUAL = ("--approval", "manual", "--allow-asserted-decisions")


@pytest.fixture(scope="module")
def waiting(portal: Portal) -> str:
    """A profile where an officer decides and a one-time challenge is wanted."""
    portal.run("createprofile", "paste", "--ca", "demo", *MANUAL, "--challenge", "one-time")
    return "paste"


def configuration(portal: Portal, profile: str, client: str, name: str) -> list[str]:
    """Return the texts to paste, one for each step, with a fresh challenge."""
    output = portal.run(
        "deviceconfig", profile, client, "--cn", name, "--challenge", "new", "--json"
    )
    document: dict[str, Any] = json.loads(output)
    return [step["text"] for step in document["steps"] if step["text"]]


def local(text: str, portal: Portal) -> str:
    """Replace the portal's public name by its address, which clients can reach."""
    return text.replace(portal.public_address, portal.address.replace("localhost", "127.0.0.1"))


def paste(text: str, folder: Path, **environment: str) -> str:
    """Run a text in a shell in this folder, and return its output; fails unless it succeeds."""
    where = {"PATH": os.environ["PATH"], "HOME": str(folder)} | environment
    done = subprocess.run(
        ["sh", "-e", "-c", text], cwd=folder, env=where, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_strongswan_waits_and_gets_its_certificate_with_the_text_of_the_page(
    portal: Portal, waiting: str, chain: Chain, tmp_path: Path
) -> None:
    program("pki", "strongswan-pki, with libstrongswan-extra-plugins")
    name = "paste-swan.example"
    authorities, key, enroll = (
        local(text, portal) for text in configuration(portal, waiting, "strongswan", name)
    )
    output = paste(authorities, tmp_path)
    paste(key, tmp_path)
    quick = enroll.replace("--interval 60", "--interval 1")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    process = subprocess.Popen(
        ["sh", "-c", quick], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    )
    portal.approve(name)
    assert process.wait(60) == 0
    assert chain.verifies(tmp_path / "device.crt")
    assert [state for _, state in portal.requests(name)] == ["ISSUED"]
    (root,) = json.loads(portal.run("deviceconfig", waiting, "strongswan", "--json"))["compare"]
    assert root["text"] in output, "the fingerprint is grouped as pki prints it"


def test_strongswan_gets_its_certificate_where_one_ra_encrypts_and_another_one_signs(
    portal: Portal, chain: Chain, tmp_path: Path
) -> None:
    program("pki", "strongswan-pki, with libstrongswan-extra-plugins")
    policy = (
        "--approval",
        "automatic",
        "--challenge",
        "one-time",
        "--ca-certificates",
        "split+chain",
    )
    portal.run("createprofile", "paste-split", "--ca", "demo", *policy)
    asked = f"{portal.scep('paste-split')}?operation=GetCACert"
    wait_until(
        lambda: fetch(asked, None).status == 200, what="the two RA certificates", within=60, every=1
    )
    for text in configuration(portal, "paste-split", "strongswan", "paste-split.example"):
        paste(local(text, portal).replace("--interval 15", "--interval 1"), tmp_path)
    assert chain.verifies(tmp_path / "device.crt")


def test_certmonger_waits_and_gets_its_certificate_with_the_text_of_the_page(
    portal: Portal, waiting: str, certmonger: Certmonger, chain: Chain, tmp_path: Path
) -> None:
    name = "paste-monger.example"
    texts = [local(text, portal) for text in configuration(portal, waiting, "certmonger", name)]
    environment = certmonger._environment()
    add, request, refresh, look = texts
    paste(add, tmp_path, **environment)
    listing = add.splitlines()[-1]
    wait_until(
        lambda: "thumbprint" in paste(listing, tmp_path, **environment), what="the fingerprints"
    )
    listed = paste(listing, tmp_path, **environment)
    paste(request, tmp_path, **environment)
    wait_until(lambda: "CA_WORKING" in paste(look, tmp_path, **environment), what="CA_WORKING")
    portal.approve(name)

    def is_there() -> bool:
        if "CA_WORKING" in paste(look, tmp_path, **environment):
            paste(refresh, tmp_path, **environment)
        return "MONITORING" in paste(look, tmp_path, **environment)

    wait_until(is_there, what="MONITORING", within=25, every=0.5)
    assert chain.verifies(tmp_path / "device.crt")
    compare = json.loads(portal.run("deviceconfig", waiting, "certmonger", "--json"))["compare"]
    assert all(item["text"] in listed for item in compare), "grouped as certmonger shows them"


def test_the_test_client_waits_and_gets_its_certificate_with_the_text_of_the_page(
    portal: Portal, waiting: str, chain: Chain, tmp_path: Path
) -> None:
    name = "paste-demo.example"
    keep, enroll = (local(text, portal) for text in configuration(portal, waiting, "demo", name))
    launcher = tmp_path / "portal"
    launcher.write_text(
        f'#!/bin/sh\nexec {sys.executable} {REPOSITORY / "manage.py"} "$@" --data {portal.data}\n'
    )
    launcher.chmod(0o700)
    paste(keep, tmp_path)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    process = subprocess.Popen(
        ["sh", "-c", enroll], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
    )
    portal.approve(name)
    assert process.wait(60) == 0
    assert chain.verifies(tmp_path / "device" / f"{name}.cert.pem")


def test_openssl_makes_the_request_that_sscep_sends(
    portal: Portal, waiting: str, tmp_path: Path
) -> None:
    program("openssl", "openssl")
    write, make, *_ = configuration(portal, waiting, "sscep", "paste-sscep.example")
    paste(f"{write}\n{make}", tmp_path)
    show = paste("openssl req -in device.csr -noout -verify -subject -text", tmp_path)
    assert "CN = paste-sscep.example" in show
    assert "challengePassword" in show


def test_apples_profile_is_signed_and_openssl_follows_its_chain_to_the_root(
    portal: Portal, waiting: str, chain: Chain, tmp_path: Path
) -> None:
    def is_signed() -> bool:
        file = tmp_path / "device.mobileconfig"
        file.unlink(missing_ok=True)
        output = portal.run(
            "deviceconfig", waiting, "apple", "--cn", "mac.example", "--out", str(file), "--json"
        )
        return bool(json.loads(output)["signed"])

    wait_until(is_signed, what="a certified key", within=40, every=1)
    verify = (
        f"openssl cms -verify -inform DER -in device.mobileconfig -CAfile {chain.root} -out "
        "device.plist"
    )
    assert "successful" in paste(verify, tmp_path)
    assert b"com.apple.security.scep" in (tmp_path / "device.plist").read_bytes()
