#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::panic::catch_unwind;

use super::*;

fn id(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap()
}

#[test]
fn each_future_has_a_request_of_its_own() {
    let (mut first, mut second) = (WorkedOn::NOTHING, WorkedOn::NOTHING);
    for _ in 0..2 {
        {
            let _working = WorkingOn::begin(&mut first);
            is_about(&id("first"));
            let _nested = WorkingOn::begin(&mut second);
            assert!(current().is_none_or(|current| current == "second"));
            is_about(&id("second"));
            assert_eq!(current().as_deref(), Some("second"));
        }
        assert_eq!(current(), None);
        let _working = WorkingOn::begin(&mut first);
        assert_eq!(current().as_deref(), Some("first"), "kept until it is polled again");
    }
    assert_eq!(current(), None);
    assert_eq!((first, second), (WorkedOn::request(&id("first")), WorkedOn::request(&id("second"))));
}

#[test]
fn a_panic_leaves_no_request_behind() {
    let unwound = catch_unwind(|| {
        let mut request = WorkedOn::request(&id("panicking"));
        let _working = WorkingOn::begin(&mut request);
        assert_eq!(current().as_deref(), Some("panicking"));
        panic!("on purpose");
    });
    assert!(unwound.is_err());
    assert_eq!((current(), ending()), (None, None));
}

#[test]
fn only_texts_without_values_are_logged() {
    let logged = |panic: fn()| {
        let payload = catch_unwind(panic).unwrap_err();
        loggable(&*payload).map(str::to_owned)
    };
    assert_eq!(logged(|| panic!("a constant")).as_deref(), Some("a constant"));
    let out_of_bounds = logged(|| {
        let (list, at) = (vec![1, 2], std::hint::black_box(7));
        assert_eq!(list[at], 1);
    });
    assert_eq!(out_of_bounds.as_deref(), Some("index out of bounds: the len is 2 but the index is 7"));
    // The text quotes the token.
    assert_eq!(logged(|| drop(std::hint::black_box("ä.eyJhbGciOiJub25lIn0")[1..].to_owned())), None);
    assert_eq!(logged(|| panic!("{}", std::hint::black_box("eyJhbGciOiJub25lIn0"))), None);
    assert_eq!(logged(|| std::hint::black_box(Err::<(), _>("eyJ")).unwrap()), None);
    for text in ["index out of bounds: eyJ", "range end index A", "index out of bounds: \u{e9}"] {
        assert_eq!(loggable(&text.to_owned()), None, "{text}");
    }
}

#[test]
fn long_ids_are_cut() {
    for length in [1, MAX_ID_BYTES, MAX_ID_BYTES + 1, 128] {
        let text = "i".repeat(length);
        let mut request = WorkedOn::request(&id(&text));
        let _working = WorkingOn::begin(&mut request);
        assert_eq!(current().as_deref(), text.get(..length.min(MAX_ID_BYTES)));
    }
}

/// As in a core dump.
#[cfg(target_os = "linux")]
#[test]
fn the_id_of_the_request_is_behind_its_mark_in_memory() {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    let read = || {
        let mut bytes = [0; size_of::<Current>()];
        let at = CURRENT.with(|current| std::ptr::from_ref(current).addr());
        File::open("/proc/self/mem").unwrap().read_exact_at(&mut bytes, at as u64).unwrap();
        bytes
    };
    let mut request = WorkedOn::request(&id("5f0c1e"));
    {
        let _working = WorkingOn::begin(&mut request);
        assert!(read().starts_with(b"metagate serves 5f0c1e\0"), "{:?}", read());
    }
    assert!(read().starts_with(b"metagate serves \0"));
}
