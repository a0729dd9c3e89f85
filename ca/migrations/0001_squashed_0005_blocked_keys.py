"""The schema of version 0.1.0, in one step."""

import database.ids
import ca.models.certificates
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ('ca', '0001_initial'),
        ('ca', '0002_revocation'),
        ('ca', '0003_rollover'),
        ('ca', '0004_configuration_keys'),
        ('ca', '0005_blocked_keys'),
    ]

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='CertificateProfile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slug', models.SlugField(unique=True)),
                ('name', models.CharField(max_length=100)),
            ],
        ),
        migrations.CreateModel(
            name='CertificateAuthority',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.SlugField(unique=True)),
                ('subject', models.CharField(max_length=500)),
                ('certificate', models.BinaryField()),
                ('certificate_sha256', models.CharField(max_length=64, unique=True)),
                ('key_name', models.CharField(max_length=100, unique=True)),
                ('key_type', models.CharField(max_length=20)),
                ('not_before', models.DateTimeField()),
                ('not_after', models.DateTimeField()),
                ('created_at', models.DateTimeField()),
                ('paused_at', models.DateTimeField(blank=True, null=True)),
                ('is_test', models.BooleanField(default=False)),
                ('revocation_version', models.PositiveBigIntegerField(default=0, editable=False)),
                ('parent', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='children', to='ca.certificateauthority')),
            ],
            options={
                'verbose_name': 'certification authority',
                'verbose_name_plural': 'certification authorities',
            },
        ),
        migrations.CreateModel(
            name='AuthorityRollover',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('staged_at', models.DateTimeField()),
                ('published_at', models.DateTimeField(null=True)),
                ('switched_at', models.DateTimeField(null=True)),
                ('cancelled_at', models.DateTimeField(null=True)),
                ('ca', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='rollovers', to='ca.certificateauthority')),
                ('next_ca', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='rollovers_to', to='ca.certificateauthority')),
            ],
        ),
        migrations.CreateModel(
            name='CertificateProfileVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('spec', models.JSONField()),
                ('spec_sha256', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField()),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='versions', to='ca.certificateprofile')),
            ],
        ),
        migrations.AddField(
            model_name='certificateprofile',
            name='current',
            field=models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ca.certificateprofileversion'),
        ),
        migrations.CreateModel(
            name='Certificate',
            fields=[
                ('id', models.UUIDField(default=database.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('ordered', 'ordered'), ('service', 'service')], default='ordered', max_length=8)),
                ('order_id', models.UUIDField()),
                ('status', models.CharField(choices=[('PREPARED', 'being signed'), ('ISSUED', 'issued'), ('ON_HOLD', 'on hold'), ('REVOKED', 'revoked'), ('ABANDONED', 'abandoned')], default='PREPARED', max_length=9)),
                ('serial_hex', models.CharField(max_length=40)),
                ('subject', models.CharField(max_length=1000)),
                ('names', models.JSONField(default=list)),
                ('spki_sha256', models.CharField(max_length=64)),
                ('not_before', models.DateTimeField()),
                ('not_after', models.DateTimeField()),
                ('tbs', models.BinaryField()),
                ('tbs_sha256', models.CharField(max_length=64, unique=True)),
                ('der', models.BinaryField(null=True)),
                ('der_sha256', models.CharField(max_length=64, null=True, unique=True)),
                ('prepared_at', models.DateTimeField()),
                ('issued_at', models.DateTimeField(null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('revocation_reason', models.CharField(blank=True, choices=[('keyCompromise', 'key compromise: others may know the private key'), ('superseded', 'superseded: another certificate has taken its place'), ('cessationOfOperation', 'cessation of operation: the device is out of service'), ('affiliationChanged', 'affiliation changed: its names or its owner are others now'), ('privilegeWithdrawn', 'privilege withdrawn: it may not do any more what it was issued for'), ('unspecified', 'unspecified: no reason is published'), ('certificateHold', 'on hold: it may be released again')], default='', max_length=20)),
                ('invalidity_date', models.DateTimeField(blank=True, null=True)),
                ('ca', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='certificates', to='ca.certificateauthority')),
                ('profile_version', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ca.certificateprofileversion')),
            ],
        ),
        migrations.CreateModel(
            name='CertificateTerm',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('term', ca.models.certificates.TermField(max_length=255)),
                ('certificate', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='terms', to='ca.certificate')),
            ],
        ),
        migrations.CreateModel(
            name='CrlIssue',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveBigIntegerField()),
                ('revocation_version', models.PositiveBigIntegerField()),
                ('this_update', models.DateTimeField()),
                ('next_update', models.DateTimeField()),
                ('entries', models.PositiveIntegerField()),
                ('tbs_sha256', models.CharField(max_length=64, null=True)),
                ('der', models.BinaryField(null=True)),
                ('sha256', models.CharField(max_length=64, null=True)),
                ('created_at', models.DateTimeField()),
                ('pruned_at', models.DateTimeField(null=True)),
                ('ca', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='crls', to='ca.certificateauthority')),
            ],
            options={
                'verbose_name': 'CRL',
            },
        ),
        migrations.CreateModel(
            name='NextCaAnswer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('shape', models.CharField(choices=[('ra+chain', 'RA, issuing CA and its parents'), ('ra+issuing', 'RA and issuing CA'), ('split+chain', 'one RA certificate that encrypts, one that signs, issuing CA and its parents')], max_length=11)),
                ('content_sha256', models.CharField(max_length=64)),
                ('der', models.BinaryField()),
                ('sha256', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField()),
                ('rollover', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='answers', to='ca.authorityrollover')),
            ],
        ),
        migrations.CreateModel(
            name='ServiceKey',
            fields=[
                ('id', models.UUIDField(default=database.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('purpose', models.CharField(choices=[('scep-ra', 'SCEP RA'), ('scep-ra-sign', 'SCEP RA, signs'), ('scep-ra-encrypt', 'SCEP RA, decrypts'), ('configuration', 'device configurations')], max_length=16)),
                ('key_name', models.CharField(max_length=100, unique=True)),
                ('csr', models.BinaryField()),
                ('spki_sha256', models.CharField(max_length=64, unique=True)),
                ('created_at', models.DateTimeField()),
                ('retired_at', models.DateTimeField(null=True)),
                ('ca', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='service_keys', to='ca.certificateauthority')),
                ('certificate', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ca.certificate')),
                ('signing_key', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='encryption_key', to='ca.servicekey')),
            ],
        ),
        migrations.CreateModel(
            name='BlockedKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('spki_sha256', models.CharField(max_length=64, unique=True)),
                ('reason', models.CharField(max_length=300)),
                ('blocked_at', models.DateTimeField()),
                ('blocked_by_name', models.CharField(max_length=150)),
                ('blocked_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='ca_blocked_key_has_reason')],
            },
        ),
        migrations.AddConstraint(
            model_name='authorityrollover',
            constraint=models.UniqueConstraint(condition=models.Q(('cancelled_at__isnull', True)), fields=('ca',), name='ca_one_successor'),
        ),
        migrations.AddConstraint(
            model_name='authorityrollover',
            constraint=models.UniqueConstraint(condition=models.Q(('cancelled_at__isnull', True)), fields=('next_ca',), name='ca_one_predecessor'),
        ),
        migrations.AddConstraint(
            model_name='authorityrollover',
            constraint=models.CheckConstraint(condition=models.Q(('ca', models.F('next_ca')), _negated=True), name='ca_never_its_own_successor'),
        ),
        migrations.AddConstraint(
            model_name='authorityrollover',
            constraint=models.CheckConstraint(condition=models.Q(('switched_at__isnull', True), models.Q(('cancelled_at__isnull', True), ('published_at__isnull', False)), _connector='OR'), name='ca_switched_after_published'),
        ),
        migrations.AddConstraint(
            model_name='certificateprofileversion',
            constraint=models.UniqueConstraint(fields=('profile', 'number'), name='ca_profile_version_once'),
        ),
        migrations.AddIndex(
            model_name='certificate',
            index=models.Index(fields=['kind', 'id'], name='ca_cert_by_kind'),
        ),
        migrations.AddIndex(
            model_name='certificate',
            index=models.Index(fields=['kind', 'status', 'id'], name='ca_cert_by_status'),
        ),
        migrations.AddIndex(
            model_name='certificate',
            index=models.Index(fields=['ca', 'id'], name='ca_cert_by_ca'),
        ),
        migrations.AddIndex(
            model_name='certificate',
            index=models.Index(fields=['spki_sha256'], name='ca_cert_by_key'),
        ),
        migrations.AddIndex(
            model_name='certificate',
            index=models.Index(fields=['serial_hex'], name='ca_cert_by_serial'),
        ),
        migrations.AddIndex(
            model_name='certificate',
            index=models.Index(fields=['not_after'], name='ca_cert_by_expiry'),
        ),
        migrations.AddIndex(
            model_name='certificate',
            index=models.Index(condition=models.Q(('status__in', ['ON_HOLD', 'REVOKED', 'ABANDONED'])), fields=['ca', 'not_after'], name='ca_cert_on_crl'),
        ),
        migrations.AddConstraint(
            model_name='certificate',
            constraint=models.UniqueConstraint(fields=('ca', 'serial_hex'), name='ca_serial_once'),
        ),
        migrations.AddConstraint(
            model_name='certificate',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'ABANDONED'), _negated=True), fields=('order_id',), name='ca_one_certificate_per_order'),
        ),
        migrations.AddConstraint(
            model_name='certificate',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['PREPARED', 'ISSUED', 'ON_HOLD', 'REVOKED', 'ABANDONED'])), name='ca_status_known'),
        ),
        migrations.AddConstraint(
            model_name='certificate',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('der__isnull', False), ('issued_at__isnull', False), ('status__in', ['ISSUED', 'ON_HOLD', 'REVOKED'])), models.Q(('der__isnull', True), ('issued_at__isnull', True), ('status__in', ['PREPARED', 'ABANDONED'])), _connector='OR'), name='ca_issued_means_der'),
        ),
        migrations.AddConstraint(
            model_name='certificate',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('revocation_reason', 'certificateHold'), ('revoked_at__isnull', False), ('status', 'ON_HOLD')), models.Q(('revocation_reason__in', ['keyCompromise', 'superseded', 'cessationOfOperation', 'affiliationChanged', 'privilegeWithdrawn', 'unspecified']), ('revoked_at__isnull', False), ('status', 'REVOKED')), models.Q(('invalidity_date__isnull', True), ('revocation_reason', ''), ('revoked_at__isnull', True), ('status__in', ['PREPARED', 'ISSUED', 'ABANDONED'])), _connector='OR'), name='ca_revoked_means_when_and_why'),
        ),
        migrations.AddConstraint(
            model_name='certificateterm',
            constraint=models.UniqueConstraint(fields=('term', 'certificate'), name='ca_term_once'),
        ),
        migrations.AddConstraint(
            model_name='crlissue',
            constraint=models.UniqueConstraint(fields=('ca', 'number'), name='ca_crl_number_once'),
        ),
        migrations.AddConstraint(
            model_name='crlissue',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('der__isnull', True), ('pruned_at__isnull', True), ('sha256__isnull', True)), models.Q(('der__isnull', False), ('pruned_at__isnull', True), ('sha256__isnull', False)), models.Q(('der__isnull', True), ('pruned_at__isnull', False), ('sha256__isnull', False)), _connector='OR'), name='ca_crl_has_digest'),
        ),
        migrations.AddIndex(
            model_name='nextcaanswer',
            index=models.Index(fields=['rollover', 'shape', 'id'], name='ca_next_answer_newest'),
        ),
        migrations.AddIndex(
            model_name='servicekey',
            index=models.Index(fields=['ca', 'purpose', 'id'], name='ca_service_key_by_purpose'),
        ),
        migrations.AddConstraint(
            model_name='servicekey',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('purpose', 'scep-ra-encrypt'), ('signing_key__isnull', False)), models.Q(models.Q(('purpose', 'scep-ra-encrypt'), _negated=True), ('signing_key__isnull', True)), _connector='OR'), name='ca_encryption_key_has_signing_key'),
        ),
    ]
