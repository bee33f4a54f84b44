//! Limits that depend on one another, or on the backend.

use super::*;

#[test]
fn the_default_of_the_target_is_that_of_the_backend_within_the_head() {
    let target = |text: &str| file(text).with(&[KEYS_URL, UPSTREAM]).config().limits.target_bytes;
    for (text, bytes) in [
        ("backend: generic", 8192),
        ("backend: openmetadata", 8192),
        ("backend: datahub-gms", 32_768),
        ("backend: datahub-frontend", 32_768),
        ("{backend: datahub-gms, limits: {headerBytes: 16KiB}}", 16_384),
        ("{backend: datahub-gms, limits: {headerBytes: 16KiB, targetBytes: 12KiB}}", 12_288),
        ("limits: {targetBytes: 60KiB}", 61_440),
        ("limits: {headerBytes: 8KiB, targetBytes: 8KiB}", 8192),
    ] {
        assert_eq!(target(text), bytes, "{text}");
    }
}

#[test]
fn a_target_that_no_head_has_room_for_is_an_error() {
    let case = |text: &str| file(text).with(&[KEYS_URL, UPSTREAM]);
    let errors = case("limits: {headerBytes: 16KiB, targetBytes: 20KiB}").errors();
    assert_error(&errors, "limits.targetBytes @ 1:43 | is more than limits.headerBytes (16384 bytes)");
    assert_error(
        &case("limits: {targetBytes: 64KiB}").errors(),
        "limits.targetBytes @ 1:23 | 64KiB is out of range",
    );
}
