"""The schema of version 0.1.0, in one step."""

import database.ids
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ('exchanges', '0001_initial'),
        ('exchanges', '0002_what_the_portal_knew'),
    ]

    initial = True

    dependencies = [
        ('approvals', '0001_squashed_0024_limit_in_words'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Recording',
            fields=[
                ('profile', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='+', serialize=False, to='approvals.enrollmentprofile')),
                ('until', models.DateTimeField()),
                ('started_at', models.DateTimeField()),
                ('started_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='Exchange',
            fields=[
                ('id', models.UUIDField(default=database.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kept_for', models.CharField(choices=[('self-test', 'self-test'), ('refusal', 'refused'), ('recording', 'recorded')], max_length=9)),
                ('received_at', models.DateTimeField()),
                ('took_us', models.PositiveIntegerField()),
                ('address', models.CharField(max_length=45)),
                ('client', models.CharField(blank=True, max_length=200)),
                ('method', models.CharField(max_length=4)),
                ('message', models.BinaryField()),
                ('answer', models.BinaryField()),
                ('http_status', models.PositiveSmallIntegerField()),
                ('transaction_id', models.CharField(blank=True, max_length=255)),
                ('signer_spki_sha256', models.CharField(blank=True, max_length=64)),
                ('message_type', models.PositiveSmallIntegerField(null=True)),
                ('pki_status', models.PositiveSmallIntegerField(null=True)),
                ('fail_info', models.PositiveSmallIntegerField(null=True)),
                ('text', models.CharField(blank=True, max_length=300)),
                ('subject', models.CharField(blank=True, max_length=300)),
                ('cause', models.CharField(blank=True, max_length=100)),
                ('detail', models.CharField(blank=True, max_length=500)),
                ('number', models.CharField(blank=True, max_length=9)),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='approvals.enrollmentprofile')),
            ],
            options={
                'indexes': [models.Index(fields=['profile', 'kept_for', 'id'], name='exchanges_by_reason'), models.Index(fields=['profile', 'transaction_id', 'id'], name='exchanges_by_transaction'), models.Index(condition=models.Q(('number', ''), _negated=True), fields=['number'], name='exchanges_by_number')],
            },
        ),
    ]
