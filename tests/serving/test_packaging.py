import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_an_installed_package_has_every_template(tmp_path: Path) -> None:
    build = ["build_py", "--build-lib", str(tmp_path), "egg_info", "--egg-base", str(tmp_path)]
    code = "from setuptools import setup; setup()"
    subprocess.run(
        [sys.executable, "-c", code, "--quiet", *build], cwd=ROOT, check=True, timeout=120
    )
    templates = {path.name for path in (ROOT / "serving/templates").iterdir()}
    assert templates
    assert {path.name for path in (tmp_path / "serving/templates").iterdir()} == templates
