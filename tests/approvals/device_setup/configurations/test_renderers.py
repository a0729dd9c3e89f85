"""The text for each client: address, names, challenge, polling, fingerprints, warnings."""

import re
from hashlib import md5, sha1, sha256

import pytest

from approvals.device_setup.configurations.clients import CLIENTS, Client
from approvals.device_setup.configurations.facts import (
    FOR_OFFICERS,
    FOR_POLICY,
    ConfigurationFacts,
    Names,
    NotExpressible,
    Polling,
    key_sizes,
)
from approvals.device_setup.configurations.names import read_alternative_name
from approvals.device_setup.configurations.writing import command, grouped
from tests.approvals.device_setup.configurations.material import FACTS, ISSUING, ROOT, facts, named

EVERY = pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)


def text_of(slug: str, device_facts: ConfigurationFacts) -> str:
    return CLIENTS[slug].render(device_facts).as_text()


def warnings_of(slug: str, device_facts: ConfigurationFacts) -> str:
    return "\n".join(CLIENTS[slug].render(device_facts).warnings)


@EVERY
def test_every_client_gets_the_address_the_challenge_and_a_fingerprint(client: Client) -> None:
    configuration = client.render(FACTS)
    text = configuration.as_text()
    assert "portal.example" in text
    assert "/scep/routers/" in text
    assert ("abcdefgh234567abcdefgh234567abcd" in text) is client.takes_challenge
    assert configuration.compare
    digests = {digest for authority in (ISSUING, ROOT) for digest in authority.digests.values()}
    for item in configuration.compare:
        assert re.sub("[: ]", "", item.text).lower() in digests


@EVERY
def test_without_a_challenge_nothing_speaks_of_one(client: Client) -> None:
    text = client.render(facts(challenge=None, is_one_time=False)).as_text().lower()
    for word in (
        "challengepassword",
        "challenge-password",
        "--password",
        "password 0",
        " -l abc",
        "challenge.txt",
    ):
        assert word not in text
    assert "<data></data>" not in text


@EVERY
@pytest.mark.parametrize("is_manual", [True, False])
@pytest.mark.parametrize("renews", [True, False])
def test_every_client_can_be_told_of_every_kind_of_profile(
    client: Client, is_manual: bool, renews: bool
) -> None:
    device_facts = facts(
        is_manual=is_manual, renews=renews, takes_legacy=not is_manual, key_sizes=(3072,)
    )
    configuration = client.render(device_facts)
    assert configuration.steps
    assert "3072" in configuration.as_text() or client.slug == "demo"
    for sentence in configuration.warnings:
        assert sentence.endswith(".")


def test_a_trustpoint_of_ios_has_a_line_for_each_thing_and_nothing_else() -> None:
    block = CLIENTS["cisco-ios"].render(facts(renews=True)).steps[0].text
    lines = dict(
        re.findall(
            r"^ ([a-z-]+(?: retry period| retry count| url| 0)?) ?(.*)$", block, re.MULTILINE
        )
    )
    assert lines == {
        "enrollment url": "http://portal.example:80/scep/routers/",
        "enrollment retry period": "15",
        "enrollment retry count": "96",
        "serial-number": "none",
        "fqdn": "r1.example",
        "ip-address": "192.0.2.1",
        "subject-name": "O=Example Org,CN=r1.example",
        "password 0": "abcdefgh234567abcdefgh234567abcd",
        "fingerprint": sha1(ISSUING.der, usedforsecurity=False).hexdigest().upper(),
        "revocation-check": "crl",
        "rsakeypair": "portal-routers 2048",
        "hash": "sha256",
        "auto-enroll": "80 regenerate",
    }


def test_the_asa_compares_by_itself() -> None:
    text = text_of("cisco-asa", FACTS)
    assert (
        f"crypto ca authenticate portal-routers fingerprint {ISSUING.digests['SHA-1']} "
        "nointeractive" in text
    )
    assert " email noc@example.org" in text


def test_a_second_name_of_a_kind_is_left_out_and_said() -> None:
    device_facts = named(
        ("CN", "a.example"),
        sans=(("dns", "a.example"), ("dns", "b.example"), ("uri", "https://a.example")),
    )
    assert "left out: b.example" in warnings_of("cisco-ios", device_facts)
    assert "cannot ask for uri:https://a.example" in warnings_of("cisco-ios", device_facts)
    assert " ip-address none" in text_of("cisco-ios", device_facts)
    assert " fqdn none" in text_of("cisco-asa", named(("CN", "a")))


def test_junos_reads_set_lines_and_one_request() -> None:
    blocks = [step.text for step in CLIENTS["junos"].render(FACTS).steps]
    for line in blocks[0].splitlines()[:-1]:
        assert re.fullmatch(
            r"set security pki ca-profile portal-routers [a-z-]+( [a-z-]+)? \S+", line
        ), line
    retry = int(re.findall(r"retry (\d+)", blocks[0])[0])
    interval = int(re.findall(r"retry-interval (\d+)", blocks[0])[0])
    assert retry <= 1080
    assert interval <= 3600
    assert 'subject "O=Example Org,CN=r1.example" challenge-password' in blocks[2]
    assert "SHA-1" in warnings_of("junos", FACTS)
    assert "SHA-1" not in warnings_of("junos", facts(takes_legacy=True))


def test_fortios_gets_its_arguments_in_order() -> None:
    generate = CLIENTS["fortigate"].render(named(("C", "DE"), ("CN", "fw.example"))).steps[1].text
    words = re.findall(
        r'"[^"]*"|\S+', generate.removeprefix("execute vpn certificate local generate rsa ")
    )
    assert words[:10] == [
        "portal-routers",
        "2048",
        '"fw.example"',
        '"DE"',
        *['""'] * 6,
    ]
    assert words[10:] == ['"http://portal.example/scep/routers/"', FACTS.challenge]
    assert "set scep-password" in text_of("fortigate", facts(renews=True))
    assert "set scep-password" not in text_of("fortigate", facts(renews=True, challenge=None))
    assert "scep-password" in warnings_of("fortigate", facts(renews=True))


def test_routeros_leaves_out_what_is_empty() -> None:
    text = text_of("routeros", named(("CN", "r1.example")))
    assert 'common-name="r1.example" key-size=2048' in text
    assert "organization" not in text
    assert "subject-alt-name" not in text


def test_pan_os_takes_one_alternative_name_and_none_without_a_challenge() -> None:
    fields = dict(CLIENTS["pan-os"].render(FACTS).steps[0].fields)
    assert fields["Subject Alternative Name Type"] == "RFC 822 Name: noc@example.org"
    assert fields["SCEP Challenge"] == "Fixed"
    assert (
        dict(CLIENTS["pan-os"].render(facts(challenge=None)).steps[0].fields)["SCEP Challenge"]
        == "None"
    )


def test_windows_is_warned_of_keys_that_a_tpm_cannot_make() -> None:
    assert "TPM" in warnings_of("windows", facts(key_sizes=(3072,)))
    assert "TPM" not in warnings_of("windows", FACTS)
    text = text_of(
        "windows",
        named(("CN", "pc"), sans=(("upn", "alice@example.org"), ("uri", "https://a.example"))),
    )
    assert "InitializeFromString(11, 'alice@example.org')" in text
    assert "<Data>11+alice@example.org;7+https://a.example</Data>" in text
    assert "CX509ExtensionAlternativeNames" not in text_of("windows", named(("CN", "pc")))


def test_sscep_is_told_that_it_speaks_plain_http_only() -> None:
    assert "plain HTTP" in warnings_of("sscep", facts(url="https://portal.example/scep/routers/"))
    assert "plain HTTP" not in warnings_of("sscep", FACTS)


def test_sscep_verifies_answers_with_the_ra_and_shows_the_fingerprints() -> None:
    assert "-c ca.crt -F sha256 -v\n" in text_of("sscep", FACTS)
    assert "/scep/routers/ -c ca.crt-0 \\\n    -k device.key" in text_of("sscep", FACTS)
    assert "/scep/routers/ -c ca.crt-1 -e ca.crt-0 \\\n" in text_of("sscep", facts(is_split=True))
    assert [item.authority for item in CLIENTS["sscep"].render(FACTS).compare] == [
        "ca.crt-1, issuing CA: issuing",
        "root CA: root",
    ]
    compare = CLIENTS["sscep"].render(facts(is_split=True, gives_root=False)).compare
    assert [item.authority for item in compare] == ["ca.crt-2, issuing CA: issuing"]


def test_strongswan_names_one_file_for_each_authority() -> None:
    assert "--cacert ca.der --cacert ca-1.der --interval" in text_of("strongswan", FACTS)
    alone = text_of("strongswan", facts(authorities=(ROOT,)))
    assert "--cacert ca.der" in alone
    assert "ca-1.der" not in alone


def test_strongswan_encrypts_to_the_second_ra_where_there_are_two_and_is_warned_where_no_root_is_given_out() -> (  # noqa: E501
    None
):
    assert "--cacert-enc ra.der --cacert-sig ra.der" in text_of("strongswan", FACTS)
    assert "--cacert-enc ra-2.der --cacert-sig ra.der" in text_of(
        "strongswan", facts(is_split=True)
    )
    assert "without the root" in warnings_of("strongswan", facts(gives_root=False))
    assert "without the root" not in warnings_of("strongswan", FACTS)


def test_the_test_client_says_what_it_leaves_out() -> None:
    assert "left out: O=Example Org" in warnings_of("demo", FACTS)
    assert "--name r9.example" in text_of("demo", named(sans=(("dns", "r9.example"),)))
    assert "--name device" in text_of("demo", named())


@pytest.mark.parametrize("slug", ["strongswan", "certmonger", "windows"])
def test_a_name_that_would_read_as_two_is_refused_where_the_client_knows_no_escape(
    slug: str,
) -> None:
    with pytest.raises(NotExpressible, match="O 'Example, Inc'"):
        CLIENTS[slug].render(named(("O", "Example, Inc"), ("CN", "a")))


def test_a_console_is_not_given_what_it_may_take_for_a_command() -> None:
    for value in ('a"b', "a?b", "Büro", " a", "a,b"):
        with pytest.raises(NotExpressible, match="CN"):
            CLIENTS["cisco-ios"].render(named(("CN", value)))
    with pytest.raises(NotExpressible, match="challenge 'a b'"):
        CLIENTS["cisco-ios"].render(facts(challenge="a b"))
    with pytest.raises(NotExpressible, match="typographic"):
        CLIENTS["windows"].render(named(("CN", "a\u2019b")))
    with pytest.raises(NotExpressible, match="next name"):
        CLIENTS["routeros"].render(named(("CN", "a"), sans=(("dns", "a,DNS:b"),)))


def test_the_digests_are_of_the_whole_certificate() -> None:
    assert dict(ISSUING.digests) == {
        "SHA-256": sha256(ISSUING.der).hexdigest(),
        "SHA-1": sha1(ISSUING.der, usedforsecurity=False).hexdigest(),
        "MD5": md5(ISSUING.der, usedforsecurity=False).hexdigest(),
    }


@pytest.mark.parametrize(
    ("grouping", "text"),
    [
        ("plain", "0123456789abcdef"),
        ("PLAIN", "0123456789ABCDEF"),
        ("colons", "01:23:45:67:89:ab:cd:ef"),
        ("WORDS", "01234567 89ABCDEF"),
    ],
)
def test_digests_are_grouped_as_the_client_shows_them(grouping: str, text: str) -> None:
    assert grouped("0123456789abcdef", grouping) == text


def test_polling_keeps_its_length_within_the_bounds_of_a_client() -> None:
    assert FOR_OFFICERS.within(least=60, most=3600, times=100) == Polling(900, 96)
    assert FOR_OFFICERS.within(most=600, times=5000) == FOR_OFFICERS
    assert FOR_OFFICERS.within(most=900, times=30) == Polling(900, 30)
    assert FOR_POLICY.within(least=60, most=3600, times=100) == Polling(60, 15)
    assert facts(is_manual=False).polling == FOR_POLICY


def test_key_sizes_are_the_usual_ones_of_the_profile() -> None:
    assert key_sizes(2048, 4096) == (2048, 3072, 4096)
    assert key_sizes(2056, 2064) == (2056,)


@pytest.mark.parametrize(
    ("url", "with_port"),
    [
        ("http://a.example/scep/x/", "http://a.example:80/scep/x/"),
        ("https://a.example/scep/x/", "https://a.example:443/scep/x/"),
        ("http://[2001:db8::1]:8000/scep/x/", "http://[2001:db8::1]:8000/scep/x/"),
    ],
)
def test_the_port_is_written_out_for_devices_that_want_it(url: str, with_port: str) -> None:
    assert facts(url=url).url_with_port == with_port


def test_an_attribute_that_is_not_there_is_empty() -> None:
    assert Names((("O", "Example"),)).attribute("CN") == ""
    assert Names((("O", "Example"),)).common_name == ""


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("r1.example", "dns", "r1.example"),
        ("DNS:r1.example", "dns", "r1.example"),
        ("192.0.2.1", "ip", "192.0.2.1"),
        ("2001:db8::1", "ip", "2001:db8::1"),
        ("alice@example.org", "email", "alice@example.org"),
        ("upn:alice@example.org", "upn", "alice@example.org"),
        ("https://a.example/x", "uri", "https://a.example/x"),
    ],
)
def test_an_alternative_name_is_read_with_or_without_its_kind(
    text: str, kind: str, value: str
) -> None:
    name = read_alternative_name(text)
    assert (name.kind, name.value) == (kind, value)


@pytest.mark.parametrize("text", ["ip:not-an-address", "dns:bücher.example"])
def test_an_alternative_name_that_cannot_be_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read_alternative_name(text)


@pytest.mark.parametrize("change", [{"profile": "a b"}, {"authorities": ()}, {"key_sizes": ()}])
def test_facts_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="needed"):
        facts(**change)


def test_nothing_shows_the_challenge_by_accident() -> None:
    assert "abcdefgh" not in repr(FACTS)


def test_a_long_command_is_broken_between_options() -> None:
    text = command("one", *(f"--option-{number} {'x' * 40}" for number in range(3)))
    assert text.count(" \\\n    ") == 2
