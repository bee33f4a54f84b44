"""A cluster of three masters and one replica, which takes over the slot of the set."""

import contextlib
import socket
import time

from measure import BACK, LIMIT, check, refuses_everywhere, report, samples, until_revoked_everywhere
from replica import Replica
from servers import SET, Redis, wait_until

SLOTS = 16384


def node_port():
    """A free port whose bus port, by default 10,000 above, is free as well. `--cluster-port` is not in Redis 6."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = first.getsockname()[1]
        with contextlib.suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", port + 10_000)):
            return port


class Cluster:
    """`owner` is the master with the slot of the set, and `replica` its replica."""

    def __init__(self, directory, more=(), **access):
        more = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1000", *more)
        directory.mkdir()
        with contextlib.ExitStack() as stack:
            start = lambda number: Redis(directory / str(number), port=node_port(), more=more, **access)
            nodes = [stack.enter_context(start(number)) for number in range(4)]
            self.masters, self.replica = nodes[:3], nodes[3]
            for number, node in enumerate(self.masters):
                node.command("CLUSTER", "ADDSLOTS", *range(number * SLOTS // 3, (number + 1) * SLOTS // 3))
            for node in nodes[1:]:
                node.command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
            wait_until(lambda: all(self.knows(node, len(nodes)) for node in nodes), "the nodes of the cluster")
            self.owner = self.masters[nodes[0].command("CLUSTER", "KEYSLOT", SET) * 3 // SLOTS]
            identity = self.owner.command("CLUSTER", "MYID")
            self.replica.command("CLUSTER", "REPLICATE", identity)
            wait_until(lambda: b"master_link_status:up" in self.replica.info(), "the replica of the cluster")
            # The other masters vote for it only if they know it.
            wait_until(lambda: all(b"slave" in node.command("CLUSTER", "NODES") for node in nodes), "the other masters")
            wait_until(lambda: all(b"cluster_state:ok" in node.command("CLUSTER", "INFO") for node in nodes), "the cluster")
            self.nodes, self.stack = nodes, stack.pop_all()

    @staticmethod
    def knows(node, count):
        return f"cluster_known_nodes:{count}".encode() in node.command("CLUSTER", "INFO")

    def others(self):
        return [node for node in self.masters if node is not self.owner]

    def fail_over(self):
        self.owner.kill()
        wait_until(lambda: b"role:master" in self.replica.info(), "the failover of the cluster", 60)
        remaining = [*self.others(), self.replica]
        wait_until(lambda: all(b"cluster_state:ok" in node.command("CLUSTER", "INFO") for node in remaining), "the cluster")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()


def cluster(metagate, backend, root):
    """Through nodes that do not have the keys; and a node fails."""
    with Cluster(root / "cluster") as nodes:
        urls = ", ".join(f'"redis://127.0.0.1:{node.port}"' for node in nodes.others())
        config = f"store: {{url: [{urls}]}}"
        with Replica(metagate, backend.port, config) as one, Replica(metagate, backend.port, config) as two:
            replicas = (one, two)
            wait_until(lambda: one.is_ready() and two.is_ready(), "the replicas")
            report("through other nodes of a cluster", samples(nodes.owner, replicas, "cluster", 10, 0.05), LIMIT)
            one.run("revoke", "--store", "--jti", "by-command")
            wait_until(lambda: refuses_everywhere(replicas, "by-command"), "the revocation by a command")
            check("cluster: the command finds the node", nodes.owner.command("ZCARD", SET) == 11)
            nodes.fail_over()
            began = time.monotonic()
            nodes.replica.reconnect()
            until_revoked_everywhere(nodes.replica, replicas, "after-cluster-failover")
            report("after a failover in the cluster, from the promotion", [time.monotonic() - began], BACK)
            check("cluster: earlier revocations count", refuses_everywhere(replicas, "cluster-0"))
