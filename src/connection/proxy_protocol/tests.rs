use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// The parsed header and the bytes left after it. The client sends pieces of `size` bytes.
async fn read_from(bytes: &[u8], size: usize) -> (Result<Option<SocketAddr>, ProxyFault>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut client =
        TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
    client.set_nodelay(true).expect("no delay");
    let (mut server, _) = listener.accept().await.expect("a connection");
    let bytes = bytes.to_vec();
    let sending = tokio::spawn(async move {
        for piece in bytes.chunks(size) {
            // The server may already have refused the header.
            let _ = client.write_all(piece).await;
            tokio::task::yield_now().await;
        }
        drop(client);
    });
    let read = read(&mut server).await;
    let mut rest = Vec::new();
    if read.is_ok() {
        server.read_to_end(&mut rest).await.expect("the rest");
    }
    drop(server);
    sending.await.expect("no panic");
    (read, rest)
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [SIGNATURE.as_slice(), &[command, family], &len, rest].concat()
}

const IPV4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0xdc, 0x04, 0x01, 0xbb];

fn ipv6() -> Vec<u8> {
    let address = |text: &str| text.parse::<Ipv6Addr>().expect("an address").octets();
    [address("2001:db8::7").as_slice(), &address("::1"), &[0xdc, 0x04, 0x01, 0xbb]].concat()
}

#[tokio::test]
async fn read_consumes_exactly_the_header() {
    let with_fields = [IPV4.as_slice(), &[0x03, 0, 4, 1, 2, 3, 4], &[0x04, 0, 200], &[7; 200]].concat();
    for (header, address) in [
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n".to_vec(), Some("192.0.2.7:56324")),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 0 1\r\n".to_vec(), Some("1.1.1.1:0")),
        (b"PROXY TCP6 2001:db8::7 ::1 56324 443\r\n".to_vec(), Some("[2001:db8::7]:56324")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".to_vec(), None),
        (binary(0x21, 0x11, &IPV4), Some("192.0.2.7:56324")),
        (binary(0x21, 0x11, &with_fields), Some("192.0.2.7:56324")),
        (binary(0x21, 0x21, &ipv6()), Some("[2001:db8::7]:56324")),
        (binary(0x20, 0x11, &IPV4), None),
        (binary(0x20, 0x00, &[]), None),
        (binary(0x21, 0x00, &[1, 2, 3]), None),
        (binary(0x21, 0x31, &[0; 216]), None),
        (binary(0x21, 0x12, &IPV4), None),
    ] {
        for follows in ["", "\n\r\nGET / HTTP/1.1\r\n\r\n"] {
            for size in [1, 5, 1000] {
                let bytes = [&header, follows.as_bytes()].concat();
                let (read, rest) = read_from(&bytes, size).await;
                let shown = String::from_utf8_lossy(&header).into_owned();
                let expected = address.map(|address| address.parse().expect("an address"));
                assert_eq!(read.expect(&shown), expected, "{shown:?} in pieces of {size}");
                assert_eq!(rest, follows.as_bytes(), "{shown:?} in pieces of {size}");
            }
        }
    }
}

#[tokio::test]
async fn malformed_headers_are_refused() {
    for bytes in [
        b"".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abc".to_vec(),
        b"PROXY".to_vec(),
        b"proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2".to_vec(),
        b"PROXY TCP4  192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 01 2\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 +1 2\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 2\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.07 10.0.0.1 1 2\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n".to_vec(),
        b"PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
        b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
        format!("PROXY UNKNOWN {}\r\n", "x".repeat(100)).into_bytes(),
        binary(0x21, 0x11, &IPV4[..11]),
        binary(0x21, 0x21, &ipv6()[..35]),
        binary(0x22, 0x11, &IPV4),
        binary(0x11, 0x11, &IPV4),
        binary(0x21, 0x41, &IPV4),
        binary(0x21, 0x13, &IPV4),
        binary(0x21, 0x11, &[0; MAX_REST + 1]),
        binary(0x21, 0x11, &IPV4)[..20].to_vec(),
    ] {
        let (read, _) = read_from(&bytes, 1000).await;
        assert!(read.is_err(), "{:?}: {read:?}", String::from_utf8_lossy(&bytes));
    }
}
