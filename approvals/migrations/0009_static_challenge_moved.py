from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0008_static_challenges'),
    ]

    operations = [
        migrations.RemoveField('enrollmentprofile', 'static_challenge'),
    ]
