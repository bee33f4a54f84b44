//! The files of certificates, the first that ends first.

use std::time::Duration;

use super::super::view::{self, CertificateView, Overview};
use super::{Text, duration};

/// A certificate that ends within this time needs a look.
pub(super) const SOON: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A file of certificates.
pub(super) struct CertificateRow {
    pub(super) setting: Text,
    pub(super) file: Text,
    pub(super) what: &'static str,
    pub(super) ends: String,
    pub(super) class: &'static str,
    /// How long it is valid from now on.
    pub(super) left: String,
}

/// All of them.
pub(super) fn rows(overview: &Overview) -> Vec<CertificateRow> {
    sorted(overview).into_iter().map(|certificate| row(certificate, overview)).collect()
}

/// Those of the configuration, the first that ends first.
pub(super) fn sorted(overview: &Overview) -> Vec<&CertificateView> {
    let mut certificates: Vec<_> = overview.certificates.iter().collect();
    certificates.sort_by_key(|certificate| certificate.ends_at);
    certificates
}

fn row(certificate: &CertificateView, overview: &Overview) -> CertificateRow {
    let left = view::seconds_since(overview.now, certificate.ends_at);
    let (class, left) = match left {
        0 => ("bad", format!("{} ago", duration(view::seconds_since(certificate.ends_at, overview.now)))),
        left if left < SOON.as_secs() => ("warn", format!("in {}", duration(left))),
        left => ("ok", format!("in {}", duration(left))),
    };
    CertificateRow {
        setting: Text::of(&certificate.setting),
        file: Text::of(&certificate.file),
        what: if certificate.is_authorities { "authorities" } else { "own" },
        ends: view::time(certificate.ends_at),
        class,
        left,
    }
}
