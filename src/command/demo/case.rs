//! A request of the demo: as it is sent, as a line for a shell, and what must come back.

use serde_json::Value;

use super::client::Received;
use crate::decision::Reason;

/// A text as it is sent, and as a shell writes it within double quotes.
#[derive(Clone)]
pub(super) struct Words {
    pub(super) sent: String,
    pub(super) shell: String,
}

impl Words {
    /// A text without characters that are special within double quotes.
    pub(super) fn plain(text: &str) -> Self {
        Self { sent: text.to_owned(), shell: text.to_owned() }
    }

    /// The token of a shell variable, as credentials.
    pub(super) fn bearer(name: &str, token: &str) -> Self {
        Self { sent: format!("Bearer {token}"), shell: format!("Bearer ${name}") }
    }

    /// A text that ends with so many zeros.
    pub(super) fn with_zeros(text: &str, zeros: usize) -> Self {
        Self { sent: format!("{text}{}", "0".repeat(zeros)), shell: format!("{text}$(printf %0{zeros}d 0)") }
    }
}

/// What must come back.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    /// 200 from the backend, which saw this user; none on a public route and for the system credential.
    Forwarded(Option<&'static str>),
    /// A response of metagate.
    Refused(Reason),
}

impl Expected {
    fn status(self) -> u16 {
        match self {
            Self::Forwarded(_) => 200,
            Self::Refused(reason) => reason.row().status.as_u16(),
        }
    }

    /// `200`, or `401 expired`.
    pub(super) fn shown(self) -> String {
        match self {
            Self::Forwarded(_) => self.status().to_string(),
            Self::Refused(reason) => format!("{} {}", self.status(), reason.as_str()),
        }
    }
}

/// A request and what must come back.
pub(super) struct Case {
    pub(super) title: &'static str,
    pub(super) method: &'static str,
    pub(super) target: Words,
    pub(super) fields: Vec<(&'static str, Words)>,
    /// Without apostrophes.
    pub(super) body: Option<Words>,
    pub(super) expected: Expected,
}

impl Case {
    pub(super) fn get(title: &'static str, path: &str, expected: Expected) -> Self {
        let target = Words::plain(path);
        Self { title, method: "GET", target, fields: Vec::new(), body: None, expected }
    }

    pub(super) fn with(mut self, name: &'static str, value: Words) -> Self {
        self.fields.push((name, value));
        self
    }

    /// With these credentials.
    pub(super) fn as_(self, credentials: &Words) -> Self {
        self.with("Authorization", credentials.clone())
    }

    pub(super) fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    pub(super) fn body(mut self, body: Words) -> Self {
        self.body = Some(body);
        self
    }

    /// The line for a shell.
    pub(super) fn curl(&self, proxy: &str) -> String {
        let mut line = "curl -i ".to_owned();
        // curl would resolve dot segments itself.
        if self.target.sent.to_ascii_lowercase().contains("%2e") {
            line += "--path-as-is ";
        }
        if self.method != "GET" {
            line += &format!("-X {} ", self.method);
        }
        for (name, value) in &self.fields {
            line += &format!("-H \"{name}: {}\" ", value.shell);
        }
        match &self.body {
            Some(body) if body.sent == body.shell => {
                line += &format!("-H \"Content-Type: application/json\" -d '{}' ", body.shell);
            }
            Some(body) => line += &format!("-d \"{}\" ", body.shell),
            None => {}
        }
        let url = format!("http://{proxy}{}", self.target.shell);
        if url.contains(['?', '&', '$']) { line + "\"" + &url + "\"" } else { line + &url }
    }

    /// Compares a response. An error says what is wrong.
    pub(super) fn verify(&self, received: Option<&Received>) -> Result<(), String> {
        let Some(received) = received else { return Err("no response".to_owned()) };
        let body: Value = serde_json::from_str(&received.body).unwrap_or_default();
        let said = body["message"].as_str().unwrap_or_default();
        if received.status != self.expected.status() {
            return Err(format!("{} {said}", received.status));
        }
        match self.expected {
            Expected::Forwarded(user) if body["askedBy"]["user"].as_str() == user => Ok(()),
            Expected::Forwarded(_) => Err(format!("the backend saw {}", body["askedBy"]["user"])),
            // Some messages have more than the reason's text.
            Expected::Refused(reason) if said.contains(reason.row().message) => Ok(()),
            Expected::Refused(_) => Err(format!("{} {said:?}", received.status)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::process::Command;

    use super::*;

    fn received(status: u16, body: &str) -> Received {
        Received { status, body: body.to_owned() }
    }

    #[test]
    fn a_refusal_needs_its_status_and_its_message() {
        let case = Case::get("a", "/", Expected::Refused(Reason::Expired));
        assert_eq!(
            case.verify(Some(&received(401, r#"{"message":"Expired token! Token has expired"}"#))),
            Ok(())
        );
        for other in [
            received(200, r#"{"message":"Token has expired"}"#),
            received(401, r#"{"message":"Token is malformed"}"#),
            received(401, ""),
        ] {
            case.verify(Some(&other)).unwrap_err();
        }
        case.verify(None).unwrap_err();
    }

    #[test]
    fn a_forwarded_request_needs_the_user_that_the_backend_saw() {
        let case = Case::get("a", "/", Expected::Forwarded(Some("ada")));
        assert_eq!(case.verify(Some(&received(200, r#"{"askedBy":{"user":"ada"}}"#))), Ok(()));
        case.verify(Some(&received(200, r#"{"askedBy":{"user":"admin"}}"#))).unwrap_err();
        case.verify(Some(&received(200, r#"{"askedBy":{"user":null}}"#))).unwrap_err();
        let public = Case::get("a", "/", Expected::Forwarded(None));
        assert_eq!(public.verify(Some(&received(200, r#"{"askedBy":{"user":null}}"#))), Ok(()));
        public.verify(Some(&received(200, r#"{"askedBy":{"user":"ada"}}"#))).unwrap_err();
    }

    /// What people paste is what the demo itself sends.
    #[test]
    fn the_shell_makes_the_texts_that_are_sent() {
        let token = Words::bearer("ADA", "a.b.c");
        for words in [token, Words::with_zeros("/long/", 9000), Words::plain("/a%2Fb?c=d&e")] {
            let script = format!("ADA=a.b.c; printf %s \"{}\"", words.shell);
            let output = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), words.sent);
        }
    }

    #[test]
    fn a_line_for_a_shell_has_everything() {
        let token = Words::bearer("ADA", "a.b.c");
        let get = |path| Case::get("a", path, Expected::Forwarded(None));
        assert_eq!(get("/a").curl("[::1]:1"), "curl -i http://[::1]:1/a");
        assert_eq!(get("/a/%2e%2e/b").curl("[::1]:1"), "curl -i --path-as-is http://[::1]:1/a/%2e%2e/b");
        let case = get("/x?y=z").method("POST").as_(&token);
        assert_eq!(
            case.body(Words::plain("{}")).curl("[::1]:1"),
            "curl -i -X POST -H \"Authorization: Bearer $ADA\" -H \"Content-Type: application/json\" \
             -d '{}' \"http://[::1]:1/x?y=z\""
        );
    }
}
