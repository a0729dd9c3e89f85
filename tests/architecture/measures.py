"""Measures of the whole product: imports, sizes, words. `python -m tests.architecture.measures`.

Most measures count the modules of the packages in `pyproject.toml`, without migrations. Tests gate
some of these numbers (`test_measures.py`); the others are printed so that a change can be seen.
"""

import ast
import io
import re
import statistics
import subprocess
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
MAX_MODULE: Final = 400
MAX_FUNCTION: Final = 40
MAX_FILES: Final = 16
MAX_VAGUE: Final = 0.2
LONG_LINE: Final = 100
#: Folders that may hold more files than MAX_FILES: Django finds commands and migrations by their
#: folder, decisions are numbered.
FREE_FOLDERS: Final = re.compile(r"tests(/.*)?|docs/adr|.*/(commands|migrations)")
# fmt: off
VAGUE: Final = frozenset({
    "asked", "chosen", "found", "given", "got", "heard", "held", "kept", "known", "left", "made",
    "meant", "mine", "named", "presented", "put", "said", "seen", "shown", "taken", "told",
    "wanted",
})
# fmt: on
BANNED: Final = re.compile(
    r"\b(nobody|somebody|whoever|whom|beside|anew|of ours|no more(?! than))\b", re.IGNORECASE
)
_PRONOUNS: Final = re.compile(r"\b(nobody|somebody|whoever|whom)\b", re.IGNORECASE)
_WHAT: Final = re.compile(r"\bwhat\b", re.IGNORECASE)
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z'-]*")
#: What names the words in order to count them.
_OWN: Final = ("tests/architecture/measures.py", "tests/architecture/test_measures.py")

type_of_function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """One module of the product, read and parsed."""

    path: str
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """Dotted name; a package has the name of its folder."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the table. `limit` is empty where a number is printed and not gated."""

    name: str
    value: str
    limit: str = ""


def contracts() -> list[dict[str, Any]]:
    """Return the import contracts of `pyproject.toml`."""
    settings = _import_linter()
    return list(settings["contracts"])


def packages() -> list[str]:
    """Return the top-level packages of the product, highest floor first."""
    return list(_import_linter()["root_packages"])


@cache
def _import_linter() -> dict[str, Any]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return dict(settings["tool"]["importlinter"])


@cache
def tracked() -> tuple[str, ...]:
    """Return the paths of all files that git tracks or will track, and that exist."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(sorted(path for path in set(listed.stdout.split("\n")) if (ROOT / path).is_file()))


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of the product, migrations left out."""
    roots = set(packages())
    return tuple(
        Module(path, text, ast.parse(text))
        for path in tracked()
        if path.endswith(".py") and path.split("/")[0] in roots and "/migrations/" not in path
        for text in [(ROOT / path).read_text()]
    )


# Imports


@cache
def imports() -> dict[str, frozenset[str]]:
    """Return, for each module, the modules of the product that it imports, late imports too."""
    names = {module.name for module in modules()}
    return {
        module.name: frozenset(imported_by(module.tree, names) - {module.name})
        for module in modules()
    }


def imported_by(tree: ast.AST, names: set[str]) -> set[str]:
    """Return which of the modules a tree imports. An imported submodule is not its package."""
    imported = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                imported.add(submodule if submodule in names else node.module)
    return imported & names


def in_cycles(graph: dict[str, frozenset[str]]) -> set[str]:
    """Return the modules that can be reached from themselves."""
    return {name for name in graph if name in reachable(name, graph)}


def reachable(start: str, graph: dict[str, frozenset[str]]) -> set[str]:
    """Return the modules that one or more arrows lead to."""
    reached = set[str]()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(graph[name])
    return reached


def arrows_up() -> list[str]:
    """Return the imports that point up, or across a floor whose rooms may not import each other."""
    graph = imports()
    return [
        f"{contract['id']}: {importer} -> {imported}"
        for contract in contracts()
        if contract["type"] == "layers"
        for container in contract.get("containers", [""])
        for importer, imported in wrong_arrows(graph, container, contract["layers"])
    ]


def wrong_arrows(
    graph: dict[str, frozenset[str]], container: str, layers: list[str]
) -> Iterator[tuple[str, str]]:
    """Yield the imports between rooms of a container that its floors, top first, do not allow."""
    floors = {
        room: number
        for number, layer in enumerate(layers)
        for room in re.split(r"\s*[|:]\s*", layer)
    }
    apart = {number for number, layer in enumerate(layers) if "|" in layer}
    for importer, importeds in graph.items():
        for imported in importeds:
            above, below = room_of(importer, container), room_of(imported, container)
            if above == below or above not in floors or below not in floors:
                continue
            upper, lower = floors[above], floors[below]
            if upper > lower or (upper == lower and upper in apart):
                yield importer, imported


def room_of(name: str, container: str) -> str:
    """Return the child of a container in which a module lies, or nothing."""
    prefix = f"{container}." if container else ""
    return name.removeprefix(prefix).split(".")[0] if name.startswith(prefix) else ""


# Sizes


def functions(tree: ast.AST) -> Iterator[type_of_function]:
    """Yield all functions, including methods and inner functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(node: type_of_function) -> int:
    """Count the lines of a function's body, its docstring left out."""
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return (node.end_lineno or 0) - first.lineno + 1


def files_by_folder(paths: Iterable[str]) -> Counter[str]:
    """Count the files that lie in each folder, those in its sub-folders left out."""
    return Counter(str(Path(path).parent) for path in paths)


def crowded_folders() -> dict[str, int]:
    """Return the folders with more files than MAX_FILES, and the number of their files."""
    return {
        folder: count
        for folder, count in files_by_folder(tracked()).items()
        if count > MAX_FILES and not FREE_FOLDERS.fullmatch(folder)
    }


# Words


def bindings(tree: ast.AST) -> Iterator[str]:
    """Yield each name that is bound: assigned, a parameter, of a loop, a `with`, an `except`, a
    pattern. Names of functions, classes and imports are no bindings here.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name


@cache
def vague_bindings() -> Counter[str]:
    """Count the bindings whose names are in VAGUE: a participle instead of a noun."""
    return Counter(name for module in modules() for name in bindings(module.tree) if name in VAGUE)


def vague_share() -> float:
    """Return the share of vague bindings in all bindings, in per cent."""
    bound = sum(1 for module in modules() for _ in bindings(module.tree))
    return 100 * vague_bindings().total() / bound


def comments(text: str) -> Iterator[tokenize.TokenInfo]:
    """Yield the comments of a module."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token


def prose(module: Module) -> str:
    """Return the docstrings and comments of a module."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [
        ast.get_docstring(node) or ""
        for node in ast.walk(module.tree)
        if isinstance(node, documented)
    ]
    return "\n".join([*docstrings, *(token.string for token in comments(module.text))])


def banned_words() -> dict[str, Counter[str]]:
    """Count the banned words by file, in four groups.

    Of modules the whole text counts: docstrings, comments and the texts that people read. Of the
    change log only what is not yet released counts.
    """
    groups: dict[str, Counter[str]] = {
        group: Counter() for group in ("modules", "pages", "documents", "tests")
    }
    for path, _ in banned_places():
        groups[_group(path)][path] += 1
    return groups


@cache
def banned_places() -> tuple[tuple[str, str], ...]:
    """Return the file and the text of each line with a banned word, once for each word in it."""
    return tuple(
        (path, line.strip())
        for path in tracked()
        if _group(path)
        for line in _current_text(path).splitlines()
        for _ in BANNED.findall(line)
    )


def _current_text(path: str) -> str:
    text = (ROOT / path).read_text()
    return unreleased(text) if path == "CHANGELOG.md" else text


def _group(path: str) -> str:
    top = path.split("/", maxsplit=1)[0]
    if top in packages() and path.endswith(".py"):
        return "modules"
    if top in ("templates", "static"):
        return "pages"
    if path.endswith(".md"):
        return "documents"
    return "tests" if top == "tests" and path.endswith(".py") and path not in _OWN else ""


def unreleased(changes: str) -> str:
    """Return the sections of a change log whose version is not yet released."""
    sections = re.split(r"^(?=## )", changes, flags=re.MULTILINE)
    return "".join(text for text in sections if "(unreleased)" in text.split("\n")[0])


# The table


def spread(numbers: list[int]) -> str:
    """Return median, ninth decile and maximum."""
    decile = statistics.quantiles(numbers, n=10)[-1]
    return f"{statistics.median(numbers):.0f} / {decile:.0f} / {max(numbers)}"


def table() -> list[Measure]:
    """Return all measures."""
    return [*_structure(), *_words()]


def _structure() -> Iterator[Measure]:
    yield Measure(
        "modules in an import cycle", f"{len(in_cycles(imports()))} of {len(modules())}", "0"
    )
    yield Measure("imports that point up", f"{len(arrows_up())}", "0")
    lines = [len(module.text.splitlines()) for module in modules()]
    yield Measure("lines a module, median / p90 / max", spread(lines), f"max {MAX_MODULE}")
    bodies = [body_lines(node) for module in modules() for node in functions(module.tree)]
    yield Measure("lines a function, median / p90 / max", spread(bodies), f"max {MAX_FUNCTION}")
    counts = files_by_folder(path for path in tracked() if not _is_free(path))
    folder, most = counts.most_common(1)[0]
    yield Measure("most files in one folder", f"{most} ({folder})", f"{MAX_FILES}")


def _is_free(path: str) -> bool:
    return FREE_FOLDERS.fullmatch(str(Path(path).parent)) is not None


def _words() -> Iterator[Measure]:
    every = [line for module in modules() for line in module.text.splitlines()]
    remarks = [line for line in every if line.lstrip().startswith("#")]
    yield Measure("lines with a comment alone, %", f"{100 * len(remarks) / len(every):.1f}")
    yield Measure("vague bindings, %", f"{vague_share():.2f}", f"{MAX_VAGUE}")
    text = "\n".join(prose(module) for module in modules())
    words = len(_WORD.findall(text))
    for name, pattern in (("what", _WHAT), ("nobody, somebody, whoever, whom", _PRONOUNS)):
        count = 10_000 * len(pattern.findall(text)) / words
        yield Measure(f"{name} per 10,000 words of docstrings and comments", f"{count:.1f}")
    long = sum(1 for line in every if len(line) > LONG_LINE)
    yield Measure(f"lines over {LONG_LINE} characters, %", f"{100 * long / len(every):.2f}")
    for group, counts in banned_words().items():
        yield Measure(f"banned words in {group}", f"{counts.total()}", "0")


def aligned(measures: list[Measure]) -> list[str]:
    """Return measures as the lines of a table."""
    rows = [("", "value", "limit"), *((row.name, row.value, row.limit) for row in measures)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def main() -> None:
    """Print the table."""
    print("\n".join(aligned(table())))  # noqa: T201 - a command for a terminal


if __name__ == "__main__":
    main()
