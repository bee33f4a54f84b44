//! The PROXY protocol, versions 1 and 2: a load balancer in front of the proxy sends the client's address at the
//! beginning of a connection.
//!
//! Only the bytes of the header are read from the socket, because TLS or HTTP begins with the next byte.
//! Type-length-value fields after the addresses are skipped, including the CRC32c: TCP has checked the bytes, and the
//! header is trusted because of its sender.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, including CR LF.
const MAX_LINE: usize = 107;
/// The longest version 2 header after its first 16 bytes: addresses take at most 216 bytes, certificates in
/// type-length-value fields some more.
const MAX_REST: usize = 8 * 1024;

/// Why a PROXY protocol header cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyFault {
    #[error("it does not begin with a PROXY protocol header")]
    Missing,
    #[error("its PROXY protocol header is malformed")]
    Malformed,
    #[error("its PROXY protocol header is too long")]
    TooLong,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads the header. `None` if it names no address: the peer itself is then the client.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, ProxyFault> {
    // A header of either version is at least this long.
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == *SIGNATURE {
        return read_binary(stream).await;
    }
    if !start.starts_with(b"PROXY ") {
        return Err(ProxyFault::Missing);
    }
    let mut line = start.to_vec();
    // One byte at a time, because the bytes after the line belong to TLS or HTTP.
    while !line.ends_with(b"\n") {
        if line.len() == MAX_LINE {
            return Err(ProxyFault::TooLong);
        }
        match stream.read_u8().await {
            Ok(byte) => line.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(ProxyFault::Malformed),
            Err(error) => return Err(error.into()),
        }
    }
    line_address(&line)
}

async fn read_binary(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, ProxyFault> {
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await?;
    let [command, family, high, low] = fixed;
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len > MAX_REST {
        return Err(ProxyFault::TooLong);
    }
    let mut rest = vec![0; len];
    stream.read_exact(&mut rest).await?;
    binary_address(command, family, &rest)
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443`, with CR LF.
fn line_address(line: &[u8]) -> Result<Option<SocketAddr>, ProxyFault> {
    let text = line.strip_suffix(b"\r\n").and_then(|line| str::from_utf8(line).ok());
    let words: Vec<&str> = text.ok_or(ProxyFault::Malformed)?.split(' ').collect();
    let (is_ipv4, source, destination, ports) = match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => return Ok(None),
        ["PROXY", "TCP4", source, destination, from, to] => (true, source, destination, [from, to]),
        ["PROXY", "TCP6", source, destination, from, to] => (false, source, destination, [from, to]),
        _ => return Err(ProxyFault::Malformed),
    };
    let address = |text: &str| {
        text.parse::<IpAddr>().ok().filter(|ip| ip.is_ipv4() == is_ipv4).ok_or(ProxyFault::Malformed)
    };
    let port = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        text.parse::<u16>().ok().filter(|_| plain).ok_or(ProxyFault::Malformed)
    };
    let (source, _) = (address(source)?, address(destination)?);
    let (from, _) = (port(ports[0])?, port(ports[1])?);
    Ok(Some(SocketAddr::new(source, from)))
}

/// Version 2, after its signature and length.
fn binary_address(command: u8, family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, ProxyFault> {
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyFault::Malformed),
    };
    // Unassigned address families and transports are malformed.
    if !matches!(family >> 4, 0..=3) || !matches!(family & 0xf, 0..=2) {
        return Err(ProxyFault::Malformed);
    }
    // LOCAL is a health check by the load balancer itself. Only TCP over IP has an address that can be used here.
    if is_local || !matches!(family, 0x11 | 0x21) {
        return Ok(None);
    }
    let address = match family {
        0x11 => rest.first_chunk::<12>().map(|[a, b, c, d, _, _, _, _, high, low, _, _]| {
            (IpAddr::from(Ipv4Addr::new(*a, *b, *c, *d)), u16::from_be_bytes([*high, *low]))
        }),
        _ => rest.first_chunk::<36>().and_then(|all| {
            let source: [u8; 16] = *all.first_chunk()?;
            let port = all.get(32..34)?.first_chunk::<2>()?;
            Some((IpAddr::from(Ipv6Addr::from(source)), u16::from_be_bytes(*port)))
        }),
    };
    address.map(|(ip, port)| Some(SocketAddr::new(ip, port))).ok_or(ProxyFault::Malformed)
}

#[cfg(test)]
mod tests;
