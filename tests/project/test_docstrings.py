"""Docstrings agree with the code below them: parameters, shapes and types of arrays, and errors."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from daskals import types
from tests.cases.sources import trees

SECTION_FROM = 5
"""So many parameters need a section; below, the summary may tell them, and a section, if there, tells all."""

ARRAYS = {"NDArray", "ndarray"} | {
    name for name in vars(types) if re.fullmatch(r"(Float|Int|UInt)\d+|FactorRows", name)
}
TYPED = ARRAYS - {"NDArray", "ndarray"}
"""Aliases that tell their type; an `NDArray[np.bool_]` tells it too."""

SHAPE = re.compile(
    r"\([\w·+* |\[\]]*,[^()]*\)|\bshape\b|\b(?:one|a row) (?:a|an)\b|\beach\b",
    re.IGNORECASE,
)
"""How a shape is told: `(users, rank)`, `(ratings,)`, "one an item", or what each element or row is."""

DTYPE = re.compile(r"\b(?:bool|u?int\d+|float\d+|dtype)\b")
OUTSIDE = {"BotoCoreError"}
"""Errors of libraries that pass through."""


@dataclass(frozen=True)
class Function:
    """A public function or method."""

    module: str
    name: str
    node: ast.FunctionDef
    bound: bool

    @cached_property
    def doc(self) -> str:
        return ast.get_docstring(self.node) or ""

    @cached_property
    def sections(self) -> dict[str, str]:
        parts = re.split(r"^(\w+)\n-{3,}\n", self.doc, flags=re.MULTILINE)
        return dict(zip(parts[1::2], parts[2::2], strict=True))

    @cached_property
    def parameters(self) -> dict[str, ast.arg]:
        own = self.node.args
        listed = [*own.posonlyargs, *own.args][1 if self.bound else 0 :] + own.kwonlyargs
        listed += [arg for arg in (own.vararg, own.kwarg) if arg is not None]
        return {arg.arg: arg for arg in listed}

    @cached_property
    def documented(self) -> dict[str, str]:
        """Texts of the Parameters section, by name."""
        return {
            name.strip().lstrip("*"): text
            for names, text in entries(self.sections.get("Parameters", ""))
            for name in names.split(",")
        }


def entries(section: str) -> Iterator[tuple[str, str]]:
    """Part a section into its heads, which are not indented, and what stands below each."""
    parts = re.split(r"^(\S.*)\n", section + "\n", flags=re.MULTILINE)
    yield from zip(parts[1::2], parts[2::2], strict=True)


def decorated(node: ast.FunctionDef, *names: str) -> bool:
    return any(name in ast.unparse(item) for item in node.decorator_list for name in names)


def functions(module: str, tree: ast.Module) -> Iterator[Function]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield Function(module, node.name, node, bound=False)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    bound = not decorated(method, "staticmethod")
                    yield Function(module, f"{node.name}.{method.name}", method, bound)


@cache
def held() -> dict[str, list[Function]]:
    """Return the public functions of every module."""
    return {module: list(functions(module, tree)) for module, tree in trees("daskals").items()}


def faults(check: Callable[[Function], Iterable[str]]) -> dict[str, list[str]]:
    """Return what a check finds wrong, by module: one test of all costs a tenth of one a module."""
    found = {
        module: [fault for function in own for fault in check(function)] for module, own in held().items()
    }
    return {module: wrong for module, wrong in found.items() if wrong}


def arrays_in(annotation: ast.expr | None) -> tuple[bool, bool]:
    """Tell whether an annotation is an array (or several), and whether it tells the type of all."""
    names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)} if annotation else set()
    text = ast.unparse(annotation) if annotation else ""
    found = names & ARRAYS or "np.ndarray" in text
    container = re.match(r"(Callable|Iterator|Iterable|Mapping|dict|list|Sequence)\b", text)
    untyped = "NDArray[Any]" in text
    return bool(found) and not container, not untyped


def test_modules_are_held() -> None:
    assert sum(map(len, held().values())) > 1000


def other_parameters(function: Function) -> Iterator[str]:
    """Tell where a docstring's parameters are not those of the signature."""
    told, own = list(function.documented), list(function.parameters)
    if (told or len(own) >= SECTION_FROM) and told != own:
        yield f"{function.name}: the docstring tells {told}, the signature {own}"


def test_parameters_are_the_signatures() -> None:
    assert faults(other_parameters) == {}


def untold_arrays(function: Function) -> Iterator[str]:
    """Name what a function's docstring leaves out about its arrays."""
    documented = function.documented
    told = {
        name: (arg.annotation, documented.get(name, "") if documented else function.doc)
        for name, arg in function.parameters.items()
    }
    is_property = decorated(function.node, "property")
    returns = function.sections.get("Returns") or function.sections.get("Yields")
    told["returns"] = (function.node.returns, returns if returns and not is_property else function.doc)
    for name, (annotation, text) in told.items():
        is_array, typed = arrays_in(annotation)
        if is_array and not SHAPE.search(text):
            yield f"{function.name}: {name} has no shape"
        if is_array and not typed and not DTYPE.search(text):
            yield f"{function.name}: {name} has no type"


def test_arrays_have_shape_and_type() -> None:
    assert faults(untold_arrays) == {}


def raised_in(node: ast.AST) -> set[str]:
    """Names of the errors that a piece of code raises, without what functions inside it raise."""
    found = set()
    pending = list(ast.iter_child_nodes(node))
    while pending:
        child = pending.pop()
        if isinstance(child, ast.FunctionDef | ast.Lambda):
            continue
        pending += ast.iter_child_nodes(child)
        if isinstance(child, ast.Raise) and child.exc is not None:
            name = re.match(r"(\w+)\b(?:\.\w+)*\(", ast.unparse(child.exc))
            if name and name[1].endswith(("Error", "Interrupt")):
                found.add(name[1])
    return found


@cache
def imports_of(module: str) -> set[str]:
    known = trees("daskals")
    return {
        node.module
        for node in ast.walk(known[module])
        if isinstance(node, ast.ImportFrom) and node.module in known
    }


@cache
def reachable(module: str) -> set[str]:
    """Return a module and all that it imports, and they in turn."""
    found, pending = set(), [module]
    while pending:
        current = pending.pop()
        if current not in found:
            found.add(current)
            pending += imports_of(current)
    return found


@cache
def made(module: str) -> set[str]:
    """Return the errors made in a module, to be raised there or by who asked for them."""
    return {
        name.id
        for node in ast.walk(trees("daskals")[module])
        if isinstance(node, ast.Call)
        for name in ast.walk(node.func)
        if isinstance(name, ast.Name) and name.id.endswith("Error")
    }


@cache
def and_bases(error: str) -> set[str]:
    bases = {
        base.id
        for node in trees("daskals")["daskals.errors"].body
        if isinstance(node, ast.ClassDef) and node.name == error
        for base in node.bases
        if isinstance(base, ast.Name)
    }
    return {error}.union(*(and_bases(base) for base in bases))


BUILTIN = {"OSError", "MemoryError"} & set(vars(builtins))


@cache
def possible_errors(module: str) -> set[str]:
    """Return the errors that a module and all it imports can make, and their bases."""
    return {base for reached in reachable(module) for error in made(reached) for base in and_bases(error)}


def error_faults(function: Function) -> Iterator[str]:
    """Name the errors that a docstring tells and the code does not raise, and the reverse."""
    told = {
        name.strip() for names, _ in entries(function.sections.get("Raises", "")) for name in names.split(",")
    }
    if never := told - possible_errors(function.module) - BUILTIN - OUTSIDE:
        yield f"{function.name} tells {sorted(never)}, which nothing raises"
    mentioned = told | set(re.findall(r"\b\w+Error\b", function.doc))
    if unsaid := {error for error in raised_in(function.node) if not and_bases(error) & mentioned}:
        yield f"{function.name} raises {sorted(unsaid)}, which the docstring does not tell"


def test_errors_are_those_raised() -> None:
    assert faults(error_faults) == {}
