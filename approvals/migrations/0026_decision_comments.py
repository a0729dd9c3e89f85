"""Comments on decisions get a table of their own, whose rows can be deleted.

Documents of version 1 have an unsalted digest of the comment, so what is moved has an empty salt.
"""

from collections.abc import Iterator
from typing import Any

import django.db.models.deletion
from django.db import migrations, models

_CHUNK = 500


def move(apps: Any, schema_editor: Any) -> None:
    using = schema_editor.connection.alias
    decision = apps.get_model("approvals", "Decision").objects.using(using)
    comment = apps.get_model("approvals", "DecisionComment")

    def rows() -> Iterator[Any]:
        written = decision.exclude(comment="").order_by("pk").values_list("pk", "comment")
        for key, text in written.iterator(chunk_size=_CHUNK):
            yield comment(decision_id=key, salt=b"", text=text)

    comment.objects.using(using).bulk_create(rows(), batch_size=_CHUNK)


class Migration(migrations.Migration):
    dependencies = [("approvals", "0025_evidence_of_principals")]

    operations = [
        migrations.CreateModel(
            name="DecisionComment",
            fields=[
                (
                    "decision",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="written",
                        serialize=False,
                        to="approvals.decision",
                    ),
                ),
                ("salt", models.BinaryField(max_length=16)),
                ("text", models.TextField()),
            ],
        ),
        migrations.RunPython(move, elidable=False),
        migrations.RemoveField(model_name="decision", name="comment"),
    ]
