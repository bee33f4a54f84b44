"""An OpenMetadata server from an unpacked release, with a PostgreSQL of its own, in a directory of its own.

Everything listens on loopback. The search engine is a stand-in that knows no documents.
"""

import base64
import contextlib
import http.server
import json
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

MIGRATION_SECONDS = 300
START_SECONDS = 300
STOP_SECONDS = 20
APPLICATION = "org.openmetadata.service.OpenMetadataApplication"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Database:
    """PostgreSQL from Debian's package. It refuses to run as root, so root starts it as `postgres`."""

    name = user = "openmetadata"
    password = "openmetadata"

    def __init__(self, root):
        self.directory = root / "postgresql"
        self.directory.mkdir()
        self.account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self.account:
            os.chown(self.directory, self.account.pw_uid, self.account.pw_gid)
        self.port = free_port()
        data, password = self.directory / "data", self.directory / "password"
        password.write_text(self.password)
        if self.account:
            os.chown(password, self.account.pw_uid, self.account.pw_gid)
        self.run("initdb", "-D", data, "-U", self.user, f"--pwfile={password}", "-A", "scram-sha-256", "-E", "UTF8", "--no-sync")
        with (self.directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [self.program("postgres"), "-D", data, "-p", str(self.port), "-h", "127.0.0.1", "-k", self.directory,
                 "-c", "fsync=off", "-c", "synchronous_commit=off"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.identity(),
            )
        try:
            self.wait()
            self.run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", self.user, self.name)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def find(name):
        """Debian keeps the server's programs out of the PATH."""
        versions = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
        return str(versions[-1]) if versions else shutil.which(name)

    @classmethod
    def is_installed(cls):
        return cls.find("initdb") is not None

    @classmethod
    def program(cls, name):
        found = cls.find(name)
        if not found:
            raise SystemExit(f"PostgreSQL's {name} is not installed: apt-get install postgresql")
        return found

    def identity(self):
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []} if self.account else {}

    def run(self, name, *arguments):
        environment = {"PATH": os.environ["PATH"], "PGPASSWORD": self.password, "LC_ALL": "C.UTF-8"}
        ended = subprocess.run(
            [self.program(name), *map(str, arguments)], env=environment, cwd=self.directory, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, **self.identity(),
        )
        if ended.returncode:
            raise SystemExit(f"{name}: {ended.stderr.strip()[-500:]}")

    def wait(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(SystemExit):
                self.run("pg_isready", "-q", "-h", "127.0.0.1", "-p", self.port)
                return
            time.sleep(0.1)
        raise SystemExit(f"PostgreSQL does not start:\n{(self.directory / 'log').read_text(errors='replace')[-2000:]}")

    def close(self):
        stop(self.process)


class SearchEngine(http.server.ThreadingHTTPServer):
    """A stand-in for Elasticsearch or OpenSearch: every index is there, no document ever is. Not the real thing."""

    daemon_threads = True

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            document = {"acknowledged": True, "_shards": {"total": 1, "successful": 1, "failed": 0}}
            if path == "/":
                document = {"name": "stand-in", "cluster_name": "stand-in", "tagline": "You Know, for Search",
                            "version": {"number": "7.16.3", "build_flavor": "default", "build_type": "tar",
                                        "lucene_version": "8.10.1", "minimum_wire_compatibility_version": "6.8.0",
                                        "minimum_index_compatibility_version": "6.0.0"}}
            elif "_search" in path:
                document = {"took": 1, "timed_out": False, "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
                            "hits": {"total": {"value": 0, "relation": "eq"}, "max_score": None, "hits": []}}
            elif path.endswith("_bulk"):
                document = {"took": 1, "errors": False, "items": []}
            elif "_update_by_query" in path or "_delete_by_query" in path:
                document = {"took": 1, "timed_out": False, "total": 0, "updated": 0, "deleted": 0, "batches": 0,
                            "version_conflicts": 0, "noops": 0, "retries": {"bulk": 0, "search": 0}, "failures": []}
            elif "_doc" in path or "_update" in path:
                index, _, name = path.strip("/").partition("/")
                document.update({"_index": index, "_type": "_doc", "_id": name.rpartition("/")[2], "_version": 1,
                                 "result": "updated", "_seq_no": 0, "_primary_term": 1})
            elif "_cluster/health" in path:
                document = {"cluster_name": "stand-in", "status": "green", "timed_out": False}
            content = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = respond

        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class OpenMetadata:
    """The server of `release`, an unpacked release of OpenMetadata (bin, bootstrap, conf, libs)."""

    def __init__(self, release, root, database, search, pair, key_urls, more_key_urls, port, java):
        self.release, self.port, self.admin_port = release, port, free_port()
        self.java, self.log = java, root / "openmetadata.log"
        self.home = root / "openmetadata"
        self.home.mkdir()
        shutil.copytree(release / "conf", self.home / "conf")
        (self.home / "bootstrap").symlink_to(release / "bootstrap")
        (self.home / "logs").mkdir()
        private, public = pair.write_der(self.home)
        own = f"http://127.0.0.1:{port}/api/v1/system/config/jwks"
        # The seed's text: brackets, no quotes, a comma and a space.
        listed = lambda urls: f"[{', '.join(urls)}]"
        # What a metagate that shares OpenMetadata's variables is given; OpenMetadata itself has more.
        self.shared_key_urls = listed([*key_urls, own])
        self.environment = {
            "PATH": os.environ["PATH"], "JAVA_HOME": os.environ.get("JAVA_HOME", ""), "LC_ALL": "C.UTF-8",
            "SERVER_PORT": str(port), "SERVER_ADMIN_PORT": str(self.admin_port), "SERVER_HOST": "127.0.0.1",
            "DB_DRIVER_CLASS": "org.postgresql.Driver", "DB_SCHEME": "postgresql", "DB_HOST": "127.0.0.1",
            "DB_PORT": str(database.port), "OM_DATABASE": database.name, "DB_USER": database.user,
            "DB_USER_PASSWORD": database.password,
            "ELASTICSEARCH_HOST": "127.0.0.1", "ELASTICSEARCH_PORT": str(search.port), "ELASTICSEARCH_SCHEME": "http",
            "FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(), "JWT_KEY_ID": pair.kid, "JWT_ISSUER": "open-metadata.org",
            "RSA_PRIVATE_KEY_FILE_PATH": str(private), "RSA_PUBLIC_KEY_FILE_PATH": str(public),
            "AUTHENTICATION_PUBLIC_KEYS": listed([*key_urls, own, *more_key_urls]),
            "AUTHENTICATION_PROVIDER": "basic",
            "OPENMETADATA_HEAP_OPTS": "-Xmx1G",
        }
        self.libraries = os.pathsep.join(str(jar) for jar in sorted((release / "libs").glob("*.jar")))
        if not self.libraries:
            raise SystemExit(f"{release}/libs has no jar: not an unpacked release of OpenMetadata")

    def version(self):
        names = [jar.name for jar in (self.release / "libs").glob("openmetadata-service-*.jar")]
        return names[0].removeprefix("openmetadata-service-").removesuffix(".jar") if names else "unknown"

    def has_web_ui(self):
        return any((self.release / "libs").glob("openmetadata-ui-*.jar"))

    def migrate(self):
        """Creates the tables with the release's own program, whose name changed in 1.5."""
        bootstrap = self.release / "bootstrap"
        operations = bootstrap / "openmetadata-ops.sh"
        if operations.exists():
            command = ["sh", operations, "migrate"]
        else:
            command = [self.java, f"-Dbootstrap.dir={bootstrap}", "-cp", self.libraries,
                       "org.openmetadata.service.util.TablesInitializer", "-c", self.home / "conf" / "openmetadata.yaml",
                       "-s", bootstrap / "sql", "--migrate", "-"]
        with self.log.open("ab") as log:
            ended = subprocess.run(
                command, env=self.environment, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                timeout=MIGRATION_SECONDS,
            )
        if ended.returncode:
            raise SystemExit(f"the migration failed:\n{self.tail()}")

    def start(self):
        # Versions before 1.6 have no setting for the address; Dropwizard takes one from properties in all of them.
        loopback = [f"-Ddw.server.{kind}Connectors[0].bindHost=127.0.0.1" for kind in ("application", "admin")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.java, "-Xmx1G", "-Djava.awt.headless=true", *loopback, "-cp", self.libraries, APPLICATION, "server",
                 self.home / "conf" / "openmetadata.yaml"],
                env=self.environment, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError, urllib.error.URLError, ValueError):
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/system/version", timeout=5) as response:
                    return json.load(response)
            time.sleep(0.5)
        raise SystemExit(f"OpenMetadata does not start:\n{self.tail()}")

    def tail(self):
        return self.log.read_text(errors="replace")[-4000:]

    def close(self):
        if hasattr(self, "process"):
            stop(self.process)
