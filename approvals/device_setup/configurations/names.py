"""Names as people type them."""

from ipaddress import ip_address

from ca.x509.general_names import GeneralName, general_name

_KINDS = ("dns", "ip", "email", "uri", "upn")


def read_alternative_name(text: str) -> GeneralName:
    """Parse `dns:r1.example`, or a name of obvious kind: IP, mailbox@domain, scheme://…, host.

    Raises ValueError naming the text.
    """
    kind, colon, value = text.partition(":")
    if not colon or kind.lower() not in _KINDS:
        kind, value = _kind_of(text), text
    try:
        return general_name(kind.lower(), value)
    except ValueError:
        raise ValueError(f"alternative name '{text}': not of kind {kind.lower()}") from None


def _kind_of(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        pass
    else:
        return "ip"
    if "://" in text:
        return "uri"
    return "email" if "@" in text else "dns"
