"""The wheel and the sdist, built and installed as a user would."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(400)


PARTS = ("protos", "sdk", "server", "examples")
FILES = ("pyproject.toml", "hatch_build.py", "README.md", "CHANGELOG.md", "LICENSE")
MADE = shutil.ignore_patterns("*_pb2*", "__pycache__", "*.egg-info")


def run(*command: str | Path, cwd: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # protoc's plugins
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(
        list(command), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist, which is built from a copy of the checkout.

    A copy, since other tests import what the build writes. Without isolation, since the environment
    of the tests was itself built in isolation, with the same requirements.
    """
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for part in PARTS:
        shutil.copytree(ROOT / part, source / part, ignore=MADE)
    for file in FILES:
        shutil.copy(ROOT / file, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=out)
    assert list(out.glob("tidegate-*.tar.gz"))
    (built,) = out.glob("tidegate-*.whl")
    return built


@pytest.fixture(scope="module")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python into which nothing but the SDK was installed."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return python


def test_wheel_carries_stubs_types_scripts_examples_and_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "tidegate/v1/flag_pb2.py",
        "tidegate/v1/flag_pb2.pyi",
        "tidegate/v1/event_service_pb2_grpc.py",
        "tidegate/py.typed",
        "tidegate_server/py.typed",
        "tidegate_server/examples/model_rollout/flag.yaml",
        "tidegate_server/dashboard/components/grid.js",
        "tidegate_server/dashboard/static/dashboard.css",
        "tidegate_server/dashboard/static/dashboard.js",
        "tidegate_pytest.py",
    ):
        assert name in names
    assert any(name.endswith(".lua") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_sdk_stands_on_three_dependencies(clean_python: Path) -> None:
    names = run(
        clean_python, "-m", "pip", "list", "--format=freeze", cwd=clean_python.parent
    ).split()
    installed = {name.split("==")[0].lower().replace("_", "-") for name in names}
    assert {"tidegate", "grpcio", "protobuf", "mmh3"} <= installed
    theirs = {"typing-extensions"}  # grpcio's own dependency
    assert installed - {"pip", "setuptools"} - theirs == {"tidegate", "grpcio", "protobuf", "mmh3"}


def test_import_of_the_sdk_loads_nothing_of_the_server(clean_python: Path) -> None:
    code = (
        "import sys, tidegate; client = tidegate.Client('127.0.0.1:1'); "
        "print(client.assign('no-flag', 'user-1').reason); client.close(timeout=0.1); "
        "heavy = {'redis', 'numpy', 'scipy', 'pydantic', 'tidegate_server'} & set(sys.modules); "
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    assert run(clean_python, "-c", code, cwd=clean_python.parent).strip() == "NOT_READY"


def test_command_without_the_server_extra_says_what_to_install(clean_python: Path) -> None:
    done = subprocess.run(
        [clean_python.parent / "tidegate", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install 'tidegate[server]'" in done.stderr
    assert "Traceback" not in done.stderr
