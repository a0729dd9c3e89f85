"""The words of settings stand in `approvals.profiles.settings`; the table stays as it is."""

import datetime
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0031_challenge_purpose'),
    ]

    operations = [
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='allow_asserted_decisions',
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='eligibility',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='profiles', to='approvals.devicegroup'),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='is_default',
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='legacy_algorithms',
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='lock_exempt_networks',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='max_clock_skew',
            field=models.DurationField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(datetime.timedelta(seconds=60))]),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='max_failed_challenges',
            field=models.PositiveIntegerField(default=500),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='max_failed_per_address',
            field=models.PositiveIntegerField(default=20),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='name_conflicts',
            field=models.CharField(choices=[('officer', 'an officer decides'), ('refuse', 'a refusal'), ('allow', 'a remark only')], default='officer', max_length=7),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='networks',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='refuse_after_account_change',
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='refused_ttl',
            field=models.DurationField(),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='renewal_grace',
            field=models.DurationField(default=datetime.timedelta(0), validators=[django.core.validators.MinValueValidator(datetime.timedelta(0))]),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='renewal_key_reuse',
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='renewal_window',
            field=models.DurationField(default=datetime.timedelta(days=30), validators=[django.core.validators.MinValueValidator(datetime.timedelta(0))]),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='request_ttl',
            field=models.DurationField(),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='undo_window',
            field=models.DurationField(default=datetime.timedelta(0)),
        ),
    ]
