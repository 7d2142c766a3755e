"""The shape of the code in figures: `python -m tests.support.shape [ROOT]`."""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ODD_WORDS = ("told", "mend", "there", "one")
MOST_ATTRIBUTES, MOST_PARAMETERS = 10, 5


def functions_in(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of its body, without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 1


def parameters_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def attributes_of(cls: ast.ClassDef) -> int:
    """What its methods set on `self`."""
    return len(
        {
            node.attr
            for node in ast.walk(cls)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        }
    )


def names_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg


def comments_in(text: str) -> int:
    """Comments that stand alone or behind code, without those that are for tools."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    said = (token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT)
    return sum(1 for words in said if not words.startswith(("noqa", "type:", "fmt:", "pragma")))


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]) / "syncd"
    texts = {path: path.read_text() for path in sorted(root.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    sizes = {path: len(text.splitlines()) for path, text in texts.items()}
    functions = [(path, one) for path, tree in trees.items() for one in functions_in(tree)]
    lengths = sorted(lines_of(one) for _, one in functions)
    classes = [(path, one) for path, tree in trees.items() for one in ast.walk(tree) if isinstance(one, ast.ClassDef)]
    wide = [
        f"{path.relative_to(root)}:{one.name}({parameters_of(one)})"
        for path, one in functions
        if parameters_of(one) > MOST_PARAMETERS and path.parts[-2] != "cli"
    ]
    heavy = [
        f"{path.relative_to(root)}:{one.name}({attributes_of(one)})"
        for path, one in classes
        if attributes_of(one) > MOST_ATTRIBUTES
    ]
    largest = max(sizes, key=lambda path: sizes[path])
    words = Counter(name for tree in trees.values() for name in names_in(tree))
    total = sum(sizes.values())
    comments = sum(map(comments_in, texts.values()))
    print(f"modules                {len(texts)}, median {statistics.median(sizes.values()):.0f} lines,")
    print(f"                       largest {sizes[largest]} ({largest.relative_to(root)})")
    print(
        f"functions              {len(lengths)}, median {statistics.median(lengths):.0f} lines, "
        f"90th percentile {lengths[int(len(lengths) * 0.9)]}, largest {lengths[-1]}"
    )
    print(f"six parameters or more {len(wide)}: {', '.join(wide)}")
    print(f"over ten attributes    {len(heavy)}: {', '.join(heavy)}")
    print(f"comments a 100 lines   {100 * comments / total:.1f} ({comments} in {total})")
    print(f"odd words as names     {', '.join(f'{word} {words[word]}' for word in ODD_WORDS)}")


if __name__ == "__main__":
    main()
