//! Protected resource metadata (RFC 9728): by it a client, such as one of MCP, finds out where to get a token.
//!
//! 1. The document of a resource `https://host/path` is at `https://host/.well-known/oauth-protected-resource/path`
//!    (section 3.1). That of the first resource is also at the well-known path alone, where clients look next.
//! 2. The challenge of a refused request to the resource names the URL of the document (section 5.1), and the scopes
//!    that a token needs (RFC 6750 section 3).
//!
//! What must hold: everything in a document and in a challenge is from the configuration, nothing from a request. A
//! `Host` that a client chose could otherwise send other clients to its own authorization server.

use bytes::Bytes;
use http::HeaderValue;
use serde_json::json;

/// The path of the document of a resource without a path, and the beginning of every other document's.
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectedResource {
    /// The path of its requests, as they arrive: they have this path or one below it.
    pub path: Box<str>,
    /// Its identifier, a URL as it is written in the configuration.
    pub resource: Box<str>,
    /// Scheme, host and port of that URL.
    pub origin: Box<str>,
    /// The path of that URL.
    pub resource_path: Box<str>,
    /// The issuers of its tokens. Empty if the backend serves the document.
    pub authorization_servers: Vec<Box<str>>,
    /// The scopes that a token usually needs. Scope tokens of RFC 6749 section 3.3.
    pub scopes: Vec<Box<str>>,
    /// Its name for people.
    pub name: Option<Box<str>>,
}

/// All resources, with their documents.
#[derive(Clone, Debug)]
pub struct ResourceMetadata {
    resources: Vec<Prepared>,
}

#[derive(Clone, Debug)]
struct Prepared {
    path: Box<str>,
    document_path: Box<str>,
    document_url: Box<str>,
    /// None if the backend serves it.
    document: Option<Bytes>,
    scopes: Vec<Box<str>>,
}

impl ResourceMetadata {
    /// Prepares the documents. None if there are no resources.
    pub fn new(resources: &[ProtectedResource]) -> Option<Self> {
        let resources: Vec<_> = resources.iter().map(Prepared::new).collect();
        (!resources.is_empty()).then_some(Self { resources })
    }

    /// The document at this path of a request, if there is one that metagate serves.
    pub fn document(&self, path: &str) -> Option<&Bytes> {
        let exact = self.resources.iter().find(|resource| *resource.document_path == *path);
        let first = self.resources.first().filter(|_| path == WELL_KNOWN);
        exact.or(first)?.document.as_ref()
    }

    /// The challenge for a refused request with this path: `challenge`, with the URL of the document and the scopes. None
    /// if the path belongs to no resource. `scopes` are those of the rule that refused it; without a rule they are those
    /// of the configuration.
    pub fn challenge(
        &self,
        path: &str,
        challenge: &HeaderValue,
        scopes: Option<&[Box<str>]>,
    ) -> Option<HeaderValue> {
        let of_path = self.resources.iter().filter(|resource| is_below(path, &resource.path));
        let resource = of_path.max_by_key(|resource| resource.path.len())?;
        let scopes = scopes.unwrap_or(&resource.scopes);
        let scope =
            if scopes.is_empty() { String::new() } else { format!(", scope=\"{}\"", scopes.join(" ")) };
        let url = &resource.document_url;
        let text = format!("{}, resource_metadata=\"{url}\"{scope}", challenge.to_str().ok()?);
        HeaderValue::try_from(text).ok()
    }
}

impl Prepared {
    fn new(resource: &ProtectedResource) -> Self {
        // RFC 9728 section 3.1: a slash directly after the host is removed.
        let below = if &*resource.resource_path == "/" { "" } else { &*resource.resource_path };
        let document_path = format!("{WELL_KNOWN}{below}");
        let served = !resource.authorization_servers.is_empty();
        Self {
            path: resource.path.clone(),
            document_url: format!("{}{document_path}", resource.origin).into(),
            document_path: document_path.into(),
            document: served.then(|| document(resource)),
            scopes: resource.scopes.clone(),
        }
    }
}

/// RFC 9728 section 2.
fn document(resource: &ProtectedResource) -> Bytes {
    let mut members = json!({
        "resource": resource.resource,
        "authorization_servers": resource.authorization_servers,
        "bearer_methods_supported": ["header"],
    });
    if !resource.scopes.is_empty() {
        members["scopes_supported"] = json!(resource.scopes);
    }
    if let Some(name) = &resource.name {
        members["resource_name"] = json!(name);
    }
    members.to_string().into()
}

/// Whether a path is `prefix` or below it, by whole segments.
fn is_below(path: &str, prefix: &str) -> bool {
    prefix == "/" || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(path: &str, resource_path: &str, servers: &[&str], scopes: &[&str]) -> ProtectedResource {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).into()).collect();
        ProtectedResource {
            path: path.into(),
            resource: format!("https://catalog.example{resource_path}").into(),
            origin: "https://catalog.example".into(),
            resource_path: resource_path.into(),
            authorization_servers: texts(servers),
            scopes: texts(scopes),
            name: None,
        }
    }

    const BARE: HeaderValue = HeaderValue::from_static("Bearer realm=\"metagate\"");

    fn challenge(metadata: &ResourceMetadata, path: &str, scopes: Option<&[Box<str>]>) -> Option<String> {
        let challenge = metadata.challenge(path, &BARE, scopes)?;
        Some(challenge.to_str().unwrap().strip_prefix("Bearer realm=\"metagate\", ").unwrap().to_owned())
    }

    #[test]
    fn documents_are_at_the_path_of_section_3_1_and_at_the_root() {
        let all = [
            resource("/mcp", "/mcp", &["https://idp.example"], &["mcp.read"]),
            resource("/x", "/other/x", &["https://idp.example/2"], &[]),
        ];
        let metadata = ResourceMetadata::new(&all).unwrap();
        let read = |path: &str| {
            metadata
                .document(path)
                .map(|document| serde_json::from_slice::<serde_json::Value>(document).unwrap())
        };
        let first = json!({
            "resource": "https://catalog.example/mcp",
            "authorization_servers": ["https://idp.example"],
            "scopes_supported": ["mcp.read"],
            "bearer_methods_supported": ["header"],
        });
        assert_eq!(read("/.well-known/oauth-protected-resource/mcp"), Some(first.clone()));
        assert_eq!(read("/.well-known/oauth-protected-resource"), Some(first));
        let second = read("/.well-known/oauth-protected-resource/other/x").unwrap();
        assert_eq!(second["resource"], "https://catalog.example/other/x");
        assert!(second.get("scopes_supported").is_none() && second.get("resource_name").is_none());
        for path in [
            "/.well-known/oauth-protected-resource/",
            "/.well-known/oauth-protected-resource/x",
            "/.well-known/oauth-protected-resource/MCP",
            "/.well-known/oauth-protected-resource/mcp/",
            "/mcp",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
        let named = ProtectedResource { name: Some("Catalog".into()), ..all[0].clone() };
        let named = ResourceMetadata::new(&[named]).unwrap();
        let document = named.document(WELL_KNOWN).unwrap();
        assert!(String::from_utf8_lossy(document).contains(r#""resource_name":"Catalog""#));
        assert!(ResourceMetadata::new(&[]).is_none());
    }

    #[test]
    fn a_resource_without_a_path_has_its_document_at_the_root() {
        let metadata = ResourceMetadata::new(&[resource("/", "/", &["https://idp.example"], &[])]).unwrap();
        assert!(metadata.document(WELL_KNOWN).is_some());
        let expected = "resource_metadata=\"https://catalog.example/.well-known/oauth-protected-resource\"";
        assert_eq!(challenge(&metadata, "/anything", None).as_deref(), Some(expected));
    }

    #[test]
    fn a_document_of_the_backend_is_named_and_not_served() {
        let metadata = ResourceMetadata::new(&[resource("/mcp", "/mcp", &[], &[])]).unwrap();
        assert!(metadata.document("/.well-known/oauth-protected-resource/mcp").is_none());
        assert!(metadata.document(WELL_KNOWN).is_none());
        let expected =
            "resource_metadata=\"https://catalog.example/.well-known/oauth-protected-resource/mcp\"";
        assert_eq!(challenge(&metadata, "/mcp", None).as_deref(), Some(expected));
    }

    #[test]
    fn challenges_name_the_document_and_the_scopes() {
        let all = [
            resource("/mcp", "/mcp", &["https://idp.example"], &["mcp.read", "mcp.write"]),
            resource("/mcp/admin", "/mcp/admin", &["https://idp.example"], &[]),
        ];
        let metadata = ResourceMetadata::new(&all).unwrap();
        let url = "resource_metadata=\"https://catalog.example/.well-known/oauth-protected-resource/mcp";
        for path in ["/mcp", "/mcp/", "/mcp/x"] {
            let expected = format!("{url}\", scope=\"mcp.read mcp.write\"");
            assert_eq!(challenge(&metadata, path, None), Some(expected), "{path}");
        }
        assert_eq!(
            challenge(&metadata, "/mcp/admin/x", None),
            Some(format!("{url}/admin\"")),
            "the longest path"
        );
        let rule: [Box<str>; 1] = ["mcp.admin".into()];
        assert_eq!(challenge(&metadata, "/mcp", Some(&rule)), Some(format!("{url}\", scope=\"mcp.admin\"")));
        assert_eq!(challenge(&metadata, "/mcp", Some(&[])), Some(format!("{url}\"")));
        for path in ["/", "/mcpx", "/MCP", "/api"] {
            assert_eq!(challenge(&metadata, path, None), None, "{path}");
        }
    }
}
