"""The arrows between the rooms, read from the imports themselves, and a few things no file may do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.environment import ROOT

# Who may know whom. A file of app/ that is not named here may import nothing of app/ and model/.
# "*" stands for any file of that folder. Imports inside functions count as well; LAZY lists those that must be there.
ARROWS: dict[str, set[str]] = {
    "run": {"app.environment", "app.settings", "app.launch", "app.listing", "app.terminal"},
    # the edge
    "app.environment": set(),
    "app.settings": {"model.catalog"},
    "app.launch": {
        "app.desk", "app.events", "app.lab", "app.lab_process", "app.page", "app.press", "app.progress", "app.settings",
        "app.stopping", "app.store", "app.visitors", "app.worker",
    },
    "app.terminal": {
        "app.desk", "app.progress", "app.session", "app.settings", "app.stopping", "app.store", "app.visitors",
        "app.worker", "app.draft",
    },
    "app.listing": {"app.models", "app.settings"},
    "app.desk": {"app.press", "app.settings", "app.visitors", "app.worker"},
    "app.stopping": set(),
    "app.progress": set(),
    # page -> verbs -> session -> {store, press -> worker, tasks -> {prompt, passages, draft}}
    "app.page": {
        "app.answers", "app.attempts", "app.doorkeeper", "app.events", "app.guard", "app.lab", "app.lab_routes",
        "app.session", "app.transfer_routes", "app.verbs", "app.verbs.shapes", "app.visitors",
        "app.store",  # only the names of its errors
    },
    "app.answers": set(),
    "app.attempts": {
        "app.answers", "app.verbs.shapes",
        "app.converting", "app.session", "app.store", "app.verbs", "model.catalog", "model.contract",  # only errors
    },
    "app.guard": {"app.answers"},
    "app.doorkeeper": {"app.answers", "app.guard", "app.visitors"},
    "app.visitors": {"app.press", "app.session", "app.store"},
    "app.verbs": {
        "app.session", "app.verbs.documents", "app.verbs.fields", "app.verbs.finding", "app.verbs.history",
        "app.verbs.writing",
    },
    "app.verbs.documents": {
        "app.draft", "app.render", "app.session", "app.verbs.dial", "app.verbs.fields", "app.verbs.shapes",
    },
    "app.verbs.finding": {"app.records", "app.session", "app.verbs.fields", "app.verbs.shapes"},
    "app.verbs.history": {"app.draft", "app.events", "app.session", "app.verbs.fields", "app.verbs.shapes"},
    "app.verbs.writing": {"app.passages", "app.session", "app.verbs.dial", "app.verbs.fields", "app.verbs.shapes"},
    "app.verbs.dial": {"app.session", "app.verbs.fields", "model.contract"},
    "app.verbs.shapes": {
        "app.draft", "app.events", "app.prompt", "app.session", "app.store", "app.verbs.fields", "model.catalog",
        "model.contract",
    },
    "app.verbs.fields": set(),
    "app.session": {
        "app.dialing", "app.draft", "app.events", "app.models", "app.passages", "app.press", "app.prompt",
        "app.records", "app.revising", "app.store", "app.task", "app.writing", "model.contract",
    },
    "app.models": {"model.catalog", "model.shelf"},
    "app.press": {"app.corrections", "app.events", "app.task", "app.worker", "model.catalog", "model.contract"},
    "app.writing": {
        "app.corrections", "app.dialing", "app.draft", "app.events", "app.prompt", "app.records", "app.running",
        "app.store", "app.task", "model.contract",
    },
    "app.revising": {
        "app.draft", "app.events", "app.passages", "app.prompt", "app.records", "app.store", "app.task",
        "model.contract",
    },
    "app.task": {"app.corrections", "app.draft", "app.events", "app.store", "model.catalog", "model.contract"},
    "app.running": {"app.corrections", "app.draft", "model.contract"},
    "app.events": {"app.draft", "app.records", "model.contract"},
    "app.dialing": {"app.corrections", "model.contract", "model.catalog"},
    "app.corrections": {"model.contract"},
    "app.passages": {"app.draft", "model.contract"},
    "app.prompt": {"app.draft", "model.asking"},
    "app.render": {"app.draft"},
    # the lab: routes -> lab -> {results, networks, process ═▶ bench}
    "app.lab_routes": {"app.answers", "app.draft", "app.events", "app.lab", "app.lab_networks", "app.verbs"},
    "app.lab": {"app.events", "app.lab_networks", "app.lab_process", "app.lab_results"},
    "app.lab_results": {"app.environment"},
    "app.lab_networks": {"app.environment", "model.backbones.dit_config"},
    "app.lab_process": {"app.child_process", "app.lab_bench"},
    "app.lab_bench": {  # the one file of the desk that knows networks and the lab's writers
        "app.lab_process", "model.backbones.dit_config", "model.backbones.fit", "model.backbones.llama",
        "model.backbones.load", "model.backbones.published", "model.catalog", "model.evaluation.writers",
        "model.evaluation.writing", "model.evaluation", "model.tokenizer", "model.training.checkpoint",
        "model.training.vocabulary", "model.weights",
    },
    # documents out and in: routes -> {export, importing} -> {formats -> reading -> render, converting}
    "app.transfer_routes": {
        "app.answers", "app.attempts", "app.draft", "app.export", "app.importing", "app.session", "app.store",
        "app.verbs.shapes",
    },
    "app.export": {
        "app.converting", "app.draft", "app.formats.markdown", "app.formats.pandoc_tree", "app.formats.plain_text",
        "app.formats.reading", "app.formats.typst_source", "app.render",
    },
    "app.importing": {
        "app.converting", "app.draft", "app.formats.docx", "app.formats.markdown", "app.formats.pandoc_tree",
        "app.formats.reading",
    },
    "app.converting": set(),
    "app.formats.docx": {"app.converting"},  # only the name of its error
    "app.formats.markdown": {"app.draft", "app.formats.reading"},
    "app.formats.pandoc_tree": {"app.formats.reading", "app.render"},
    "app.formats.plain_text": {"app.formats.reading"},
    "app.formats.typst_source": {"app.formats.reading"},
    "app.formats.reading": {"app.draft", "app.render"},
    "app.store": {"app.database", "app.records", "app.store.fields", "app.store.store"},
    "app.store.store": {
        "app.database", "app.store.backup", "app.store.documents", "app.store.history", "app.store.jobs",
        "app.store.replacing", "app.store.searching", "app.store.sections", "app.store.snapshots", "app.store.takes",
        "app.store.text", "app.store.versions",
    },
    # verbs -> {text -> {tree -> deltas, keeping}, fields} -> transaction
    "app.store.backup": {"app.database", "app.records", "app.store.transaction"},
    "app.store.documents": {
        "app.draft", "app.records", "app.store.fields", "app.store.keeping", "app.store.sections",
        "app.store.transaction",
    },
    "app.store.history": {"app.records", "app.store.transaction"},
    "app.store.jobs": {"app.records", "app.store.transaction"},
    "app.store.replacing": {
        "app.draft", "app.records", "app.store.keeping", "app.store.text", "app.store.transaction", "app.store.tree",
    },
    "app.store.searching": {"app.draft", "app.records", "app.store.transaction"},
    "app.store.sections": {
        "app.draft", "app.records", "app.store.fields", "app.store.keeping", "app.store.transaction", "app.store.tree",
    },
    "app.store.snapshots": {
        "app.draft", "app.records", "app.store.fields", "app.store.keeping", "app.store.sections", "app.store.text",
        "app.store.transaction", "app.store.tree",
    },
    "app.store.takes": {"app.draft", "app.records", "app.store.text", "app.store.transaction", "app.store.tree"},
    "app.store.versions": {
        "app.draft", "app.records", "app.store.keeping", "app.store.text", "app.store.transaction", "app.store.tree",
    },
    "app.store.text": {"app.draft", "app.records", "app.store.keeping", "app.store.transaction", "app.store.tree"},
    "app.store.tree": {"app.database", "app.draft", "app.records", "app.store.deltas", "app.store.transaction"},
    "app.store.deltas": {"app.draft", "app.rows"},
    "app.store.keeping": {"app.draft", "app.records", "app.rows", "app.store.transaction"},
    "app.store.fields": {"app.draft", "app.records", "app.store.transaction"},
    "app.store.transaction": {"app.database", "app.draft", "app.records", "app.rows"},
    "app.database": {"app.migrations"},
    "app.records": {"app.draft", "app.database"},
    "app.rows": {"app.draft", "model.contract"},
    "app.migrations": set(),
    "app.draft": {"model.contract"},
    "app.worker": {"app.child_process", "model.contract", "model.engine"},
    "app.child_process": set(),
}  # fmt: skip

LAZY = {("app.worker", "model.engine"), ("app.lab_process", "app.lab_bench"), ("app.launch", "app.page")}
"""Inside a function only: the desk runs without torch, and libraries are told to keep quiet before gradio is there."""

SERVING_NEVER_KNOWS = ("app", "run", "tests", "model.training", "model.evaluation")
NO_TORCH_HERE = ("model.asking", "model.contract", "model.catalog", "model.shelf", "app.environment", "app.settings")


@dataclass(frozen=True, slots=True)
class Import:
    """One import of one of our own modules or of a library; lazy: inside a function."""

    name: str
    lazy: bool
    line: int


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def is_ours(name: str) -> bool:
    parts = ROOT.joinpath(*name.split("."))
    return parts.with_suffix(".py").exists() or (parts / "__init__.py").exists()


def imports(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports from the root"
            module = node.module or ""
            whole = [f"{module}.{alias.name}" for alias in node.names]
            # `from app import export` imports a module, `from app.export import to_markdown` a name out of one
            names = [name if is_ours(name) else module for name in whole]
        for name in dict.fromkeys(names):
            yield Import(name, id(node) in inside, node.lineno)  # type: ignore[attr-defined]


def test_the_table_names_only_files_that_exist() -> None:
    named = {*ARROWS, *(target for targets in ARROWS.values() for target in targets)}
    assert [name for name in sorted(named) if not is_ours(name)] == []


@pytest.mark.parametrize("path", [ROOT / "run.py", *sources("app")], ids=module_name)
def test_the_desk_follows_its_arrows(path: Path) -> None:
    module = module_name(path)
    for found in imports(path):
        if found.name.split(".")[0] in ("app", "model"):
            assert found.name in ARROWS.get(module, set()), f"{module}:{found.line} -> {found.name}"
            assert found.lazy or (module, found.name) not in LAZY, f"{module}:{found.line}: import it in the function"


@pytest.mark.parametrize("path", sources("model"), ids=module_name)
def test_the_engine_knows_neither_desk_nor_training(path: Path) -> None:
    module = module_name(path)
    serving = not module.startswith(("model.training", "model.evaluation"))
    forbidden = SERVING_NEVER_KNOWS if serving else ("app", "run")
    for found in imports(path):
        assert not any(f"{found.name}.".startswith(f"{no}.") for no in forbidden), f"{module} -> {found.name}"


@pytest.mark.parametrize("module", NO_TORCH_HERE)
def test_the_border_and_the_entry_need_the_standard_library_alone(module: str) -> None:
    for found in imports(ROOT / (module.replace(".", "/") + ".py")):
        top = found.name.split(".")[0]
        ours = top == "model"
        lazy_default_folder = module == "app.settings" and top == "platformdirs" and found.lazy
        assert ours or lazy_default_folder or top in sys.stdlib_module_names, f"{module} -> {found.name}"


def test_the_desk_runs_without_torch() -> None:
    ask = (
        "import sys; sys.modules['torch'] = None\n"
        "import app.session, app.launch, app.terminal, app.page\n"
        "print(sorted(m for m in ('transformers', 'safetensors', 'gguf') if m in sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout.strip()) == (0, "[]"), said.stderr


def test_writing_in_the_terminal_needs_no_page() -> None:
    ask = "import app.terminal, sys; print('gradio' in sys.modules, 'app.page' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout.strip()) == (0, "False False"), said.stderr


def test_the_readme_shows_the_house_as_it_is() -> None:
    """Files of a folder inside app/ are not named one by one; the folder is."""
    house = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The house")[2].partition("```\n\n")[0]
    shown = set(re.findall(r"\w+\.py", house))
    folders = {path.parent.name for path in sources("app") if path.parent.name != "app"}
    assert {path.name for path in (ROOT / "app").glob("*.py")} - {"__init__.py"} <= shown
    assert {f"{folder}/" for folder in folders} <= set(re.findall(r"\w+/", house))
    assert shown <= {path.name for path in [ROOT / "run.py", *sources("app", "model")]}


def forbidden_uses(tree: ast.AST) -> Iterator[str]:
    """Doors through which a file or a text could become running code, and excepts that hide what they do not know."""
    for node in ast.walk(tree):
        where = f"line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            if any(name.split(".")[0] in ("pickle", "dill", "joblib", "marshal", "shelve") for name in names):
                yield f"{where}: pickle"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            # model.eval() of torch takes no argument and runs nothing
            if called in ("eval", "exec", "torch.load", "torch.hub.load", "os.system"):
                yield f"{where}: {called}"
            yield from (f"{where}: {key.arg}" for key in node.keywords if key.arg == "trust_remote_code")
            if any(key.arg == "shell" and ast.unparse(key.value) != "False" for key in node.keywords):
                yield f"{where}: shell"
        if isinstance(node, ast.ExceptHandler) and is_broad(node.type) and not passes_on(node):
            yield f"{where}: broad except"


def is_broad(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(is_broad(one) for one in caught.elts)
    return caught is None or ast.unparse(caught) in ("Exception", "BaseException")


def passes_on(handler: ast.ExceptHandler) -> bool:
    """Cleaning up and raising the same exception again hides nothing."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


@pytest.mark.parametrize("path", [ROOT / "run.py", *sources("app", "model")], ids=module_name)
def test_nothing_read_becomes_code_and_no_error_is_swallowed(path: Path) -> None:
    assert list(forbidden_uses(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "torch.load(path)",
        "eval(text)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "run(line, shell=True)",
        "try:\n    a()\nexcept Exception:\n    pass",
        "try:\n    a()\nexcept:\n    pass",
        "try:\n    a()\nexcept (OSError, Exception) as e:\n    raise X from e",
    ],
)
def test_the_search_finds_what_is_forbidden(code: str) -> None:
    assert list(forbidden_uses(ast.parse(code)))


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file()]


def test_every_file_is_small_enough_to_clone() -> None:
    assert [str(path) for path in tracked_files() if path.stat().st_size > 40 * 2**20] == []


@pytest.mark.parametrize("path", [ROOT / "run.py", *sources("app", "model")], ids=module_name)
def test_a_module_says_first_what_it_does(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
