//! Several files and directories, and our own keys in files of OpenMetadata's format.

use super::*;
use crate::backend::Backend;

const OWN_SET: &str = "http://localhost:8585/api/v1/system/config/jwks";

/// Files in one directory, and their sources in this order.
struct Files {
    directory: tempfile::TempDir,
    named: Vec<PathBuf>,
}

impl Files {
    fn new(named: &[&str], files: &[(&str, &str)]) -> Self {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let directory = tempfile::Builder::new().permissions(mode).tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let named = named.iter().map(|name| directory.path().join(name)).collect();
        Self { directory, named }
    }

    fn sources(&self) -> Sources {
        Sources { files: self.named.clone(), ..Sources::default() }
    }

    #[track_caller]
    fn loaded(&self) -> Loaded {
        load(&self.sources()).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The text of all errors, with names of files relative to the directory.
    #[track_caller]
    fn errors(&self) -> String {
        self.relative(&load(&self.sources()).unwrap_err().to_string())
    }

    fn relative(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.directory.path().display()), "")
    }
}

const BASE: &str = "upstream: {url: http://10.0.0.1:8585, connectTimeout: 1s}
listen: 127.0.0.1:1
authentication:
  issuers: [{name: a, issuer: https://a.example, audiences: [x]}]
trustedProxies: [10.0.0.0/8]
";

#[test]
fn maps_merge_and_lists_and_values_of_a_later_file_replace() {
    let files = Files::new(
        &["a.yaml", "conf.d"],
        &[
            ("a.yaml", BASE),
            ("conf.d/20.yml", "listen: 127.0.0.1:20\nupstream: {idleTimeout: 7s}\n"),
            ("conf.d/10.yaml", "listen: 127.0.0.1:10\ntrustedProxies: [192.0.2.1]\nlimits:\n"),
            ("conf.d/.hidden.yaml", "nonsense: 1"),
            ("conf.d/notes.txt", "nonsense: 1"),
            ("conf.d/below/30.yaml", "nonsense: 1"),
        ],
    );
    let loaded = files.loaded();
    let config = &loaded.config;
    assert_eq!(config.listen.to_string(), "127.0.0.1:20", "in the order of the names");
    assert_eq!((config.upstream.connect_timeout.as_secs(), config.upstream.idle_timeout.as_secs()), (1, 7));
    assert_eq!(config.trusted_proxies.len(), 1);
    assert_eq!(config.trusted_proxies[0].to_string(), "192.0.2.1/32");
    assert_eq!(&*config.trust[0].name, "a");
    let read: Vec<_> = loaded.used.files.iter().map(|path| files.relative(path.to_str().unwrap())).collect();
    assert_eq!(read, ["a.yaml", "conf.d/10.yaml", "conf.d/20.yml"]);
    let printed = files.relative(&print(&loaded));
    for line in
        ["listen: [127.0.0.1:20]  # from conf.d/20.yml:1:9\n", "  connectTimeout: 1s  # from a.yaml:1:55\n"]
    {
        assert!(printed.contains(line), "{line} in {printed}");
    }
}

#[test]
fn errors_name_the_file_that_says_it_in_the_order_of_the_files() {
    let files = Files::new(
        &["z.yaml", "a.yaml"],
        &[
            ("z.yaml", &BASE.replace("1s", "soon")),
            (
                "a.yaml",
                "authentication: {issuers: [{issuer: https://a.example, audiences: [x]}]}\nlisten: here\n",
            ),
        ],
    );
    let errors = files.errors();
    let places: Vec<_> = errors.lines().filter_map(|line| line.trim().strip_prefix("--> ")).collect();
    assert_eq!(places, ["z.yaml:1:55", "a.yaml:1:28", "a.yaml:2:9"], "{errors}");
}

#[test]
fn the_environment_may_name_several() {
    let files = Files::new(&[], &[("a.yaml", BASE), ("conf.d/b.yaml", "listen: 127.0.0.1:2\n")]);
    let at = |name: &str| files.directory.path().join(name).display().to_string();
    let value = format!("{}:{}", at("a.yaml"), at("conf.d"));
    let sources = Sources { environment: vec![("METAGATE_CONFIG".into(), value)], ..Sources::default() };
    assert_eq!(load(&sources).unwrap().config.listen.to_string(), "127.0.0.1:2");
    // `--config` takes its place.
    let sources = Sources { files: vec![at("a.yaml").into()], ..sources };
    assert_eq!(load(&sources).unwrap().config.listen.to_string(), "127.0.0.1:1");
}

#[test]
fn paths_follow_the_directory() {
    let files = Files::new(&["a.yaml", "conf.d", "none"], &[("a.yaml", BASE), ("conf.d/b.yaml", "")]);
    let names = || -> Vec<String> {
        files.sources().paths().iter().map(|path| files.relative(path.to_str().unwrap())).collect()
    };
    assert_eq!(names(), ["a.yaml", "conf.d/b.yaml", "none"]);
    std::fs::write(files.directory.path().join("conf.d/a.yml"), "").unwrap();
    assert_eq!(names(), ["a.yaml", "conf.d/a.yml", "conf.d/b.yaml", "none"]);
    assert!(files.errors().contains("none cannot be read"), "a named file must exist");
}

#[test]
fn an_empty_directory_is_a_remark() {
    let files = Files::new(&["a.yaml", "conf.d"], &[("a.yaml", BASE), ("conf.d/x.json", "")]);
    let infos = files.loaded().infos.join("\n");
    assert!(files.relative(&infos).contains("conf.d has no file that ends in .yaml or .yml"), "{infos}");
}

#[test]
fn without_any_file_the_error_says_where_it_looked() {
    let absent = std::path::Path::new(crate::config::sources::DEFAULT_FILE);
    if absent.exists() {
        return;
    }
    let errors = load(&Sources::default()).unwrap_err().to_string();
    let note = "\n\nnote: no configuration file was read: neither --config nor METAGATE_CONFIG names one, and \
                /etc/metagate/config.yaml does not exist";
    assert!(errors.ends_with(note), "{errors}");
}

#[test]
fn lists_of_maps_may_come_from_the_environment() {
    let issuers = "[{name: idp, issuer: https://idp.example, audiences: [a]}, {name: b, issuer: https://b.example, audiences: [b]}]";
    let rules = "- name: admins\n  match: {methods: [DELETE]}\n  require: {anyRole: [Admin]}\n";
    let tests = "[{name: t, claims: {sub: ada}, request: GET /x, expect: allow}]";
    let loaded = environment(&[
        UPSTREAM,
        ("METAGATE_AUTHENTICATION__ISSUERS", issuers),
        ("METAGATE_AUTHORIZATION__RULES", rules),
        ("METAGATE_AUTHORIZATION__TESTS", tests),
    ])
    .loaded();
    assert_eq!(loaded.config.trust.len(), 2);
    assert_eq!((loaded.config.policy.rules.len(), loaded.config.rule_tests.len()), (1, 1));
    assert!(loaded.used.environment.contains(&"METAGATE_AUTHORIZATION__RULES".to_owned()));
    for (value, expected) in [
        (
            "",
            "authentication.issuers @ METAGATE_AUTHENTICATION__ISSUERS | is empty; write an empty list as []",
        ),
        (
            "{name: a}",
            "authentication.issuers @ METAGATE_AUTHENTICATION__ISSUERS | is a map, not a list of maps",
        ),
        ("[{name: a}", "authentication.issuers @ METAGATE_AUTHENTICATION__ISSUERS | line 1, column "),
        (
            "[{nme: a, issuer: https://a.example}]",
            "authentication.issuers[0].nme @ METAGATE_AUTHENTICATION__ISSUERS | unknown key; did you mean `name`?",
        ),
        (
            "[{name: a, issuer: '${ISSUER}'}]",
            "authentication.issuers @ METAGATE_AUTHENTICATION__ISSUERS | has a placeholder in it",
        ),
    ] {
        let errors = environment(&[UPSTREAM, ("METAGATE_AUTHENTICATION__ISSUERS", value)]).errors();
        assert_error(&errors, expected);
    }
}

const OPENMETADATA: &str = "authenticationConfiguration:
  publicKeyUrls: ${KEYS:-[http://localhost:8585/api/v1/system/config/jwks]}
server: {rootPath: /api}
limits: {enable: false}
";

#[test]
fn openmetadatas_files_may_hold_our_keys_beside_theirs() {
    let ours = "upstream: {url: http://localhost:8585}
authentication: {maxLifetime: 24h}
authorization: {rules: [{name: r, action: deny}]}
health: {listen: 127.0.0.1:1}
openmetadata: {issuer: mine}
";
    let helm = "openmetadata:\n  issuer: mine\n  config:\n    authentication: {publicKeys: [http://localhost:8585/api/v1/system/config/jwks]}\n";
    for text in [
        format!("{OPENMETADATA}{ours}"),
        format!("{helm}tls: {{enabled: true}}\n{}", ours.replace("openmetadata: {issuer: mine}\n", "")),
    ] {
        let loaded = file(&text).loaded();
        assert_eq!(urls(&loaded.config.trust[0]), [OWN_SET]);
        assert_eq!(loaded.config.trust[0].rules.max_lifetime.unwrap().as_secs(), 86_400);
        assert_eq!((loaded.config.policy.rules.len(), loaded.config.health_listen.port()), (1, 1));
        assert!(print(&loaded).contains("  issuer: mine  # from "), "{text}");
    }
    let not_read = file(&format!("{OPENMETADATA}{ours}")).loaded().infos.join("\n");
    assert!(not_read.contains("not read in OpenMetadata's YAML: server, limits"), "{not_read}");
    let blocks = &OPENMETADATA[..OPENMETADATA.find("server").unwrap()];
    assert!(
        !file(blocks).with(&[UPSTREAM]).loaded().infos.join("\n").contains("not read"),
        "nothing is left out"
    );
    let errors = file(
        &format!("{OPENMETADATA}limits: {{connections: no}}\n").replace("limits: {enable: false}\n", ""),
    )
    .with(&[UPSTREAM])
    .errors();
    assert_error(&errors, "limits.connections @ 4:23 | \"no\" is not a whole number");
}

#[test]
fn the_shape_implies_the_backend_unless_a_source_says_otherwise() {
    let with = |text: &str| file(&format!("{OPENMETADATA}{text}")).with(&[UPSTREAM]);
    let loaded = with("").loaded();
    assert_eq!(loaded.config.backend, Backend::OpenMetadata);
    assert!(loaded.infos.iter().any(|info| {
        info.starts_with("backend is openmetadata, because a configuration of OpenMetadata's begins at ")
            && info.contains("config.yaml:1:1")
    }));
    assert_eq!(with("backend: generic\n").config().backend, Backend::Generic);
    assert_eq!(with("").with(&[("METAGATE_BACKEND", "datahub-gms")]).config().backend, Backend::DataHubGms);
    // An earlier file says otherwise.
    let files = Files::new(
        &["ours.yaml", "theirs.yaml"],
        &[
            ("ours.yaml", "backend: generic\nupstream: {url: http://10.0.0.1}\n"),
            ("theirs.yaml", OPENMETADATA),
        ],
    );
    assert_eq!(files.loaded().config.backend, Backend::Generic);
    let helm = "openmetadata:\n  config:\n    authentication: {publicKeys: [http://localhost:8585/api/v1/system/config/jwks]}\n";
    assert_eq!(file(helm).with(&[UPSTREAM]).config().backend, Backend::OpenMetadata);
}

#[test]
fn a_value_in_both_shapes_names_both_places() {
    let text = format!("{OPENMETADATA}authentication:\n  publicKeyUrls: [https://idp.example/jwks]\n");
    let errors = file(&text).with(&[UPSTREAM]).result().unwrap_err();
    let error = errors.iter().next().unwrap();
    assert_eq!(error.path, "authentication.publicKeyUrls");
    assert!(
        error.message.starts_with("is also set as authenticationConfiguration.publicKeyUrls ("),
        "{error}"
    );
    assert!(error.message.ends_with("config.yaml:2:18)"), "{error}");
    assert!(error.origin.as_ref().unwrap().to_string().ends_with("config.yaml:6:18"), "{error}");
    let helm = "openmetadata:\n  issuer: a\n  config:\n    jwtTokenConfiguration: {jwtissuer: b}\n";
    let errors = file(helm).with(&[UPSTREAM, KEYS_URL]).errors();
    assert!(errors[0].starts_with("openmetadata.issuer @ 2:11 | is also set as openmetadata.config.jwtTokenConfiguration.jwtissuer ("), "{errors:?}");
}

#[test]
fn a_secret_that_a_variable_holds_is_not_in_the_file() {
    let text = format!(
        "{OPENMETADATA}upstream: {{url: http://10.0.0.1}}\ndatahub: {{tokenServiceSigningKey: \"${{SIGNING_KEY}}\"}}\n"
    );
    let case = file(&text).with(&[("SIGNING_KEY", "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u")]);
    let path = &case.sources.files[0];
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    open(path, 0o644);
    open(path.parent().unwrap(), 0o755);
    let readable = |case: &Case| {
        case.loaded().warnings.iter().any(|warning| warning.id == Some(FindingId::SecretReadable))
    };
    assert!(!readable(&case), "{:?}", case.loaded().warnings);
    std::fs::write(path, text.replace("${SIGNING_KEY}", "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u")).unwrap();
    assert!(readable(&case));
}

#[test]
fn an_entry_may_hold_its_keys_as_a_text_block() {
    let text = "upstream: {url: http://10.0.0.1}
authentication:
  issuers:
    - name: own
      issuer: own
      audiences: [a]
      publicKeys: |
        -----BEGIN PUBLIC KEY-----
        MCowBQYDK2VwAyEA5xPcVLSylPOBI3mJpMUSscckBPDQnLg11hEj60WJ0Gk=
        -----END PUBLIC KEY-----
";
    let loaded = file(text).loaded();
    assert!(matches!(&loaded.config.trust[0].keys, KeySource::Inline(keys) if keys.len() == 1));
    // What is printed is the same configuration.
    assert!(file(&print(&loaded)).result().is_ok());
}
