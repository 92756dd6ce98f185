"""Names of a package that are imported when they are first used: `lucid-keras --help` waits for no framework."""

import importlib


def on_use(package, homes):
    """A package's `__getattr__` and `__dir__` for names that live in the modules `homes`, itself or one below it."""

    def __getattr__(name):  # noqa: N807
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(homes[name])
        return module if homes[name] == f"{package}.{name}" else getattr(module, name)

    def __dir__():  # noqa: N807
        return sorted({*vars(importlib.import_module(package)), *homes})

    return __getattr__, __dir__
