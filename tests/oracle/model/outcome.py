"""What a decision is, and the reasons for which a request is refused."""

from dataclasses import dataclass, field

# Reason: status. The table of refusals of the README and docs/troubleshooting.md, as far as deciding goes.
STATUS = {
    "missing_token": 401,
    "unsupported_scheme": 401,
    "malformed_token": 401,
    "algorithm_not_allowed": 401,
    "untrusted_issuer": 401,
    "unknown_key": 401,
    "invalid_signature": 401,
    "expired": 401,
    "not_yet_valid": 401,
    "missing_expiry": 401,
    "lifetime_too_long": 401,
    "wrong_audience": 401,
    "missing_principal": 401,
    "wrong_domain": 401,
    "revoked": 401,
    "insufficient_permissions": 403,
    "impersonation_denied": 403,
    "ambiguous_credentials": 400,
    "bad_target": 400,
    "outside_prefix": 404,
    "method_not_allowed": 405,
    "target_too_long": 414,
    "head_too_large": 431,
    "keys_unavailable": 503,
}


class Refused(Exception):
    """Raised where a request is refused. Several reasons if the contract does not say which of two faults counts."""

    def __init__(self, *reasons, rule=None, identity=None):
        super().__init__(*reasons)
        self.reasons = frozenset(reasons)
        self.rule = rule
        self.identity = identity  # of a token that is verified and refused all the same


@dataclass
class Outcome:
    """Forwarded or refused, for whom and why."""

    decision: str  # allow, public, deny, would_deny
    reasons: frozenset = frozenset()
    principal: str | None = None  # of a verified token, refused or not
    token_class: str | None = None
    issuer: str | None = None
    rules: frozenset = field(default_factory=frozenset)  # the rules that may be named; empty: not compared

    def agrees_with(self, seen):
        """Whether the decision that a program gave (a dictionary) is this one."""
        if self.decision != seen["decision"]:
            return False
        if self.reasons:
            if seen.get("reason") not in self.reasons:
                return False
            if self.decision == "deny" and seen.get("status") != STATUS[seen["reason"]]:
                return False
        elif seen.get("reason") is not None:
            return False
        if self.principal != seen.get("principal") or self.token_class != seen.get("token_class"):
            return False
        if self.issuer != seen.get("issuer"):
            return False
        return not self.rules or seen.get("rule") in self.rules

    def as_dict(self):
        return {
            "decision": self.decision,
            "reason": sorted(self.reasons) or None,
            "principal": self.principal,
            "token_class": self.token_class,
            "issuer": self.issuer,
            "rule": sorted(self.rules, key=str) or None,
        }
