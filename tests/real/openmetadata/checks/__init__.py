"""The checks, in the order in which they run: later ones use what earlier ones made."""

from . import bots, credentials, identities, lifecycle, refusals, surface, token_exchange, users

CHECKS = [
    ("basic login", users.login),
    ("the bots page: ingestion-bot", bots.ingestion_bot),
    ("the bots page: revoke, generate", bots.revoke_and_generate),
    ("the bots page: generate again without revoking", bots.generate_again),
    ("the bots page: a new bot", bots.new_bot),
    ("the authentication page: personal access token", users.personal_access_token),
    ("the authentication page: errors", refusals.documented_errors),
    ("insufficient permissions", refusals.permissions),
    ("tokens that neither accepts", refusals.bad_tokens),
    ("SSO token of a listed issuer", identities.single_sign_on),
    ("a second listed key names ingestion-bot", identities.second_key_as_bot),
    ("a second listed key names the administrator", identities.second_key_as_admin),
    ("the issuer entry of docs/providers.md", identities.bound_to_the_issuer),
    ("impersonation", credentials.impersonation),
    ("fields and credentials that a client must not set", credentials.smuggled),
    ("paths that look public", surface.look_alikes),
    ("what the web UI requests", surface.web_ui),
    ("token exchange: users", token_exchange.users),
    ("token exchange: refusals", token_exchange.refusals),
    ("token exchange: what a workload's token says of itself", token_exchange.claims),
    ("token exchange: metagate check", token_exchange.check),
    ("token exchange: a new key", token_exchange.rotation),
    ("a restart of OpenMetadata", lifecycle.restart),
    ("token exchange: after the restart", token_exchange.after_restart),
    ("logout", users.logout),
]
