import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_command_has_a_page_that_says_what_its_help_says(generate: ModuleType) -> None:
    for path, text in generate.pages().items():
        assert path.read_text() == text, f"run: python docs/generate.py ({path.name})"


def test_each_command_page_has_prose_of_its_own(generate: ModuleType) -> None:
    for path in generate.pages():
        assert len(path.read_text().partition(generate.MARK)[0]) > 150


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_map_of_the_house_names_every_module() -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    for path in (ROOT / "forgetkit").rglob("*.py"):
        if not path.name.startswith("__") and path.parent.name != "commands":
            assert re.search(rf"\b{path.stem}\b", text), path.name


def test_every_decision_on_the_papers_names_a_test_that_exists() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    text = (ROOT / "docs" / "methods.md").read_text()
    rows = [
        row
        for part in text.split("| where | the paper | here | test |\n")[1:]
        for row in part.split("\n\n")[0].split("\n")
    ]
    assert len(rows) > 45
    for row in rows[1:]:
        named = re.findall(r"`(test_[a-z0-9_]+)`", row.rsplit("|", 2)[1])
        assert named or row.startswith("|---"), row
        assert all(f"def {name}(" in source for name in named), row


def test_each_error_code_is_explained() -> None:
    text = (ROOT / "docs" / "formats.md").read_text()
    source = "\n".join(path.read_text() for path in (ROOT / "forgetkit").rglob("*.py"))
    codes = set(re.findall(r'ForgetkitError\(\s*"([a-z-]+)"', source))
    assert len(codes) > 15
    assert {code for code in codes if f"`{code}`" not in text} == set()


def test_every_page_is_listed() -> None:
    text = (ROOT / "docs" / "README.md").read_text()
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    left_out = [
        str(page) for page in pages if f"]({page})" not in text and page.parts[0] not in {"README.md", "commands"}
    ]
    assert left_out == []


def test_each_row_of_usability_names_tests_that_exist() -> None:
    rows = [line for line in (ROOT / "docs" / "usability.md").read_text().splitlines() if line.startswith("| U")]
    assert len(rows) == 29
    for row in rows:
        named = re.findall(r"`(test_\w+)::(test_\w+)`", row)
        assert named, row
        for module, test in named:
            (file,) = (ROOT / "tests").rglob(f"{module}.py")
            assert f"def {test}(" in file.read_text(), row


def test_the_page_for_regulators_calls_nothing_compliant() -> None:
    assert "complian" not in (ROOT / "docs" / "compliance.md").read_text().lower()
