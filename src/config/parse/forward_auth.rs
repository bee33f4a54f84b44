//! The listener where other proxies ask for decisions.

use std::net::SocketAddr;

use super::super::{ForwardAuth, values};
use super::collide;
use super::section::Section;
use crate::request::TargetForm;

pub(super) fn forward_auth(root: &Section<'_>, listen: Option<SocketAddr>) -> Option<ForwardAuth> {
    let section = root.section("forwardAuth");
    let address = section.read("listen", values::address);
    let form = |text: &str| {
        TargetForm::from_name(text).ok_or_else(|| format!("{} is not accepted", values::quote(text)))
    };
    let target = section.read("target", form);
    let Some(address) = address else {
        if target.is_some() {
            section.missing(
                "listen",
                "is missing: target says how proxies ask, but not where",
                "set it to an address like 127.0.0.1:8688",
            );
        }
        return None;
    };
    if target.is_none() {
        let help = "write forwarded (Traefik, Caddy, HAProxy), original (nginx) or request (Envoy)";
        section.missing("target", "is missing: what a client could write must never name the request", help);
    }
    let others = [("data", listen), ("health", own(root, "health")), ("admin", own(root, "admin"))];
    for (name, other) in others {
        if let Some(other) = other.filter(|other| collide(address, *other)) {
            section.error("listen", format!("{address} is the {name} listener's own address ({other})"));
        }
    }
    warn_of_envoy(root, target);
    Some(ForwardAuth { listen: address, target: target? })
}

/// Envoy adds an address of its own to the X-Forwarded-For of its questions.
fn warn_of_envoy(root: &Section<'_>, target: Option<TargetForm>) {
    if target == Some(TargetForm::Request) && !root.is_given("trustedProxies") {
        let message =
            "is request, and trustedProxies is empty: every request may seem to come from Envoy itself";
        let help = "name Envoy's own addresses in trustedProxies";
        root.report.warn("forwardAuth.target", message, help);
    }
}

fn own(root: &Section<'_>, section: &str) -> Option<SocketAddr> {
    root.section(section).text("listen").and_then(|text| values::address(text).ok())
}
