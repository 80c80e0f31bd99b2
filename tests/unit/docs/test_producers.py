"""The types that the producers in examples/producers/ bring along."""

import importlib.util
from types import ModuleType

from tests.documents import ROOT

WRITER = ROOT / "examples" / "producers" / "write_types.py"


def writer() -> ModuleType:
    """Import the program that writes them."""
    spec = importlib.util.spec_from_file_location("write_types", WRITER)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_the_types_are_those_of_the_schema() -> None:
    """`python examples/producers/write_types.py` brings them up to date."""
    for path, content in writer().written().items():
        assert path.read_text(encoding="utf-8") == content, path.name
