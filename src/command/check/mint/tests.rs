//! What is said about the responses of the backends.

use super::*;

fn response(status: u16, body: &str) -> ProbeResponse {
    let status = StatusCode::from_u16(status).unwrap_or_default();
    ProbeResponse { status, body: body.as_bytes().to_vec(), server: None }
}

fn message(text: &str) -> String {
    serde_json::json!({"code": 401, "message": text}).to_string()
}

#[test]
fn each_refusal_of_openmetadata_names_what_is_missing() {
    let user = response(200, r#"{"name": "ingestion-bot", "isBot": true}"#);
    assert_eq!(openmetadata("ingestion-bot", &user), Ok(()));
    let key = "Not Authorized! Token signing key not found in configured public keys due to x";
    let old_key = "An exception with message [com.auth0.jwk.SigningKeyNotFoundException: JWT Token keyID doesn't match \
                   the configured keyID.] was thrown while processing request.";
    let algorithm = "Not Authorized! Invalid token. Token verification failed. Public key mismatch. due to x";
    for (status, body, expected, help) in [
        (200, r#"{"name": "admin"}"#.to_owned(), "for `admin`", "principalClaims"),
        (200, "<html>".to_owned(), "not a user", "upstream.url"),
        (404, message("user instance for x not found"), "no user `ingestion-bot`", "create"),
        (401, message(key), "does not find the key", "metagate mint show"),
        (500, message(old_key), "does not find the key", "metagate mint show"),
        (401, message(algorithm), "signature", "tokenValidationAlgorithm"),
        (
            401,
            message("Not Authorized! Email does not match the principal domain acme.com"),
            "domain",
            "email",
        ),
        (
            401,
            message("Invalid JWT token, none of the following claims are present [email]"),
            "claim",
            "email",
        ),
        (401, message("Expired token!"), "expired", "clock"),
        (401, message("Not Authorized! Invalid session."), "Invalid session", "log"),
        (503, String::new(), "503", "log"),
    ] {
        let (said, advice) =
            openmetadata("ingestion-bot", &response(status, &body)).err().unwrap_or_default();
        assert!(said.contains(expected), "{body}: {said}");
        assert!(advice.contains(help), "{body}: {advice}");
    }
}

#[test]
fn each_refusal_of_datahub_names_what_may_be_missing() {
    for status in [200, 403] {
        assert_eq!(datahub("ada", &response(status, "")), Ok(()));
    }
    for (status, expected) in [(401, "signing key"), (404, "create the user"), (500, "log")] {
        let (_, help) = datahub("ada", &response(status, "")).err().unwrap_or_default();
        assert!(help.contains(expected), "{status}: {help}");
    }
}

#[test]
fn a_backends_words_are_bounded_and_contain_no_token() {
    let said = format!("bad \u{1b}[2J eyJhbGciOi.eyJ.x {}", "long ".repeat(1000));
    let shown = words(&said);
    assert!(
        shown.starts_with("bad \\u001b[2J long") && shown.len() < 400 && !shown.contains("eyJ"),
        "{shown}"
    );
}

#[test]
fn names_are_encoded_in_paths() {
    assert_eq!(encoded("service_6f0c-1.x~"), "service_6f0c-1.x~");
    assert_eq!(encoded("ada@x/../é"), "ada%40x%2F..%2F%C3%A9");
}
