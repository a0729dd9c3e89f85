"""The schema of version 0.1.0, in one step."""

import approvals.rules.states
import database.ids
import ca.models.certificates
import datetime
import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ('approvals', '0001_initial'),
        ('approvals', '0002_renewals'),
        ('approvals', '0003_kept_csr'),
        ('approvals', '0004_challenge_bindings'),
        ('approvals', '0005_default_profile'),
        ('approvals', '0006_ca_certificates'),
        ('approvals', '0007_validations'),
        ('approvals', '0008_static_challenges'),
        ('approvals', '0009_static_challenge_moved'),
        ('approvals', '0010_alarms_and_failed_challenges'),
        ('approvals', '0011_protocol_switches'),
        ('approvals', '0012_self_test_profiles'),
        ('approvals', '0013_ndes_accounts'),
        ('approvals', '0014_api_orders'),
        ('approvals', '0015_expected_devices'),
        ('approvals', '0016_networks_of_requests'),
        ('approvals', '0017_account_changes'),
        ('approvals', '0018_operation'),
        ('approvals', '0019_ndes_digests'),
        ('approvals', '0020_asserted_decisions_asked_for'),
        ('approvals', '0021_refusal_numbers'),
        ('approvals', '0022_names_in_use'),
        ('approvals', '0023_names_on_record'),
        ('approvals', '0024_limit_in_words'),
    ]

    initial = True

    dependencies = [
        ('accounts', '0001_squashed_0005_sessions'),
        ('audit', '0001_initial'),
        ('ca', '0001_squashed_0005_blocked_keys'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='EnrollmentProfile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slug', models.SlugField(unique=True)),
                ('name', models.CharField(max_length=100)),
                ('approval', models.CharField(choices=[('manual', 'an officer decides'), ('automatic', 'approved by policy')], default='manual', max_length=10)),
                ('challenge', models.CharField(choices=[('none', 'no challenge'), ('static', 'one static challenge'), ('one-time', 'one-time challenges'), ('webhook', 'checked by a signed webhook'), ('intune', 'checked by Microsoft Intune')], default='one-time', max_length=10)),
                ('unlisted', models.CharField(choices=[('refuse', 'a refusal'), ('officer', 'an officer decides')], default='refuse', max_length=7)),
                ('networks', models.JSONField(blank=True, default=list, help_text='Networks in CIDR form; empty: from anywhere.')),
                ('required_approvals', models.PositiveSmallIntegerField(default=1)),
                ('allow_asserted_decisions', models.BooleanField(default=False, help_text='Whether decisions by command, on behalf of an officer, count.')),
                ('refuse_after_account_change', models.BooleanField(default=False, help_text="Whether decisions are refused while they would be marked: soon after another person set the officer's password or granted a role.")),
                ('on_duplicate', models.CharField(choices=[('redeliver', 'the same certificate again'), ('pending', 'a new request'), ('fail', 'a refusal')], default='redeliver', max_length=10)),
                ('name_conflicts', models.CharField(choices=[('officer', 'an officer decides'), ('refuse', 'a refusal'), ('allow', 'a remark only')], default='officer', help_text='For a name that waits, or is active, with another key. A renewal is no other key.', max_length=7)),
                ('request_ttl', models.DurationField(help_text='After this time without a decision a request expires.')),
                ('refused_ttl', models.DurationField(help_text='After a refusal, the same transaction may ask again after this time.')),
                ('undo_window', models.DurationField(default=datetime.timedelta(0), help_text='A decision takes effect after this time.')),
                ('renewal_mode', models.CharField(choices=[('off', 'no renewal'), ('automatic', 'renewed by policy'), ('officer', 'an officer decides')], default='off', max_length=10)),
                ('renewal_window', models.DurationField(default=datetime.timedelta(days=30), help_text='A certificate may be renewed so long before its end; 0: at any time.', validators=[django.core.validators.MinValueValidator(datetime.timedelta(0))])),
                ('renewal_grace', models.DurationField(default=datetime.timedelta(0), help_text='And so long after its end.', validators=[django.core.validators.MinValueValidator(datetime.timedelta(0))])),
                ('renewal_key_reuse', models.BooleanField(default=False, help_text='Whether a renewal may keep its key.')),
                ('renewal_changed_names', models.CharField(choices=[('refuse', 'a refusal'), ('officer', 'an officer decides')], default='refuse', max_length=10)),
                ('ca_certificates', models.CharField(choices=[('ra+chain', 'RA, issuing CA and its parents'), ('ra+issuing', 'RA and issuing CA'), ('split+chain', 'one RA certificate that encrypts, one that signs, issuing CA and its parents')], default='ra+chain', max_length=11)),
                ('max_open_requests', models.PositiveIntegerField(default=10000)),
                ('max_open_per_address', models.PositiveIntegerField(default=500)),
                ('legacy_algorithms', models.BooleanField(default=False, help_text='Whether messages may use SHA-1 and 3DES. For devices that know nothing else; never MD5 or DES.')),
                ('reply_chain', models.CharField(choices=[('leaf', 'the certificate alone'), ('chain', 'the certificate, then its CAs')], default='leaf', max_length=5)),
                ('empty_content', models.CharField(choices=[('octets', 'content of no octets'), ('absent', 'no content')], default='octets', max_length=6)),
                ('max_clock_skew', models.DurationField(blank=True, help_text='How far the signingTime of a message may be off; empty: it is not looked at.', null=True, validators=[django.core.validators.MinValueValidator(datetime.timedelta(seconds=60))])),
                ('is_default', models.BooleanField(default=False, help_text='Whether addresses that name no profile, such as /cgi-bin/pkiclient.exe, lead here.')),
                ('max_failed_per_address', models.PositiveIntegerField(default=20, help_text='So many failed challenges of one address in 10 minutes lock it for 15; 0: never.')),
                ('max_failed_challenges', models.PositiveIntegerField(default=500, help_text='So many failed challenges in 10 minutes, of all addresses, lock the profile for challenges that could be guessed; many failures of others raise an alarm. 0: never.')),
                ('lock_exempt_networks', models.JSONField(blank=True, default=list, help_text="Networks that are never locked, as that of an MDM's proxy.")),
                ('paused_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('is_test', models.BooleanField(default=False, editable=False)),
                ('for_self_test', models.BooleanField(default=False, editable=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(editable=False)),
                ('ca', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='enrollment_profiles', to='ca.certificateauthority')),
                ('certificate_profile', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='enrollment_profiles', to='ca.certificateprofile')),
                ('department', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='accounts.department')),
            ],
        ),
        migrations.CreateModel(
            name='EnrollmentRequest',
            fields=[
                ('id', models.UUIDField(default=database.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('state', models.CharField(choices=[(approvals.rules.states.State['PENDING'], 'pending'), (approvals.rules.states.State['APPROVED'], 'approved'), (approvals.rules.states.State['ISSUING'], 'issuing'), (approvals.rules.states.State['ISSUED'], 'issued'), (approvals.rules.states.State['REJECTED'], 'rejected'), (approvals.rules.states.State['EXPIRED'], 'expired'), ('WITHDRAWN', 'withdrawn'), (approvals.rules.states.State['FAILED'], 'failed')], default=approvals.rules.states.State['PENDING'], max_length=9)),
                ('version', models.PositiveIntegerField(default=1)),
                ('round', models.PositiveIntegerField(default=1)),
                ('csr', models.BinaryField()),
                ('csr_sha256', models.CharField(max_length=64)),
                ('csr_spki_sha256', models.CharField(max_length=64)),
                ('signer_spki_sha256', models.CharField(max_length=64)),
                ('signer_certificate', models.BinaryField()),
                ('content_sha256', models.CharField(max_length=64)),
                ('subject', models.CharField(max_length=1000)),
                ('common_name', models.CharField(blank=True, max_length=255)),
                ('names', models.JSONField(default=list)),
                ('key_description', models.CharField(max_length=40)),
                ('findings', models.JSONField(default=list)),
                ('transaction_id', models.CharField(max_length=255)),
                ('address', models.CharField(max_length=45)),
                ('network', models.CharField(blank=True, default='', max_length=45)),
                ('client', models.CharField(blank=True, max_length=200)),
                ('challenge', models.CharField(choices=[('none', 'no challenge'), ('static', 'one static challenge'), ('one-time', 'one-time challenges'), ('webhook', 'checked by a signed webhook'), ('intune', 'checked by Microsoft Intune')], max_length=10)),
                ('submitted_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('decided_at', models.DateTimeField(null=True)),
                ('effective_at', models.DateTimeField(null=True)),
                ('reason', models.TextField(blank=True)),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('lease_until', models.DateTimeField(null=True)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('quarantined_at', models.DateTimeField(null=True)),
                ('last_fault', models.CharField(blank=True, max_length=500)),
                ('finished_at', models.DateTimeField(null=True)),
                ('ca', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ca.certificateauthority')),
                ('certificate', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ca.certificate')),
            ],
        ),
        migrations.CreateModel(
            name='Lease',
            fields=[
                ('name', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('held_until', models.DateTimeField()),
                ('last_run_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Pulse',
            fields=[
                ('name', models.CharField(max_length=120, primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('version', models.CharField(blank=True, max_length=40)),
            ],
        ),
        migrations.CreateModel(
            name='SecretFingerprint',
            fields=[
                ('name', models.CharField(max_length=40, primary_key=True, serialize=False)),
                ('salt', models.BinaryField()),
                ('digest', models.BinaryField()),
                ('machine', models.CharField(blank=True, max_length=255)),
                ('recorded_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='ApiOrder',
            fields=[
                ('id', models.UUIDField(default=database.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('key_sha256', models.CharField(max_length=64, null=True)),
                ('content_sha256', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField()),
                ('token', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='orders', to='accounts.apitoken')),
            ],
        ),
        migrations.CreateModel(
            name='DeviceGroup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slug', models.SlugField(unique=True)),
                ('created_at', models.DateTimeField(editable=False)),
                ('department', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='accounts.department')),
            ],
        ),
        migrations.CreateModel(
            name='ValidationService',
            fields=[
                ('profile', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='validation_service', serialize=False, to='approvals.enrollmentprofile')),
                ('kind', models.CharField(choices=[('webhook', 'signed webhook'), ('intune', 'Microsoft Intune')], max_length=10)),
                ('url', models.CharField(blank=True, max_length=500)),
                ('tenant', models.CharField(blank=True, max_length=100)),
                ('client_id', models.CharField(blank=True, max_length=100)),
                ('sealed_secret', models.BinaryField()),
                ('reports', models.BooleanField(default=False)),
                ('delivers_after_report', models.BooleanField(default=False)),
                ('changed_at', models.DateTimeField()),
                ('last_answer_at', models.DateTimeField(null=True)),
                ('last_fault_at', models.DateTimeField(null=True)),
                ('last_fault', models.CharField(blank=True, max_length=300)),
                ('probe_due_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.AddField(
            model_name='enrollmentprofile',
            name='eligibility',
            field=models.ForeignKey(blank=True, help_text='Without a challenge: the expected devices; each enrolls once.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='profiles', to='approvals.devicegroup'),
        ),
        migrations.AddField(
            model_name='enrollmentprofile',
            name='owner',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.CreateModel(
            name='Alarm',
            fields=[
                ('id', models.UUIDField(default=database.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('static-old', 'a static challenge is old'), ('locked', 'challenges are not checked any more'), ('failing', 'many challenges fail'), ('attention', 'requests need attention'), ('recovered', 'requests need no attention any more')], max_length=12)),
                ('text', models.CharField(max_length=500)),
                ('created_at', models.DateTimeField()),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('outcome', models.CharField(blank=True, max_length=200)),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='approvals.enrollmentprofile')),
            ],
        ),
        migrations.CreateModel(
            name='KeptCsr',
            fields=[
                ('request', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='kept', serialize=False, to='approvals.enrollmentrequest')),
                ('sealed', models.BinaryField()),
                ('kept_until', models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name='PollRecord',
            fields=[
                ('request', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='polls', serialize=False, to='approvals.enrollmentrequest')),
                ('count', models.PositiveIntegerField(default=0)),
                ('first_at', models.DateTimeField()),
                ('last_at', models.DateTimeField()),
                ('last_address', models.CharField(max_length=45)),
            ],
        ),
        migrations.CreateModel(
            name='StaticUse',
            fields=[
                ('request', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='static_use', serialize=False, to='approvals.enrollmentrequest')),
            ],
        ),
        migrations.CreateModel(
            name='Validation',
            fields=[
                ('request', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='validation', serialize=False, to='approvals.enrollmentrequest')),
                ('kind', models.CharField(choices=[('webhook', 'signed webhook'), ('intune', 'Microsoft Intune')], max_length=10)),
                ('challenge_hash', models.CharField(max_length=64)),
                ('state', models.CharField(choices=[('waiting', 'not asked yet'), ('unreachable', 'no answer'), ('allowed', 'validated'), ('denied', 'denied')], default='waiting', max_length=11)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('lease_until', models.DateTimeField(null=True)),
                ('asked_at', models.DateTimeField(null=True)),
                ('answered_at', models.DateTimeField(null=True)),
                ('answered_by', models.CharField(blank=True, max_length=255)),
                ('code', models.CharField(blank=True, max_length=64)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('wants_officer', models.BooleanField(default=False)),
                ('fault', models.CharField(blank=True, max_length=300)),
                ('unreachable_since', models.DateTimeField(null=True)),
                ('report', models.CharField(choices=[('none', 'nothing to report'), ('owed', 'to be reported'), ('sent', 'reported'), ('given-up', 'could not be reported')], default='none', max_length=8)),
            ],
        ),
        migrations.AddField(
            model_name='enrollmentrequest',
            name='profile',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='requests', to='approvals.enrollmentprofile'),
        ),
        migrations.AddField(
            model_name='enrollmentrequest',
            name='profile_version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ca.certificateprofileversion'),
        ),
        migrations.AddField(
            model_name='enrollmentrequest',
            name='renews',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ca.certificate'),
        ),
        migrations.CreateModel(
            name='Decision',
            fields=[
                ('id', models.UUIDField(default=database.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('round', models.PositiveIntegerField()),
                ('verdict', models.CharField(choices=[('approve', 'approved'), ('reject', 'rejected')], max_length=7)),
                ('evidence', models.CharField(choices=[('session', 'signed in'), ('asserted', 'asserted, not authenticated'), ('policy', 'decided by policy')], max_length=8)),
                ('asserted_by', models.CharField(blank=True, max_length=64)),
                ('comment', models.TextField(blank=True)),
                ('account_changes', models.JSONField(default=list)),
                ('document', models.BinaryField()),
                ('document_sha256', models.CharField(max_length=64)),
                ('decided_at', models.DateTimeField()),
                ('effective_at', models.DateTimeField()),
                ('officer', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='decisions', to='approvals.enrollmentrequest')),
            ],
        ),
        migrations.CreateModel(
            name='ChallengePassword',
            fields=[
                ('id', models.UUIDField(default=database.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('keyed_hash', models.CharField(max_length=64, unique=True)),
                ('subject', models.CharField(blank=True, help_text='The common name it is bound to, if any.', max_length=255)),
                ('subject_dn', models.CharField(blank=True, help_text='The whole subject it is bound to, if any.', max_length=1000)),
                ('sans', models.JSONField(blank=True, default=list, help_text='The alternative names it is bound to, if any.')),
                ('serial_number', models.CharField(blank=True, help_text='The serialNumber it is bound to, if any.', max_length=64)),
                ('networks', models.JSONField(blank=True, default=list, help_text='The networks it is bound to, if any.')),
                ('created_at', models.DateTimeField()),
                ('created_by_name', models.CharField(blank=True, max_length=150)),
                ('created_for', models.CharField(blank=True, help_text='The person or device that it is for.', max_length=150)),
                ('origin', models.CharField(choices=[('page', 'a page'), ('command', 'a command'), ('api', 'the API'), ('ndes', 'the NDES page'), ('bulk', 'a list'), ('configuration', 'a device configuration')], default='command', max_length=13)),
                ('expires_at', models.DateTimeField()),
                ('redeemed_at', models.DateTimeField(null=True)),
                ('withdrawn_at', models.DateTimeField(null=True)),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('withdrawn_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('group', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='approvals.devicegroup')),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='challenges', to='approvals.enrollmentprofile')),
                ('redeemed_by', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='challenge_password', to='approvals.enrollmentrequest')),
            ],
        ),
        migrations.CreateModel(
            name='EnrollmentTransaction',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('transaction_id', models.CharField(max_length=255)),
                ('signer_spki_sha256', models.CharField(max_length=64)),
                ('opened_at', models.DateTimeField()),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='approvals.enrollmentprofile')),
                ('renews', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ca.certificate')),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='transactions', to='approvals.enrollmentrequest')),
            ],
        ),
        migrations.CreateModel(
            name='ExpectedDevice',
            fields=[
                ('id', models.UUIDField(default=database.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('serial_number', models.CharField(blank=True, max_length=64)),
                ('mac', models.CharField(blank=True, max_length=12)),
                ('name', models.CharField(blank=True, max_length=255)),
                ('note', models.CharField(blank=True, max_length=150)),
                ('not_before', models.DateTimeField(null=True)),
                ('not_after', models.DateTimeField(null=True)),
                ('added_at', models.DateTimeField()),
                ('used_at', models.DateTimeField(null=True)),
                ('added_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('group', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='devices', to='approvals.devicegroup')),
                ('used_by', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='expected_device', to='approvals.enrollmentrequest')),
            ],
        ),
        migrations.CreateModel(
            name='FailedChallenges',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('address', models.CharField(blank=True, max_length=45)),
                ('failures', models.PositiveIntegerField(default=1)),
                ('since', models.DateTimeField(db_index=True)),
                ('locked_until', models.DateTimeField(null=True)),
                ('quiet_until', models.DateTimeField(null=True)),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='failed_challenges', to='approvals.enrollmentprofile')),
            ],
        ),
        migrations.CreateModel(
            name='NdesAccount',
            fields=[
                ('id', models.UUIDField(default=database.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=64, unique=True)),
                ('password', models.CharField(max_length=128)),
                ('digest', models.CharField(blank=True, default='', max_length=64)),
                ('owner', models.CharField(max_length=150)),
                ('networks', models.JSONField(blank=True, default=list)),
                ('max_unused', models.PositiveSmallIntegerField(default=5, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000)])),
                ('lifetime', models.DurationField(default=datetime.timedelta(seconds=3600), validators=[django.core.validators.MinValueValidator(datetime.timedelta(seconds=60)), django.core.validators.MaxValueValidator(datetime.timedelta(days=1))])),
                ('encoding', models.CharField(choices=[('utf-16le', 'UTF-16, as Windows sends it'), ('utf-8', 'UTF-8')], default='utf-16le', max_length=8)),
                ('created_at', models.DateTimeField()),
                ('password_set_at', models.DateTimeField()),
                ('disabled_at', models.DateTimeField(null=True)),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='ndes_accounts', to='approvals.enrollmentprofile')),
            ],
        ),
        migrations.CreateModel(
            name='OutboxMessage',
            fields=[
                ('id', models.UUIDField(default=database.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(max_length=24)),
                ('created_at', models.DateTimeField()),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('outcome', models.CharField(blank=True, max_length=200)),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='approvals.enrollmentrequest')),
            ],
        ),
        migrations.CreateModel(
            name='RefusalNumber',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.CharField(db_index=True, max_length=9)),
                ('at', models.DateTimeField()),
                ('entry', models.ForeignKey(null=True, on_delete=django.db.models.deletion.RESTRICT, related_name='+', to='audit.auditentry')),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='approvals.enrollmentprofile')),
                ('request', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='approvals.enrollmentrequest')),
            ],
        ),
        migrations.CreateModel(
            name='RequestName',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=64)),
                ('profile', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='approvals.enrollmentprofile')),
                ('request', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='asked_names', to='approvals.enrollmentrequest')),
            ],
        ),
        migrations.CreateModel(
            name='RequestTerm',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('term', ca.models.certificates.TermField(max_length=255)),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='terms', to='approvals.enrollmentrequest')),
            ],
        ),
        migrations.CreateModel(
            name='StaticChallenge',
            fields=[
                ('id', models.UUIDField(default=database.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('sealed', models.BinaryField()),
                ('created_at', models.DateTimeField()),
                ('created_by_name', models.CharField(blank=True, max_length=150)),
                ('origin', models.CharField(choices=[('page', 'a page'), ('command', 'a command'), ('api', 'the API'), ('ndes', 'the NDES page'), ('bulk', 'a list'), ('configuration', 'a device configuration')], default='command', max_length=13)),
                ('retires_at', models.DateTimeField(null=True)),
                ('reminded_at', models.DateTimeField(null=True)),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='static_challenges', to='approvals.enrollmentprofile')),
            ],
        ),
        migrations.CreateModel(
            name='ApiChallenge',
            fields=[
                ('challenge', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='api_challenge', serialize=False, to='approvals.challengepassword')),
                ('order', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='challenges', to='approvals.apiorder')),
            ],
        ),
        migrations.CreateModel(
            name='NdesChallenge',
            fields=[
                ('challenge', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='ndes_challenge', serialize=False, to='approvals.challengepassword')),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='challenges', to='approvals.ndesaccount')),
            ],
        ),
        migrations.AddConstraint(
            model_name='apiorder',
            constraint=models.UniqueConstraint(fields=('token', 'key_sha256'), name='approvals_order_once_a_key'),
        ),
        migrations.AddConstraint(
            model_name='validationservice',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('client_id', ''), ('kind', 'webhook'), ('tenant', ''), models.Q(('url', ''), _negated=True)), models.Q(('kind', 'intune'), ('url', ''), models.Q(('tenant', ''), _negated=True), models.Q(('client_id', ''), _negated=True)), _connector='OR'), name='approvals_service_has_a_target'),
        ),
        migrations.AddConstraint(
            model_name='validationservice',
            constraint=models.CheckConstraint(condition=models.Q(('reports', True), ('delivers_after_report', False), _connector='OR'), name='approvals_wait_only_for_reports'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.UniqueConstraint(condition=models.Q(('is_default', True)), fields=('is_default',), name='approvals_one_default_profile', violation_error_message='Another profile is the default already: take the mark from it first.'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('challenge', 'none'), _negated=True), ('approval', 'manual'), models.Q(('eligibility__isnull', False), models.Q(('networks', []), _negated=True)), _connector='OR'), name='approvals_no_challenge_means_manual', violation_error_message='Without a challenge only manual approval is possible, or a list of expected devices together with networks.'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.CheckConstraint(condition=models.Q(('eligibility__isnull', True), ('challenge', 'none'), _connector='OR'), name='approvals_list_instead_of_challenge', violation_error_message='A list of expected devices stands instead of a challenge.'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.CheckConstraint(condition=models.Q(('name_conflicts__in', ['officer', 'refuse', 'allow'])), name='approvals_name_conflicts_known'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.CheckConstraint(condition=models.Q(('unlisted__in', ['refuse', 'officer'])), name='approvals_unlisted_known'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.CheckConstraint(condition=models.Q(('approval__in', ['manual', 'automatic'])), name='approvals_approval_known'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.CheckConstraint(condition=models.Q(('challenge__in', ['none', 'static', 'one-time', 'webhook', 'intune'])), name='approvals_challenge_known'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.CheckConstraint(condition=models.Q(('reply_chain__in', ['leaf', 'chain'])), name='approvals_reply_chain_known'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.CheckConstraint(condition=models.Q(('empty_content__in', ['octets', 'absent'])), name='approvals_empty_content_known'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.CheckConstraint(condition=models.Q(('required_approvals__gte', 1)), name='approvals_at_least_one_approval'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.CheckConstraint(condition=models.Q(('for_self_test', False), ('is_test', True), _connector='OR'), name='approvals_self_test_is_test'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.CheckConstraint(condition=models.Q(('renewal_mode__in', ['off', 'automatic', 'officer'])), name='approvals_renewal_known'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.CheckConstraint(condition=models.Q(('renewal_changed_names__in', ['refuse', 'officer'])), name='approvals_changed_names_known'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.CheckConstraint(condition=models.Q(('ca_certificates__in', ['ra+chain', 'ra+issuing', 'split+chain'])), name='approvals_ca_certificates_known'),
        ),
        migrations.AddIndex(
            model_name='alarm',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['next_attempt_at'], name='approvals_alarm_due'),
        ),
        migrations.AddField(
            model_name='staticuse',
            name='challenge',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='uses', to='approvals.staticchallenge'),
        ),
        migrations.AddIndex(
            model_name='validation',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['next_attempt_at'], name='approvals_validation_due'),
        ),
        migrations.AddIndex(
            model_name='validation',
            index=models.Index(condition=models.Q(('fault', ''), _negated=True), fields=['state'], name='approvals_validation_faulty'),
        ),
        migrations.AddConstraint(
            model_name='validation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('answered_at__isnull', True), ('state__in', ('waiting', 'unreachable'))), models.Q(('answered_at__isnull', False), ('state__in', ['allowed', 'denied'])), _connector='OR'), name='approvals_decided_means_answered'),
        ),
        migrations.AddConstraint(
            model_name='validation',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['webhook', 'intune'])), name='approvals_validation_kind'),
        ),
        migrations.AddConstraint(
            model_name='validation',
            constraint=models.CheckConstraint(condition=models.Q(('report__in', ['none', 'owed', 'sent', 'given-up'])), name='approvals_validation_report'),
        ),
        migrations.AddIndex(
            model_name='enrollmentrequest',
            index=models.Index(fields=['state', 'id'], name='approvals_request_by_state'),
        ),
        migrations.AddIndex(
            model_name='enrollmentrequest',
            index=models.Index(fields=['profile', 'state', 'id'], name='approvals_request_by_profile'),
        ),
        migrations.AddIndex(
            model_name='enrollmentrequest',
            index=models.Index(fields=['csr_spki_sha256'], name='approvals_request_by_key'),
        ),
        migrations.AddIndex(
            model_name='enrollmentrequest',
            index=models.Index(fields=['common_name', 'id'], name='approvals_request_by_name'),
        ),
        migrations.AddIndex(
            model_name='enrollmentrequest',
            index=models.Index(condition=models.Q(('state__in', [approvals.rules.states.State['APPROVED'], approvals.rules.states.State['ISSUING']])), fields=['next_attempt_at'], name='approvals_request_due'),
        ),
        migrations.AddIndex(
            model_name='enrollmentrequest',
            index=models.Index(condition=models.Q(('state__in', [approvals.rules.states.State['PENDING'], approvals.rules.states.State['FAILED']])), fields=['expires_at'], name='approvals_request_expiring'),
        ),
        migrations.AddIndex(
            model_name='enrollmentrequest',
            index=models.Index(condition=models.Q(('state__in', [approvals.rules.states.State['APPROVED'], approvals.rules.states.State['FAILED'], approvals.rules.states.State['ISSUING'], approvals.rules.states.State['PENDING']])), fields=['profile', 'network'], name='approvals_open_by_network'),
        ),
        migrations.AddIndex(
            model_name='enrollmentrequest',
            index=models.Index(condition=models.Q(('state', approvals.rules.states.State['ISSUED'])), fields=['profile', 'network'], name='approvals_issued_by_network'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentrequest',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', [approvals.rules.states.State['APPROVED'], approvals.rules.states.State['EXPIRED'], approvals.rules.states.State['FAILED'], approvals.rules.states.State['ISSUED'], approvals.rules.states.State['ISSUING'], approvals.rules.states.State['PENDING'], approvals.rules.states.State['REJECTED'], 'WITHDRAWN'])), name='approvals_state_known'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentrequest',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('certificate__isnull', False), ('state', 'ISSUED')), models.Q(models.Q(('state', 'ISSUED'), _negated=True), ('certificate__isnull', True)), _connector='OR'), name='approvals_issued_means_certificate'),
        ),
        migrations.AddConstraint(
            model_name='enrollmentrequest',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', [approvals.rules.states.State['APPROVED'], approvals.rules.states.State['FAILED'], approvals.rules.states.State['ISSUING'], approvals.rules.states.State['PENDING']])), fields=('profile', 'csr_spki_sha256'), name='approvals_one_open_request_per_key'),
        ),
        migrations.AddConstraint(
            model_name='decision',
            constraint=models.UniqueConstraint(fields=('request', 'officer', 'round'), name='approvals_one_vote_per_round'),
        ),
        migrations.AddConstraint(
            model_name='decision',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('evidence', 'policy'), ('officer__isnull', True)), models.Q(models.Q(('evidence', 'policy'), _negated=True), ('officer__isnull', False)), _connector='OR'), name='approvals_decision_has_officer'),
        ),
        migrations.AddIndex(
            model_name='challengepassword',
            index=models.Index(fields=['profile', 'id'], name='approvals_challenge_by_profile'),
        ),
        migrations.AddIndex(
            model_name='challengepassword',
            index=models.Index(fields=['subject', 'id'], name='approvals_challenge_by_name'),
        ),
        migrations.AddConstraint(
            model_name='challengepassword',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('redeemed_at__isnull', True), ('redeemed_by__isnull', True)), models.Q(('redeemed_at__isnull', False), ('redeemed_by__isnull', False)), _connector='OR'), name='approvals_redeemed_by_a_request'),
        ),
        migrations.AddConstraint(
            model_name='challengepassword',
            constraint=models.CheckConstraint(condition=models.Q(('redeemed_at__isnull', True), ('withdrawn_at__isnull', True), _connector='OR'), name='approvals_redeemed_or_withdrawn'),
        ),
        migrations.AddConstraint(
            model_name='challengepassword',
            constraint=models.CheckConstraint(condition=models.Q(('origin__in', ['page', 'command', 'api', 'ndes', 'bulk', 'configuration'])), name='approvals_challenge_origin_known'),
        ),
        migrations.AddConstraint(
            model_name='enrollmenttransaction',
            constraint=models.UniqueConstraint(condition=models.Q(('renews__isnull', True)), fields=('profile', 'transaction_id', 'signer_spki_sha256'), name='approvals_transaction_once'),
        ),
        migrations.AddConstraint(
            model_name='enrollmenttransaction',
            constraint=models.UniqueConstraint(fields=('profile', 'transaction_id', 'signer_spki_sha256', 'renews'), name='approvals_renewal_once'),
        ),
        migrations.AddIndex(
            model_name='expecteddevice',
            index=models.Index(fields=['group', 'name'], name='approvals_expected_by_name'),
        ),
        migrations.AddIndex(
            model_name='expecteddevice',
            index=models.Index(fields=['group', 'mac'], name='approvals_expected_by_mac'),
        ),
        migrations.AddIndex(
            model_name='expecteddevice',
            index=models.Index(condition=models.Q(('used_at__isnull', True)), fields=['group', 'id'], name='approvals_expected_silent'),
        ),
        migrations.AddConstraint(
            model_name='expecteddevice',
            constraint=models.UniqueConstraint(fields=('group', 'serial_number', 'mac', 'name'), name='approvals_expected_once'),
        ),
        migrations.AddConstraint(
            model_name='expecteddevice',
            constraint=models.CheckConstraint(condition=models.Q(('mac', ''), ('name', ''), ('serial_number', ''), _negated=True), name='approvals_expected_is_known_by_something'),
        ),
        migrations.AddConstraint(
            model_name='expecteddevice',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('used_at__isnull', True), ('used_by__isnull', True)), models.Q(('used_at__isnull', False), ('used_by__isnull', False)), _connector='OR'), name='approvals_expected_used_by_a_request'),
        ),
        migrations.AddConstraint(
            model_name='failedchallenges',
            constraint=models.UniqueConstraint(fields=('profile', 'address'), name='approvals_failures_once'),
        ),
        migrations.AddConstraint(
            model_name='ndesaccount',
            constraint=models.CheckConstraint(condition=models.Q(('max_unused__gte', 1)), name='approvals_ndes_at_least_one_unused'),
        ),
        migrations.AddConstraint(
            model_name='ndesaccount',
            constraint=models.CheckConstraint(condition=models.Q(('encoding__in', ['utf-16le', 'utf-8'])), name='approvals_ndes_encoding_known'),
        ),
        migrations.AddIndex(
            model_name='outboxmessage',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['next_attempt_at'], name='approvals_outbox_due'),
        ),
        migrations.AddIndex(
            model_name='outboxmessage',
            index=models.Index(fields=['request'], name='approvals_outbox_by_request'),
        ),
        migrations.AddIndex(
            model_name='requestname',
            index=models.Index(fields=['profile', 'name'], name='approvals_name_by_profile'),
        ),
        migrations.AddConstraint(
            model_name='requestname',
            constraint=models.UniqueConstraint(fields=('request', 'name'), name='approvals_name_once'),
        ),
        migrations.AddConstraint(
            model_name='requestterm',
            constraint=models.UniqueConstraint(fields=('term', 'request'), name='approvals_term_once'),
        ),
        migrations.AddConstraint(
            model_name='staticchallenge',
            constraint=models.UniqueConstraint(condition=models.Q(('retires_at__isnull', True)), fields=('profile',), name='approvals_one_static_challenge'),
        ),
        migrations.AddIndex(
            model_name='staticuse',
            index=models.Index(fields=['challenge', 'request'], name='approvals_static_uses'),
        ),
    ]
