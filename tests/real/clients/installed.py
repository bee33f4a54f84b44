"""The clients, installed under target/tools in the versions that are pinned here and in pom.xml, or built from sources."""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
MAVEN_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath"
# openmetadata-ingestion cannot be installed with its dependencies where only package registries are reached: one of them
# builds from a download. Its client needs these; pip's complaints about the others do not matter here.
OPENMETADATA = """
    pydantic>=2.12.5,<3 pydantic-settings requests>=2.33 pyyaml cached-property==1.5.2 python-dateutil cachetools PyJWT
    email-validator tenacity<10 httpx~=0.28 typing-inspect packaging sqlalchemy<2.1 jsonpatch chardet==4.0.0 sqlparse jinja2
    antlr4-python3-runtime==4.9.2 collate-sqllineage==2.1.7 tabulate==0.9.0 cryptography google-auth boto3~=1.41.5
    azure-keyvault-secrets google-crc32c google-cloud-secret-manager==2.24.0 kubernetes<36 pytz attrs rich dsnparse toml psutil more-itertools
""".split()


@dataclasses.dataclass(frozen=True)
class Client:
    name: str
    backend: str
    # Arguments of pip, one list for each call; or the profile of pom.xml.
    packages: tuple = ()
    profile: str = ""
    # The variable that names the directory with its module for Go, which no registry has.
    sources: str = ""
    program: str = ""
    operations: tuple = ("connect", "write")
    # How many seconds the client may take for one operation, with all its retries.
    patience: int = 60

    def is_missing(self):
        return bool(self.sources) and not os.environ.get(self.sources)

    def command(self, tools):
        if self.sources:
            return [go(self, tools)]
        if self.profile:
            classes, path = java(self, tools)
            return ["java", "-cp", f"{classes}:{path}", pathlib.Path(self.program).stem]
        return [venv(self.name, self.packages, tools), "-W", "ignore", HERE / "python" / self.program]


def run(command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def folder(name, tools):
    return tools / f"real-{re.sub('[^a-z0-9.]+', '-', name).strip('-')}"


def venv(name, packages, tools):
    """Its Python, with the packages. A file that names them says that the installation is complete."""
    root = folder(name, tools)
    python, stamp = root / "bin" / "python", root / "installed"
    wanted = repr(packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        run([sys.executable, "-m", "venv", root])
        for arguments in packages:
            run([root / "bin" / "pip", "install", "--quiet", *arguments])
        stamp.write_text(wanted)
    return python


def java(client, tools):
    """The directory of its compiled program, and the class path."""
    classes = folder(client.name, tools)
    classes.mkdir(parents=True, exist_ok=True)
    path, stamp = classes / "classpath", classes / "installed"
    source = HERE / "java" / client.program
    wanted = (HERE / "pom.xml").read_text() + source.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        if missing := [name for name in ("mvn", "javac") if not shutil.which(name)]:
            raise SystemExit(f"{' and '.join(missing)} not found: install Debian's maven and default-jdk-headless")
        maven = ["mvn", "--quiet", "--batch-mode", f"-Dmaven.repo.local={tools / 'maven'}", "-f", HERE / "pom.xml"]
        run([*maven, "-P", client.profile, MAVEN_PLUGIN, f"-Dmdep.outputFile={path}"])
        run(["javac", "-nowarn", "-d", classes, "-cp", path.read_text(), source])
        stamp.write_text(wanted)
    return classes, path.read_text()


def go(client, tools):
    """Its compiled program."""
    root = folder(client.name, tools)
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "go" / client.program, root)
    module, sources = "github.com/open-metadata/openmetadata-sdk/openmetadata-go-client", pathlib.Path(os.environ[client.sources])
    (root / "go.mod").write_text(f"module client\n\ngo 1.24\n\nreplace {module} => {sources.resolve(strict=True)}\n")
    environment = {**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=mod"}
    run(["go", "mod", "tidy"], cwd=root, env=environment)
    run(["go", "build", "-o", "client", "."], cwd=root, env=environment)
    return root / "client"


CLIENTS = (
    Client("openmetadata-ingestion", "openmetadata", (
        ("--no-deps", "openmetadata-ingestion==2.0.7.0"), ("--no-deps", "collate-data-diff==0.11.18"), tuple(OPENMETADATA),
    ), program="openmetadata_client.py", operations=("connect", "read", "write"), patience=300),
    Client("openmetadata-java-client (model)", "openmetadata", profile="openmetadata", program="OpenMetadata.java",
           operations=("connect", "read", "write", "versions")),
    Client("openmetadata-go-client 1.12.1", "openmetadata", sources="METAGATE_OPENMETADATA_GO_CLIENT", program="main.go",
           operations=("read", "write")),
    Client("acryl-datahub", "datahub-gms", (("acryl-datahub==1.7.0.17",),), program="datahub_client.py",
           operations=("connect", "read", "write")),
    Client("datahub-client 0.8.45", "datahub-gms", profile="datahub-client", program="DataHub.java"),
    Client("datahub-client-java8 0.15.0rc20", "datahub-gms", profile="datahub-client-java8", program="DataHub.java"),
)


class Running:
    """A client's program, which keeps its connections from one operation to the next."""

    def __init__(self, client, tools, server):
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "JAVA_HOME") if name in os.environ}
        environment |= {"DATAHUB_TELEMETRY_ENABLED": "false", "PYTHONDONTWRITEBYTECODE": "1"}
        self.patience = client.patience
        self.process = subprocess.Popen(
            list(map(str, [*client.command(tools), server])), env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        # Loading a client takes seconds, which are not its requests'.
        if self.line() != "ready":
            raise SystemExit(f"{client.name} does not start")

    def start(self, operation, token):
        self.began = time.monotonic()
        self.process.stdin.write(f"{operation} {token}\n")
        self.process.stdin.flush()

    def finish(self):
        """Whether it worked, what the user of the client sees, and the seconds that it took."""
        word, _, shown = self.line().partition(" ")
        return word == "ok", shown, time.monotonic() - self.began

    def line(self):
        timer = threading.Timer(self.patience, self.process.kill)
        timer.start()
        line = self.process.stdout.readline().strip()
        timer.cancel()
        if not line:
            raise SystemExit(f"the client ended with {self.process.wait()} or took more than {self.patience} s")
        return line

    def ask(self, operation, token):
        self.start(operation, token)
        return self.finish()

    def close(self):
        self.process.kill()
        self.process.wait()
