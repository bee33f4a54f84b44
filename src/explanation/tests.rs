//! What a question may be.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn questions_are_read_as_they_are_written() {
    let question = Question {
        token: "a.b.c".to_owned(),
        method: Some("POST".to_owned()),
        path: Some("/api/graphql".to_owned()),
        body: Some(STANDARD.encode("{}")),
        content_type: Some("application/json".to_owned()),
        at: Some(NumericDate::from_secs(5)),
    };
    let text = serde_json::to_string(&question).unwrap();
    let read: Question = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    let bare: Question = serde_json::from_str(r#"{"token":"x"}"#).unwrap();
    assert!(bare.path.is_none() && bare.at.is_none());
    assert!(serde_json::from_str::<Question>(r#"{"tokens":"x"}"#).is_err());
    for at in ["5", "\"5\"", "\"1970-01-01T00:00:05Z\""] {
        let read: Question = serde_json::from_str(&format!(r#"{{"at":{at}}}"#)).unwrap();
        assert_eq!(read.at, question.at, "{at}");
    }
    for at in ["1.5", "\"\"", "[5]", "true"] {
        assert!(serde_json::from_str::<Question>(&format!(r#"{{"at":{at}}}"#)).is_err(), "{at}");
    }
}

#[test]
fn questions_about_the_token_endpoint_are_recognized() {
    let is_one = |path: Option<&str>, endpoint: Option<&str>, prefix: &str| {
        let question = Question { path: path.map(str::to_owned), ..Question::default() };
        is_for(&question, endpoint, prefix)
    };
    let endpoint = Some("/oauth2/token");
    assert!(is_one(Some("/oauth2/token"), endpoint, "") && is_one(Some("/oauth2/token?x"), endpoint, ""));
    assert!(
        is_one(Some("/a/oauth2/token"), endpoint, "/a") && !is_one(Some("/oauth2/token"), endpoint, "/a")
    );
    assert!(!is_one(Some("/oauth2/token/"), endpoint, "") && !is_one(None, endpoint, ""));
    assert!(!is_one(Some("/oauth2/token"), None, "") && !is_one(None, None, ""));
}

#[test]
fn a_question_becomes_a_request_or_a_refusal() {
    let reason = |question: Question| {
        request(&question, &TokenFields::default(), "/")
            .map(drop)
            .map_err(|(step, denial)| (step, denial.reason))
    };
    let of = |token: &str| Question { token: token.to_owned(), ..Question::default() };
    assert_eq!(reason(of("a.b.c")), Ok(()));
    assert_eq!(reason(of("")), Ok(()));
    assert_eq!(reason(of("a.\nb.c")), Err((Step::Credentials, Reason::MalformedToken)));
    let path = |path: &str| Question { path: Some(path.to_owned()), ..of("a") };
    assert_eq!(reason(path("/a b")), Err((Step::Request, Reason::BadTarget)));
    let method = Question { method: Some("A B".to_owned()), ..path("/") };
    assert_eq!(reason(method), Err((Step::Request, Reason::BadTarget)));
    let body = Question { body: Some("{}".to_owned()), ..path("/") };
    assert_eq!(reason(body), Err((Step::Request, Reason::BadTarget)));
    let kind = Question { content_type: Some("a\nb".to_owned()), ..path("/") };
    assert_eq!(reason(kind), Err((Step::Request, Reason::BadTarget)));
}
