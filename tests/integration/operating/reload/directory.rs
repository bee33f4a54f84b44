//! A configuration of several files, some of them in a directory.

use super::*;

#[test]
fn files_that_appear_change_or_vanish_in_a_directory_cause_a_reload() {
    let directory = TempDir::new().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let (upstream, issuer) = (Upstream::echo(), Issuer::of(keys::rsa()));
    fs::write(at("base.yaml"), document(&upstream, &issuer, "")).expect("a file");
    fs::create_dir(at("conf.d")).expect("a directory");
    let (base, parts) = (at("base.yaml"), at("conf.d"));
    let arguments = ["--config", base.to_str().expect("a path"), "-c", parts.to_str().expect("a path")];
    let gateway = Setup::run().arguments(&arguments).start();
    gateway.wait_ready();
    let loaded = gateway.logs().into_iter().find(|log| text(log, "message") == Some("configuration loaded"));
    let loaded = loaded.expect("a line about the sources");
    assert_eq!(text(&loaded, "files"), base.to_str(), "{loaded}");
    assert!(text(&loaded, "environment").is_some_and(|names| names.contains("METAGATE_LISTEN")), "{loaded}");

    let wait_for = |status: u16| {
        eventually("a change of the directory to be noticed", || {
            (gateway.get("/open", &[]).status == status).then_some(())
        });
    };
    wait_for(401);
    fs::write(parts.join("10-open.yaml"), "authorization: {public: [\"GET /open\"]}\n").expect("a file");
    wait_for(200);
    fs::write(parts.join("20-closed.yaml"), "authorization: {public: []}\n").expect("a file");
    wait_for(401);
    fs::remove_file(parts.join("20-closed.yaml")).expect("a file");
    wait_for(200);
}
