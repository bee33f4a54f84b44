//! Reads the environment into layers: the variables of OpenMetadata and DataHub, and our own.

use super::document::{self, Node, Position, Problem, Value};
use super::error::{ConfigError, Origin};
use super::layer::{Layer, Source, shown};
use super::openmetadata;
use super::settings::{self, Key, Kind};
use super::sources::{FILE_VARIABLE, Sources};
use super::words::nearest;

/// The variables of OpenMetadata and DataHub.
pub(super) fn foreign_environment(sources: &Sources, errors: &mut Vec<ConfigError>) -> Vec<Layer> {
    let mut layers = Vec::new();
    for (name, path) in openmetadata::ENVIRONMENT {
        let value = sources.variable(name).filter(|value| !openmetadata::is_unset(value));
        if let (Some(value), Some(key)) = (value, settings::find(path)) {
            layers.extend(variable_layer(key, name, value, errors));
        }
    }
    layers
}

/// Our own variables, and a remark about those that only look like ours.
pub(super) fn own_environment(
    sources: &Sources,
    errors: &mut Vec<ConfigError>,
) -> (Vec<Layer>, Option<String>) {
    let mut layers = Vec::new();
    let mut ignored = Vec::new();
    let known = settings::environment_names();
    for (name, value) in &sources.environment {
        if !name.starts_with("METAGATE_") || name == FILE_VARIABLE {
            continue;
        }
        let path = known.iter().find(|(known, _)| known == name).map(|(_, path)| *path);
        match path.and_then(settings::find) {
            Some(key) => layers.extend(variable_layer(key, name, value, errors)),
            None if is_of_an_orchestrator(name, value) => ignored.push(shown(name)),
            None => errors.push(unknown_variable(name, &known)),
        }
    }
    ignored.sort_unstable();
    let remark =
        format!("environment variables that Kubernetes or Docker set, ignored: {}", ignored.join(", "));
    (layers, (!ignored.is_empty()).then_some(remark))
}

fn variable_layer(key: &Key, name: &str, value: &str, errors: &mut Vec<ConfigError>) -> Option<Layer> {
    let source = Source::Environment(name);
    if value.contains('\u{fffd}') {
        errors.push(ConfigError::new(key.path, Some(source.at(Position::START)), "is not UTF-8 text"));
        return None;
    }
    let mut layer = Layer::new(&source);
    let node = match key.kind {
        Kind::Listen if value.contains('{') => entries_node(key, value, &source, errors)?,
        Kind::Entries => entries_node(key, value, &source, errors)?,
        kind => openmetadata::environment_node(kind, value),
    };
    layer.put(key, &node, &source, errors);
    Some(layer)
}

/// The node for a list of maps, whose value is a fragment of YAML. `None` if there is an error.
fn entries_node(key: &Key, value: &str, source: &Source<'_>, errors: &mut Vec<ConfigError>) -> Option<Node> {
    let document = document::parse(value);
    let error = |message: String| ConfigError::new(key.path, Some(source.at(Position::START)), message);
    let fine = document.problems.is_empty();
    for Problem { at, message, .. } in document.problems {
        errors.push(error(format!("line {}, column {}: {message}", at.line, at.column)));
    }
    if fine && document.root.value == Value::Null {
        errors.push(error("is empty; write an empty list as []".to_owned()));
        return None;
    }
    fine.then_some(document.root)
}

fn unknown_variable(name: &str, known: &[(String, &'static str)]) -> ConfigError {
    let shown = shown(name);
    let error = |message| ConfigError::new("", Some(Origin::Environment(shown.clone())), message);
    if ["METAGATE_PORT", "METAGATE_HOST", "METAGATE_ADDRESS", "METAGATE_LISTEN_ADDRESS"].contains(&name) {
        let message = format!("unknown environment variable {shown}; did you mean METAGATE_LISTEN?");
        return error(message).help("write the address and the port: METAGATE_LISTEN=0.0.0.0:8685");
    }
    let whole_list = known.iter().find(|(list, path)| {
        let entries = settings::find(path).is_some_and(|key| matches!(key.kind, Kind::Entries));
        entries && name.strip_prefix(list.as_str()).is_some_and(|rest| rest.starts_with('_'))
    });
    if let Some((list, _)) = whole_list {
        return error(format!("unknown environment variable {shown}; did you mean {list}?"))
            .help(format!("the whole list is one variable: {list}='[{{name: ...}}, {{name: ...}}]'"));
    }
    let near = nearest(name, known.iter().map(|(known, _)| known.as_str()));
    let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    error(format!("unknown environment variable {shown}{hint}")).help(
        "a name is METAGATE_ and the key in upper snake case, with __ between levels: METAGATE_UPSTREAM__URL",
    )
}

/// Whether Kubernetes sets this variable for a Service that is named `metagate...`, or Docker for a container that is
/// linked as `metagate`, or an image for its version.
fn is_of_an_orchestrator(name: &str, value: &str) -> bool {
    const ADDRESSES: [&str; 3] = ["tcp://", "udp://", "sctp://"];
    let tail = name.trim_start_matches("METAGATE_");
    let is_address = ADDRESSES.iter().any(|scheme| value.starts_with(scheme));
    let port = |tail: &str| {
        let number = tail.rsplit_once("PORT_").map(|(_, rest)| rest);
        number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    !name.contains("__")
        && (tail.ends_with("SERVICE_HOST")
            || tail.contains("SERVICE_PORT")
            || (tail == "PORT" || tail.ends_with("_PORT")) && is_address
            || port(tail)
            || tail == "NAME" && value.starts_with('/')
            || tail.starts_with("ENV_")
            || tail == "VERSION")
}
