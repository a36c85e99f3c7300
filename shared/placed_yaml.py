"""YAML read into plain values, remembering for each one the line on which it stands.

Scalars are read by the core schema of YAML 1.2: `on`, `no` and `14:00` are the words they look like,
not a boolean or the number 840 that YAML 1.1 makes of them, and dates stay text for whoever validates.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

Path = tuple[str | int, ...]
"""Where a value stands: keys of mappings and indexes of sequences, from the top."""

DEPTH_MAX = 50

_VARIABLE = re.compile(r"\$(\$|\{([A-Za-z_][A-Za-z0-9_]*)\})")


class _CoreLoader(yaml.SafeLoader):
    """SafeLoader with the implicit types of YAML 1.2's core schema."""


def _implicit(loader: type[_CoreLoader]) -> None:
    loader.yaml_implicit_resolvers = {}
    for tag, pattern, first in (
        ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
        ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
        ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
        ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
    ):
        loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)


_implicit(_CoreLoader)

_SCALARS: Mapping[str, Callable[[str], Any]] = {
    "tag:yaml.org,2002:null": lambda _text: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:str": str,
}


class PlacedYaml:
    """The values of one YAML text; `problems` are (line, path, message), lines counted from 1."""

    def __init__(self, text: str, *, environ: Mapping[str, str]) -> None:
        self.values: Any = None
        self.problems: list[tuple[int, Path, str]] = []
        self._environ = environ
        self._lines: dict[Path, int] = {(): 1}
        self._secrets: set[str] = set()
        try:
            node = yaml.compose(text, Loader=_CoreLoader)
        except yaml.YAMLError as error:
            self.problems.append((_error_line(error), (), _syntax_message(error)))
            return
        if node is not None:
            self.values = self._value(node, ())

    def line(self, path: Path) -> int:
        """The line of the value at `path`, or of the nearest thing around it."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def without_secrets(self, text: str) -> str:
        """`text` with whatever came from the environment taken out of it."""
        for secret in self._secrets:
            text = text.replace(secret, "[hidden]")
        return text

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if len(path) > DEPTH_MAX:
            # An alias inside its own anchor has no bottom; no real configuration is this deep.
            self._problem(node, path, f"nested deeper than {DEPTH_MAX} levels")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, path, "a key is a single word")
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key in found:
                self._problem(key_node, here, f"{key!r} stands here twice (first on line {self.line(here)})")
                continue
            self._lines[here] = key_node.start_mark.line + 1
            found[key] = self._value(value_node, here)
        return found

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        convert = _SCALARS.get(node.tag)
        if convert is None:
            self._problem(node, path, f"the YAML tag {node.tag} is not known here")
            return None
        return self._substituted(node, path) if convert is str else convert(str(node.value))

    def _substituted(self, node: yaml.Node, path: Path) -> str:
        """`${NAME}` becomes the variable's value, `$$` a dollar sign."""

        def value_of(match: re.Match[str]) -> str:
            if match[1] == "$":
                return "$"
            value = self._environ.get(match[2])
            if value is None:
                self._problem(node, path, f"the environment variable {match[2]} is not set")
                return match[0]
            if value:
                self._secrets.add(value)
            return value

        return _VARIABLE.sub(value_of, str(node.value))

    def _problem(self, node: yaml.Node, path: Path, message: str) -> None:
        self.problems.append((node.start_mark.line + 1, path, message))


def _error_line(error: yaml.YAMLError) -> int:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return mark.line + 1 if mark is not None else 1


def _syntax_message(error: yaml.YAMLError) -> str:
    said = getattr(error, "problem", None) or str(error).splitlines()[0]
    hint = " (indent with spaces, never with tabs)" if "\\t" in said else ""
    return f"not YAML: {said}{hint}"
