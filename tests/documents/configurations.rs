//! The configurations of documents load, and the texts that they quote are those of the program.

use std::fs;
use std::process::Command;

use super::read;

/// The fenced blocks of a language, each as one text.
fn texts(document: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let after = document.split(&fence).skip(1);
    after.map(|rest| rest.split("\n```").next().unwrap_or_default().to_owned()).collect()
}

/// What `check` says about a configuration on a machine without its files.
fn check(text: &str) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("metagate.yaml");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_metagate"));
    command.args(["check", "--offline", "--config"]).arg(&file).env_clear();
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn configurations_of_the_pages_load() {
    let mut seen = 0;
    for document in [
        "docs/exchange.md",
        "docs/bots.md",
        "docs/report-mode.md",
        "docs/scaling.md",
        "docs/tls.md",
        "docs/upgrading.md",
    ] {
        for text in texts(&read(document), "yaml") {
            let (code, output) = check(&text);
            assert_eq!(code, Some(0), "{document}: {text}\n{output}");
            seen += 1;
        }
    }
    assert!(seen >= 5, "only {seen} configurations were found");
}

/// The files of these pages are complete, and their tests say what the page says about them.
#[test]
fn whole_files_of_the_pages_pass_their_own_tests() {
    let mut seen = 0;
    for folder in ["docs/start", "docs/moving", "docs/providers"] {
        let whole = concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + folder;
        for entry in fs::read_dir(whole).unwrap() {
            let page = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
            let files = texts(&read(&page), "yaml");
            assert!(!files.is_empty(), "{page}");
            for text in files {
                let (code, output) = check(&text);
                assert_eq!(code, Some(0), "{page}: {text}\n{output}");
                let tests = text.matches("    - {name: ").count();
                let passed = format!("tests: {tests} passed, 0 failed");
                assert!(tests >= 2 && output.contains(&passed), "{page}: {text}\n{output}");
                for word in ["never hit", "never decides", "is not evaluated"] {
                    assert!(!output.contains(word), "{page}: {word}\n{output}");
                }
                seen += 1;
            }
        }
    }
    assert!(seen >= 18, "only {seen} files were found");
}

#[test]
fn the_errors_of_the_tls_page_are_those_of_the_program() {
    let sources: String = ["src/upstream/open_error.rs", "src/upstream/send_error.rs", "src/tls.rs"]
        .map(|path| read(path).replace("\\\n", ""))
        .join("\n");
    let sources = sources.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "is signed by an unknown authority",
        "set upstream.tls.caFile",
        "certificate of the backend is not for the name",
        "does not speak TLS; if the backend speaks plain HTTP on this port, write http:// in upstream.url",
        "speaks TLS; write https:// in upstream.url",
        "requires a client certificate; set upstream.tls.certFile and upstream.tls.keyFile",
        "does not accept the client certificate in upstream.tls.certFile",
        "speaks no TLS version that upstream.tls.minVersion allows",
        "holds no certificate",
        "holds no private key",
        "holds an encrypted private key",
        "is not the key of the certificate in",
    ] {
        assert!(read("docs/tls.md").contains(part), "docs/tls.md: {part}");
        assert!(sources.contains(part), "the program: {part}");
    }
}

#[test]
fn commands_of_the_upgrade_are_those_of_the_program() {
    let page = read("docs/upgrading.md");
    let mut seen = 0;
    for line in page.lines().filter(|line| line.trim_start().starts_with("/tmp/metagate-")) {
        let arguments = line.split_whitespace().skip(1);
        let arguments = ["metagate"].into_iter().chain(arguments);
        metagate::command::understands(arguments.map(Into::into)).unwrap();
        seen += 1;
    }
    assert_eq!(seen, 2);
    assert!(fs::exists(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/systemd/metagate.socket")).unwrap());
    let exposed = metagate::metrics::Metrics::definitions();
    for name in
        ["metagate_build_info", "metagate_upstream_up", "metagate_jwks_keys", "metagate_requests_total"]
    {
        assert!(page.contains(name), "{name}");
        assert!(exposed.iter().any(|metric| metric.exposed_name() == name), "{name}");
    }
}
