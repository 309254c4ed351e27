"""What compiled code must not contain: mypyc accepts it, and it then does something else than Python does."""

from __future__ import annotations

import ast
import os
import signal
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from flexipy import compilation
from flexipy.proxy.pipeline import Pipeline

ROOT = Path(__file__).resolve().parents[2]


def hot_files() -> list[str]:
    for statement in ast.parse((ROOT / "packaging/compiling.py").read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "HOT":
            return list(chain.from_iterable(ast.literal_eval(statement.value).values()))
    raise AssertionError("no list of hot files")


def nodes(path: str, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
    return (node for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, kinds))


@pytest.mark.parametrize("path", hot_files())
def test_a_name_stands_for_one_type_of_exception(path: str) -> None:
    """The second handler would raise TypeError: the name has the type of the first."""
    for function in nodes(path, ast.FunctionDef, ast.AsyncFunctionDef):
        types: dict[str, str] = {}
        for handler in ast.walk(function):
            if isinstance(handler, ast.ExceptHandler) and handler.name and handler.type:
                caught = ast.unparse(handler.type)
                assert types.setdefault(handler.name, caught) == caught, f"{path}:{handler.lineno}"


@pytest.mark.parametrize("path", hot_files())
def test_exceptions_have_no_properties(path: str) -> None:
    """Reading one would crash the process: exceptions have no table of methods."""
    for class_ in nodes(path, ast.ClassDef):
        assert isinstance(class_, ast.ClassDef)
        if any(ast.unparse(base).endswith(("Error", "Exception")) for base in class_.bases):
            decorators = [
                ast.unparse(d) for f in class_.body if isinstance(f, ast.FunctionDef) for d in f.decorator_list
            ]
            assert "property" not in decorators, f"{path}: {class_.name}"


def test_no_compiled_file_lies_beside_the_source() -> None:
    assert [path for room in ("flexipy", "modules") for path in (ROOT / room).rglob("*.so")] == []


def test_what_is_said_is_what_runs() -> None:
    compiled = type(Pipeline.run).__name__ != "function"
    assert compilation.describe().startswith("compiled" if compiled else "interpreted (")


def test_a_translator_that_is_killed_leaves_an_installation_that_is_interpreted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the kernel does it where memory runs out."""
    pytest.importorskip("setuptools")
    monkeypatch.setattr(sys, "path", [str(ROOT / "packaging"), *sys.path])
    import compiling

    monkeypatch.setattr(compiling, "_mypyc", lambda scratch, result: os.kill(os.getpid(), signal.SIGKILL))
    monkeypatch.setattr(compiling._Build, "reason", "")

    assert compiling._translate(str(tmp_path)) == []
    assert compiling._Build.reason == "mypyc failed at installation (status -9)"
