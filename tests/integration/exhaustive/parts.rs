//! The parts of a message, and which bytes each may have.
//!
//! The rules are those of RFC 9110 and RFC 9112 plus what metagate additionally refuses. They are
//! independent of the encoding: HTTP/1 and HTTP/2 encode the same [`Case`]s.

/// The position of the byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    First,
    Middle,
    Last,
}

/// The part that contains the byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Method,
    Path,
    /// The query after `?`.
    Query,
    /// HTTP/1 only.
    Version,
    FieldName,
    FieldValue,
    Host,
    /// The value of `Content-Length`.
    Length,
    /// The value of `Transfer-Encoding`.
    Coding,
    /// What separates the method, the target, the version and the line end.
    Separator,
    /// The end of a field line.
    LineEnd,
    /// This and the following exist only in the chunked coding.
    ChunkSize,
    ExtensionName,
    ExtensionValue,
    /// The text between the quotes.
    ExtensionQuoted,
    TrailerName,
    TrailerValue,
}

impl Part {
    pub const ALL: [Self; 17] = [
        Self::Method,
        Self::Path,
        Self::Query,
        Self::Version,
        Self::FieldName,
        Self::FieldValue,
        Self::Host,
        Self::Length,
        Self::Coding,
        Self::Separator,
        Self::LineEnd,
        Self::ChunkSize,
        Self::ExtensionName,
        Self::ExtensionValue,
        Self::ExtensionQuoted,
        Self::TrailerName,
        Self::TrailerValue,
    ];

    /// Whether it is in the body, after the head.
    pub fn is_in_body(self) -> bool {
        use Part::{ChunkSize, ExtensionName, ExtensionQuoted, ExtensionValue, TrailerName, TrailerValue};
        matches!(
            self,
            ChunkSize | ExtensionName | ExtensionValue | ExtensionQuoted | TrailerName | TrailerValue
        )
    }

    /// Whether its message has a body.
    pub fn has_body(self) -> bool {
        self.is_in_body() || matches!(self, Self::Length | Self::Coding)
    }

    /// The text before and after the byte. The method, the version and a line end have a fixed length, so the
    /// byte replaces one of theirs; in other parts it is added.
    fn around(self, place: Place) -> (&'static str, &'static str) {
        let (first, middle, last) = match self {
            Self::Method => (("", "ET"), ("G", "T"), ("GE", "")),
            Self::Version => (("", "TTP/1.1"), ("HTTP", "1.1"), ("HTTP/1.", "")),
            Self::Path => (("", "ab"), ("/a", "b"), ("/ab", "")),
            Self::FieldName | Self::TrailerName => (("", "x-ab"), ("x-a", "b"), ("x-ab", "")),
            // Never all zeros, because that would be the last chunk.
            Self::ChunkSize => (("", "02"), ("0", "2"), ("01", "")),
            Self::Length => (("", "2"), ("1", "2"), ("1", "")),
            Self::Coding => (("", "chunked"), ("chu", "nked"), ("chunked", "")),
            Self::LineEnd => (("", "\n"), ("\r", "\n"), ("\r", "")),
            Self::Separator => (("", ""), ("", ""), ("", "")),
            _ => (("", "ab"), ("a", "b"), ("ab", "")),
        };
        match place {
            Place::First => first,
            Place::Middle => middle,
            Place::Last => last,
        }
    }
}

/// One byte in one position of one part.
#[derive(Clone, Debug)]
pub struct Case {
    pub part: Part,
    pub place: Place,
    pub byte: u8,
    /// The complete part.
    pub text: Vec<u8>,
}

impl Case {
    /// Every case of these parts.
    pub fn all(parts: &[Part]) -> impl Iterator<Item = Self> {
        let places = [Place::First, Place::Middle, Place::Last];
        parts.iter().flat_map(move |part| {
            places
                .into_iter()
                .flat_map(move |place| (0..=u8::MAX).map(move |byte| Self::of(*part, place, byte)))
        })
    }

    fn of(part: Part, place: Place, byte: u8) -> Self {
        let (before, after) = part.around(place);
        Self { part, place, byte, text: [before.as_bytes(), &[byte], after.as_bytes()].concat() }
    }

    /// A unique name.
    pub fn mark(&self) -> String {
        format!("{:?}-{:?}-{:02x}", self.part, self.place, self.byte)
    }

    /// Whether such a message is valid.
    pub fn is_good(&self) -> bool {
        let (byte, place) = (self.byte, self.place);
        match self.part {
            Part::Method => ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
                .iter()
                .any(|method| method.as_bytes() == self.text),
            // In origin-form. `?` ends the path, and a lone `%` is not an escape.
            Part::Path => match place {
                Place::First => byte == b'/',
                _ => byte.is_ascii_graphic() && !b"#<>\\`%".contains(&byte),
            },
            Part::Query => byte.is_ascii_graphic() && byte != b'#',
            Part::Version => [b"HTTP/1.0", b"HTTP/1.1"].iter().any(|version| *version == &self.text[..]),
            // A colon ends a non-empty name.
            Part::FieldName | Part::TrailerName => is_token(byte) || (byte == b':' && place != Place::First),
            Part::FieldValue | Part::TrailerValue => is_text(byte),
            // A port follows the colon, or nothing. Labels are not empty, except the last one.
            Part::Host => match byte {
                b':' => place == Place::Last,
                b'.' => place != Place::First,
                b' ' | b'\t' => place != Place::Middle,
                _ => byte.is_ascii_alphanumeric() || b"-_~!$&'()*+;=".contains(&byte),
            },
            // A zero may not come first.
            Part::Length => match byte {
                b' ' | b'\t' => place != Place::Middle,
                b'0' => place != Place::First,
                _ => byte.is_ascii_digit(),
            },
            Part::Coding => matches!(byte, b' ' | b'\t') && place != Place::Middle,
            Part::Separator => byte == b' ' && place != Place::Last,
            Part::LineEnd => self.text == b"\r\n",
            Part::ChunkSize => byte.is_ascii_hexdigit(),
            // A semicolon ends an extension; between `a` and `b` it makes two.
            Part::ExtensionName | Part::ExtensionValue => {
                is_token(byte) || (byte == b';' && place == Place::Middle)
            }
            // A backslash must escape a character other than the closing quote.
            Part::ExtensionQuoted => is_text(byte) && byte != b'"' && (byte != b'\\' || place != Place::Last),
        }
    }

    /// The status of a refusal. A method that is a valid token is only not allowed.
    pub fn status(&self) -> u16 {
        match self.part {
            _ if self.is_good() => 200,
            Part::Method if is_token(self.byte) => 405,
            _ => 400,
        }
    }

    /// The target with this part in it.
    pub fn target(&self) -> Vec<u8> {
        match self.part {
            Part::Path => self.text.clone(),
            Part::Query => [b"/probe?", &self.text[..]].concat(),
            _ => b"/probe".to_vec(),
        }
    }

    /// The request line, with its end.
    pub fn line(&self) -> Vec<u8> {
        let pick = |part: Part, otherwise: &'static [u8]| {
            if self.part == part { self.text.clone() } else { otherwise.to_vec() }
        };
        let method = if self.part.has_body() { b"POST".to_vec() } else { pick(Part::Method, b"GET") };
        let between = |place: Place, otherwise: &'static [u8]| {
            if self.part == Part::Separator && self.place == place {
                vec![self.byte]
            } else {
                otherwise.to_vec()
            }
        };
        let (target, version) = (self.target(), pick(Part::Version, b"HTTP/1.1"));
        let [first, second, end] = [(Place::First, &b" "[..]), (Place::Middle, b" "), (Place::Last, b"")]
            .map(|(place, otherwise)| between(place, otherwise));
        [method, first, target, second, version, end, b"\r\n".to_vec()].concat()
    }

    /// The value of `Host`.
    pub fn host(&self) -> Vec<u8> {
        if self.part == Part::Host { self.text.clone() } else { b"a".to_vec() }
    }

    /// The host that is requested: the name of a good `Host`, in lower case.
    pub fn requested_host(&self) -> String {
        let text = String::from_utf8_lossy(&self.host()).to_ascii_lowercase();
        text.trim_matches([' ', '\t', ':', '.']).to_owned()
    }

    /// A field line with this part in it.
    pub fn field(&self) -> Vec<u8> {
        match self.part {
            Part::FieldName | Part::TrailerName => [&self.text[..], b": value"].concat(),
            Part::FieldValue | Part::TrailerValue => [b"x-probe: ", &self.text[..]].concat(),
            _ => b"x-probe: value".to_vec(),
        }
    }
}

/// `tchar` (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `field-vchar`, blank and tab (RFC 9110 section 5.5).
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7e | 0x80..=0xff)
}
