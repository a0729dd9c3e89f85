"""Definitions in Python files, found by dotted name, changed in the form of `ast.unparse`.

Line breaks, quotes, comments, trailing commas and needless parentheses of the source are not part
of that form, so a change written in it still fits after the source was formatted otherwise.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_DEFINITIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BLOCKS: Final = (ast.stmt, ast.excepthandler, ast.match_case)


def split(definition: str, root: Path) -> tuple[str, str]:
    """Return the file of a definition below `root`, and its name there ("" for the module)."""
    parts = definition.split(".")
    for count in range(len(parts), 0, -1):
        module = "/".join(parts[:count])
        for file in (f"{module}.py", f"{module}/__init__.py"):
            if (root / file).is_file():
                return file, ".".join(parts[count:])
    raise ValueError(f"{definition}: there is no such module")


def canonical(definition: str, root: Path) -> str:
    """Return the text of a definition as changes are written in it.

    Raises ValueError unless it is there once.
    """
    _, block, place = _read(definition, root)
    return ast.unparse(ast.Module(block[place], []))


def change(definition: str, old: str, new: str, root: Path) -> str:
    """Return the whole file in canonical form, with `new` for `old` in the definition.

    Raises ValueError unless the definition is there once and the old text once in it.
    """
    tree, block, place = _read(definition, root)
    text = ast.unparse(ast.Module(block[place], []))
    if text.count(old) != 1:
        raise ValueError(f"{definition}: the old text is there {text.count(old)} times, not once")
    block[place] = ast.parse(text.replace(old, new)).body
    changed = ast.unparse(tree)
    compile(changed, definition, "exec")
    return changed


def _read(definition: str, root: Path) -> tuple[ast.Module, list[ast.stmt], slice]:
    """Return the module of a definition, the block that holds it, and its place there."""
    file, name = split(definition, root)
    tree = ast.parse((root / file).read_text())
    places = list(_find(tree, name)) if name else [(tree.body, slice(None))]
    if len(places) != 1:
        raise ValueError(f"{definition}: it is there {len(places)} times, not once")
    return tree, *places[0]


def _find(scope: ast.AST, name: str) -> Iterator[tuple[list[ast.stmt], slice]]:
    """Yield each statement that defines the name, as a block of statements and the place in it."""
    first, _, rest = name.partition(".")
    for block, statement in _statements(scope):
        if first in _names(statement):
            if not rest:
                place = block.index(statement)
                yield block, slice(place, place + 1)
            elif isinstance(statement, _DEFINITIONS):
                yield from _find(statement, rest)


def _statements(scope: ast.AST) -> Iterator[tuple[list[ast.stmt], ast.stmt]]:
    """Yield each statement of a scope with its block, also below `if` and `try`.

    Statements of inner definitions are left out.
    """
    for _, block in ast.iter_fields(scope):
        for child in block if isinstance(block, list) else ():
            if isinstance(child, ast.stmt):
                yield block, child
            if isinstance(child, _BLOCKS) and not isinstance(child, _DEFINITIONS):
                yield from _statements(child)


def _names(statement: ast.stmt) -> set[str]:
    """Return the names a statement defines: of a function or class, or assigned ones."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {statement.name}
        case ast.Assign(targets=targets):
            nodes = [
                node
                for target in targets
                for node in ast.walk(target)
                if isinstance(node, ast.Name)
            ]
            return {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.AugAssign(target=ast.Name(id=name)):
            return {name}
        case _:
            return set()
