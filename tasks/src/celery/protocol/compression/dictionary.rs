//! How much a body in the xz format asks for before its first byte is inflated: each of its blocks names a dictionary, of up to
//! 4 GiB, and a reader takes that at once.

/// The LZMA2 filter, which is the last of every block.
const LZMA2: u64 = 0x21;

/// The largest dictionary of a stream's blocks, in bytes; `None` if it is no such stream. Nothing is inflated for that: from one
/// block's header to the next one it goes by the lengths that LZMA2 writes before each of its chunks.
pub(super) fn largest(mut stream: &[u8]) -> Option<u64> {
    let rest = &mut stream;
    let check = match rest.split_off(..12)?[7] {
        0x00 => 0,
        0x01 => 4,
        0x04 => 8,
        0x0A => 32,
        _ => return None,
    };
    let mut largest = 0;
    loop {
        // The index, after the last block.
        let size @ 1.. = usize::from(*rest.first()?) else {
            return Some(largest);
        };
        largest = largest.max(of_block(rest.split_off(..4 * (size + 1))?)?);
        let length = pass_over_chunks(rest)?;
        rest.split_off(..length.next_multiple_of(4) - length + check)?;
    }
}

/// What the header of a block says.
fn of_block(header: &[u8]) -> Option<u64> {
    let (flags, mut rest) = (header[1], &header[2..]);
    for length in [0x40, 0x80] {
        if flags & length != 0 {
            number(&mut rest)?;
        }
    }
    for _ in 0..flags & 0x03 {
        if number(&mut rest)? == LZMA2 {
            return None;
        }
        let size = number(&mut rest)?;
        rest.split_off(..usize::try_from(size).ok()?)?;
    }
    match (number(&mut rest)?, number(&mut rest)?, *rest.first()?) {
        (LZMA2, 1, 40) => Some(u64::from(u32::MAX)),
        (LZMA2, 1, bits @ 0..40) => Some(u64::from(2 | (bits & 1)) << (bits / 2 + 11)),
        _ => None,
    }
}

/// Seven bits in each byte, the lowest first.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let byte = *rest.split_off_first()?;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// How long they are, with the mark of their end.
fn pass_over_chunks(rest: &mut &[u8]) -> Option<usize> {
    let before = rest.len();
    loop {
        let control = *rest.split_off_first()?;
        let length = match control {
            0 => return Some(before - rest.len()),
            1 | 2 => two_bytes(rest)? + 1,
            0x80.. => {
                let _inflated = two_bytes(rest)?;
                two_bytes(rest)? + 1 + usize::from(control >= 0xC0)
            }
            _ => return None,
        };
        rest.split_off(..length)?;
    }
}

fn two_bytes(rest: &mut &[u8]) -> Option<usize> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u16::from_be_bytes(*bytes).into())
}
