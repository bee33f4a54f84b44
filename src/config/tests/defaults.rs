//! Defaults are defined only in the table of keys.

use super::*;
use crate::config::environment_layers::own_environment;
use crate::config::load::defaults;
use crate::config::merged::Merged;
use crate::config::parse;

const SECRET: &str = "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8uA6iTqWe4";

/// The errors of a configuration if the table has no default for `without`.
fn errors_without(without: &str) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    // Some keys are read only if others are set.
    let given = [
        UPSTREAM,
        ("METAGATE_AUTHENTICATION__PUBLIC_KEY_URLS", KEYS_URL.1),
        ("METAGATE_AUTHENTICATION__ENFORCE_PRINCIPAL_DOMAIN", "true"),
        ("METAGATE_DATAHUB__SYSTEM_CLIENT_SECRET", SECRET),
    ];
    let needed = given
        .into_iter()
        .filter(|(name, _)| !name.ends_with("DOMAIN") || without != "authentication.enforcePrincipalDomain");
    let case = environment(&needed.collect::<Vec<_>>());
    let given = own_environment(&case.sources, &mut errors).0;
    let table = defaults(KEYS.iter().filter(|key| key.path != without));
    parse::parse_with(
        &Merged::new([table].into_iter().chain(given).collect()),
        errors,
        crate::config::secret::AbsentSecrets::Refused,
        None,
    )
    .errors
}

#[test]
fn the_parser_has_no_defaults_of_its_own() {
    assert_eq!(errors_without(""), []);
    // An empty list is the same as no list.
    for key in KEYS.iter().filter(|key| !["", "[]"].contains(&key.default)) {
        let errors = errors_without(key.path);
        assert!(errors.iter().any(|error| error.path == key.path), "{}: {errors:?}", key.path);
    }
}

#[test]
fn setting_a_default_explicitly_changes_nothing() {
    let before = format!("{:?}", environment(&[KEYS_URL, UPSTREAM]).config());
    for key in KEYS.iter().filter(|key| !key.default.is_empty() && key.path != "authentication.publicKeyUrls")
    {
        let Some(name) = environment_name(key) else { continue };
        let given = environment(&[KEYS_URL, UPSTREAM, (&name, key.default)]).config();
        assert_eq!(format!("{given:?}"), before, "{}", key.path);
    }
}

#[test]
fn elements_of_lists_have_no_defaults() {
    assert!(KEYS.iter().all(|key| key.default.is_empty() || !key.path.contains("[]")), "they inherit");
}
