//! HTTP/1.1 messages as bytes: a strict reader of header sections and bodies, for either side.

use std::io::{self, Read};

/// A start line and its fields as they were on the wire. Each byte becomes one character.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub start: String,
    pub headers: Vec<(String, String)>,
    /// What a strict parser would have rejected.
    pub problems: Vec<String>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Self {
        let mut problems = Vec::new();
        let text: String = bytes.iter().copied().map(char::from).collect();
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            match line.split_once(':') {
                Some((name, value)) if !name.is_empty() && name.chars().all(is_token) => {
                    headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
                }
                _ => problems.push(format!("not a field line: {line:?}")),
            }
        }
        if text.replace("\r\n", "").contains(|c: char| c.is_ascii_control() && c != '\t') {
            problems.push("a control character in the head".to_owned());
        }
        let mut head = Self { start, headers, problems };
        head.check_framing();
        head
    }

    fn check_framing(&mut self) {
        let lengths = self.values("content-length");
        let codings = self.values("transfer-encoding");
        let checks = [
            (lengths.len() + codings.len() > 1, "more than one framing field"),
            (codings.iter().any(|coding| *coding != "chunked"), "a transfer coding other than chunked"),
            (
                lengths.iter().any(|n| n.is_empty() || !n.bytes().all(|byte| byte.is_ascii_digit())),
                "a length that is not a number",
            ),
            (lengths.iter().any(|n| n.len() > 1 && n.starts_with('0')), "a length with leading zeros"),
        ];
        let found: Vec<String> =
            checks.iter().filter(|(bad, _)| *bad).map(|(_, text)| (*text).to_owned()).collect();
        self.problems.extend(found);
    }

    /// Every value of a field, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The value of a field that occurs at most once.
    #[track_caller]
    pub fn value(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() <= 1, "{name} came {} times: {values:?}", values.len());
        values.first().copied()
    }

    pub fn word(&self, index: usize) -> &str {
        self.start.split(' ').nth(index).unwrap_or_default()
    }

    pub fn method(&self) -> &str {
        self.word(0)
    }

    pub fn target(&self) -> &str {
        self.word(1)
    }

    fn framed(&self) -> Option<Body> {
        if self.values("transfer-encoding").iter().any(|v| v.to_ascii_lowercase().contains("chunked")) {
            return Some(Body::Chunked { left: 0, begun: false, trailers: Vec::new() });
        }
        let length = self.values("content-length").first()?.parse().ok()?;
        Some(Body::Length(length))
    }

    /// How the body of this request is delimited.
    pub fn body_of_request(&self) -> Body {
        self.framed().unwrap_or(Body::Length(0))
    }

    /// How the body of this response is delimited.
    pub fn body_of_response(&self, status: u16, to_head: bool) -> Body {
        if to_head || status < 200 || status == 204 || status == 304 {
            return Body::Length(0);
        }
        self.framed().unwrap_or(Body::UntilClose)
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// The part of a body that is still to come.
#[derive(Debug)]
pub enum Body {
    Length(usize),
    Chunked { left: usize, begun: bool, trailers: Vec<(String, String)> },
    Ended(Vec<(String, String)>),
    UntilClose,
}

impl Body {
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Length(0))
    }

    pub fn take_trailers(&mut self) -> Vec<(String, String)> {
        match self {
            Self::Ended(trailers) => std::mem::take(trailers),
            _ => Vec::new(),
        }
    }
}

/// Reads header sections and bodies from a stream of bytes.
pub struct Reader<R> {
    source: R,
    buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub fn new(source: R) -> Self {
        Self { source, buffer: Vec::new() }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 * 1024];
        let count = self.source.read(&mut piece)?;
        self.buffer.extend(&piece[..count]);
        Ok(count)
    }

    fn fill_or_cut(&mut self) -> io::Result<()> {
        match self.fill()? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The next header section, or `None` if the stream ends between two messages.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                let head = Head::parse(&std::mem::replace(&mut self.buffer, rest)[..end + 2]);
                return Ok(Some(head));
            }
            if self.fill()? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// The next piece of a body, or `None` at its proper end.
    pub fn body_piece(&mut self, body: &mut Body) -> io::Result<Option<Vec<u8>>> {
        match body {
            Body::Ended(_) | Body::Length(0) => Ok(None),
            Body::Length(left) => self.take_some(left).map(Some),
            Body::UntilClose => {
                if self.buffer.is_empty() {
                    self.fill()?;
                }
                let piece = std::mem::take(&mut self.buffer);
                Ok((!piece.is_empty()).then_some(piece))
            }
            Body::Chunked { left, begun, trailers } => {
                if *left == 0 {
                    if *begun && !self.line()?.is_empty() {
                        return Err(broken("no CRLF after a chunk"));
                    }
                    *begun = true;
                    let line = self.line()?;
                    let digits = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit());
                    let size = usize::from_str_radix(&line, 16).ok().filter(|_| digits);
                    *left = size.ok_or_else(|| broken("not a chunk size"))?;
                }
                if *left > 0 {
                    return self.take_some(left).map(Some);
                }
                loop {
                    let line = self.line()?;
                    let Some((name, value)) = line.split_once(':') else { break };
                    trailers.push((name.to_owned(), value.trim().to_owned()));
                }
                *body = Body::Ended(std::mem::take(trailers));
                Ok(None)
            }
        }
    }

    fn take_some(&mut self, left: &mut usize) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill_or_cut()?;
        }
        let count = self.buffer.len().min(*left);
        *left -= count;
        Ok(self.buffer.drain(..count).collect())
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
                return Ok(line.into_iter().map(char::from).collect());
            }
            self.fill_or_cut()?;
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

pub fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
