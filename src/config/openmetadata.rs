//! Reads existing configurations of OpenMetadata as settings of ours: its own YAML, the values of its Helm chart, and
//! its environment variables. DataHub's environment variables are also here.

use super::document::{Entry, Node, Position, Value};
use super::error::ConfigError;
use super::layer::{Layer, Source, shown};
use super::settings;

/// The blocks of OpenMetadata's YAML that are read.
pub(super) const BLOCKS: [&str; 3] =
    ["authenticationConfiguration", "authorizerConfiguration", "jwtTokenConfiguration"];

/// Top-level keys of metagate that OpenMetadata does not have (it also has `limits`, `health` and `admin`).
const ONLY_OURS: [&str; 12] = [
    "listen",
    "workers",
    "backend",
    "tls",
    "upstream",
    "authentication",
    "authorization",
    "identity",
    "datahub",
    "openmetadata",
    "trustedProxies",
    "shutdown",
];

/// The subset that is refused in Helm values because it would change who gets access. A values file may be shared with
/// other charts, so the other keys are allowed.
const NEVER_CHARTS: [&str; 4] = ["listen", "upstream", "authentication", "authorization"];

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

/// Takes OpenMetadata's YAML. What is not read is named in one line.
pub(super) fn read_yaml(
    layer: &mut Layer,
    root: &Node,
    source: &Source<'_>,
    errors: &mut Vec<ConfigError>,
) -> Option<String> {
    let Value::Map(entries) = &root.value else { return None };
    refuse_ours(entries, &ONLY_OURS, "OpenMetadata's shape", source, errors);
    for block in BLOCKS {
        if let Some(node) = root.get(block) {
            check_block(block, node, YAML, 0, source, errors);
        }
    }
    take(layer, root, YAML, source, errors);
    let read = |entry: &&Entry| !BLOCKS.contains(&entry.key.as_str()) && entry.key != "basePath";
    let ignored: Vec<_> = entries.iter().filter(read).map(|entry| shown(&entry.key)).collect();
    (!ignored.is_empty()).then(|| format!("not read in OpenMetadata's YAML: {}", ignored.join(", ")))
}

/// Takes the values of OpenMetadata's chart.
pub(super) fn read_helm(
    layer: &mut Layer,
    root: &Node,
    source: &Source<'_>,
    errors: &mut Vec<ConfigError>,
) -> Option<String> {
    let config = root.get("openmetadata")?.get("config")?;
    let Value::Map(entries) = &root.value else { return None };
    refuse_ours(entries, &NEVER_CHARTS, "the shape of Helm values", source, errors);
    for block in ["authentication", "authorizer", "jwtTokenConfiguration"] {
        if let Some(node) = config.get(block) {
            check_block(&format!("openmetadata.config.{block}"), node, HELM, 2, source, errors);
        }
    }
    take(layer, config, HELM, source, errors);
    Some(
        "read as Helm values: openmetadata.config.{authentication, authorizer, jwtTokenConfiguration}"
            .to_owned(),
    )
}

/// Refuses keys of metagate in OpenMetadata's formats, because they would have no effect there.
fn refuse_ours(
    entries: &[Entry],
    ours: &[&str],
    shape: &str,
    source: &Source<'_>,
    errors: &mut Vec<ConfigError>,
) {
    for entry in entries.iter().filter(|entry| ours.contains(&entry.key.as_str())) {
        let message = format!("this file has {shape}, where this key is not read");
        let error = ConfigError::new(&*entry.key, Some(source.at(entry.key_at)), message);
        let help = "set it in the environment (METAGATE_...) or as a flag, or write a separate file";
        errors.push(error.help(help));
    }
}

fn take(layer: &mut Layer, root: &Node, pairs: &[Pair], source: &Source<'_>, errors: &mut Vec<ConfigError>) {
    for (theirs, ours) in pairs {
        let node = theirs.iter().try_fold(root, |node, name| node.get(name));
        // OpenMetadata's templates render unset values as empty strings.
        let given = node.filter(|node| !is_empty(node));
        if let (Some(node), Some(key)) = (given, settings::find(ours)) {
            layer.put(key, node, source, errors);
        }
    }
}

fn is_empty(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar { text, .. } if text.trim().is_empty())
}

/// Refuses misspelled keys in OpenMetadata's blocks, which would silently leave a list empty. Its other keys are
/// ignored.
fn check_block(
    path: &str,
    node: &Node,
    pairs: &[Pair],
    skip: usize,
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
    let block = path.split('.').nth(skip);
    let known: Vec<&str> = pairs
        .iter()
        .filter(|(theirs, _)| theirs.first().copied() == block)
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
