//! How a servlet interprets a path: a model of Jetty's and Jersey's interpretation of a request
//! target, from the Servlet specification (6.0, section 3.5), RFC 3986 and their documentation. It
//! shares no code with metagate. `paths.tsv` has the results of a real Jetty 9.4 and Jersey 1.19;
//! the model agrees with every line.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Decodes first and then resolves dot segments. DataHub's metadata service before 1.0.
    Jetty9,
    /// Resolves dot segments, also escaped ones, and then decodes; with `uriCompliance: UNSAFE`, as
    /// OpenMetadata sets it.
    Jetty12,
}

const CONTAINERS: [Container; 2] = [Container::Jetty9, Container::Jetty12];

/// Every path that some servlet may serve the target as.
pub fn views(target: &str) -> Vec<Vec<u8>> {
    let mut views = Vec::new();
    for container in CONTAINERS {
        views.extend(container_path(target, container));
        // The root of a mapping is one resource, with or without its slash.
        let below = jersey_path(target, container).filter(|path| path != "/");
        views.extend(below.map(|path| [b"/api", path.as_bytes()].concat()));
    }
    // Routers that ignore empty segments and a trailing slash.
    let merged: Vec<Vec<u8>> = views
        .iter()
        .map(|view| {
            let names = view.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
            let merged = names.fold(Vec::new(), |path, name| [&path[..], b"/", name].concat());
            if merged.is_empty() { b"/".to_vec() } else { merged }
        })
        .collect();
    views.into_iter().chain(merged).collect()
}

/// Servlet path and path info together, decoded. `None` if the container refuses the request.
pub fn container_path(target: &str, container: Container) -> Option<Vec<u8>> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    match container {
        Container::Jetty9 if is_simple(path) => Some(without_last_parameter(path).as_bytes().to_vec()),
        Container::Jetty9 => resolved(&in_utf_8(unescaped(&without_parameters(path))?)),
        Container::Jetty12 => unescaped(
            &String::from_utf8(resolved(dots_unescaped(&without_parameters(path)).as_bytes())?).ok()?,
        ),
    }
}

/// Splits a path between a servlet at `/api/*` and the default servlet.
pub fn servlet_path(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.strip_prefix(b"/api") {
        Some([]) => (path, None),
        Some(info) if info.starts_with(b"/") => (&path[..4], Some(info)),
        _ => (path, None),
    }
}

/// The path by which Jersey, mapped to `/api/*`, finds its resource: the raw target without as many
/// characters as the base path has, and without parameters.
pub fn jersey_path(target: &str, container: Container) -> Option<String> {
    let path = container_path(target, container)?;
    if servlet_path(&path).0 != b"/api" {
        return None;
    }
    let raw = target.split(['?', '#']).next().unwrap_or_default();
    Some(format!("/{}", without_parameters(raw.get("/api/".len()..).unwrap_or_default())))
}

/// The resource of `Backend.java` for a path. One slash may follow (JAX-RS 2.1 section 3.7.3).
pub fn resource(path: &str) -> Option<&'static str> {
    let segments: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    match segments[..] {
        ["", "v1", "policies"] => Some("policies"),
        ["", "v1", "policies", id] if !id.is_empty() => Some("policies/{id}"),
        ["", "v1", "tables", "name", fqn] if !fqn.is_empty() => Some("tables/name/{fqn}"),
        ["", "v1", "system", "version"] => Some("system/version"),
        ["", "v1", "users", "login"] => Some("users/login"),
        _ => None,
    }
}

/// Jetty 9 uses the raw path if it has no escape outside of parameters, no segment that begins with
/// a dot, and no parameter before the last segment. Escapes in the parameters of the last segment
/// do not matter.
fn is_simple(path: &str) -> bool {
    let (before, last) = path.rsplit_once('/').unwrap_or(("", path));
    let name = last.split(';').next().unwrap_or_default();
    !before.contains(['%', ';']) && !name.contains('%') && !path.contains("/.")
}

/// In that case it removes only the last of several parameters.
fn without_last_parameter(path: &str) -> &str {
    path.rsplit_once(';').map_or(path, |(path, _)| path)
}

fn without_parameters(path: &str) -> String {
    let names: Vec<&str> = path.split('/').map(|segment| segment.split(';').next().unwrap_or("")).collect();
    names.join("/")
}

/// `None` for an invalid escape.
fn unescaped(path: &str) -> Option<Vec<u8>> {
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    Some(bytes)
}

fn in_utf_8(bytes: Vec<u8>) -> Vec<u8> {
    let latin_1 = |bytes: Vec<u8>| bytes.into_iter().map(char::from).collect();
    String::from_utf8(bytes).unwrap_or_else(|no_utf_8| latin_1(no_utf_8.into_bytes())).into_bytes()
}

/// RFC 3986 section 6.2.2.2: an escaped dot is a dot.
fn dots_unescaped(path: &str) -> String {
    path.replace("%2e", ".").replace("%2E", ".")
}

/// Resolves dot segments (RFC 3986 section 5.2.4). A path above the root is an error.
fn resolved(path: &[u8]) -> Option<Vec<u8>> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match *segment {
            b"." => {}
            b".." => drop(kept.pop()?),
            name => {
                kept.push(name);
                continue;
            }
        }
        if last {
            kept.push(b"");
        }
    }
    Some(kept.iter().flat_map(|segment| [b"/", *segment].concat()).collect())
}
