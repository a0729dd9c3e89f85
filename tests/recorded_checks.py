"""What a check constraint said of the same values, asked of the database once per process.

Django compiles a query for each check constraint of a row that it validates, 1 ms each; a profile
has 13 of them, and the tests save profiles in thousands. A constraint that passed for the values of
the fields that it names passes for the same values again.

Only passes are kept. A failure is asked again and raised as in the product, and the database itself
judges each row by the same constraint when it is written. What this cannot show is a constraint
whose answer changes with something else than its row, as with the time; no model has one.
"""

from typing import Any, Final

from django.db.models import CheckConstraint, Model

_passed: Final[set[tuple[object, ...]]] = set()
_validate: Final = CheckConstraint.validate


def validate_once(
    constraint: CheckConstraint,
    model: type[Model],
    instance: Model,
    exclude: Any = None,
    using: str = "default",
) -> None:
    """Validate as `CheckConstraint.validate` does, unless the same values passed before."""
    condition: Any = constraint.condition
    fields: list[Any] = [
        model._meta.get_field(name) for name in sorted(condition.referenced_base_fields)
    ]
    values = [getattr(instance, field.attname) for field in fields]
    key = (using, model, constraint.name, *sorted(exclude or ()), *map(repr, values))
    if key not in _passed:
        _validate(constraint, model, instance, exclude=exclude, using=using)
        _passed.add(key)
