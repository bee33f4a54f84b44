//! Whether clients find the authorization servers of `resourceMetadata`, and how they get a client ID there.

use crate::config::{Finding, FindingId, Loaded};
use crate::jwks::AuthorizationServer;

/// What clients of each protected resource will find.
pub(super) async fn findings(loaded: &Loaded) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (index, resource) in loaded.config.resource_metadata.iter().enumerate() {
        for server in &resource.authorization_servers {
            let path = format!("resourceMetadata[{index}].authorizationServers");
            findings.extend(finding(loaded, &path, server).await);
        }
    }
    findings
}

async fn finding(loaded: &Loaded, path: &str, server: &str) -> Option<Finding> {
    let binds = |issuers: &[Box<str>]| issuers.iter().any(|issuer| **issuer == *server);
    let entry = loaded.config.trust.iter().find(|entry| binds(&entry.rules.issuers))?;
    let found = match AuthorizationServer::find(entry, &loaded.config, server).await {
        Ok(found) => found,
        Err(why) => {
            let message = format!("clients would not find the metadata of {server}: {why}");
            let help = "if clients can reach it and this machine cannot, accept this warning";
            return Some(Finding::warning(FindingId::AuthorizationServer, path, message).help(help));
        }
    };
    // RFC 8414 section 3.3: clients must not use metadata of another issuer.
    if found.issuer.as_deref() != Some(server) {
        let named = found.issuer.as_deref().unwrap_or("missing");
        let message = format!("the issuer in {} is {named}, and clients expect {server}", found.url);
        let help = "correct the issuer of the entry; a slash at its end makes a difference";
        return Some(Finding::error(FindingId::AuthorizationServer, path, message).help(help));
    }
    let how = match (found.takes_client_documents, found.registers_clients) {
        (true, true) => "a client ID metadata document, or register",
        (true, false) => "a client ID metadata document",
        (false, true) => "register",
        (false, false) => {
            return Some(Finding::info(format!(
                "{path}: clients find {server}, and need a client ID that its administrator gives them"
            )));
        }
    };
    Some(Finding::info(format!("{path}: clients find {server}, and can use {how}")))
}
