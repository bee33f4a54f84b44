//! The catalogue of attacks on tokens and on the requests that carry them: J01 to J74 are the
//! token's, H01 to H18 the request's. Every id has a test that is named after it and says the
//! behaviour; the last test runs everything at once and counts.

mod algorithms;
mod cast;
mod claims;
mod encodings;
mod extensions;
mod json;
mod key_choice;
mod key_sets;
mod requests;
mod signatures;
mod stories;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use cast::Scene;
use verdict::{Tally, judge_all};

use crate::support::stub::Received;
use crate::support::token::Token;
use crate::support::wire::{Response, request_bytes};

/// Stands for the path that tells the requests of one gateway apart.
const PATH: &str = "/PATH";

/// What a case does.
enum Attack {
    /// These bytes, over a connection of their own.
    Request(Vec<u8>),
    /// More than one request, or one that is watched from nearby. It sets its own stage.
    Story(fn() -> Seen),
}

/// What came of the request that decides.
struct Seen {
    status: u16,
    reason: Option<String>,
    /// How many requests the upstream got that it should not have.
    let_through: usize,
}

/// What must come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// This status, this reason in the audit record, nothing upstream.
    Refused(u16, &'static str),
    /// No request at all by HTTP's own rules: 400, 431 or a closed connection, nothing upstream.
    NotHttp,
    /// It goes upstream, once, and this status comes back.
    Passes(u16),
}

struct Case {
    id: &'static str,
    name: String,
    scene: Scene,
    attack: Attack,
    expect: Expect,
    /// What the upstream must have got of a case that passes.
    arrives: fn(&Received) -> bool,
    /// What else is asked of the answer.
    responses: fn(&Response) -> bool,
}

/// A request with any fields, for the usual scene, which is to be refused with 401.
fn request(
    id: &'static str,
    name: impl Into<String>,
    bytes: impl Into<Vec<u8>>,
    reason: &'static str,
) -> Case {
    Case {
        id,
        name: name.into(),
        scene: Scene::Usual,
        attack: Attack::Request(bytes.into()),
        expect: Expect::Refused(401, reason),
        arrives: |_| true,
        responses: |_| true,
    }
}

/// A bearer token that is to be refused with 401 and this reason.
fn case(id: &'static str, name: impl Into<String>, token: impl AsRef<str>, reason: &'static str) -> Case {
    let field = format!("Bearer {}", token.as_ref());
    request(id, name, request_bytes("GET", PATH, &[("Authorization", &field)], b""), reason)
}

/// A bearer token that is to be let in.
fn good(id: &'static str, name: impl Into<String>, token: &Token) -> Case {
    case(id, name, token.encode(), "").passes()
}

fn story(id: &'static str, name: &'static str, play: fn() -> Seen, expect: Expect) -> Case {
    Case { attack: Attack::Story(play), expect, ..request(id, name, "", "") }
}

impl Case {
    fn at(mut self, scene: Scene) -> Self {
        self.scene = scene;
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

    fn arriving(mut self, arrives: fn(&Received) -> bool) -> Self {
        self.arrives = arrives;
        self
    }

    fn answering(mut self, responses: fn(&Response) -> bool) -> Self {
        self.responses = responses;
        self
    }
}

/// Every case of every id. Built once: the tests are threads of one process, and most of the work
/// is signing.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    [
        cast::good_tokens(),
        algorithms::cases(),
        key_choice::cases(),
        key_sets::cases(),
        signatures::cases(),
        extensions::cases(),
        encodings::cases(),
        json::cases(),
        claims::cases(),
        requests::cases(),
        stories::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// The id of the good tokens that belong to no attack.
const GOOD: &str = "good";

#[track_caller]
fn hold(id: &str) {
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.id == id).collect();
    assert!(!cases.is_empty(), "{id} has no case");
    let tally = judge_all(&cases);
    assert!(tally.faults.is_empty(), "{:#?}", tally.faults);
}

/// One test for each name; the id is what the name begins with.
macro_rules! catalogue {
    ($($name:ident)*) => {
        $(#[test] fn $name() { hold(&id_of(stringify!($name))); })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

fn id_of(name: &str) -> String {
    name[..3].to_ascii_uppercase()
}

catalogue! {
    j01_an_unsigned_token_is_refused
    j02_no_spelling_of_none_and_no_other_type_is_an_algorithm
    j03_none_with_a_signature_and_an_algorithm_without_one_are_refused
    j04_an_rsa_public_key_is_no_hmac_secret
    j05_an_elliptic_public_key_is_no_hmac_secret
    j06_a_key_embedded_in_the_token_is_not_used
    j07_a_key_url_in_the_token_is_not_fetched
    j08_a_certificate_in_the_token_is_neither_used_nor_fetched
    j09_a_hostile_kid_names_no_key
    j10_a_kid_of_another_type_is_refused
    j11_a_missing_kid_is_taken_where_exactly_one_key_fits
    j12_a_missing_kid_is_refused_where_several_keys_fit
    j13_a_kid_is_compared_byte_for_byte
    j14_two_keys_of_one_kid_and_kind_are_both_dropped
    j15_one_kid_may_name_a_key_of_each_kind
    j16_a_kid_that_two_issuers_share_means_each_ones_own_key
    j17_an_issuer_cannot_sign_for_another
    j18_an_algorithm_needs_a_key_of_its_own_kind
    j19_a_key_is_for_the_algorithm_it_says
    j20_an_algorithm_that_is_not_configured_is_refused
    j21_a_key_for_encryption_verifies_nothing
    j22_a_secret_in_a_public_key_set_verifies_nothing
    j23_a_published_private_key_verifies_nothing
    j24_a_mislabelled_key_verifies_nothing
    j25_a_short_rsa_key_verifies_nothing
    j26_an_unsound_rsa_key_verifies_nothing
    j27_a_weakly_generated_modulus_lets_nobody_else_in
    j28_an_ecdsa_signature_of_zeros_or_out_of_range_is_refused
    j29_an_ecdsa_signature_in_der_is_refused
    j30_both_forms_of_an_ecdsa_signature_are_the_same_token
    j31_a_signature_of_another_length_is_refused
    j32_a_modified_pkcs1_padding_is_refused
    j33_a_pss_signature_with_other_parameters_is_refused
    j34_an_ed25519_signature_that_is_not_canonical_is_refused
    j35_the_fully_specified_name_of_ed25519_is_refused
    j36_unsupported_curves_are_refused_and_lose_no_other_key
    j37_a_token_with_crit_is_refused
    j38_an_unencoded_or_detached_payload_is_refused
    j39_compressed_and_encrypted_tokens_are_refused
    j40_the_json_serialization_is_refused
    j41_padding_is_refused
    j42_the_standard_alphabet_is_refused
    j43_unused_bits_must_be_zero
    j44_stray_characters_are_refused
    j45_a_token_has_three_parts
    j46_text_that_is_not_utf8_is_refused
    j47_a_header_member_twice_is_refused
    j48_a_registered_claim_twice_is_refused
    j49_any_other_claim_twice_is_refused
    j50_claims_that_differ_only_in_case_are_refused
    j51_what_is_not_json_is_refused
    j52_a_payload_is_an_object
    j53_deep_nesting_is_refused
    j54_large_tokens_are_refused
    j55_a_date_is_a_number_in_range
    j56_a_token_within_a_token_is_refused
    j57_an_expired_token_is_refused
    j58_a_missing_or_unreadable_expiry_is_refused
    j59_a_lifetime_beyond_the_limit_is_refused
    j60_a_token_is_refused_before_its_time
    j61_an_unreadable_nbf_is_refused
    j62_an_iat_in_the_future_is_refused
    j63_an_issuer_is_compared_to_the_letter
    j64_a_missing_or_unreadable_issuer_is_refused
    j65_a_list_of_issuers_is_refused
    j66_a_missing_or_unreadable_audience_is_refused
    j67_one_audience_of_several_is_enough
    j68_a_wrong_audience_is_refused
    j69_a_subject_is_a_string
    j70_a_principal_is_a_plain_name
    j71_a_token_of_another_kind_is_refused
    j72_a_rule_on_the_kind_of_token_is_not_met_by_a_lookalike
    j73_the_upstreams_own_401_passes_through
    j74_a_remembered_token_is_judged_anew
    h01_a_request_without_credentials_is_refused
    h02_empty_credentials_are_none
    h03_the_scheme_is_read_without_case_and_forwarded_as_bearer
    h04_the_scheme_ends_at_a_space
    h05_scheme_and_token_are_one_space_apart
    h06_two_authorization_fields_are_refused
    h07_a_list_of_credentials_is_refused
    h08_another_scheme_is_refused
    h09_odd_bytes_in_the_field_are_refused
    h10_a_folded_field_is_refused
    h11_an_odd_field_name_is_refused
    h12_a_token_is_taken_from_no_other_place
    h13_a_token_in_the_query_changes_nothing
    h14_credentials_in_trailers_are_none
    h15_credentials_named_in_connection_are_refused
    h16_refusals_tell_no_more_than_their_class
    h17_a_refused_upload_is_not_asked_for
    h18_a_rule_on_claims_answers_403
}

#[test]
fn the_catalogue_lets_nothing_false_in_and_keeps_nothing_good_out() {
    let expected: BTreeSet<String> =
        (1..=74).map(|n| format!("J{n:02}")).chain((1..=18).map(|n| format!("H{n:02}"))).collect();
    let named: BTreeSet<String> = NAMES.iter().map(|name| id_of(name)).collect();
    let tried: BTreeSet<String> =
        CASES.iter().filter(|case| case.id != GOOD).map(|case| case.id.to_owned()).collect();
    assert_eq!(expected.len(), 92);
    assert_eq!(named, expected, "every id has its test");
    assert_eq!(NAMES.len(), expected.len(), "and one only");
    assert_eq!(tried, expected, "every id has a case");
    let mut names = BTreeMap::new();
    for case in CASES.iter() {
        *names.entry((case.id, &case.name)).or_insert(0) += 1;
    }
    names.retain(|_, count| *count > 1);
    assert!(names.is_empty(), "cases of one name: {names:?}");

    let Tally { hostile, let_in, good, kept_out, faults } = judge_all(&CASES.iter().collect::<Vec<_>>());
    println!(
        "{} ids, {} cases: {hostile} hostile tried, {} let in; {good} good tried, {} kept out",
        tried.len(),
        CASES.len(),
        let_in.len(),
        kept_out.len()
    );
    assert!(let_in.is_empty(), "let in: {let_in:#?}");
    assert!(kept_out.is_empty(), "kept out: {kept_out:#?}");
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_fault_is_found() {
    let user = Token::user();
    let wrong = [
        case("J01", "a good token", user.encode(), "malformed_token"),
        good("J01", "an expired one", &user.clone().expires_in(-3600)),
        case("J01", "another reason", user.clone().expires_in(-3600).encode(), "malformed_token"),
        case("J01", "another status", "abc", "").refused(400, "malformed_token"),
        case("J01", "no fault of HTTP's", "abc", "").not_http(),
        good("J01", "arrives otherwise", &user).arriving(|_| false),
        case("J01", "answered otherwise", "abc", "malformed_token").answering(|_| false),
    ];
    let tally = judge_all(&wrong.iter().collect::<Vec<_>>());
    assert_eq!(tally.faults.len(), wrong.len(), "{:#?}", tally.faults);
    assert_eq!((tally.hostile, tally.let_in.len(), tally.good, tally.kept_out.len()), (5, 1, 2, 1));
}
