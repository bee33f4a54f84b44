//! `demo --once`: what a person would check, with pass and fail.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::Addresses;
use super::case::{Case, Expected};
use super::client::{self, Received};

/// Checks, and prints each one.
#[derive(Default)]
pub(super) struct Checks {
    passed: usize,
    failed: usize,
    /// The reasons of the requests that were refused as expected.
    reasons: BTreeSet<&'static str>,
}

impl Checks {
    fn print(&mut self, name: &str, result: Result<(), String>) {
        match result {
            Ok(()) => {
                self.passed += 1;
                say!("ok      {name}");
            }
            Err(text) => {
                self.failed += 1;
                say!("FAILED  {name}: {text}");
            }
        }
    }

    /// Waits until the proxy is ready. Without this the first request would wait until the keys are loaded.
    pub(super) async fn readiness(&mut self, at: &Addresses) {
        let ready = eventually(at.health, "/readyz", &[], |received| received.status == 200).await;
        self.print("/readyz is 200", ready);
    }

    pub(super) async fn requests(&mut self, at: &Addresses, cases: impl IntoIterator<Item = &Case>) {
        for case in cases {
            let fields: Vec<_> = case.fields.iter().map(|(name, value)| (*name, &*value.sent)).collect();
            let body = case.body.as_ref().map_or("", |body| &body.sent);
            let received = client::send(at.proxy, case.method, &case.target.sent, &fields, body).await;
            let result = case.verify(received.as_ref());
            if let (Ok(()), Expected::Refused(reason)) = (&result, case.expected) {
                self.reasons.insert(reason.as_str());
            }
            self.print(&format!("{}: {}", case.expected.shown(), case.title), result);
        }
    }

    /// The metrics have each reason, and the status page and its lists are there.
    pub(super) async fn listeners(&mut self, at: &Addresses, new_key: &str) {
        let missing = |body: &str| -> Vec<_> {
            self.reasons
                .iter()
                .copied()
                .filter(|reason| !body.contains(&format!("reason=\"{reason}\"")))
                .collect()
        };
        let counted =
            eventually(at.health, "/metrics", &[], |received| missing(&received.body).is_empty()).await;
        self.print("metrics count each of these reasons", counted);
        let page = eventually(at.admin, "/", &[], |received| {
            received.status == 200 && received.body.contains("<html")
        })
        .await;
        self.print("the status page is there", page);
        let keys = eventually(at.admin, "/keys", &[], |received| received.body.contains(new_key)).await;
        self.print("the status page has the issuer's new key", keys);
        let deliberate = [("X-Metagate", "1")];
        let refusals =
            eventually(at.admin, "/refusals", &deliberate, |received| received.body.contains("\"reason\""))
                .await;
        self.print("the status page has the last refusals", refusals);
    }

    /// Prints the sum, and returns how many have failed.
    pub(super) fn end(&self) -> usize {
        say!("\n{} passed, {} failed", self.passed, self.failed);
        self.failed
    }
}

/// What responds to a request in the background is there a moment after the response.
async fn eventually(
    address: SocketAddr,
    path: &str,
    fields: &[(&str, &str)],
    is_good: impl Fn(&Received) -> bool,
) -> Result<(), String> {
    let mut last = None;
    for _ in 0..100 {
        last = client::send(address, "GET", path, fields, "").await;
        if last.as_ref().is_some_and(&is_good) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(last
        .map_or("no response".to_owned(), |received| format!("{} {:.200}", received.status, received.body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted() {
        let mut checks = Checks::default();
        checks.print("one", Ok(()));
        checks.print("other", Err("no".to_owned()));
        assert_eq!(checks.end(), 1);
    }
}
