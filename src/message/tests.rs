use http::{HeaderMap, HeaderName, HeaderValue};

use super::field_name::{COOKIE, DATE, HOST};
use super::*;

/// The fields of a head as the strict reader finds them.
fn read(head: &str) -> Fields {
    let mut spans = FieldSpans::new();
    let mut at = 0;
    for line in head.split_inclusive("\r\n") {
        let colon = line.find(':').unwrap();
        let value = line[colon + 1..].trim();
        let start = at + line.rfind(value).unwrap();
        spans.push(at..at + colon, start..start + value.len()).unwrap();
        at += line.len();
    }
    Fields::of(spans, head.into())
}

fn listed(fields: &Fields) -> Vec<(&str, &str)> {
    fields.iter().map(|field| (field.name(), field.value().to_str().unwrap())).collect()
}

fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

const HEAD: &str = "Host: a\r\nX-Own: 1\r\nCookie: b\r\nx-oWN: 2\r\nCOOKIE: c\r\n";

#[test]
fn names_are_in_lower_case_and_fields_keep_their_order() {
    let fields = read(HEAD);
    let expected = [("host", "a"), ("x-own", "1"), ("cookie", "b"), ("x-own", "2"), ("cookie", "c")];
    assert_eq!(listed(&fields), expected);
    assert_eq!(
        fields.iter().map(|field| field.known()).collect::<Vec<_>>(),
        [Some(HOST), None, Some(COOKIE), None, Some(COOKIE)]
    );
    assert_eq!(format!("{fields:?}"), r#"{"host", "x-own", "cookie", "x-own", "cookie"}"#, "no values");
    let map: HeaderMap = fields.to_header_map();
    assert!(map["cookie"].is_sensitive() && !map["host"].is_sensitive());
    let grouped = [("host", "a"), ("x-own", "1"), ("x-own", "2"), ("cookie", "b"), ("cookie", "c")];
    assert_eq!(listed(&map.into()), grouped);
}

/// A field is the same however it is looked up, and whether it was received or added.
#[test]
fn fields_are_found_by_constant_text_and_name() {
    let received = read(HEAD);
    let added: Fields = received
        .iter()
        .map(|field| {
            let name = HeaderName::from_bytes(field.name().as_bytes()).unwrap();
            (name, HeaderValue::from_bytes(field.value().as_bytes()).unwrap())
        })
        .collect();
    assert_eq!(received, added);
    for fields in [received, added] {
        let cookies = |key: &dyn Fn() -> Vec<String>| assert_eq!(key(), ["b", "c"]);
        let texts = |name: &dyn LookUp| {
            fields.get_all(name).map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        cookies(&|| texts(&COOKIE));
        cookies(&|| texts(&HeaderName::from_static("cookie")));
        cookies(&|| texts(&NewName::from("cookie")));
        assert_eq!(texts(&HeaderName::from_static("x-own")), ["1", "2"]);
        assert_eq!(texts(&NewName::from("x-own")), ["1", "2"]);
        assert_eq!(fields.get("cookie").unwrap(), "b");
        assert_eq!(fields.get_bytes("x-own").unwrap(), "1");
        assert_eq!(fields.get_bytes(HOST).unwrap(), "a");
        assert_eq!(fields.get_owned(COOKIE).unwrap(), "b");
        assert!(fields.contains_key(HOST) && fields.contains_key("x-own"));
        assert_eq!(fields.only(HOST).unwrap(), "a");
        assert!(fields.only(COOKIE).is_none() && fields.only(DATE).is_none());
        assert!(!fields.contains_key(DATE) && !fields.contains_key("x"));
        assert!(fields.get("x").is_none() && fields.get(DATE).is_none() && fields.get_bytes("x").is_none());
    }
}

/// Runs of lines are copied, except around those that are left out or were not written as we write them.
#[test]
fn lines_are_written_without_those_left_out_and_with_those_added() {
    let head = "Host: a\r\nX-One: 1\r\nCookie: b\r\nX-Two:2\r\nX-Three:\t 3 \r\nX-Four:\r\nDate: now\r\nX-Five: 5\r\n";
    let written = |fields: &Fields, left_out: &[FieldName]| {
        let mut out = Vec::new();
        fields.write_to(&mut out, |name| !left_out.contains(&name));
        String::from_utf8(out).unwrap()
    };
    let all = "host: a\r\nx-one: 1\r\ncookie: b\r\nx-two: 2\r\nx-three: 3\r\nx-four: \r\ndate: now\r\nx-five: 5\r\n";
    assert_eq!(written(&read(head), &[]), all);
    let fewer = all.replace("cookie: b\r\n", "");
    assert_eq!(written(&read(head), &[COOKIE]), fewer);
    assert_eq!(
        written(&read(head), &[HOST, DATE]),
        all.replace("host: a\r\n", "").replace("date: now\r\n", "")
    );
    let mut fields = read(head);
    fields.remove(COOKIE);
    assert_eq!(written(&fields, &[]), fewer);
    fields.insert(HOST, value("z"));
    fields.append("x-one", value("0"));
    assert_eq!(written(&fields, &[]), fewer.replace("host: a\r\n", "") + "host: z\r\nx-one: 0\r\n");
    assert_eq!(written(&fields, &[HOST]), fewer.replace("host: a\r\n", "") + "x-one: 0\r\n");
    assert_eq!(written(&Fields::new(), &[]), "");
}

#[test]
fn a_set_field_replaces_all_of_its_values() {
    let mut fields = read(HEAD);
    fields.insert(COOKIE, value("new"));
    fields.insert("x-own", value("3"));
    fields.insert(DATE, value("now"));
    fields.append(HOST, value("z"));
    let expected = [("host", "a"), ("cookie", "new"), ("x-own", "3"), ("date", "now"), ("host", "z")];
    assert_eq!(listed(&fields), expected);
}

#[test]
fn removed_fields_are_not_found() {
    let mut fields = read(HEAD);
    fields.remove(COOKIE);
    fields.remove(DATE);
    assert_eq!(listed(&fields), [("host", "a"), ("x-own", "1"), ("x-own", "2")]);
    assert!(!fields.contains_key(COOKIE));
    fields.retain(|field| field.value() != "1" && field.known() != Some(HOST));
    assert_eq!(listed(&fields), [("x-own", "2")]);
    assert!(!fields.contains_key(HOST) && fields.get(HOST).is_none());
    fields.remove("x-own");
    assert!(fields.is_empty());
    fields.append(HOST, value("again"));
    assert_eq!(fields.get(HOST).unwrap(), "again");
}

#[test]
fn values_may_have_octets_that_are_not_ascii() {
    let bytes = HeaderValue::from_bytes(b"\xe9").unwrap();
    let fields: Fields = [("x-own", bytes)].into_iter().collect();
    let value = fields.get("x-own").unwrap();
    assert_eq!((value.as_bytes(), value.to_str()), (&b"\xe9"[..], Err(NotAscii)));
    assert_eq!(format!("{value:?}"), r#""\xe9""#);
}

#[test]
fn a_response_keeps_its_reason_phrase_over_http1() {
    let response = Response::new(StatusCode::OK, read(HEAD), "body");
    assert_eq!(response.reason(), b"OK");
    let response = response.with_reason("Fine".into()).map(str::len);
    assert_eq!((response.reason(), *response.body()), (&b"Fine"[..], 4));
    assert_eq!((response.status(), response.headers().len()), (StatusCode::OK, 5));
}

#[test]
fn changed_fields_are_no_longer_those_of_a_section() {
    let (section, received) = (std::sync::Arc::new(Section::new(HEAD.as_bytes())), read(HEAD));
    assert!(section.is(HEAD.as_bytes()) && !section.is(&HEAD.as_bytes()[1..]));
    assert_eq!(received.of_section(&section), read(HEAD));
    assert!(
        received.of_section(&section).section().is_some()
            && received.of_section(&section).clone().section().is_some()
    );
    let changes: [fn(&mut Fields); 5] = [
        |fields| fields.append("x", value("y")),
        |fields| fields.insert(HOST, value("b")),
        |fields| fields.append_copy("x", HOST),
        |fields| fields.remove(COOKIE),
        |fields| fields.retain(|_| true),
    ];
    for change in changes {
        let mut fields = received.of_section(&section);
        change(&mut fields);
        assert!(fields.section().is_none());
    }
    assert_eq!(received.of_section(&section), read(HEAD));
    assert!(!format!("{section:?}").contains("Cookie"));
}

#[test]
fn joined_fields_are_the_same() {
    let mut fields = read("Host:a\r\nX-Own: 1\r\nCookie:  b \r\n");
    fields.append("x-added", value("2"));
    fields.remove("x-own");
    let mut joined = fields.joined();
    assert_eq!(joined, fields);
    assert_eq!(joined.get(COOKIE).unwrap(), "b");
    joined.insert(HOST, value("b"));
    let mut lines = Vec::new();
    joined.write_to(&mut lines, |_| true);
    assert_eq!(lines, b"cookie: b\r\nx-added: 2\r\nhost: b\r\n");
}
