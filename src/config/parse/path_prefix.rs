//! Parses `stripPrefix`: the path below which the installation is reached.

use url::Url;

use super::super::values;
use super::section::Section;
use crate::backend::Backend;
use crate::request::PathPrefix;

const KEY: &str = "stripPrefix";

/// `None` if it is not set. `upstream` is the backend's URL.
pub(super) fn path_prefix(
    root: &Section<'_>,
    backend: Backend,
    upstream: Option<&Url>,
) -> Option<PathPrefix> {
    let written = root.read(KEY, values::base_path).filter(|path| path != "/")?;
    let Some(prefix) = PathPrefix::new(&written) else {
        let message = format!(
            "{} is not a path like /catalog, of segments of letters, digits and -._~",
            values::quote(&written)
        );
        root.error(KEY, message);
        return None;
    };
    refuse_double(root, backend, upstream, &prefix);
    Some(prefix)
}

/// A backend that itself serves this path needs it in the request. Its routes would match no request without it.
fn refuse_double(root: &Section<'_>, backend: Backend, upstream: Option<&Url>, prefix: &PathPrefix) {
    let Some(base) = &backend.preset().base_path else { return };
    let (section, key) = base.key;
    let base_path = root.section(section).text(key).unwrap_or_default();
    let is_same = base_path.trim_end_matches('/') == prefix.as_str();
    let adds_path = upstream.is_some_and(|url| url.scheme() != "unix" && url.path() != "/");
    if is_same && !adds_path {
        let message = format!(
            "is {section}.{key} too: the backend itself serves this path and needs it in its requests"
        );
        root.error_with_help(KEY, message, format!("leave {KEY} out"));
    }
}
