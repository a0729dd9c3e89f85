"""The network of each request, which limits count: an IPv4 address itself, of an IPv6 one the /64."""

import ipaddress

import approvals.rules.states
from django.db import migrations, models
from django.db.models import F


def fill(apps, schema_editor):
    """Write the network of each request on record."""
    requests = apps.get_model("approvals", "EnrollmentRequest").objects
    requests.exclude(address__contains=":").update(network=F("address"))
    for address in requests.filter(address__contains=":").order_by().values_list("address", flat=True).distinct():
        requests.filter(address=address).update(network=network(address))


def network(address):
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0015_expected_devices'),
        ('ca', '0004_configuration_keys'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='enrollmentrequest',
            name='approvals_open_by_address',
        ),
        migrations.AddField(
            model_name='enrollmentrequest',
            name='network',
            field=models.CharField(blank=True, default='', max_length=45),
        ),
        migrations.AddField(
            model_name='failedchallenges',
            name='quiet_until',
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name='alarm',
            name='kind',
            field=models.CharField(choices=[('static-old', 'a static challenge is old'), ('locked', 'challenges are not checked any more'), ('failing', 'many challenges fail')], max_length=12),
        ),
        migrations.AddIndex(
            model_name='enrollmentrequest',
            index=models.Index(condition=models.Q(('state__in', [approvals.rules.states.State['APPROVED'], approvals.rules.states.State['FAILED'], approvals.rules.states.State['ISSUING'], approvals.rules.states.State['PENDING']])), fields=['profile', 'network'], name='approvals_open_by_network'),
        ),
        migrations.AddIndex(
            model_name='enrollmentrequest',
            index=models.Index(condition=models.Q(('state', approvals.rules.states.State['ISSUED'])), fields=['profile', 'network'], name='approvals_issued_by_network'),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),  # last: no table changes after rows in one transaction
    ]
