"""What a table says of a node: a letter for each version."""

from typing import Any, Dict, List, Optional, Tuple

from modelmill_inspector.support.tables import UNKNOWN, Line, Table
from modelmill_inspector.support.uses import Use, attribute_text


class Lookup:
    """Finds the lines of a table that hold for nodes; nodes that are alike are looked up once."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._asked = {
            operation: sorted({name for line in lines for name, value in line.conditions if not name.startswith("@")})
            for operation, lines in table.lines.items()
        }
        self._found: Dict[Tuple[Any, ...], str] = {}
        self._none = UNKNOWN * len(table.versions)

    def letters(self, use: Use) -> str:
        """A letter for each version; those of an operation that is in no line are `UNKNOWN`."""
        lines = self._table.lines.get(use.node.op)
        if lines is None:
            return self._none
        values = {name: attribute_text(use.node, name) for name in self._asked[use.node.op]}
        kind = (use.node.op, use.computed, tuple(values.values()))
        if kind not in self._found:
            self._found[kind] = _closest(lines, values, use).letters
        return self._found[kind]


def _closest(lines: List[Line], values: Dict[str, Optional[str]], use: Use) -> Line:
    """The line with most conditions that the node meets; else the first that only a data type stands against."""

    def met(line: Line) -> bool:
        return all(_meets(name, value, values, use) for name, value in line.conditions)

    fitting = [line for line in lines if met(line)]
    return max(fitting, key=lambda line: len(line.conditions)) if fitting else lines[0]


def _meets(name: str, value: str, values: Dict[str, Optional[str]], use: Use) -> bool:
    if name.startswith("@"):
        return int(name[1:]) in use.computed
    # A node may leave out an attribute that has its default, which is what the samples have.
    return values[name] == value or (values[name] is None and value == "float32")
