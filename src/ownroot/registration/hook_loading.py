"""Finding a customer's hooks: modules named on the command line, and packages that announce themselves."""

import importlib
import importlib.metadata
import importlib.util
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from ownroot.errors import InvalidInputError
from ownroot.registration.hooks import AfterSigning, BeforeSigning

Function = TypeVar("Function")

ENTRY_POINTS = "ownroot.registration"


@dataclass(frozen=True, slots=True)
class Named(Generic[Function]):
    """A hook and the module it comes from."""

    name: str
    call: Function


@dataclass(frozen=True, slots=True)
class Hooks:
    """All hooks of a site, in the order they are asked."""

    before_signing: tuple[Named[BeforeSigning], ...] = ()
    after_signing: tuple[Named[AfterSigning], ...] = ()


def load_hooks(named: Sequence[str]) -> Hooks:
    """Load the modules named by the operator, then those of installed packages.

    Args:
        named: modules (`my_line.hooks`) or files (`./my_hooks.py`).
    Raises:
        InvalidInputError: `hooks-unusable`: a module cannot be imported or holds no hook. A server that was to ask
            somebody first must not start without them.
    """
    modules = {text: _import(text) for text in named}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        modules.setdefault(point.value, _import(point.value))
    return Hooks(tuple(_functions(modules, "before_signing")), tuple(_functions(modules, "after_signing")))


def _functions(modules: Mapping[str, ModuleType], attribute: str) -> Iterator[Named[Any]]:
    for name, module in modules.items():
        if (function := getattr(module, attribute, None)) is not None:
            yield Named(name, function)


def _import(text: str) -> ModuleType:
    try:
        module = _import_file(Path(text)) if text.endswith(".py") else importlib.import_module(text)
    except Exception as exc:  # a customer's module may raise whatever it likes
        raise _unusable(text, f"it cannot be imported: {type(exc).__name__}: {exc}") from exc
    hooks = [getattr(module, name, None) for name in ("before_signing", "after_signing")]
    if not any(hooks):
        raise _unusable(text, "it defines neither before_signing nor after_signing")
    if not all(callable(hook) for hook in hooks if hook is not None):
        raise _unusable(text, "its before_signing and after_signing must be functions")
    if not all(_takes_one(hook) for hook in hooks if hook is not None):
        raise _unusable(text, "its before_signing and after_signing must take one argument, the device")
    return module


def _takes_one(hook: Callable[..., object]) -> bool:
    try:
        inspect.signature(hook).bind(None)
    except TypeError:
        return False
    except ValueError:  # written in C, and says nothing about itself
        return True
    return True


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _unusable(text: str, why: str) -> InvalidInputError:
    return InvalidInputError("hooks-unusable", f"The hooks of {text} cannot be used: {why}.")
