//! Audiences that are known to belong to another service.

/// Whether this audience is that of a cloud's token service or of a Kubernetes API server, or one of `issuers`, which are
/// the issuers themselves. A token for one of them gives its holder access there, whatever else it is for.
pub fn is_foreign_audience(audience: &str, issuers: &[Box<str>]) -> bool {
    const PREFIXES: [&str; 6] = [
        "sts.amazonaws.com",
        "https://sts.amazonaws.com",
        // Azure's national clouds append their name.
        "api://azureadtokenexchange",
        "//iam.googleapis.com/",
        "https://iam.googleapis.com/",
        "https://kubernetes.default",
    ];
    let begins_with =
        |prefix: &str| audience.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    PREFIXES.into_iter().any(begins_with) || issuers.iter().any(|issuer| **issuer == *audience)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audiences_of_token_services_and_api_servers_are_foreign() {
        let issuers = ["https://oidc.example/id/1".into()];
        for audience in [
            "sts.amazonaws.com",
            "sts.amazonaws.com.cn",
            "api://AzureADTokenExchange",
            "api://AzureADTokenExchangeUSGov",
            "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
            "https://iam.googleapis.com/projects/1",
            "https://kubernetes.default.svc",
            "https://kubernetes.default.svc.cluster.local",
            "https://oidc.example/id/1",
        ] {
            assert!(is_foreign_audience(audience, &issuers), "{audience}");
        }
        for audience in
            ["", "metagate", "https://oidc.example/id/1/", "metagate.sts.amazonaws.com", "api://x", "\u{e9}"]
        {
            assert!(!is_foreign_audience(audience, &issuers), "{audience}");
        }
    }
}
