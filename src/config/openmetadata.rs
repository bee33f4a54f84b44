//! Reads existing configurations of OpenMetadata as settings of ours: its own YAML, the values of its Helm chart, and
//! its environment variables. DataHub's environment variables are also here.

use super::document::{Entry, Node, Position, Value};
use super::error::{ConfigError, Origin};
use super::layer::{Layer, Source, shown};
use super::settings;

/// The backend that these formats imply.
const BACKEND: &str = "openmetadata";

/// The blocks of OpenMetadata's YAML that are read.
pub(super) const BLOCKS: [&str; 3] =
    ["authenticationConfiguration", "authorizerConfiguration", "jwtTokenConfiguration"];

/// Top-level keys of metagate whose names mean something else in OpenMetadata's YAML, or may in values of other charts.
/// There they are ours only if they contain one of our keys.
const AMBIGUOUS: [&str; 8] = ["limits", "health", "admin", "tls", "identity", "datahub", "log", "check"];

/// The path of an OpenMetadata key, and the path of our key.
type Pair = (&'static [&'static str], &'static str);

const YAML: &[Pair] = &[
    (&["authenticationConfiguration", "provider"], "authentication.provider"),
    (&["authenticationConfiguration", "publicKeyUrls"], "authentication.publicKeyUrls"),
    (&["authenticationConfiguration", "tokenValidationAlgorithm"], "authentication.tokenValidationAlgorithm"),
    (&["authenticationConfiguration", "jwtPrincipalClaims"], "authentication.principalClaims"),
    (&["authenticationConfiguration", "jwtPrincipalClaimsMapping"], "authentication.principalClaimsMapping"),
    (&["authorizerConfiguration", "principalDomain"], "authentication.principalDomain"),
    (&["authorizerConfiguration", "allowedDomains"], "authentication.allowedDomains"),
    (&["authorizerConfiguration", "enforcePrincipalDomain"], "authentication.enforcePrincipalDomain"),
    (&["authorizerConfiguration", "adminPrincipals"], "openmetadata.adminPrincipals"),
    (&["jwtTokenConfiguration", "jwtissuer"], "openmetadata.issuer"),
    (&["jwtTokenConfiguration", "keyId"], "openmetadata.keyId"),
    (&["basePath"], "openmetadata.basePath"),
];

const HELM: &[Pair] = &[
    (&["authentication", "provider"], "authentication.provider"),
    (&["authentication", "publicKeys"], "authentication.publicKeyUrls"),
    (&["authentication", "tokenValidationAlgorithm"], "authentication.tokenValidationAlgorithm"),
    (&["authentication", "jwtPrincipalClaims"], "authentication.principalClaims"),
    (&["authentication", "jwtPrincipalClaimsMapping"], "authentication.principalClaimsMapping"),
    (&["authorizer", "principalDomain"], "authentication.principalDomain"),
    (&["authorizer", "allowedDomains"], "authentication.allowedDomains"),
    (&["authorizer", "enforcePrincipalDomain"], "authentication.enforcePrincipalDomain"),
    (&["authorizer", "initialAdmins"], "openmetadata.adminPrincipals"),
    (&["jwtTokenConfiguration", "jwtissuer"], "openmetadata.issuer"),
    (&["jwtTokenConfiguration", "keyId"], "openmetadata.keyId"),
    (&["basePath"], "openmetadata.basePath"),
];

/// Environment variables of OpenMetadata and DataHub, and the paths of our keys.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("AUTHENTICATION_PUBLIC_KEYS", "authentication.publicKeyUrls"),
    ("AUTHENTICATION_PROVIDER", "authentication.provider"),
    ("AUTHENTICATION_JWT_PRINCIPAL_CLAIMS", "authentication.principalClaims"),
    ("AUTHENTICATION_JWT_PRINCIPAL_CLAIMS_MAPPING", "authentication.principalClaimsMapping"),
    ("AUTHENTICATION_TOKEN_VALIDATION_ALGORITHM", "authentication.tokenValidationAlgorithm"),
    ("AUTHORIZER_PRINCIPAL_DOMAIN", "authentication.principalDomain"),
    ("AUTHORIZER_ALLOWED_DOMAINS", "authentication.allowedDomains"),
    ("AUTHORIZER_ENFORCE_PRINCIPAL_DOMAIN", "authentication.enforcePrincipalDomain"),
    ("AUTHORIZER_ADMIN_PRINCIPALS", "openmetadata.adminPrincipals"),
    ("JWT_ISSUER", "openmetadata.issuer"),
    ("JWT_KEY_ID", "openmetadata.keyId"),
    ("BASE_PATH", "openmetadata.basePath"),
    ("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", "datahub.tokenServiceSigningKey"),
    ("DATAHUB_TOKEN_SERVICE_ISSUER", "datahub.tokenServiceIssuer"),
    ("DATAHUB_TOKEN_SERVICE_SALT", "datahub.tokenServiceSalt"),
    ("DATAHUB_SYSTEM_CLIENT_ID", "datahub.systemClientId"),
    ("DATAHUB_SYSTEM_CLIENT_SECRET", "datahub.systemClientSecret"),
];

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Own,
    OpenMetadata,
    Helm,
}

/// The format of a document.
pub(super) fn shape(root: &Node) -> Shape {
    if BLOCKS.iter().any(|block| root.get(block).is_some()) {
        return Shape::OpenMetadata;
    }
    match root.get("openmetadata").and_then(|section| section.get("config")) {
        Some(_) => Shape::Helm,
        None => Shape::Own,
    }
}

/// Whether a text is OpenMetadata's YAML. This is decided before parsing, because its expressions are replaced first.
pub(super) fn has_block(text: &str) -> bool {
    text.lines().any(|line| {
        let key = line.trim_start_matches(['"', '\'']);
        BLOCKS.iter().any(|block| {
            let rest = key.strip_prefix(block).map(|rest| rest.trim_start_matches(['"', '\'']));
            rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
        })
    })
}

/// Takes a document in one of OpenMetadata's formats: its settings, and our own keys beside them. Returns a remark that
/// names what is not read.
pub(super) fn read(
    layer: &mut Layer,
    shape: Shape,
    root: &Node,
    source: &Source<'_>,
    errors: &mut Vec<ConfigError>,
) -> Option<String> {
    let (ours, theirs) = split(shape, root);
    for entry in &theirs {
        errors.extend(misspelled(entry, source));
    }
    let format = Format::of(shape);
    let block = format.section.iter().try_fold(root, |node, name| node.get(name)).unwrap_or(root);
    for name in format.blocks {
        if let Some(node) = block.get(name) {
            let path = format.section.iter().chain([name]).copied().collect::<Vec<_>>().join(".");
            check_block(&path, name, node, format.pairs, source, errors);
        }
    }
    let ours = Node { at: root.at, value: Value::Map(ours) };
    layer.document(source, &ours, errors);
    for (theirs, path) in format.pairs {
        let given = theirs.iter().try_fold(block, |node, name| node.get(name));
        // OpenMetadata's templates render unset values as empty strings.
        let (Some(node), Some(key)) = (given.filter(|node| !is_empty(node)), settings::find(path)) else {
            continue;
        };
        let twin = path.split('.').try_fold(&ours, |node, name| node.get(name));
        if let Some(twin) = twin.filter(|twin| twin.value != Value::Null) {
            let name = format.section.iter().chain(*theirs).copied().collect::<Vec<_>>().join(".");
            let message = format!("is also set as {name} ({})", source.at(node.at));
            let error = ConfigError::new(*path, Some(source.at(twin.at)), message);
            errors.push(error.help("write it in one of the two places"));
        } else {
            layer.put(key, node, source, errors);
        }
    }
    match shape {
        Shape::Helm => Some(
            "read as Helm values: openmetadata.config.{authentication, authorizer, jwtTokenConfiguration}, and metagate's \
             own keys"
                .to_owned(),
        ),
        Shape::Own | Shape::OpenMetadata => {
            let read = |entry: &&&Entry| !BLOCKS.contains(&entry.key.as_str()) && entry.key != "basePath";
            let ignored: Vec<_> = theirs.iter().filter(read).map(|entry| shown(&entry.key)).collect();
            let names = ignored.join(", ");
            (!ignored.is_empty()).then(|| format!("not read in OpenMetadata's YAML: {names}"))
        }
    }
}

/// The backend of a file in one of OpenMetadata's formats, unless it says otherwise itself.
pub(super) fn implied_backend(shape: Shape, root: &Node, source: &Source<'_>) -> Option<(Layer, Origin)> {
    let Value::Map(entries) = &root.value else { return None };
    let is_block = |entry: &&Entry| match shape {
        Shape::Own => false,
        Shape::OpenMetadata => BLOCKS.contains(&entry.key.as_str()),
        Shape::Helm => entry.key == "openmetadata",
    };
    let block = entries.iter().find(is_block).filter(|_| root.get("backend").is_none())?;
    let mut layer = Layer::new(source);
    let value = Node::text(BACKEND, block.key_at);
    layer.put(settings::find("backend")?, &value, source, &mut Vec::new());
    Some((layer, source.at(block.key_at)))
}

/// One of OpenMetadata's formats.
struct Format {
    /// The section that has the blocks.
    section: &'static [&'static str],
    blocks: &'static [&'static str],
    pairs: &'static [Pair],
}

impl Format {
    fn of(shape: Shape) -> Self {
        match shape {
            Shape::Helm => Self {
                section: &["openmetadata", "config"],
                blocks: &["authentication", "authorizer", "jwtTokenConfiguration"],
                pairs: HELM,
            },
            Shape::Own | Shape::OpenMetadata => Self { section: &[], blocks: &BLOCKS, pairs: YAML },
        }
    }
}

/// The entries that are ours, and the others.
fn split(shape: Shape, root: &Node) -> (Vec<Entry>, Vec<&Entry>) {
    let Value::Map(entries) = &root.value else { return (Vec::new(), Vec::new()) };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for entry in entries {
        match &entry.node.value {
            // The chart's own section may also hold our keys about OpenMetadata.
            Value::Map(inner) if shape == Shape::Helm && entry.key == "openmetadata" => {
                let inner: Vec<_> = inner.iter().filter(|inner| inner.key != "config").cloned().collect();
                let node = Node { at: entry.node.at, value: Value::Map(inner) };
                ours.push(Entry { node, ..entry.clone() });
            }
            _ if is_ours(entry) => ours.push(entry.clone()),
            _ => theirs.push(entry),
        }
    }
    (ours, theirs)
}

/// Whether a top-level entry is one of metagate's keys.
fn is_ours(entry: &Entry) -> bool {
    let known = settings::children("");
    if !AMBIGUOUS.contains(&entry.key.as_str()) {
        return known.contains(&entry.key.as_str());
    }
    let below = settings::children(&entry.key);
    match &entry.node.value {
        Value::Map(entries) => entries.iter().any(|inner| below.contains(&inner.key.as_str())),
        _ => false,
    }
}

/// An error for a key that looks like a misspelled key of metagate. Other unknown keys are OpenMetadata's.
fn misspelled(entry: &Entry, source: &Source<'_>) -> Option<ConfigError> {
    let name = entry.key.as_str();
    let known = settings::children("");
    // Short names resemble too many others.
    let near = |known: &&&str| known.len() > 5 && strsim::damerau_levenshtein(name, known) <= 2;
    if known.contains(&name) || name.len() > 100 {
        return None;
    }
    let near = known.iter().find(near)?;
    let message = format!("unknown key; did you mean `{near}`?");
    Some(ConfigError::new(shown(name), Some(source.at(entry.key_at)), message))
}

fn is_empty(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar { text, .. } if text.trim().is_empty())
}

/// Refuses misspelled keys in OpenMetadata's blocks, which would silently leave a list empty. Its other keys are
/// ignored.
fn check_block(
    path: &str,
    block: &str,
    node: &Node,
    pairs: &[Pair],
    source: &Source<'_>,
    errors: &mut Vec<ConfigError>,
) {
    let entries = match &node.value {
        Value::Map(entries) => entries,
        Value::Null => return,
        _ => {
            let message = format!("is {}, not a map", node.kind());
            return errors.push(ConfigError::new(path, Some(source.at(node.at)), message));
        }
    };
    let known: Vec<&str> = pairs
        .iter()
        .filter(|(theirs, _)| theirs.first() == Some(&block))
        .filter_map(|(t, _)| t.get(1).copied())
        .collect();
    for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        if let Some(near) = known.iter().find(|known| is_typo(&entry.key, known)) {
            let message = format!("unknown key; did you mean `{near}`?");
            let path = settings::join(path, &shown(&entry.key));
            errors.push(ConfigError::new(path, Some(source.at(entry.key_at)), message));
        }
    }
}

fn is_typo(key: &str, known: &str) -> bool {
    let same_list = ["publicKeys", "publicKeyUrls", "publicKeyUrl", "publicKey", "publicKeyURLs"];
    key.len() < 100 && strsim::damerau_levenshtein(key, known) <= 2
        || same_list.contains(&key) && same_list.contains(&known)
}

/// Whether a value of the environment counts as unset, as OpenMetadata's templates render it.
pub(super) fn is_unset(value: &str) -> bool {
    matches!(value.trim(), "" | "\"\"" | "''")
}

/// The node for a value of the environment.
pub(super) fn environment_node(kind: settings::Kind, value: &str) -> Node {
    let at = Position::START;
    match kind {
        settings::Kind::Secret => Node::text(super::fragment::secret(value), at),
        _ if kind.is_list() => Node { at, value: Value::Scalar { text: value.to_owned(), quoted: false } },
        _ => Node::text(super::fragment::scalar(value).unwrap_or_default(), at),
    }
}
