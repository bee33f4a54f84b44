use super::*;

type Fields = Vec<(String, String)>;

fn octets(hex: &str) -> Vec<u8> {
    let hex: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    hex.chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("hex"), 16).expect("hex"))
        .collect()
}

fn fields(list: &FieldList) -> Fields {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    list.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn decode(decoder: &mut HpackDecoder, block: &[u8]) -> Result<Fields, HpackError> {
    let mut list = FieldList::new(1 << 20);
    decoder.decode(block, &mut list)?;
    Ok(fields(&list))
}

/// `name: value` lines.
fn lines(text: &str) -> Fields {
    text.lines()
        .map(|line| {
            let at = 1 + line[1..].find(": ").expect("a colon");
            (line[..at].to_owned(), line[at + 2..].to_owned())
        })
        .collect()
}

/// Checks the blocks of one connection: the octets, the fields and the size of the table after each.
#[track_caller]
fn check(table_size: usize, blocks: &[(&str, &str, usize)]) {
    let mut decoder = HpackDecoder::new(table_size);
    for (hex, text, size) in blocks {
        assert_eq!(decode(&mut decoder, &octets(hex)), Ok(lines(text)), "{hex}");
        assert_eq!(decoder.table.size(), *size, "{hex}");
    }
}

#[test]
fn appendix_c_1_integers() {
    for (octets, prefix, value) in [(&[0x0a][..], 5, 10), (&[0x1f, 0x9a, 0x0a], 5, 1337), (&[0x2a], 8, 42)] {
        assert_eq!(Reader { rest: octets }.integer(prefix), Ok(value));
    }
}

#[test]
fn appendix_c_2_fields() {
    check(
        4096,
        &[(
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key: custom-header",
            55,
        )],
    );
    check(4096, &[("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path", 0)]);
    check(4096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret", 0)]);
    check(4096, &[("82", ":method: GET", 0)]);
}

const REQUEST_1: &str = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com";
const REQUEST_2: &str =
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache";
const REQUEST_3: &str =
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value";

#[test]
fn appendix_c_3_requests() {
    check(
        4096,
        &[
            ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", REQUEST_1, 57),
            ("8286 84be 5808 6e6f 2d63 6163 6865", REQUEST_2, 110),
            ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", REQUEST_3, 164),
        ],
    );
}

#[test]
fn appendix_c_4_requests_in_huffman_code() {
    check(
        4096,
        &[
            ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", REQUEST_1, 57),
            ("8286 84be 5886 a8eb 1064 9cbf", REQUEST_2, 110),
            ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", REQUEST_3, 164),
        ],
    );
}

const RESPONSE_1: &str = ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com";
const RESPONSE_2: &str = ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com";
const RESPONSE_3: &str = ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\ncontent-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

#[test]
fn appendix_c_5_responses_with_eviction() {
    check(
        256,
        &[
            (
                "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133
                 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                RESPONSE_1,
                222,
            ),
            ("4803 3330 37c1 c0bf", RESPONSE_2, 222),
            (
                "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a
                 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d
                 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
                RESPONSE_3,
                215,
            ),
        ],
    );
}

#[test]
fn appendix_c_6_responses_in_huffman_code_with_eviction() {
    check(
        256,
        &[
            (
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d
                 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                RESPONSE_1,
                222,
            ),
            ("4883 640e ffc1 c0bf", RESPONSE_2, 222),
            (
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d
                 d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106
                 3d50 07",
                RESPONSE_3,
                215,
            ),
        ],
    );
}

#[track_caller]
fn refused(hex: &str, error: HpackError) {
    assert_eq!(decode(&mut HpackDecoder::new(4096), &octets(hex)), Err(error), "{hex}");
}

#[test]
fn malformed_blocks_are_refused() {
    use HpackError::{Huffman, Index, Integer, Truncated};
    for hex in
        ["00", "0001", "000178", "00017802", "0001780261", "ff", "ff80", "5f", "0f", "1f80", "40", "000278"]
    {
        refused(hex, Truncated);
    }
    for hex in ["80", "be", "ff00", "7f00 00", "ffffff7f", "7fff7f00", "0f8001 00"] {
        refused(hex, Index);
    }
    for hex in ["ffffffffffff", "ffffffffffffffffff", "ff8080808080 00", "00ffffffffff7f", "3fffffffff7f"] {
        refused(hex, Integer);
    }
    for hex in ["0001788100", "00017882c7ff", "00017884fffffffc", "008100"] {
        refused(hex, Huffman);
    }
    // Redundant octets of a length are not an error (section 5.1).
    let block = [&octets("000178 7f808000")[..], &[b'y'; 127]].concat();
    assert_eq!(decode(&mut HpackDecoder::new(4096), &block).expect("good")[0].1.len(), 127);
}

#[test]
fn table_size_update_must_come_first_and_respect_the_limit() {
    let get = vec![(":method".to_owned(), "GET".to_owned())];
    for hex in ["20 82", "3fe11f 82", "20 3fe11f 82"] {
        assert_eq!(decode(&mut HpackDecoder::new(4096), &octets(hex)), Ok(get.clone()), "{hex}");
    }
    for hex in ["3fe21f 82", "82 20", "20 82 20", "20 20 20 82", "000000 20"] {
        refused(hex, HpackError::TableSize);
    }
    let mut decoder = HpackDecoder::new(4096);
    decode(&mut decoder, &octets("40 0161 0162 40 0163 0164")).expect("good");
    assert_eq!(decode(&mut decoder, &octets("be bf")).expect("good").len(), 2);
    // There is room for one entry, so the oldest is evicted.
    assert_eq!(decode(&mut decoder, &octets("3f06 be")).expect("good")[0].0, "c");
    assert_eq!(decode(&mut decoder, &octets("bf")), Err(HpackError::Index));
    assert_eq!(decode(&mut decoder, &octets("20 be")), Err(HpackError::Index));
}

/// Sections 4.3 and 4.4: entries are evicted until the size of the table is at most its limit.
#[test]
fn a_table_may_be_exactly_full() {
    let mut decoder = HpackDecoder::new(68);
    // Two entries of 34 octets each, and then the same limit again.
    for block in ["40 0161 0162 40 0163 0164", "3f25"] {
        decode(&mut decoder, &octets(block)).expect("good");
        assert_eq!((decoder.table.len(), decoder.table.size()), (2, 68), "{block}");
    }
}

#[test]
fn field_larger_than_the_table_empties_it() {
    let mut decoder = HpackDecoder::new(64);
    decode(&mut decoder, &octets("40 0161 0162")).expect("good");
    assert_eq!(decoder.table.len(), 1);
    let large = [&octets("40 0163 21")[..], &[b'd'; 33]].concat();
    assert_eq!(decode(&mut decoder, &large).expect("good").len(), 1, "it is a field all the same");
    assert_eq!((decoder.table.len(), decoder.table.size()), (0, 0));
    // A name may refer to the entry that the new field evicts (section 4.4).
    decode(&mut decoder, &octets("40 0161 0162")).expect("good");
    let block = [&octets("7e 1f")[..], &[b'v'; 31]].concat();
    let expected = vec![("a".to_owned(), "v".repeat(31))];
    assert_eq!(decode(&mut decoder, &block), Ok(expected.clone()));
    assert_eq!(decode(&mut decoder, &octets("be")), Ok(expected));
}

#[test]
fn fields_beyond_the_list_limit_are_dropped_but_decoded() {
    let mut decoder = HpackDecoder::new(4096);
    let value = [b'y'; 3000];
    let bomb = [&octets("40 0178 7fb916")[..], &value, &[0xbe; 60_000]].concat();
    let mut list = FieldList::new(10_000);
    decoder.decode(&bomb, &mut list).expect("good");
    assert!(list.is_too_large() && list.lines.len() < 10_000, "{}", list.lines.len());
    assert_eq!(decode(&mut decoder, &octets("be")).expect("good")[0].1.len(), 3000);

    // The size is calculated as in RFC 9113 section 10.5.1.
    for (limit, fits) in [(37, true), (36, true), (35, false)] {
        let mut list = FieldList::new(limit);
        decoder.decode(&octets("00 0161 0262 63"), &mut list).expect("good");
        assert_eq!(!list.is_too_large(), fits, "{limit}");
        assert_eq!(list.iter().count(), usize::from(fits));
    }
}
