//! The HPACK decoder against h2's encoder.

use std::net::TcpListener;

use metagate::request::{FieldList, HpackDecoder};

use crate::support::http2::{
    CONTINUATION, END_HEADERS, HEADERS, Http2Client, PREFACE, RawClient, SETTINGS, frame,
};

/// Reads the field block of the next request and decodes it.
fn next_head(server: &mut RawClient, decoder: &mut HpackDecoder) -> Vec<(String, String)> {
    let mut arrived = server.find(|arrived| arrived.kind == HEADERS).expect("a head");
    let mut block = arrived.payload;
    while arrived.flags & END_HEADERS == 0 {
        arrived = server.next().expect("the rest of it");
        assert_eq!(arrived.kind, CONTINUATION);
        block.extend(&arrived.payload);
    }
    let mut list = FieldList::new(1 << 20);
    decoder.decode(&block, &mut list).expect("good HPACK");
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).expect("ASCII");
    list.iter().map(|(name, value)| (text(name), text(value))).collect()
}

#[test]
fn decoder_reads_what_h2_encodes() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let accepting = std::thread::spawn(move || {
        let (socket, _) = listener.accept().expect("a client");
        let mut server = RawClient::of(socket);
        server.skip(PREFACE.len());
        server.send(frame(SETTINGS, 0, 0, &[]));
        server
    });
    let mut client = Http2Client::connect(address);
    let mut server = accepting.join().expect("no panic");
    let mut decoder = HpackDecoder::new(4096);
    let printable: String = (b' '..0x7f).map(char::from).collect();
    for number in 0..400_usize {
        // Some fields repeat soon, some late, some never; together far more than the table holds.
        let path = format!("/{}?n={number}", number % 7);
        let names = [number % 5, 10 + number % 11, 100 + number].map(|number| format!("x-field-{number}"));
        let rotated = format!("a{}{}z", &printable[number % 95..], &printable[..number % 95]);
        let long = "v".repeat(number * 37 % 3000);
        let values = [format!("value-{}", number % 3), rotated, long];
        let fields: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(values.iter().map(String::as_str)).collect();
        // Dropped later, which resets the stream.
        let request = client.open(["GET", "PATCH"][number % 2], &path, &fields, true);
        let mut found = next_head(&mut server, &mut decoder);
        let mut expected: Vec<(String, String)> = [
            (":method", ["GET", "PATCH"][number % 2]),
            (":scheme", "http"),
            (":authority", "gateway.test"),
            (":path", &path),
        ]
        .iter()
        .chain(&fields)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "request {number}");
        drop(request);
    }
}
