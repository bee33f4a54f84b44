//! Protected resources.

use super::*;

const LOGIN: &str = "authentication: {issuers: [{name: login, issuer: 'https://login.example', audiences: [x, 'https://c.example/mcp']}]}\n";

fn with(backend: &str, entries: &str) -> Case {
    file(&format!("backend: {backend}\n{LOGIN}resourceMetadata: {entries}\n")).with(&[UPSTREAM])
}

#[test]
fn a_resource_has_what_its_document_and_challenge_need() {
    for server in ["login", "'https://login.example'"] {
        let entries = format!(
            "[{{resource: 'https://c.example/mcp', authorizationServers: [{server}], scopes: [a, 'b:c'], name: C}}]"
        );
        let config = with("generic", &entries).config();
        let [resource] = &*config.resource_metadata else { panic!("one") };
        assert_eq!((&*resource.path, &*resource.resource_path), ("/mcp", "/mcp"));
        assert_eq!((&*resource.origin, &*resource.resource), ("https://c.example", "https://c.example/mcp"));
        assert_eq!(resource.authorization_servers, ["https://login.example"].map(Box::<str>::from));
        assert_eq!(resource.scopes, ["a", "b:c"].map(Box::<str>::from));
        assert_eq!(resource.name.as_deref(), Some("C"));
    }
    assert!(with("generic", "[]").config().resource_metadata.is_empty());
}

#[test]
fn only_openmetadata_serves_the_document_itself() {
    let entries = "[{resource: 'https://c.example/catalog/mcp/', path: /mcp}]";
    let config = with("openmetadata", entries).config();
    let resource = &config.resource_metadata[0];
    assert_eq!((&*resource.path, &*resource.resource_path), ("/mcp", "/catalog/mcp/"));
    assert!(resource.authorization_servers.is_empty());
    let errors = with("datahub-gms", entries).errors();
    assert_error(&errors, "resourceMetadata[0].authorizationServers @ 3:20 | is missing");
}

#[test]
fn the_resource_must_be_an_audience_of_each_issuer() {
    let entries = "[{resource: 'https://c.example/other', authorizationServers: [login]}]";
    let errors = with("generic", entries).errors();
    assert_error(
        &errors,
        "resourceMetadata[0].authorizationServers @ 3:80 | tokens of `login` for this resource must have it as their \
         audience: its audiences are [x, https://c.example/mcp]",
    );
}

#[test]
fn every_mistake_is_an_error() {
    let errors =
        |entry: &str| with("generic", &format!("[{{authorizationServers: [login], {entry}}}]")).errors();
    for (entry, error) in [
        (
            "resource: 'http://c.example/mcp'",
            "begins with http://; accepted: https://, or http:// on loopback",
        ),
        ("resource: 'https://c.example/mcp?a=b'", "has a query; write the URL without it"),
        ("resource: 'https://c.example/mcp#a'", "has a fragment"),
        ("resource: c.example", "is not a URL"),
        ("path: /mcp", "resourceMetadata[0].resource @ 3:20 | is missing"),
        ("resource: 'https://c.example/mcp', scopes: ['a b']", "is not a scope"),
        ("resource: 'https://c.example/mcp', scopes: ['a\"b']", "is not a scope"),
        ("resource: 'https://c.example/mcp', path: mcp", "resourceMetadata[0].path"),
    ] {
        let errors = errors(entry);
        assert!(errors.iter().any(|found| found.contains(error)), "{entry}: {errors:?}");
    }
    for server in ["nobody", "'https://other.example'"] {
        let entries = format!("[{{resource: 'https://c.example/mcp', authorizationServers: [{server}]}}]");
        let errors = with("generic", &entries).errors();
        assert!(errors[0].contains("is neither the name of an entry"), "{errors:?}");
    }
    let one = "{resource: 'https://c.example/mcp', authorizationServers: [login]}";
    let errors = with("generic", &format!("[{one}, {one}]")).errors();
    assert_error(
        &errors,
        "resourceMetadata[1].resource @ 3:99 | another entry has the same resource or path",
    );
}
