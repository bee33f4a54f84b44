//! What a [`Snapshot`] has in place of what is fetched or read.

use super::*;

#[test]
fn a_snapshot_limits_bodies_and_reports_unreachable_sources() {
    struct Body(Option<Graphql>);
    impl Observer for Body {
        fn graphql(&mut self, graphql: &Graphql) {
            self.0 = Some(graphql.clone());
        }
        fn route(&mut self, _: &RequestFacts, routed: Routed) {
            assert_eq!(routed.route, Route::Protected);
        }
    }
    let request = Request::with_token(&token(&RSA));
    let target = Uri::from_static(request.path);
    let head = request.head(&target);
    let mut snapshot = Snapshot::new(NOW_DATE, ring(1, Some(key_set(&[RSA.jwk_named("k")]))));
    snapshot.body = b"{ me }";
    for (graphql_bytes, is_too_long) in [(5, true), (6, false)] {
        snapshot.graphql_bytes = graphql_bytes;
        let mut body = Body(None);
        let _either = admission().admit_offline(&head, &mut snapshot, &mut body);
        assert_eq!(body.0 == Some(Graphql::TOO_LONG), is_too_long);
    }
    let subject = Revocation::new(RevokedBy::Subject, "ada").unwrap();
    let revocations = RevocationLists::from(Arc::new(Revocations::new([subject], None).unwrap()));
    snapshot.revocations = Some(&revocations);
    let denial = admission().admit_offline(&head, &mut snapshot, &mut ()).map(drop).unwrap_err();
    assert_eq!(denial.reason, Reason::Revoked);
    let unknown = ring(1, Some(KeySet::default()));
    for (unreachable, reason) in [(vec![], Reason::UnknownKey), (vec![0], Reason::KeysUnavailable)] {
        let mut snapshot = Snapshot { unreachable, ..Snapshot::new(NOW_DATE, unknown.clone()) };
        let denial = admission().admit_offline(&head, &mut snapshot, &mut ()).map(drop).unwrap_err();
        assert_eq!(denial.reason, reason);
    }
}

/// Otherwise its observer, which may explain it, would see the steps up to the keys twice.
#[test]
fn a_snapshot_has_no_other_keys_to_try_a_token_with() {
    #[derive(Default)]
    struct Tried(usize);
    impl Observer for Tried {
        fn parsed(&mut self, _: &UnverifiedToken<'_>) {
            self.0 += 1;
        }
    }
    let request = Request::with_token(&token(&RSA));
    let target = Uri::from_static(request.path);
    for keys in [None, Some(KeySet::default()), Some(key_set(&[OTHER_RSA.jwk_named("k")]))] {
        let (mut snapshot, mut tried) = (Snapshot::new(NOW_DATE, ring(1, keys)), Tried::default());
        assert!(admission().admit_offline(&request.head(&target), &mut snapshot, &mut tried).is_err());
        assert_eq!(tried.0, 1);
    }
}
