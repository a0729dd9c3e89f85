"""The authorities behind an enrollment profile: its CA, the published next one, earlier ones.

Read by web and worker; nothing here signs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ca.models.authorities import (
    AuthorityRollover,
    CertificateAuthority,
    CertificatesShape,
    NextCaAnswer,
)


@dataclass(frozen=True, slots=True)
class Lineage:
    """The issuing CA, `next` while GetNextCACert answers, and `previous`, newest first.

    `rollover` is the published one to `next`.
    """

    current: CertificateAuthority
    next: CertificateAuthority | None = None
    previous: tuple[CertificateAuthority, ...] = ()
    rollover: AuthorityRollover | None = None

    def authorities(self) -> tuple[CertificateAuthority, ...]:
        """Return all of them: the current one, the next, the previous ones."""
        return (self.current, *((self.next,) if self.next else ()), *self.previous)

    def knows(self, ca_id: int) -> bool:
        """Return whether this authority is one of them."""
        return any(authority.pk == ca_id for authority in self.authorities())

    def issuer_for(self, ca_id: int | None) -> CertificateAuthority:
        """Return the issuer for requests encrypted to this authority's RA certificate.

        See RFC 8894 §5, figure 9. It is the next CA for its own RA, and the current one for
        everything else, including its predecessors' RAs. Raises LookupError for another authority.
        """
        if ca_id is not None and not self.knows(ca_id):
            raise LookupError(f"authority {ca_id}: not one of the authorities of this profile")
        return self.next if self.next is not None and ca_id == self.next.pk else self.current

    def is_ahead(self, ca: CertificateAuthority) -> bool:
        """Return whether this is the next CA."""
        return self.next is not None and ca.pk == self.next.pk


def lineage_of(ca: CertificateAuthority) -> Lineage:
    """Read the lineage of an authority."""
    ahead = open_rollover(ca)
    if ahead is not None and not ahead.is_offered:
        ahead = None
    return Lineage(
        current=ca,
        next=ahead.next_ca if ahead else None,
        previous=tuple(predecessors_of(ca)),
        rollover=ahead,
    )


def open_rollover(ca: CertificateAuthority) -> AuthorityRollover | None:
    """Return the rollover of an authority that is staged or published, or None."""
    rows = AuthorityRollover.objects.filter(
        ca=ca, cancelled_at__isnull=True, switched_at__isnull=True
    )
    return rows.select_related("next_ca__parent__parent").first()


def predecessors_of(ca: CertificateAuthority) -> Iterator[CertificateAuthority]:
    """Yield the authorities that this one replaced, newest first."""
    rows = AuthorityRollover.objects.filter(switched_at__isnull=False).select_related(
        "ca__parent__parent"
    )
    rollover = rows.filter(next_ca=ca).first()
    while rollover is not None:
        yield rollover.ca
        rollover = rows.filter(next_ca=rollover.ca).first()


def next_answer(rollover: AuthorityRollover, shape: CertificatesShape) -> NextCaAnswer | None:
    """Return the newest GetNextCACert answer of a rollover in this shape, or None."""
    return NextCaAnswer.objects.filter(rollover=rollover, shape=shape).order_by("-id").first()


def shaped(
    ra_certificates: tuple[bytes, ...], ca: CertificateAuthority, shape: CertificatesShape
) -> list[bytes]:
    """Return certificates in the order of GetCACert: RA, issuing CA, parents.

    See RFC 8894 §4.2.1.2.
    """
    chain = [authority.certificate_der for authority in ca.chain()]
    return [*ra_certificates, *(chain[:1] if shape is CertificatesShape.RA_ISSUING else chain)]
