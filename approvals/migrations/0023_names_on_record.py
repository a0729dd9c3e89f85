"""The names of requests that are open, or have a certificate, for the look-up of names that two keys ask for."""

from django.db import migrations

from ca.x509.csr import read_stored_csr
from ca.x509.errors import CsrError
from ca.x509.name_matching import identities

BATCH = 500


def fill(apps, schema_editor):
    """Write down the names of each such request."""
    names = apps.get_model("approvals", "RequestName")
    requests = apps.get_model("approvals", "EnrollmentRequest").objects
    live = requests.filter(state__in=["PENDING", "APPROVED", "ISSUING", "FAILED"])
    issued = requests.filter(state="ISSUED", certificate__status__in=["ISSUED", "ON_HOLD"])
    for rows in (live, issued):
        batch = []
        for key, profile_id, csr in rows.values_list("pk", "profile_id", "csr").iterator(
            chunk_size=BATCH
        ):
            batch += [
                names(request_id=key, profile_id=profile_id, name=name)
                for name in names_of(bytes(csr))
            ]
            if len(batch) >= BATCH:
                names.objects.bulk_create(batch)
                batch = []
        names.objects.bulk_create(batch)


def names_of(csr):
    try:
        read = read_stored_csr(csr)
    except CsrError:
        return []
    return identities(read.subject, read.requested_sans)


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0022_names_in_use"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
