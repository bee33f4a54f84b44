//! Requests with the same token.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::future::{block_on, spawn, yield_now};

use super::*;
use crate::sync::check;

const REQUESTS: usize = 3;

/// The questions that requests have asked, when each has gone on.
fn questions(answer: Option<bool>) -> usize {
    let (entry, asked, now) = (Arc::<Entry>::default(), Arc::<AtomicUsize>::default(), Instant::now());
    let requests = [(); REQUESTS].map(|()| {
        let (entry, asked) = (entry.clone(), asked.clone());
        let ask = {
            let entry = entry.clone();
            move || {
                let Some(question) = entry.begin(now) else { return };
                asked.fetch_add(1, Ordering::SeqCst);
                drop(spawn(async move {
                    yield_now().await;
                    if answer.is_some() {
                        question.answer(answer, now);
                    }
                }));
            }
        };
        spawn(async move {
            entry.first_answer(ask, || true).await;
            assert_eq!(entry.active(), answer, "it has gone on without the answer");
        })
    });
    requests.into_iter().for_each(|request| block_on(request).unwrap());
    asked.load(Ordering::SeqCst)
}

/// Of concurrent requests one asks, and each goes on with the answer.
#[test]
fn requests_share_one_question() {
    check(|| assert_eq!(questions(Some(true)), 1));
}

/// A question that ends without an answer, as with a panic, leaves no request waiting.
#[test]
fn a_question_without_an_answer_ends_the_wait() {
    check(|| assert!((1..=REQUESTS).contains(&questions(None))));
}
