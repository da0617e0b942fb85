//! The Huffman code of RFC 7541 Appendix B. It is canonical: codes of equal length are consecutive
//! in the order of their symbols, and longer codes are greater. The code is therefore defined by
//! its lengths.

/// The length of each symbol's code, in bits. The last symbol is EOS.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const END: u16 = 256;
const LONGEST: usize = 30;
/// Codes of up to this many bits are found by a single look-up.
const SHORT: usize = 8;

struct Tables {
    /// The symbol and the length of the code that a byte begins with; length 0 for a longer code.
    short: [(u8, u8); 1 << SHORT],
    /// For each length: the first code, the code after the last one (both left-aligned in 32 bits),
    /// and the index in `symbols` of its first symbol.
    first: [u64; LONGEST + 1],
    limit: [u64; LONGEST + 1],
    start: [usize; LONGEST + 1],
    symbols: [u16; 257],
}

static TABLES: Tables = {
    let mut tables = Tables {
        short: [(0, 0); 1 << SHORT],
        first: [0; LONGEST + 1],
        limit: [0; LONGEST + 1],
        start: [0; LONGEST + 1],
        symbols: [0; 257],
    };
    let (mut code, mut placed, mut length) = (0_u64, 0, 1);
    while length <= LONGEST {
        let unit = 1 << (32 - length);
        tables.first[length] = code;
        tables.start[length] = placed;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                tables.symbols[placed] = symbol as u16;
                placed += 1;
                let mut byte = (code >> 24) as usize;
                code += unit;
                while length <= SHORT && byte < (code >> 24) as usize {
                    tables.short[byte] = (symbol as u8, length as u8);
                    byte += 1;
                }
            }
            symbol += 1;
        }
        tables.limit[length] = code;
        length += 1;
    }
    tables
};

/// Decodes a string and appends it to `out`. Returns `false` if it is malformed (RFC 7541 §5.2): it
/// contains EOS, or its padding has eight or more bits or is not all ones.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut input = input.iter();
    // The unread bits, left-aligned.
    let (mut bits, mut count) = (0_u64, 0_usize);
    loop {
        while count <= 56 {
            let Some(byte) = input.next() else { break };
            bits |= u64::from(*byte) << (56 - count);
            count += 8;
        }
        let (symbol, length) = match TABLES.short[(bits >> 56) as usize] {
            (_, 0) => match long((bits >> 32) as u32) {
                Some(found) => found,
                None => return false,
            },
            (symbol, length) => (symbol, usize::from(length)),
        };
        if length > count {
            // The remaining bits are padding.
            return count < 8 && bits.leading_ones() as usize >= count;
        }
        out.push(symbol);
        bits <<= length;
        count -= length;
    }
}

/// Returns the symbol and the length of a code of more than eight bits, or `None` for EOS.
#[inline(never)]
fn long(window: u32) -> Option<(u8, usize)> {
    let window = u64::from(window);
    let length = (SHORT + 1..=LONGEST).find(|length| window < TABLES.limit[*length])?;
    let offset = (window - TABLES.first[length]) >> (32 - length);
    let symbol = TABLES.symbols[TABLES.start[length] + offset as usize];
    (symbol != END).then_some((symbol as u8, length))
}
