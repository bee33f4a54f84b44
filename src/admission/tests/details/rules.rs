//! Rules and impersonation.

use super::*;

pub(super) fn rules() -> Vec<Case> {
    let token = token_of(json!({"roles": ["DataConsumer"], "scope": "read", "aud": "x", "team": "sales"}));
    let of = |detail| case(Step::Rules, &token, detail);
    let names = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect::<Vec<Box<str>>>();
    vec![
        of("no rule matches, and authorization.default is deny")
            .changed(|case| case.admission.authorizer.policy.default = Effect::Deny),
        of("action: deny").with_rule(Verdict::Deny, None),
        of(r#"action: deny; a backend may read the path as "/x""#)
            .with_rule(Verdict::Deny, Some("request.path == '/x'"))
            .changed(|case| case.request.path = "/x;y"),
        of("when: this is false: claims.team == 'eng'")
            .with_rule(Verdict::Require(Box::default()), Some("claims.team == 'eng'")),
        of(r#"anyRole: token has ["DataConsumer"] in roles, wanted one of [Admin, Steward]"#)
            .requiring(|wanted| wanted.any_role = names(&["Admin", "Steward"])),
        of(r#"allRoles: token has [] in realm_access.roles, wanted all of [Admin]; anyScope: token has ["read"] in scope or scp, wanted one of [write]"#)
            .requiring(|wanted| {
                wanted.all_roles = names(&["Admin"]);
                wanted.any_scope = names(&["write"]);
            })
            .with_rules(|rules| rules.roles_claim = crate::claims::RolesClaim::new("realm_access.roles")),
        of(r#"allScopes: token has ["read"] in scope or scp, wanted all of [read, write]"#)
            .requiring(|wanted| wanted.all_scopes = names(&["read", "write"])),
        of("tokenType: token is user, wanted one of [bot]").requiring(|wanted| wanted.token_types = names(&["bot"])),
        of(r#"principals: token is of "ada", wanted one of [svc-*]"#)
            .requiring(|wanted| wanted.principals = names(&["svc-*"])),
        of(r#"issuers: token is of entry okta with iss "https://okta.example", wanted one of [azure]"#)
            .requiring(|wanted| wanted.issuers = names(&["azure"])),
        of(r#"audiences: token has "x", wanted one of [y]"#).requiring(|wanted| wanted.audiences = names(&["y"])),
        of(r#"claims: team is "sales", wanted one of [eng, ops]"#).requiring(|wanted| {
            wanted.claims = vec![(crate::claims::ClaimPath::new("team"), names(&["eng", "ops"]))];
        }),
        of("sourceIps: request is from no address, wanted one of [10.0.0.0/8]")
            .requiring(|wanted| wanted.source_ips = vec!["10.0.0.0/8".parse().unwrap()]),
        of("its principal \"ada\" is one of DataHub's administrators, or its system user")
            .changed(|case| case.admission.authorizer.policy.reserved_actors = names(&["ada"])),
    ]
}

pub(super) fn impersonation() -> Vec<Case> {
    let bot = json!({"sub": "ingestion-bot", "isBot": true, "tokenType": "BOT"});
    let of = |more: serde_json::Value, detail, named: &str, issuer: &str| {
        case(Step::Rules, &token_of(more), detail).changed(|case| {
            case.admission.authorizer.backend = Backend::OpenMetadata;
            case.request.headers.insert("x-impersonate-user", "root".parse::<http::HeaderValue>().unwrap());
            let bots = vec![named.into()];
            case.admission.authorizer.policy.impersonation =
                Some(Impersonation { issuer: issuer.into(), bots });
        })
    };
    vec![
        of(json!({}), "it is not a bot's token: its class is user", "ingestion-bot", ISSUER),
        of(
            bot.clone(),
            "openmetadata.impersonation does not name this bot: it is \"ingestion-bot\", named are [other-bot]",
            "other-bot",
            ISSUER,
        ),
        of(
            bot,
            "it is not a token of openmetadata.issuer: iss is \"https://okta.example\", wanted \"open-metadata.org\"",
            "ingestion-bot",
            "open-metadata.org",
        ),
    ]
}
