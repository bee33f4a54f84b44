"""What a run must have seen, so that its agreement says something."""

from model.outcome import STATUS

# Reasons that few requests lead to, however the generator tries.
RARE = {"head_too_large", "target_too_long", "impersonation_denied", "lifetime_too_long", "method_not_allowed", "revoked"}
FORWARDED = ("allow", "public")


def missing(tally, compared):
    """Which reasons and decisions occurred less often than they must: at least one in 2000, of the rare ones one in 20000."""
    wanted = {f"deny {reason}": compared // (20_000 if reason in RARE else 2_000) for reason in STATUS}
    wanted |= {decision: compared // 500 for decision in FORWARDED}
    wanted |= {"would_deny insufficient_permissions": compared // 2_000}
    found = [f"{what}: {tally.seen[what]}, wanted {least}" for what, least in wanted.items() if tally.seen[what] < max(least, 1)]
    refused = sum(tally.refused_configurations.values())
    if refused > tally.configurations / 2:
        found.append(f"{refused} of {tally.configurations} configurations are refused")
    return found
