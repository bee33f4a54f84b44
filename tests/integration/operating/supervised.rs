//! Under a service manager: socket activation and sd_notify.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::DEADLINE;
use crate::support::gateway::{Gateway, Setup};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::token::Token;
use crate::support::upstream::Upstream;
use crate::support::wire::Client;

fn setup(issuer: &Issuer, upstream: &Upstream) -> Setup {
    Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
        .env("METAGATE_UPSTREAM__URL", upstream.url())
}

/// Starts the gateway with a socket as file descriptor 3, as systemd does.
fn activated(setup: Setup, name: Option<&str>) -> (Gateway, TcpListener) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let handed = socket.try_clone().expect("a second handle");
    (setup.activated(OwnedFd::from(handed), name).start(), socket)
}

#[test]
fn activated_socket_replaces_listen() {
    let (issuer, upstream) = (Issuer::of(keys::rsa()), Upstream::echo());
    // The socket may be unnamed, or named after the listener or the unit.
    for name in [None, Some("proxy"), Some("metagate.socket")] {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let listen = taken.local_addr().expect("an address").to_string();
        let setup = setup(&issuer, &upstream).env("METAGATE_LISTEN", listen);
        let (mut gateway, socket) = activated(setup, name);
        assert_eq!(gateway.proxy, socket.local_addr().expect("an address"));
        gateway.wait_ready();
        assert_eq!(gateway.get_as(&Token::bot(), "/x").status, 200);
        gateway.terminate();
        assert_eq!(gateway.wait_exit(), Some(0));
        // The socket stays open for the next process: connections wait and are not refused.
        let _waiting = Client::connect(socket.local_addr().expect("an address"));
    }
}

/// Whose field a socket reads the token from depends on its address.
#[test]
fn token_headers_of_an_address_need_an_activated_socket_with_that_address() {
    let (issuer, upstream) = (Issuer::of(keys::rsa()), Upstream::echo());
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    let of = |address: &str| {
        let listen = format!("[{{address: \"{address}\", tokenHeaders: [X-Own]}}]");
        let handed = socket.try_clone().expect("a second handle");
        setup(&issuer, &upstream)
            .env("METAGATE_LISTEN", listen)
            .activated(OwnedFd::from(handed), Some("proxy"))
    };
    let refused = of("127.0.0.1:1").finish();
    assert!(refused.code != Some(0), "{:?}", refused.code);
    assert!(refused.stderr.contains("its address is not in `listen`"), "{}", refused.stderr);
    let gateway = of(&address.to_string()).start();
    gateway.wait_ready();
    assert_eq!(gateway.get_as(&Token::bot(), "/x").status, 401);
    assert_eq!(gateway.get("/x", &[("X-Own", &Token::bot().encode())]).status, 200);
}

#[test]
fn activated_socket_may_be_for_another_listener() {
    let (issuer, upstream) = (Issuer::of(keys::rsa()), Upstream::echo());
    let (gateway, socket) = activated(setup(&issuer, &upstream), Some("admin"));
    assert_eq!(gateway.admin(), socket.local_addr().expect("an address"));
    assert_eq!(gateway.ask_admin("GET", "/status", &[]).status, 200);
    assert_ne!(gateway.proxy, gateway.admin());
}

#[test]
fn service_manager_is_notified_of_start_reload_and_stop() {
    let (issuer, upstream) = (Issuer::of(keys::rsa()), Upstream::echo());
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    let next_message = || {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    // Also without keys: the key server may be waiting for this service to start.
    issuer.set(JWKS, crate::support::issuer::Reply::Status(500, vec![], String::new()));
    let setup = setup(&issuer, &upstream).env("NOTIFY_SOCKET", path.to_str().expect("a path"));
    let mut gateway = setup.start();
    assert_eq!(next_message(), "READY=1\nSTATUS=listening");
    assert_eq!(gateway.probe("/readyz").status, 503);
    gateway.signal("HUP");
    assert_eq!((next_message(), next_message()), ("RELOADING=1".to_owned(), "READY=1".to_owned()));
    gateway.terminate();
    assert_eq!(next_message(), "STOPPING=1\nSTATUS=draining");
    assert_eq!(gateway.wait_exit(), Some(0));
    manager.set_read_timeout(Some(Duration::from_millis(1))).expect("a time-out");
    assert!(manager.recv(&mut [0; 16]).is_err(), "nothing more");
}
