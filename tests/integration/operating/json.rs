//! All JSON that operators read: one way of naming, and one form of times.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::gateway::{DELIBERATE, Setup};
use crate::support::issuer::{Issuer, JWKS, Reply};
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::Token;
use crate::support::wire::{self, Client};

/// Members of a revocation list, and of the allow-list of bots, which are shown as they are written in their files.
const OF_THE_LIST: [&str; 3] = ["issuedBefore", "datahubTokenHash", "sourceIps"];

/// Members whose value is a time.
fn is_time(name: &str) -> bool {
    matches!(
        name,
        "time" | "at" | "until" | "issuedBefore" | "first_seen" | "last_seen" | "created" | "expires"
    ) || name.ends_with("_at")
}

/// RFC 3339 with milliseconds, in UTC.
fn is_written_time(text: &str) -> bool {
    let form = "0000-00-00T00:00:00.000Z";
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == form,
        })
}

/// Whether a text has a date and a time in another form.
fn looks_like_a_time(text: &str) -> bool {
    text.len() < 40 && text.starts_with("20") && text.as_bytes().get(4) == Some(&b'-') && text.contains(':')
}

#[derive(Default)]
struct Walk {
    wrong: Vec<String>,
    times: usize,
}

impl Walk {
    fn value(&mut self, place: &str, name: &str, value: &Value) {
        match value {
            Value::Object(members) => {
                for (member, value) in members {
                    let here = format!("{place}.{member}");
                    let snake = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
                    // The members of `requests` are words of the metrics, not names.
                    let is_name =
                        member.bytes().all(snake) || OF_THE_LIST.contains(&&**member) || name == "requests";
                    if !is_name {
                        self.wrong.push(format!("{here} is not in snake_case"));
                    }
                    self.value(&here, member, value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.value(place, name, item)),
            Value::String(text) if is_time(name) || looks_like_a_time(text) => {
                self.times += 1;
                if !is_written_time(text) {
                    self.wrong.push(format!("{place} is {text:?}"));
                }
            }
            Value::Number(number) if is_time(name) => self.wrong.push(format!("{place} is {number}")),
            _ => {}
        }
    }

    /// The JSON on the standard output of a command.
    fn command(&mut self, words: &[&str], configured: impl FnOnce(Setup) -> Setup) -> Value {
        let finished = configured(Setup::command(words)).finish();
        let output: Value = serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|_| panic!("{words:?}: {}{}", finished.stdout, finished.stderr));
        self.value(words[0], "", &output);
        output
    }
}

const CONFIG: &str = "
authentication:
  issuers:
    - {name: okta, issuer: https://okta.example, publicKeyUrls: [ISSUER/jwks]}
  revocations: {file: LIST}
authorization:
  public: [GET /open]
  rules:
    - {name: admins-delete, match: {methods: [DELETE]}, require: {anyRole: [Admin]}}
  tests:
    - {name: t, claims: {sub: a, iss: https://okta.example}, request: DELETE /x, expect: 403}
    - {name: wrong, claims: {sub: a, iss: https://okta.example}, request: GET /x, expect: 403}
";

const LIST: &str = "
- {jti: a, until: 2099-01-01T00:00:00Z, note: lost}
- {sub: b, issuedBefore: 2026-01-01T00:00:00Z, until: 99999999999999}
- {datahubTokenHash: n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=}
";

const BOTS: &str = "
- {name: a, created: 2026-01-01T00:00:00Z, sourceIps: [10.0.0.0/8], tokens: [
    {jti: x, created: 2026-01-01T00:00:00Z, expires: 2099-01-01T00:00:00Z}]}
";

#[test]
fn names_and_times_are_the_same_everywhere() {
    let directory = TempDir::new().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("a path").to_owned();
    std::fs::write(path("list"), LIST).expect("a list");
    let issuer = Issuer::of(keys::rsa());
    let config = CONFIG.replace("LIST", &path("list")).replace("ISSUER", &issuer.url(""));
    let stage = Stage::configured(issuer, &config);
    let gateway = &stage.gateway;
    let good = Token::user().issuer("https://okta.example");
    gateway.get_as(&good, "/x");
    gateway.get_as(&good.clone().claim("exp", json!(5)), "/expired");
    gateway.get("/open", &[]);
    gateway.get("/a/%2e./b", &[]);
    let mut walk = Walk::default();
    for path in ["/x", "/expired", "/open"] {
        gateway.audit_of(path);
    }
    gateway.audit().iter().for_each(|record| walk.value("audit", "", record));
    for (method, target) in [
        ("GET", "/status"),
        ("GET", "/keys"),
        ("GET", "/refusals"),
        ("POST", "/reload"),
        ("POST", "/keys/refresh"),
    ] {
        walk.value(target, "", &gateway.ask_admin(method, target, &[DELIBERATE]).json());
    }
    walk.value("/status", "", &gateway.ask_admin("GET", "/status", &[]).json());
    let question = json!({"token": good.encode(), "path": "/x", "method": "POST", "body": "", "content_type": "a/b",
        "at": "2099-01-01T00:00:00Z"});
    let host = format!("Host: {}", gateway.admin());
    let bytes = wire::request_bytes("POST", "/explain", &[DELIBERATE], question.to_string().as_bytes());
    let mut client = Client::connect(gateway.admin());
    client.send(wire::replace(&bytes, b"Host: gateway.test", host.as_bytes()));
    let answer = client.response().expect("a response").json();
    assert_eq!(answer["time"], "2099-01-01T00:00:00.000Z");
    walk.value("/explain", "", &answer);

    let configured =
        |setup: Setup| setup.env("METAGATE_UPSTREAM__URL", stage.upstream.url()).config(config.clone());
    std::fs::write(path("token"), good.encode()).expect("a token");
    std::fs::write(path("audit"), gateway.audit().iter().map(|line| format!("{line}\n")).collect::<String>())
        .expect("records");
    let (token, audit, admin) = (path("token"), path("audit"), format!("http://{}", gateway.admin()));
    walk.command(&["check", "--json"], configured);
    walk.command(&["check", "--json"], |setup| setup.config("listen: nowhere"));
    for more in [&[][..], &["--path", "/x"], &["--path", "/x", "--method", "DELETE"], &["--path", "/a b"]] {
        walk.command(&[&["explain", "--json", "--token-file", &token], more].concat(), configured);
    }
    walk.command(&["explain", "--json", "--token-file", &token, "--running", "--url", &admin], |setup| setup);
    walk.command(&["keys", "--json"], configured);
    walk.command(&["keys", "--json", "--running", "--url", &admin], |setup| setup);
    walk.command(&["keys", "--json", "--refresh", "--url", &admin], |setup| setup);
    walk.command(&["report", "--json", "--denied", &audit], |setup| setup);
    walk.command(&["routes", "--json"], configured);
    walk.command(&["routes", "--json", "GET", "/open"], configured);
    walk.command(&["routes", "--json", "GET", "/a/../b"], configured);
    walk.command(&["revoke", "list", "--json"], configured);
    std::fs::write(path("bots"), BOTS).expect("an allow-list");
    walk.command(&["bot", "list", "--json", "--file", &path("bots")], |setup| setup);
    stage.issuer.set(JWKS, Reply::Status(500, vec![], String::new()));
    walk.command(&["keys", "--json"], configured);
    assert_eq!(walk.wrong, [""; 0]);
    assert!(walk.times > 20, "{}", walk.times);
}

/// Every command that says it prints JSON is in the test above, and in docs/commands.md. (`mint show` and `issuer show` print a
/// JWK Set, whose names are those of RFC 7517.)
#[test]
fn commands_that_print_json_are_known() {
    let known = [
        "check",
        "explain",
        "keys",
        "report",
        "routes",
        "revoke list",
        "bot list",
        "mint show",
        "issuer show",
    ];
    let help = |words: &[&str]| Setup::command(&[words, &["--help"]].concat()).finish().stdout;
    let names = |words: &[&str]| -> Vec<String> {
        let text = help(words);
        let listed =
            text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let names = listed.filter_map(|line| line.split_whitespace().next());
        names.filter(|name| *name != "help").map(str::to_owned).collect()
    };
    let mut found = Vec::new();
    for command in names(&[]) {
        let below = names(&[&command]);
        let mut all: Vec<Vec<&str>> = vec![vec![&command]];
        all.extend(below.iter().map(|name| vec![&*command, &**name]));
        found.extend(all.iter().filter(|words| help(words).contains("--json")).map(|words| words.join(" ")));
    }
    found.sort_unstable();
    let mut known = known.map(str::to_owned);
    known.sort_unstable();
    assert_eq!(found, known);
}
