from django.conf import settings
from django.db import migrations, models
import django.db.models.deletion


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('approvals', '0003_kept_csr'),
    ]

    operations = [
        # It held who made the challenge; from now on it says whom it was made for.
        migrations.RenameField('challengepassword', 'created_for', 'created_by_name'),
        migrations.AddField(
            model_name='challengepassword',
            name='created_for',
            field=models.CharField(blank=True, help_text='Whom or what it was made for.', max_length=150),
        ),
        migrations.AddField(
            model_name='challengepassword',
            name='networks',
            field=models.JSONField(blank=True, default=list, help_text='The networks it is bound to, if any.'),
        ),
        migrations.AddField(
            model_name='challengepassword',
            name='origin',
            field=models.CharField(choices=[('page', 'a page'), ('command', 'a command'), ('api', 'the API'), ('ndes', 'the NDES page'), ('bulk', 'a list'), ('configuration', 'a device configuration')], default='command', max_length=13),
        ),
        migrations.AddField(
            model_name='challengepassword',
            name='sans',
            field=models.JSONField(blank=True, default=list, help_text='The alternative names it is bound to, if any.'),
        ),
        migrations.AddField(
            model_name='challengepassword',
            name='subject_dn',
            field=models.CharField(blank=True, help_text='The whole subject it is bound to, if any.', max_length=1000),
        ),
        migrations.AddField(
            model_name='challengepassword',
            name='withdrawn_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='challengepassword',
            name='withdrawn_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='challengepassword',
            constraint=models.CheckConstraint(condition=models.Q(('redeemed_at__isnull', True), ('withdrawn_at__isnull', True), _connector='OR'), name='approvals_redeemed_or_withdrawn'),
        ),
        migrations.AddConstraint(
            model_name='challengepassword',
            constraint=models.CheckConstraint(condition=models.Q(('origin__in', ['page', 'command', 'api', 'ndes', 'bulk', 'configuration'])), name='approvals_challenge_origin_known'),
        ),
    ]
