//! Parses the listeners and checks that no two of them use the same address.

use std::net::SocketAddr;

use url::Host;

use super::super::finding::FindingId;
use super::super::words::Word;
use super::super::{ForwardAuth, Listen, ListenAddresses, values};
use super::section::Section;
use crate::loopback::is_loopback;
use crate::request::ForwardAuthDialect;

/// All listeners. `None` if an address is invalid, or if forward-auth is off.
pub(super) struct Listeners {
    pub(super) data: Option<ListenAddresses>,
    pub(super) health: Option<SocketAddr>,
    pub(super) admin: Option<SocketAddr>,
    pub(super) admin_hosts: Vec<Box<str>>,
    pub(super) forward_auth: Option<ForwardAuth>,
}

impl Listeners {
    /// The addresses of the data listener, without socket files.
    pub(super) fn data_addresses(&self) -> Vec<SocketAddr> {
        self.data.iter().flat_map(ListenAddresses::ports).collect()
    }
}

pub(super) fn listeners(root: &Section<'_>) -> Listeners {
    let data = data(root);
    let address = |section: &Section<'_>| section.need("listen", values::address);
    let (health_section, admin_section) = (root.section("health"), root.section("admin"));
    let (health, admin) = (address(&health_section), address(&admin_section));
    let mut others: Vec<_> =
        data.iter().flat_map(ListenAddresses::ports).map(|port| ("data", port)).collect();
    refuse_taken(&health_section, health, &others, 1);
    others.extend(health.map(|address| ("health", address)));
    refuse_taken(&admin_section, admin, &others, 1);
    others.extend(admin.map(|address| ("admin", address)));
    if let Some(address) = admin.filter(|address| !is_loopback(address.ip())) {
        let message = format!("{address} can be reached from other machines and has no authentication");
        root.report.warn(
            FindingId::AdminNotLoopback,
            &admin_section.path("listen"),
            message,
            "use a loopback address, like 127.0.0.1:8687",
        );
    }
    let admin_hosts = admin_section.need_list("hosts", host_name);
    Listeners { forward_auth: forward_auth(root, &others), data, health, admin, admin_hosts }
}

/// The addresses for clients, no two of which are the same.
fn data(root: &Section<'_>) -> Option<ListenAddresses> {
    let all = match root.has_entries("listen") {
        true => root.entries("listen").iter().filter_map(address_of).collect(),
        false => root.need_list("listen", values::listen),
    };
    for (index, listen) in all.iter().enumerate() {
        let before = all.get(..index).unwrap_or_default();
        let is_same = |other: &&Listen| match (listen, other) {
            (Listen::Tcp(one), Listen::Tcp(other)) => {
                one.is_ipv4() == other.is_ipv4() && collide(*one, *other)
            }
            _ => listen == *other,
        };
        if let Some(other) = before.iter().find(is_same) {
            root.error("listen", format!("{listen} is already in the list ({other})"));
        }
    }
    if all.is_empty() {
        root.missing("listen", "has no address", "leave the key out for its default");
    }
    ListenAddresses::new(all)
}

fn address_of(entry: &Section<'_>) -> Option<Listen> {
    if entry.text("address").is_none() {
        entry.missing("address", "is missing", "write `address: 127.0.0.1:8685`, or `address: unix:/path`");
    }
    entry.read("address", values::listen)
}

/// A host name or an address, without a port.
fn host_name(text: &str) -> Result<Box<str>, String> {
    match Host::parse(text) {
        // A host that is written in another way than browsers write it would never be found.
        Ok(host) if host.to_string().eq_ignore_ascii_case(text) && !text.contains('*') => {
            Ok(host.to_string().into())
        }
        _ => Err(format!(
            "{} is not a host name; write it like metagate.corp.example, without scheme and port",
            values::quote(text)
        )),
    }
}

/// Records at most `most` errors about listeners that already use this address.
fn refuse_taken(
    section: &Section<'_>,
    address: Option<SocketAddr>,
    others: &[(&str, SocketAddr)],
    most: usize,
) {
    let Some(address) = address else { return };
    for (name, other) in others.iter().filter(|(_, other)| collide(address, *other)).take(most) {
        let message = format!("{address} is already the address of the {name} listener ({other})");
        section.error_with_help("listen", message, "give one of the two another port");
    }
}

/// Whether two listeners use the same port on the same address.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_ip
}

fn forward_auth(root: &Section<'_>, others: &[(&str, SocketAddr)]) -> Option<ForwardAuth> {
    let section = root.section("forwardAuth");
    let address = section.read("listen", values::address);
    let target = section.read("target", ForwardAuthDialect::from_word);
    let Some(address) = address else {
        if target.is_some() {
            section.missing(
                "listen",
                "is missing, but target is set",
                "set it to an address like 127.0.0.1:8688",
            );
        }
        return None;
    };
    if target.is_none() {
        let help = "write forwarded (Traefik, Caddy, HAProxy), original (nginx) or request (Envoy)";
        section.missing(
            "target",
            "is missing: it says which fields name the request, so that clients cannot forge them",
            help,
        );
    }
    refuse_taken(&section, Some(address), others, others.len());
    warn_of_envoy(root, target);
    Some(ForwardAuth { listen: address, target: target? })
}

/// Warns that Envoy appends its own address to `X-Forwarded-For`.
fn warn_of_envoy(root: &Section<'_>, target: Option<ForwardAuthDialect>) {
    if target == Some(ForwardAuthDialect::Request) && !root.is_given("trustedProxies") {
        let message =
            "is request, and trustedProxies is empty: every request may seem to come from Envoy itself";
        let help = "name Envoy's own addresses in trustedProxies";
        root.report.warn(FindingId::ProxyUntrusted, "forwardAuth.target", message, help);
    }
}
