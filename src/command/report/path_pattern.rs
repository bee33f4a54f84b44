//! Folds paths into patterns: names and ids become `*`.

/// The maximum number of segments in a pattern; the rest is `**`.
const MAX_SEGMENTS: usize = 8;
/// Longer segments are not words of an API.
const MAX_WORD_BYTES: usize = 40;

/// File name extensions of web UI assets, which are not parts of qualified names.
const FILE_ENDINGS: [&str; 14] =
    ["css", "gif", "html", "ico", "jpg", "js", "json", "map", "png", "svg", "txt", "webp", "woff2", "yaml"];

/// The path with every segment that is a name or an id replaced by `*`: UUIDs, numbers, urns, fully qualified names,
/// hashes, and the segment after `name`, which is an entity's name in OpenMetadata's API.
pub(super) fn of(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let mut pattern = String::with_capacity(path.len());
    let mut before = "";
    for (index, segment) in path.strip_prefix('/').unwrap_or(path).split('/').enumerate() {
        if index == MAX_SEGMENTS {
            pattern.push_str("/**");
            break;
        }
        pattern.push('/');
        let named = before == "name" && !segment.is_empty();
        pattern.push_str(if named || is_id(segment) { "*" } else { segment });
        before = segment;
    }
    pattern
}

fn is_id(segment: &str) -> bool {
    let all = |test: fn(&u8) -> bool| !segment.is_empty() && segment.bytes().all(|byte| test(&byte));
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    all(u8::is_ascii_digit)
        || segment.len() > MAX_WORD_BYTES
        // urns, quotes, blanks, percent-encoding, and non-ASCII text.
        || segment.bytes().any(|byte| !(byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)))
        || is_qualified_name(segment)
        // UUIDs with hyphens, and hashes. A word of the letters a to f has no digits.
        || (segment.len() >= 16 && digits > 0 && all(|byte| byte.is_ascii_hexdigit() || *byte == b'-'))
        // Other ids: ULIDs, base64.
        || (segment.len() >= 20 && digits >= 4)
}

/// `service.database.schema.table`.
fn is_qualified_name(segment: &str) -> bool {
    let Some((before, ending)) = segment.rsplit_once('.') else { return false };
    let is_file = FILE_ENDINGS.contains(&ending) && before.bytes().filter(|byte| *byte == b'.').count() <= 2;
    !before.is_empty() && !is_file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_folded_and_words_stay() {
        for (path, pattern) in [
            ("/", "/"),
            ("", "/"),
            ("/api/v1/tables", "/api/v1/tables"),
            ("/api/v1/tables/", "/api/v1/tables/"),
            ("/api/v1/tables/7b4b4a9e-6c2b-4d3f-9c39-0a1b2c3d4e5f", "/api/v1/tables/*"),
            (
                "/api/v1/tables/7b4b4a9e-6c2b-4d3f-9c39-0a1b2c3d4e5f/followers/3",
                "/api/v1/tables/*/followers/*",
            ),
            ("/api/v1/tables/name/mysql.default.shop.orders", "/api/v1/tables/name/*"),
            ("/api/v1/users/name/ada", "/api/v1/users/name/*"),
            ("/api/v1/users/name/", "/api/v1/users/name/"),
            ("/api/v1/databases/mysql.default", "/api/v1/databases/*"),
            ("/api/v1/tables/name/a%2Fb%22c", "/api/v1/tables/name/*"),
            ("/api/v1/system/config/jwks", "/api/v1/system/config/jwks"),
            ("/api/v1/services/ingestionPipelines", "/api/v1/services/ingestionPipelines"),
            (
                "/api/v1/services/databaseServices/testConnectionDefinitions",
                "/api/v1/services/databaseServices/testConnectionDefinitions",
            ),
            ("/assets/index-4f2a.js", "/assets/index-4f2a.js"),
            ("/swagger.yaml", "/swagger.yaml"),
            (
                "/entities/urn%3Ali%3Adataset%3A%28urn%3Ali%3AdataPlatform%3Akafka%2Cx%2CPROD%29",
                "/entities/*",
            ),
            ("/entities/urn:li:corpuser:ada", "/entities/*"),
            (
                "/openapi/v3/entity/dataset/urn:li:dataset:(a,b,PROD)/schemaMetadata",
                "/openapi/v3/entity/dataset/*/schemaMetadata",
            ),
            ("/runs/42", "/runs/*"),
            ("/x/d41d8cd98f00b204e9800998ecf8427e", "/x/*"),
            ("/x/deadbeefdeadbeef", "/x/deadbeefdeadbeef"),
            ("/x/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/x/*"),
            ("/.well-known/openid-configuration", "/.well-known/openid-configuration"),
            ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/**"),
            ("/api/v1/table\u{1b}[31m", "/api/v1/*"),
        ] {
            assert_eq!(of(path), pattern, "{path}");
        }
    }
}
