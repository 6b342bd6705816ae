"""The grammar and the judges are cheap to import."""

import subprocess
import sys


def test_grammar_and_judges_need_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, tlsteer.organism, tlsteer.organism.judges; "
        "print(*{'torch', 'transformers', 'transformer_lens', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
