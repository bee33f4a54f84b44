//! The catalogue of attacks on tokens (J01 to J74) and on the requests that carry them (H01 to
//! H18). Every id has a test named after it and its behaviour. Another test runs all cases at once
//! and counts.

mod algorithms;
mod claims;
mod encodings;
mod environments;
mod extensions;
mod json;
mod key_choice;
mod key_sets;
mod requests;
mod runner;
mod scenarios;
mod signatures;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use environments::Environment;
use runner::{Results, run_all};

use crate::support::stub::Received;
use crate::support::token::Token;
use crate::support::wire::{Response, request_bytes};

/// A placeholder for the path, which is unique to each case.
const PATH: &str = "/PATH";

/// How a case attacks.
enum Attack {
    /// Sends these bytes on a new connection.
    Request(Vec<u8>),
    /// Takes several requests or a closer look at one, and starts its own gateway.
    Scenario(fn() -> Seen),
}

/// The outcome of the decisive request of a scenario.
struct Seen {
    status: u16,
    reason: Option<String>,
    /// How many requests reached the upstream although they should not have.
    forwarded: usize,
}

/// The expected outcome of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// This status, this reason in the audit record, nothing upstream.
    Refused(u16, &'static str),
    /// Not a valid HTTP request: 400, 431 or a closed connection, nothing upstream.
    NotHttp,
    /// Forwarded once, and this status comes back.
    Passes(u16),
}

struct Case {
    id: &'static str,
    name: String,
    environment: Environment,
    attack: Attack,
    expect: Expect,
    /// A further check of the forwarded request.
    request_check: fn(&Received) -> bool,
    /// A further check of the response.
    response_check: fn(&Response) -> bool,
}

/// A request with any fields, in the usual environment, expected to be refused with 401.
fn request(
    id: &'static str,
    name: impl Into<String>,
    bytes: impl Into<Vec<u8>>,
    reason: &'static str,
) -> Case {
    Case {
        id,
        name: name.into(),
        environment: Environment::Usual,
        attack: Attack::Request(bytes.into()),
        expect: Expect::Refused(401, reason),
        request_check: |_| true,
        response_check: |_| true,
    }
}

/// A bearer token that must be refused with 401 and this reason.
fn case(id: &'static str, name: impl Into<String>, token: impl AsRef<str>, reason: &'static str) -> Case {
    let field = format!("Bearer {}", token.as_ref());
    request(id, name, request_bytes("GET", PATH, &[("Authorization", &field)], b""), reason)
}

/// A bearer token that must be accepted.
fn good(id: &'static str, name: impl Into<String>, token: &Token) -> Case {
    case(id, name, token.encode(), "").passes()
}

fn scenario(id: &'static str, name: &'static str, run: fn() -> Seen, expect: Expect) -> Case {
    Case { attack: Attack::Scenario(run), expect, ..request(id, name, "", "") }
}

impl Case {
    fn at(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    fn passes(mut self) -> Self {
        self.expect = Expect::Passes(200);
        self
    }

    fn refused(mut self, status: u16, reason: &'static str) -> Self {
        self.expect = Expect::Refused(status, reason);
        self
    }

    fn not_http(mut self) -> Self {
        self.expect = Expect::NotHttp;
        self
    }

    fn checking_request(mut self, request_check: fn(&Received) -> bool) -> Self {
        self.request_check = request_check;
        self
    }

    fn checking_response(mut self, response_check: fn(&Response) -> bool) -> Self {
        self.response_check = response_check;
        self
    }
}

/// All cases. Built once, because the tests are threads of one process and signing is most of the
/// work.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    [
        environments::good_tokens(),
        algorithms::cases(),
        key_choice::cases(),
        key_sets::cases(),
        signatures::cases(),
        extensions::cases(),
        encodings::cases(),
        json::cases(),
        claims::cases(),
        requests::cases(),
        scenarios::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// The id of valid tokens that belong to no attack.
const GOOD: &str = "good";

#[track_caller]
fn assert_cases(id: &str) {
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.id == id).collect();
    assert!(!cases.is_empty(), "{id} has no case");
    let results = run_all(&cases);
    assert!(results.faults.is_empty(), "{:#?}", results.faults);
}

/// Defines one test for each name. The name begins with the id.
macro_rules! catalogue {
    ($($name:ident)*) => {
        $(#[test] fn $name() { assert_cases(&id_of(stringify!($name))); })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

fn id_of(name: &str) -> String {
    name[..3].to_ascii_uppercase()
}

catalogue! {
    j01_an_unsigned_token_is_refused
    j02_other_spellings_of_none_and_other_types_of_alg_are_refused
    j03_signed_none_and_unsigned_algorithms_are_refused
    j04_an_rsa_public_key_is_not_an_hmac_secret
    j05_an_ec_public_key_is_not_an_hmac_secret
    j06_a_key_embedded_in_the_token_is_not_used
    j07_a_key_url_in_the_token_is_not_fetched
    j08_a_certificate_in_the_token_is_neither_used_nor_fetched
    j09_a_hostile_kid_selects_no_key
    j10_a_kid_of_another_type_is_refused
    j11_a_missing_kid_is_accepted_if_exactly_one_key_fits
    j12_a_missing_kid_is_refused_if_several_keys_fit
    j13_a_kid_is_compared_byte_for_byte
    j14_two_keys_with_the_same_kid_and_type_are_both_dropped
    j15_one_kid_may_name_one_key_of_each_type
    j16_a_shared_kid_selects_the_issuers_own_key
    j17_an_issuer_cannot_sign_for_another
    j18_an_algorithm_needs_a_key_of_its_family
    j19_a_key_verifies_only_its_own_alg
    j20_an_algorithm_that_is_not_configured_is_refused
    j21_an_encryption_key_verifies_nothing
    j22_a_symmetric_key_in_a_public_key_set_verifies_nothing
    j23_a_published_private_key_verifies_nothing
    j24_a_mislabelled_key_verifies_nothing
    j25_a_short_rsa_key_verifies_nothing
    j26_an_invalid_rsa_key_verifies_nothing
    j27_a_weakly_generated_rsa_key_verifies_nothing
    j28_an_ecdsa_signature_of_zeros_or_out_of_range_is_refused
    j29_an_ecdsa_signature_in_der_is_refused
    j30_both_forms_of_an_ecdsa_signature_are_accepted
    j31_a_signature_of_another_length_is_refused
    j32_a_modified_pkcs1_padding_is_refused
    j33_a_pss_signature_with_other_parameters_is_refused
    j34_an_ed25519_signature_that_is_not_canonical_is_refused
    j35_the_fully_specified_name_of_ed25519_is_refused
    j36_unsupported_curves_are_refused_and_do_not_drop_other_keys
    j37_a_token_with_crit_is_refused
    j38_an_unencoded_or_detached_payload_is_refused
    j39_compressed_and_encrypted_tokens_are_refused
    j40_the_json_serialization_is_refused
    j41_padding_is_refused
    j42_the_standard_base64_alphabet_is_refused
    j43_unused_bits_must_be_zero
    j44_stray_characters_are_refused
    j45_a_token_has_three_parts
    j46_text_that_is_not_utf8_is_refused
    j47_a_duplicate_header_member_is_refused
    j48_a_duplicate_registered_claim_is_refused
    j49_any_other_duplicate_claim_is_refused
    j50_claims_that_differ_only_in_case_are_refused
    j51_invalid_json_is_refused
    j52_a_header_and_a_payload_must_be_objects
    j53_deeply_nested_json_is_refused
    j54_large_tokens_are_refused
    j55_a_numeric_date_must_be_in_range
    j56_a_nested_token_is_refused
    j57_an_expired_token_is_refused
    j58_a_missing_or_malformed_exp_is_refused
    j59_a_lifetime_beyond_the_limit_is_refused
    j60_a_token_is_refused_before_its_nbf
    j61_a_malformed_nbf_is_refused
    j62_an_iat_in_the_future_is_refused
    j63_an_issuer_is_compared_byte_for_byte
    j64_a_missing_or_malformed_issuer_is_refused
    j65_a_list_of_issuers_is_refused
    j66_a_missing_or_malformed_audience_is_refused
    j67_one_matching_audience_is_enough
    j68_a_wrong_audience_is_refused
    j69_a_subject_must_be_a_string
    j70_a_principal_must_be_a_plain_name
    j71_a_token_of_another_kind_is_refused
    j72_a_lookalike_claim_does_not_meet_a_token_type_rule
    j73_the_upstreams_own_401_passes_through
    j74_a_cached_token_is_checked_on_every_request
    h01_a_request_without_credentials_is_refused
    h02_empty_credentials_count_as_missing
    h03_the_scheme_is_case_insensitive_and_forwarded_as_bearer
    h04_the_scheme_ends_at_a_space
    h05_exactly_one_space_separates_scheme_and_token
    h06_two_authorization_fields_are_refused
    h07_a_list_of_credentials_is_refused
    h08_another_scheme_is_refused
    h09_invalid_bytes_in_the_field_are_refused
    h10_a_folded_field_is_refused
    h11_an_invalid_field_name_is_refused
    h12_a_token_is_read_only_from_authorization
    h13_a_token_in_the_query_changes_nothing
    h14_credentials_in_trailers_are_ignored
    h15_credentials_named_in_connection_are_refused
    h16_refusals_reveal_only_their_class
    h17_a_refused_upload_gets_no_100_continue
    h18_an_unmet_rule_on_claims_is_403
}

#[test]
fn whole_catalogue_has_no_false_accept_and_no_false_reject() {
    let expected: BTreeSet<String> =
        (1..=74).map(|n| format!("J{n:02}")).chain((1..=18).map(|n| format!("H{n:02}"))).collect();
    let named: BTreeSet<String> = NAMES.iter().map(|name| id_of(name)).collect();
    let tried: BTreeSet<String> =
        CASES.iter().filter(|case| case.id != GOOD).map(|case| case.id.to_owned()).collect();
    assert_eq!(expected.len(), 92);
    assert_eq!(named, expected, "every id has a test");
    assert_eq!(NAMES.len(), expected.len(), "no id has two tests");
    assert_eq!(tried, expected, "every id has a case");
    let mut names = BTreeMap::new();
    for case in CASES.iter() {
        *names.entry((case.id, &case.name)).or_insert(0) += 1;
    }
    names.retain(|_, count| *count > 1);
    assert!(names.is_empty(), "duplicate case names: {names:?}");

    let Results { hostile, admitted, good, rejected, faults } = run_all(&CASES.iter().collect::<Vec<_>>());
    println!(
        "{} ids, {} cases: {hostile} hostile, {} accepted; {good} valid, {} rejected",
        tried.len(),
        CASES.len(),
        admitted.len(),
        rejected.len()
    );
    assert!(admitted.is_empty(), "accepted: {admitted:#?}");
    assert!(rejected.is_empty(), "rejected: {rejected:#?}");
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn wrong_outcomes_are_reported() {
    let user = Token::user();
    let wrong = [
        case("J01", "a good token", user.encode(), "malformed_token"),
        good("J01", "an expired token", &user.clone().expires_in(-3600)),
        case("J01", "another reason", user.clone().expires_in(-3600).encode(), "malformed_token"),
        case("J01", "another status", "abc", "").refused(400, "malformed_token"),
        case("J01", "valid HTTP", "abc", "").not_http(),
        good("J01", "another request", &user).checking_request(|_| false),
        case("J01", "another response", "abc", "malformed_token").checking_response(|_| false),
    ];
    let results = run_all(&wrong.iter().collect::<Vec<_>>());
    assert_eq!(results.faults.len(), wrong.len(), "{:#?}", results.faults);
    assert_eq!((results.hostile, results.admitted.len(), results.good, results.rejected.len()), (5, 1, 2, 1));
}
