//! The standard variables of OpenTelemetry.

use std::time::Duration;

use super::*;
use crate::config::{RootSampler, Sampler, SpanExport};

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

fn case(variables: &[(&str, &str)]) -> Case {
    environment(&[UPSTREAM, KEYS_URL]).with(variables)
}

#[track_caller]
fn spans(variables: &[(&str, &str)]) -> (SpanExport, Vec<String>) {
    let loaded = case(&[ENDPOINT]).with(variables).loaded();
    let about = loaded.warnings.iter().filter(|finding| finding.id == Some(FindingId::OtelVariable));
    let warnings = about.map(Finding::in_brief).collect();
    (loaded.spans.expect("spans are sent"), warnings)
}

#[test]
fn spans_are_off_unless_an_endpoint_is_set() {
    for variables in [
        &[][..],
        &[("OTEL_SERVICE_NAME", "x"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "  ")],
        &[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")],
        &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
        &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
    ] {
        assert_eq!(case(variables).loaded().spans, None, "{variables:?}");
    }
}

#[test]
fn defaults_are_those_of_the_specification() {
    let (spans, warnings) = spans(&[]);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(spans.endpoint.as_str(), "http://collector:4318/v1/traces");
    assert_eq!(
        (spans.timeout, spans.delay, spans.max_queue, spans.max_batch, spans.gzip),
        (Duration::from_secs(10), Duration::from_secs(5), 2048, 512, false)
    );
    assert_eq!(spans.sampler, Sampler { parent_based: true, root: RootSampler::On });
    assert_eq!((spans.headers.len(), spans.service()), (0, "metagate"));
    let infos = case(&[ENDPOINT]).loaded().infos;
    let remark = "spans are sent to http://collector:4318/v1/traces as service \"metagate\"";
    assert!(infos.iter().any(|info| info == remark), "{infos:?}");
}

#[test]
fn what_is_only_for_traces_wins() {
    let (spans, warnings) = spans(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces.test/in?key=s3cr3t#x"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "Authorization=Basic%20abc, x-two=b%2Cc"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/traces.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/cert.pem"),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/key.pem"),
    ]);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(spans.endpoint.as_str(), "https://traces.test/in?key=s3cr3t", "as it is");
    assert!(!spans.remark().contains("s3cr3t"));
    assert_eq!((spans.timeout, spans.gzip), (Duration::from_secs(2), true));
    let headers: Vec<_> =
        spans.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(headers, [("authorization", &b"Basic abc"[..]), ("x-two", b"b,c")]);
    assert!(!format!("{spans:?}").contains("abc"), "{spans:?}");
    assert_eq!(spans.tls.ca_file, Some("/traces.pem".into()));
    assert_eq!(spans.tls.identity, Some(("/cert.pem".into(), "/key.pem".into())));
}

#[test]
fn the_path_is_added_to_the_endpoint_for_all_signals() {
    for (endpoint, expected) in [
        ("http://c:4318/", "http://c:4318/v1/traces"),
        ("http://c/otlp", "http://c/otlp/v1/traces"),
        ("http://c/otlp/", "http://c/otlp/v1/traces"),
        ("https://c?tenant=a", "https://c/v1/traces?tenant=a"),
    ] {
        let spans = case(&[(ENDPOINT.0, endpoint)]).loaded().spans.unwrap();
        assert_eq!(spans.endpoint.as_str(), expected);
    }
}

#[test]
fn resource_attributes_are_decoded_and_the_service_has_a_variable_of_its_own() {
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,k8s.pod.name=pod%201 , x=1,x=2,empty=");
    let value = |spans: &SpanExport, name: &str| {
        spans.resource.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    let (only, warnings) = spans(&[attributes]);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(only.service(), "a");
    for (name, expected) in
        [("k8s.pod.name", "pod 1"), ("x", "2"), ("empty", ""), ("service.version", env!("CARGO_PKG_VERSION"))]
    {
        assert_eq!(value(&only, name).as_deref(), Some(expected), "{name}");
    }
    let (named, _) = spans(&[attributes, ("OTEL_SERVICE_NAME", "gate")]);
    assert_eq!(named.service(), "gate");
    for broken in ["service.name", "=a", "a=%zz", "a=1,b", "a=%ff"] {
        let (spans, warnings) = spans(&[("OTEL_RESOURCE_ATTRIBUTES", broken)]);
        assert_eq!((spans.service(), spans.resource.len()), ("metagate", 2), "{broken}");
        assert!(warnings.len() == 1 && warnings[0].ends_with("none of it is used"), "{broken}: {warnings:?}");
    }
}

#[test]
fn samplers_are_those_of_the_specification() {
    for (word, argument, parent_based, root) in [
        ("always_on", "", false, RootSampler::On),
        ("always_off", "", false, RootSampler::Off),
        ("traceidratio", "0.25", false, RootSampler::Ratio(0.25)),
        ("parentbased_always_on", "0.25", true, RootSampler::On),
        ("parentbased_always_off", "", true, RootSampler::Off),
        ("parentbased_traceidratio", "1e-3", true, RootSampler::Ratio(0.001)),
        ("parentbased_traceidratio", "", true, RootSampler::Ratio(1.0)),
    ] {
        let (spans, warnings) =
            spans(&[("OTEL_TRACES_SAMPLER", word), ("OTEL_TRACES_SAMPLER_ARG", argument)]);
        assert_eq!((spans.sampler, warnings), (Sampler { parent_based, root }, Vec::new()), "{word}");
    }
}

#[test]
fn an_invalid_value_counts_as_not_set_with_a_warning() {
    let (default, _) = spans(&[]);
    for (name, value) in [
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER", "parentbased_"),
        ("OTEL_SDK_DISABLED", "yes"),
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_PROPAGATORS", "b3,jaeger"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier pigeon"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "65537"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "99999999999999999999"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "many"),
    ] {
        let (spans, warnings) = spans(&[(name, value)]);
        assert_eq!(spans, default, "{name}={value}");
        assert!(warnings.len() == 1 && warnings[0].starts_with(name), "{name}={value}: {warnings:?}");
    }
    for argument in ["2", "-0.1", "NaN", "half"] {
        let variables = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", argument)];
        let (spans, warnings) = spans(&variables);
        assert_eq!(spans.sampler.root, RootSampler::Ratio(1.0), "{argument}");
        assert_eq!(warnings.len(), 1, "{argument}: {warnings:?}");
    }
    let (small, _) = spans(&[("OTEL_BSP_MAX_QUEUE_SIZE", "100")]);
    assert_eq!((small.max_queue, small.max_batch), (100, 100), "a batch is no larger than the queue");
}

/// Spans must not go somewhere else, or without their credentials.
#[test]
fn where_spans_go_must_be_valid() {
    for (name, value, message) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "is not the URL of a collector"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://collector", "is not the URL of a collector"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://", "is not the URL of a collector"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:s3cr3t@c", "has user information"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "spans cannot be sent by grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "spans cannot be sent by http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "s3cr3t", "element 1 is not name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1,b c=s3cr3t", "has a name or a value that cannot be in a request"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=s3cr3t%0a", "has a name or a value that cannot be in a request"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem", "requires OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
    ] {
        let errors = case(&[ENDPOINT, (name, value)]).errors();
        assert_error(&errors, &format!("{name} @ {name} | {message}"));
        assert!(errors.len() == 1 && !errors[0].contains("s3cr3t"), "{errors:?}");
    }
}

/// What the page says it reads, and what is read, are the same.
#[test]
fn the_page_has_every_variable() {
    let (page, code) = (include_str!("../../../docs/tracing.md"), include_str!("../spans.rs"));
    let names = |text: &'static str, quote: char| -> std::collections::BTreeSet<String> {
        let names = text.split(quote).filter(|part| part.starts_with("OTEL_") && !part.contains(' '));
        let shared = names.map(|name| match name {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" => name.to_owned(),
            name => name.replace("OTLP_TRACES_", "OTLP_"),
        });
        shared.filter(|name| !name.contains(['=', '.'])).collect()
    };
    let (_, table) = page.split_once("| variable | default | meaning |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let documented = names(table, '`');
    assert!(documented.len() > 15, "{documented:?}");
    assert_eq!(names(code, '"'), documented);
}
