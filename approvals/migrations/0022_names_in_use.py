"""Names that two keys ask for: profiles that are there keep what they do today, new ones let an officer decide."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_sessions'),
        ('approvals', '0021_refusal_numbers'),
        ('ca', '0005_blocked_keys'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='RequestName',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=64)),
            ],
        ),
        migrations.AddField(
            model_name='enrollmentprofile',
            name='name_conflicts',
            field=models.CharField(choices=[('officer', 'an officer decides'), ('refuse', 'a refusal'), ('allow', 'a remark only')], default='allow', help_text='For a name that waits, or is active, with another key. A renewal is no other key.', max_length=7),
        ),
        migrations.AlterField(
            model_name='enrollmentprofile',
            name='name_conflicts',
            field=models.CharField(choices=[('officer', 'an officer decides'), ('refuse', 'a refusal'), ('allow', 'a remark only')], default='officer', help_text='For a name that waits, or is active, with another key. A renewal is no other key.', max_length=7),
        ),
        migrations.AddConstraint(
            model_name='enrollmentprofile',
            constraint=models.CheckConstraint(condition=models.Q(('name_conflicts__in', ['officer', 'refuse', 'allow'])), name='approvals_name_conflicts_known'),
        ),
        migrations.AddField(
            model_name='requestname',
            name='profile',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='approvals.enrollmentprofile'),
        ),
        migrations.AddField(
            model_name='requestname',
            name='request',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='asked_names', db_index=False, to='approvals.enrollmentrequest'),
        ),
        migrations.AddIndex(
            model_name='requestname',
            index=models.Index(fields=['profile', 'name'], name='approvals_name_by_profile'),
        ),
        migrations.AddConstraint(
            model_name='requestname',
            constraint=models.UniqueConstraint(fields=('request', 'name'), name='approvals_name_once'),
        ),
    ]
