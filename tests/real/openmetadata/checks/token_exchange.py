"""`docs/exchange.md`: a workload's own token, and the tokens that metagate mints for OpenMetadata.

Nothing of this is in the trace, because what arrives at the server was made by metagate.
"""

import json
import threading
import time
import urllib.request

from exchange import SAME, send
from keys import Pair, contents, lifetime
from stage import MINT_ISSUER, WORKLOADS

LOGGED_IN = "/api/v1/users/loggedInUser"
# Of minted tokens, in seconds.
LIFETIME = 300
JOB, NOTEBOOK = "ingestion-job", "notebook"


def configure(stage):
    """The entries of `exchange`, with the addresses that OpenMetadata has stored."""
    stored = lambda user: stage.server("GET", f"/api/v1/users/name/{user}", "login")["email"]
    stage.mappings = [(JOB, "ingestion-bot", stored("ingestion-bot")), (NOTEBOOK, "ada", stored("ada"))]
    load(stage, [stage.mint_key])


def load(stage, key_files):
    stage.key_files = key_files
    stage.expect("the configuration is loaded", stage.minting.reload(stage.minting_config(key_files, stage.mappings)))


def published(stage):
    """The ids of the keys that metagate publishes."""
    with urllib.request.urlopen(f"http://127.0.0.1:{stage.minting.health}/mint/jwks.json", timeout=10) as response:
        return [key["kid"] for key in json.load(response)["keys"]]


def workload(stage, name, subject, **claims):
    """Adds a workload's token, which is not in the trace."""
    claims = {"iss": WORKLOADS, "aud": "metagate", "sub": subject, **lifetime(), **claims}
    stage.tokens.texts[name] = stage.pairs["workloads"].sign(claims)
    return name


def minted(stage):
    """The tokens that arrived at OpenMetadata since the last call, none of which metagate may print."""
    sent, tokens = stage.relay.take()
    for token in tokens:
        stage.tokens.texts[f"minted {token[-8:]}"] = token
    return sent, [contents(token) for token in tokens]


def ask(stage, step, token, status, method="GET", path=LOGGED_IN, reason=None, directly=False, **request):
    """One request, the status that it must get, and the header and claims that arrived at OpenMetadata."""
    minted(stage)
    entry = stage.recorder.observe(step, method, path, token=token, proxy=stage.minting, directly=directly, **request)
    sent, arrived = minted(stage)
    stage.expect(f"{step}: {status}, {reason}", (entry["metagate"]["status"], entry["reason"]) == (status, reason))
    stage.expect(f"{step}: the token is not forwarded", token == "login" or stage.tokens.texts[token].encode() not in sent)
    return entry, arrived


def is_user(stage, step, token, user, kid):
    """Who OpenMetadata says that it is, and the token by which it knows."""
    entry, arrived = ask(stage, step, token, 200)
    stage.expect(f"{step}: it is {user}", entry["metagate"]["body"]["name"] == user)
    record = entry["record"]
    subject, _, email = next(mapping for mapping in stage.mappings if mapping[1] == user)
    identities = [record[member] for member in ("principal", "subject", "issuer", "exchange")]
    stage.expect(f"{step}: both identities are in the audit record", identities == [user, subject, "workloads", subject])
    (header, claims), = arrived
    stage.expect(f"{step}: the key", header["kid"] == kid)
    stage.expect(f"{step}: the claims", (claims["iss"], claims["sub"], claims["email"]) == (MINT_ISSUER, user, email))
    stage.expect(f"{step}: the lifetime", 0 < claims["exp"] - time.time() <= LIFETIME)
    stage.expect(f"{step}: nothing else that grants anything", not {"roles", "groups", "isAdmin", "isBot", "tokenType"} & {*claims})


def users(stage):
    configure(stage)
    kid, = published(stage)
    workload(stage, "job", JOB)
    workload(stage, "notebook", NOTEBOOK)
    is_user(stage, "the job", "job", "ingestion-bot", kid)
    ask(stage, "the job: a table", "job", 201, "PUT", "/api/v1/tables", body=stage.table("exchanged"))
    path = "/api/v1/services/databaseServices/name/shop"
    service, _ = ask(stage, "the job: a secret of a service, which only bots see", "job", 200, path=path)
    config = service["metagate"]["body"]["connection"]["config"]
    stage.expect("the secret is in clear", config["authType"]["password"] == "<secret>")
    is_user(stage, "the notebook", "notebook", "ada", kid)
    refused = stage.table("refused")
    entry, _ = ask(stage, "the notebook: a table, without a role", "notebook", 403, "PUT", "/api/v1/tables", body=refused)
    stage.expect("the 403 is OpenMetadata's", entry["decision"] == "allow")
    entry, arrived = ask(stage, "a person's own token is forwarded as it is", "login", 200)
    stage.expect("it is the administrator", entry["metagate"]["body"]["name"] == "admin")
    stage.expect("nothing was minted", [claims["iss"] for _, claims in arrived] == ["open-metadata.org"])


def refusals(stage):
    for step, claims, status, reason in (
        ("a subject without an entry", {"subject": "another-job"}, 403, "no_mapping"),
        ("a subject in other letters", {"subject": JOB.upper()}, 403, "no_mapping"),
        ("an expired token", lifetime(-60), 401, "expired"),
        ("a token for another service", {"aud": "somebody-else"}, 401, "wrong_audience"),
    ):
        workload(stage, step, **{"subject": JOB, **claims})
        _, arrived = ask(stage, step, step, status, reason=reason)
        stage.expect(f"{step}: nothing is forwarded", not arrived)
    entry, _ = ask(stage, "a workload's token, and the same straight to the server", "job", 200, directly=True)
    stage.expect("OpenMetadata alone refuses a workload's token", entry["server"] != SAME and entry["server"]["status"] >= 400)
    like_minted(stage, "like a minted token, and the same straight to the server", stage.mint_key, published(stage)[0], 200)


def like_minted(stage, step, key_file, kid, alone):
    """A token as metagate mints them, from a client. `alone`: the server's own status; `None` if it may be any."""
    _, user, email = stage.mappings[0]
    claims = {"iss": MINT_ISSUER, "sub": user, "email": email, **lifetime(LIFETIME)}
    stage.tokens.texts[step] = Pair.of_file(key_file, kid).sign(claims)
    entry, arrived = ask(stage, step, step, 401, reason="untrusted_issuer", directly=True)
    stage.expect(f"{step}: nothing is forwarded", not arrived)
    stage.expect(f"{step}: {alone} from the server alone", alone in (None, entry["server"]["status"]))


def claims(stage):
    """Only the entry says who it is and what it may do."""
    kid, = published(stage)
    grand = {"roles": ["Admin"], "groups": ["admins"], "isAdmin": True, "isBot": True, "tokenType": "BOT",
             "email": stage.admin, "preferred_username": "admin"}
    workload(stage, "grand notebook", NOTEBOOK, **grand)
    is_user(stage, "roles, and the administrator's address", "grand notebook", "ada", kid)
    ask(stage, "the same: a table", "grand notebook", 403, "PUT", "/api/v1/tables", body=stage.table("refused"))
    ask(stage, "the same: what only administrators may", "grand notebook", 403, path=f"/api/v1/users/token/{stage.bot}")
    for token in ("notebook", "job"):
        _, arrived = ask(stage, f"the {token} as somebody else", token, 403, reason="impersonation_denied",
                         fields=[("X-Impersonate-User", "admin")])
        stage.expect(f"the {token} as somebody else: nothing is forwarded", not arrived)


def report(stage, what, mappings=None, key_files=None):
    """`metagate check` with the configuration of the running metagate, or a changed one."""
    config = stage.minting_config(key_files or stage.key_files, stage.mappings if mappings is None else mappings)
    ended = stage.minting.command("check", "--json", config=config)
    findings = json.loads(ended.stdout)["findings"]
    lines = [(finding["level"], f"{finding['message']} [{finding.get('id')}]") for finding in findings]
    for level, text in lines:
        stage.report(f"  {what}: {level}: {text}")
    return ended.returncode, lines


def says(findings, level, text):
    return any(found == level and text in message for found, message in findings)


def check(stage):
    code, findings = report(stage, "check")
    stage.expect("exit code 0", code == 0)
    for _, user, _ in stage.mappings:
        stage.expect(f"accepts {user}", says(findings, "info", f"accepts minted tokens of `{user}`"))
    stage.expect("finds the keys", says(findings, "info", "OpenMetadata finds the keys at"))
    code, findings = report(stage, "check, a user that is not there", [(JOB, "no-such-bot", "no-such-bot@openmetadata.org")])
    stage.expect("a user that is not there: exit code 1", code == 1)
    stage.expect("it is named", says(findings, "error", "OpenMetadata has no user `no-such-bot`"))
    unpublished = Pair(stage.mint_key.parent, "unpublished")
    code, findings = report(stage, "check, a key that is not published", key_files=[unpublished.private])
    stage.expect("a key that is not published: exit code 1", code == 1)
    stage.expect("it is refused", says(findings, "error", "[mint-refused]"))
    stage.expect("it is said why", says(findings, "warning", "does not have every key of mint.keyFiles [mint-keys-unlisted]"))


class Requests:
    """The job's requests, one after the other, beside what else happens."""

    def __init__(self, stage):
        self.stage, self.statuses, self.is_ended = stage, [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        fields = self.stage.recorder.authorization("job")
        while not self.is_ended.is_set():
            self.statuses.append(send(self.stage.minting.port, "GET", LOGGED_IN, fields).status)

    def go_on(self, count=5):
        """Waits until so many more have ended."""
        wanted = len(self.statuses) + count
        while len(self.statuses) < wanted and self.thread.is_alive():
            time.sleep(0.01)
        self.stage.expect("the requests go on", self.thread.is_alive())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_ended.set()
        self.thread.join()
        self.stage.minting.skip_audit(len(self.statuses))


def rotation(stage):
    """The three steps of `Replacing a key`, while requests go on."""
    old, = published(stage)
    made = stage.minting.command("mint", "rotate")
    new_key = stage.mint_key.with_name("2.pem")
    stage.expect("mint rotate makes 2.pem", made.returncode == 0 and new_key.exists())
    minted(stage)
    fetches = stage.key_servers[0].fetches
    with Requests(stage) as requests:
        requests.go_on()
        load(stage, [stage.mint_key, new_key])
        both = published(stage)
        requests.go_on()
        load(stage, [new_key, stage.mint_key])
        requests.go_on()
    _, arrived = minted(stage)
    kids = [header["kid"] for header, _ in arrived]
    new, = set(both) - {old}
    fetches = stage.key_servers[0].fetches - fetches
    stage.report(f"  {len(kids)} requests during the change, {kids.count(new)} with the new key: {sorted(set(requests.statuses))}")
    stage.report(f"  OpenMetadata fetched the first URL of its list {fetches} times")
    stage.expect("every request during the change is 200", set(requests.statuses) == {200})
    stage.expect("both keys are published", len(both) == 2 and old in both)
    in_order = [old] * kids.count(old) + [new] * kids.count(new)
    stage.expect("first the old key signs, then the new one", kids == in_order and {*kids} == {old, new})
    is_user(stage, "the new key signs", "job", "ingestion-bot", new)
    like_minted(stage, "the old key is still good at the server", stage.mint_key, old, 200)
    load(stage, [new_key])
    stage.expect("only the new key is published", published(stage) == [new])
    is_user(stage, "without the old key", "job", "ingestion-bot", new)
    ask(stage, "without the old key: a table", "job", 200, "PUT", "/api/v1/tables", body=stage.table("exchanged"))
    # 1.1 fetches the keys each time; later releases keep a key for up to 24 hours.
    alone = 500 if stage.version.startswith("1.1.") else None
    like_minted(stage, "the old key after it was removed", stage.mint_key, old, alone)


def after_restart(stage):
    kid, = published(stage)
    is_user(stage, "the same metagate", "job", "ingestion-bot", kid)
