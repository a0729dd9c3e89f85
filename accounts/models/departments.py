"""Departments: a tree of any depth."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from audit.events import NO_DEPARTMENT, DepartmentRef


class Department(models.Model):
    """A part of the organization, below another one or at the top; a role or a profile may be
    limited to one.

    A role at a department counts for this department alone, not for those below it.
    """

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    parent = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="children",
        help_text="The department that this one is a part of; empty: at the top.",
    )
    path = models.TextField(editable=False)  # of names, from the top: kept by `save`

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(parent=models.F("id")), name="accounts_department_not_in_itself"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save with the paths of this department and of those below it.

        Raises ValidationError where it would be part of itself. All departments are locked, since
        two changes at once could close a circle together.
        """
        with transaction.atomic():
            tree = Tree.read(lock=True)
            self.path = path_of(self, tree)
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*kwargs["update_fields"], "path"}
            super().save(*args, **kwargs)
            tree.put(self)
            for department in Department.objects.exclude(pk=self.pk):
                path = path_of(department, tree)
                if path != department.path:
                    Department.objects.filter(pk=department.pk).update(path=path)

    def clean(self) -> None:
        """Refuse a department that would be part of itself."""
        path_of(self, Tree.read())


class Tree:
    """Name and parent of each department, by primary key."""

    def __init__(self, rows: dict[int, tuple[str, int | None]]) -> None:
        self.rows = rows

    @classmethod
    def read(cls, *, lock: bool = False) -> "Tree":
        """Return the tree as it is on record."""
        rows = Department.objects.select_for_update() if lock else Department.objects.all()
        ordered = rows.order_by("pk").values_list("pk", "name", "parent_id")
        return cls({key: (name, parent) for key, name, parent in ordered})

    def put(self, department: Department) -> None:
        """Take a department as it is now."""
        self.rows[department.pk] = (department.name, department.parent_id)


def path_of(department: Department, tree: Tree) -> str:
    """Return the names from the top to this department, with slashes between.

    Raises ValidationError for one that is part of itself.
    """
    names, above, visited = [department.name], department.parent_id, {department.pk}
    while above is not None:
        if above in visited:
            raise ValidationError(
                {"parent": f"department {department.slug}: it cannot be a part of itself"}
            )
        visited.add(above)
        name, above = tree.rows[above]
        names.append(name)
    return "/".join(reversed(names))


def department_ref(department: Department | None) -> DepartmentRef:
    """Return what an entry of the log says of a department, or of none."""
    return DepartmentRef(department.slug, department.path) if department else NO_DEPARTMENT
