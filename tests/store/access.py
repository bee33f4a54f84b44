"""TLS-only servers with the ACL user of docs/revocation.md."""

import pathlib
import re
import ssl
import subprocess

from cluster import Cluster
from measure import LIMIT, check, report, until_refused
from replica import Replica, token
from servers import Redis, wait_until

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "revocation.md"
NAMESPACE, PASSWORD, ADMINISTRATOR = "prod", "of-metagate-only-0123456789", "of-the-administrator-0123456789"


def documented_user():
    """The ACL of docs/revocation.md, word for word."""
    return re.search(r"^user metagate on >PASSWORD .*$", DOCUMENT.read_text(), re.MULTILINE).group().replace("PASSWORD", PASSWORD)


def documented_endpoints():
    """The options of docs/revocation.md for a cluster with TLS, with the name of this host."""
    options = re.findall(r"^(cluster-announce-hostname|cluster-preferred-endpoint-type) (\S+)$", DOCUMENT.read_text(), re.MULTILINE)
    assert len(options) == 2, options
    return [part for name, value in options for part in (f"--{name}", "localhost" if "." in value else value)]


def authority(directory):
    """An authority, and a certificate of it for localhost: their paths."""
    directory.mkdir()
    openssl = lambda *parts: subprocess.run(["openssl", *map(str, parts)], check=True, capture_output=True)
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    ca, key, request, certificate = (directory / name for name in ("ca.pem", "key.pem", "request.pem", "certificate.pem"))
    openssl("req", "-x509", *new, "-subj", "/CN=store authority", "-keyout", directory / "ca.key", "-out", ca)
    openssl("req", *new, "-subj", "/CN=store", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", directory / "ca.key", "-CAcreateserial", "-days", "2",
            "-copy_extensions", "copy", "-out", certificate)
    return ca, certificate, key


def encrypted(metagate, backend, root):
    """With a private authority, whose certificate has a host name and no address."""
    (root / "access").mkdir()
    ca, certificate, key = map(str, authority(root / "authority"))
    more = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", ca, "--tls-auth-clients", "no")
    restricted(metagate, backend, root, ca, more)
    encrypted_cluster(metagate, backend, root, ca, more)


def encrypted_cluster(metagate, backend, root, ca, more):
    more += ("--tls-cluster", "yes", "--tls-replication", "yes", *documented_endpoints())
    with Cluster(root / "encrypted-cluster", more, tls=ssl.create_default_context(cafile=ca)) as nodes:
        config = f'store: {{url: "rediss://localhost:{nodes.others()[0].port}", caFile: "{ca}"}}'
        with Replica(metagate, backend.port, config) as replica:
            wait_until(replica.is_ready, "a replica")
            servers = [line.get("server") for line in replica.logs() if line.get("message") == "connected to the store"]
            check("TLS, a cluster: a node redirects to a host name", servers == [f"localhost:{nodes.owner.port}"])


def restricted(metagate, backend, root, ca, more):
    """The least rights."""
    acl = root / "access" / "users.acl"
    acl.write_text(f"user default off\nuser administrator on >{ADMINISTRATOR} ~* &* +@all\n{documented_user()}\n")
    more += ("--aclfile", str(acl))
    tls = ssl.create_default_context(cafile=ca)
    server = Redis(root / "restricted", more=more, user="administrator", password=ADMINISTRATOR, tls=tls)
    store = f'url: "rediss://localhost:{server.port}", caFile: "{ca}", username: metagate, password: {PASSWORD}, namespace: {NAMESPACE}'
    start = lambda old="", new="": Replica(metagate, backend.port, f"store: {{{store.replace(old, new)}}}")
    with server, start() as one, start() as two:
        wait_until(lambda: one.is_ready() and two.is_ready(), "the replicas")
        times = []
        for number in range(10):
            one.run("revoke", "--store", "--jti", f"restricted-{number}")
            times.append(until_refused((one, two), f"restricted-{number}"))
        report("TLS and the documented user, after the command", times, LIMIT)
        check("TLS: the list", len(one.run("revoke", "list", "--store").splitlines()) >= 10)
        one.run("revoke", "remove", "--store", "--jti", "restricted-9")
        wait_until(lambda: one.status(token("restricted-9")) == 200, "the removal")
        check("TLS: the user needs nothing that it may not do", server.command("ACL", "LOG") == [])
        for what, old, new, says in (
            ("another password", PASSWORD, "wrong", "it refuses the user name or the password"),
            ("another namespace", f"namespace: {NAMESPACE}", "namespace: other", "the user may not do this"),
            ("a name that the certificate lacks", "localhost", "127.0.0.1", "TLS: "),
            ("the platform's authorities only", f'caFile: "{ca}", ', "", "TLS: "),
        ):
            with start(old, new) as other:
                wait_until(lambda: any(says in str(line) for line in other.logs()), f"the log with {what}: {says}")
                check(f"TLS, {what}: not ready", not other.is_ready())
