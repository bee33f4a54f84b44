"""Who may connect to which pod, by the NetworkPolicies of a rendering."""


def matches(selector, labels):
    """Whether a label selector takes these labels. Only `matchLabels`; there is nothing else in the manifests."""
    unknown = set(selector) - {"matchLabels"}
    if unknown:
        raise ValueError(f"the test does not know {unknown} of a selector")
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())


class Pod:
    def __init__(self, namespace, labels, ports=None):
        self.namespace, self.labels, self.ports = namespace, labels, ports or {}


STRANGER = Pod("default", {"run": "try"})
PROMETHEUS = Pod("monitoring", {"app.kubernetes.io/name": "prometheus"})


def peer_matches(peer, pod, policy_namespace):
    unknown = set(peer) - {"namespaceSelector", "podSelector"}
    if unknown:
        raise ValueError(f"the test does not know {unknown} of a peer")
    if "namespaceSelector" in peer:
        # A label that every namespace has.
        if not matches(peer["namespaceSelector"], {"kubernetes.io/metadata.name": pod.namespace}):
            return False
    elif pod.namespace != policy_namespace:
        return False
    return matches(peer.get("podSelector", {}), pod.labels)


def may_connect(policies, client, pod, port):
    """Whether `client` may connect to a port of `pod`. `policies` are pairs of a namespace and a NetworkPolicy."""
    selected = [
        (namespace, policy["spec"]) for namespace, policy in policies
        if namespace == pod.namespace
        and "Ingress" in policy["spec"].get("policyTypes", ["Ingress"])
        and matches(policy["spec"]["podSelector"], pod.labels)
    ]
    if not selected:
        return True
    for namespace, spec in selected:
        for rule in spec.get("ingress") or []:
            peers, ports = rule.get("from"), rule.get("ports")
            from_it = not peers or any(peer_matches(peer, client, namespace) for peer in peers)
            to_it = not ports or any(pod.ports.get(one["port"], one["port"]) == port for one in ports)
            if from_it and to_it:
                return True
    return False
