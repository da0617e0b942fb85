//! Tests of header blocks with the examples of RFC 7541 Appendix C, with malformed blocks, and with
//! another implementation of HPACK.

use proptest::prelude::*;

use super::super::decode::{Block, Decoder};
use super::super::encode::HeaderBlock;
use super::super::huffman;
use crate::policy::Sink as _;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn text(block: &Block) -> Vec<String> {
    block
        .fields()
        .map(|(name, value)| {
            format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
        })
        .collect()
}

/// Decodes the blocks in order, with one compression state.
fn decode(size: usize, blocks: &[&str]) -> Vec<Option<Vec<String>>> {
    let mut decoder = Decoder::new(size, 100);
    let mut block = Block::default();
    blocks
        .iter()
        .map(|hex| decoder.decode(&bytes(hex), &mut block).ok().map(|()| text(&block)))
        .collect()
}

const REQUESTS: [&[&str]; 3] = [
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
    &[
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
        "cache-control: no-cache",
    ],
    &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ],
];

#[test]
fn requests_of_appendix_c_are_read() {
    let plain = decode(
        1000,
        &[
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ],
    );
    let huffman = decode(
        1000,
        &[
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ],
    );
    for (at, expected) in REQUESTS.iter().enumerate() {
        assert_eq!(plain[at].as_deref().unwrap(), *expected);
        assert_eq!(huffman[at].as_deref().unwrap(), *expected);
    }
}

#[test]
fn responses_of_appendix_c_are_read_while_entries_are_evicted() {
    // The examples assume a table of 256 bytes, so a size update comes first.
    let read = decode(
        1000,
        &[
            "3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 \
                82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad \
                94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 \
                3160 65c0 03ed 4ee5 b106 3d50 07",
        ],
    );
    let date = |second| format!("date: Mon, 21 Oct 2013 20:13:{second} GMT");
    let first =
        [":status: 302", "cache-control: private", &date(21), "location: https://www.example.com"]
            .map(str::to_owned);
    assert_eq!(read[0].as_deref().unwrap(), first);
    assert_eq!(read[1].as_ref().unwrap()[0], ":status: 307");
    assert_eq!(read[1].as_ref().unwrap()[1..], first[1..]);
    let cookie = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    let third = [
        ":status: 200",
        "cache-control: private",
        &date(22),
        "location: https://www.example.com",
        "content-encoding: gzip",
        cookie,
    ];
    assert_eq!(read[2].as_deref().unwrap(), third);
}

#[test]
fn corrupt_blocks_are_refused() {
    let corrupt = [
        ("80", "index 0"),
        ("be", "an entry that is not there"),
        ("ffff ffff ffff 0f", "a number without bounds"),
        ("3fe2 1f", "a table that is larger than allowed"),
        ("82 20", "a size update behind a field"),
        ("4003 6162", "a string that is cut off"),
        ("40", "nothing behind the start"),
        ("00 81ff 0161", "padding of eight bits"),
        ("00 811e 0161", "padding that is not the start of the end of string"),
        ("00 84ff ffff ff 0161", "the end of string"),
    ];
    for (hex, why) in corrupt {
        assert_eq!(decode(1000, &[hex]), [None], "{why}");
    }
}

#[test]
fn too_many_bytes_or_fields_are_noticed_and_the_table_stays_in_step() {
    let mut decoder = Decoder::new(100, 10);
    let mut block = Block::default();
    // The size of each entry is 4 + 5 + 32 bytes (RFC 7541 §4.1).
    decoder.decode(&bytes("4004 6e61 6d65 0576 616c 7565 bebe"), &mut block).unwrap();
    assert!(block.is_over());
    assert_eq!(text(&block).len(), 2);
    decoder.decode(&bytes("be"), &mut block).unwrap();
    assert_eq!((block.is_over(), text(&block)), (false, vec!["name: value".to_owned()]));
    let mut decoder = Decoder::new(10_000, 1);
    decoder.decode(&[0x82, 0x86, 0x84, 0x81, 0x82], &mut block).unwrap();
    assert!(!block.is_over(), "pseudo-header fields are not counted");
    decoder.decode(&[0x82, 0x86, 0x84, 0x81, 0x82, 0x82], &mut block).unwrap();
    assert!(block.is_over());
}

#[test]
fn secrets_are_marked_as_never_to_be_indexed() {
    let mut block = HeaderBlock::default();
    block.put("set-cookie", b"a=b");
    block.put("etag", b"x");
    block.put_secret_lines(b"x-secret: 1\r\n");
    assert_eq!(
        block.0,
        [&[0x1f, 40, 3][..], b"a=b", &[0x0f, 19, 1], b"x", &[0x10, 8], b"x-secret", &[1], b"1"]
            .concat()
    );
}

proptest! {
    #[test]
    fn fields_that_are_written_are_read_again(
        fields in proptest::collection::vec(
            ("[a-z0-9-]{1,40}", proptest::collection::vec(b' '..=b'~', 0..300)),
            0..20,
        ),
    ) {
        let mut written = HeaderBlock::default();
        for (name, value) in &fields {
            written.put(name, value);
        }
        let mut block = Block::default();
        Decoder::new(1 << 20, 100).decode(&written.0, &mut block).unwrap();
        let read: Vec<(Vec<u8>, Vec<u8>)> =
            block.fields().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        prop_assert_eq!(
            read,
            fields.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn no_bytes_make_the_decoder_panic_or_keep_more_than_allowed(
        blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..5),
    ) {
        let mut decoder = Decoder::new(500, 5);
        let mut block = Block::default();
        for input in blocks {
            if decoder.decode(&input, &mut block).is_err() {
                break;
            }
            let size: usize =
                block.fields().map(|(name, value)| name.len() + value.len() + 32).sum();
            prop_assert!(size <= 500);
        }
    }

    #[test]
    fn no_bytes_make_huffman_decoding_panic_or_grow_beyond_its_bound(
        input in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut out = Vec::new();
        huffman::decode(&input, &mut out);
        prop_assert!(out.len() <= input.len() * 8 / 5);
    }
}
