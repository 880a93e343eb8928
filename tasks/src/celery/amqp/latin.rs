//! Short strings that are not UTF-8, in the frames of a broker.
//!
//! The protocol calls them UTF-8 and RabbitMQ hands out whatever bytes it was given. lapin (as Python's library) gives the whole
//! connection up over one such string, the message comes again on the next, and nothing else is read for ever. Such a string is read as
//! Latin-1, which every sequence of bytes is, and which such producers mostly mean: two different texts stay different.

/// What a method's arguments, or a message's properties, are made of.
#[derive(Clone, Copy)]
enum Field {
    Bytes(usize),
    Short,
    Table,
}

use Field::{Bytes, Short, Table};

/// The arguments of a method that carries strings which others chose, by its class and number.
fn arguments(class: u16, method: u16) -> &'static [Field] {
    match (class, method) {
        // connection.close, channel.close: a text that names a queue, perhaps.
        (10, 50) | (20, 40) => &[Bytes(2), Short, Bytes(4)],
        // queue.declare-ok.
        (50, 11) => &[Short, Bytes(8)],
        // basic.cancel.
        (60, 30) => &[Short, Bytes(1)],
        // basic.return.
        (60, 50) => &[Bytes(2), Short, Short, Short],
        // basic.deliver.
        (60, 60) => &[Short, Bytes(9), Short, Short],
        _ => &[],
    }
}

/// A message's properties in their order, from the highest bit of the flags on.
const PROPERTIES: [Field; 14] = [
    Short,    // content_type
    Short,    // content_encoding
    Table,    // headers
    Bytes(1), // delivery_mode
    Bytes(1), // priority
    Short,    // correlation_id
    Short,    // reply_to
    Short,    // expiration
    Short,    // message_id
    Bytes(8), // timestamp
    Short,    // type
    Short,    // user_id
    Short,    // app_id
    Short,    // cluster_id
];

/// The payload of a method frame with its strings in UTF-8; `None` if there is nothing to change.
pub(super) fn method(payload: &[u8]) -> Option<Vec<u8>> {
    mended(payload, |walk| {
        let (class, method) = (walk.u16()?, walk.u16()?);
        arguments(class, method).iter().try_for_each(|field| walk.field(*field))
    })
}

/// The payload of a content header with its strings in UTF-8; `None` if there is nothing to change.
pub(super) fn content_header(payload: &[u8]) -> Option<Vec<u8>> {
    mended(payload, |walk| {
        // Class, weight, size of the body.
        walk.bytes(12)?;
        let flags = walk.u16()?;
        let is_set = |place: usize| flags & (0x8000 >> place) != 0;
        let fields = PROPERTIES.iter().enumerate().filter(|(place, _)| is_set(*place));
        fields.map(|(_, field)| field).try_for_each(|field| walk.field(*field))
    })
}

/// What does not read as it should is nobody's business here: it stays as it came, for lapin to judge.
fn mended(payload: &[u8], read: impl FnOnce(&mut Walk<'_>) -> Option<()>) -> Option<Vec<u8>> {
    if payload.is_ascii() {
        return None;
    }
    let mut walk = Walk::over(payload);
    read(&mut walk)?;
    if !walk.changed {
        return None;
    }
    walk.written.extend_from_slice(walk.left);
    Some(walk.written)
}

/// Reads fields and writes them again.
struct Walk<'a> {
    left: &'a [u8],
    written: Vec<u8>,
    changed: bool,
}

impl<'a> Walk<'a> {
    fn over(left: &'a [u8]) -> Self {
        Self {
            left,
            written: Vec::with_capacity(left.len() + 64),
            changed: false,
        }
    }

    fn field(&mut self, field: Field) -> Option<()> {
        match field {
            Bytes(count) => self.bytes(count).map(drop),
            Short => self.short(),
            Table => self.sized(Self::entry),
        }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.left.split_at_checked(count)?;
        self.left = left;
        Some(taken)
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.take(count)?;
        self.written.extend_from_slice(taken);
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.bytes(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn short(&mut self) -> Option<()> {
        let size = *self.take(1)?.first()?;
        let bytes = self.take(size.into())?;
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => {
                self.changed = true;
                read_as_latin(bytes)
            }
        };
        self.written.push(u8::try_from(text.len()).ok()?);
        self.written.extend_from_slice(text.as_bytes());
        Some(())
    }

    /// A table or an array: its size in bytes, and as many items as fit.
    fn sized(&mut self, item: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        let size = self.take(4)?.try_into().ok().map(u32::from_be_bytes)?;
        let mut inner = Walk::over(self.take(size.try_into().ok()?)?);
        while !inner.left.is_empty() {
            item(&mut inner)?;
        }
        self.changed |= inner.changed;
        let size = u32::try_from(inner.written.len()).ok()?;
        self.written.extend_from_slice(&size.to_be_bytes());
        self.written.append(&mut inner.written);
        Some(())
    }

    fn entry(&mut self) -> Option<()> {
        self.short()?;
        self.value()
    }

    /// A value of a table; the letters are RabbitMQ's.
    fn value(&mut self) -> Option<()> {
        let count = match self.bytes(1)?.first()? {
            b'F' => return self.sized(Self::entry),
            b'A' => return self.sized(Self::value),
            b'S' | b'x' => {
                let size = self.bytes(4)?.try_into().ok().map(u32::from_be_bytes)?;
                size.try_into().ok()?
            }
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'L' | b'l' | b'd' | b'T' => 8,
            _ => return None,
        };
        self.bytes(count).map(drop)
    }
}

/// A text of up to 255 bytes: one that is longer in UTF-8 has a question mark for each letter that is not ASCII.
fn read_as_latin(bytes: &[u8]) -> String {
    let read: String = bytes.iter().copied().map(char::from).collect();
    if read.len() <= usize::from(u8::MAX) {
        return read;
    }
    let plain = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { '?' };
    bytes.iter().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(text: &[u8]) -> Vec<u8> {
        [&[u8::try_from(text.len()).unwrap()], text].concat()
    }

    fn sized(kind: &[u8], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len()).unwrap().to_be_bytes();
        [kind, size.as_slice(), content].concat()
    }

    /// Flags and the fields that they announce.
    fn header(flags: u16, fields: &[&[u8]]) -> Vec<u8> {
        let start = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80];
        [&start, flags.to_be_bytes().as_slice(), &fields.concat()].concat()
    }

    const HEADERS: u16 = 1 << 13;
    const CORRELATION_ID: u16 = 1 << 10;
    const TIMESTAMP: u16 = 1 << 6;

    #[test]
    fn what_is_utf8_stays_as_it_is() {
        let timestamp = [0xff; 8];
        let long = sized(b"S", b"caf\xe9");
        let table = sized(b"", &[short("schlüssel".as_bytes()), long].concat());
        for payload in [
            header(CORRELATION_ID | TIMESTAMP, &[&short("é".as_bytes()), &timestamp]),
            header(HEADERS | CORRELATION_ID, &[&table, &short(b"a")]),
        ] {
            assert_eq!(content_header(&payload), None);
        }
        assert_eq!(
            method(b"\x00\x3c\x00\x3c\x01c\x00\x00\x00\x00\x00\x00\x00\xff\x00\x00\x01k"),
            None
        );
    }

    #[test]
    fn properties_and_names_of_headers_are_read_as_latin_1_with_their_sizes() {
        let inner = |key: &[u8]| sized(b"F", &[short(key), b"t\x01".to_vec()].concat());
        let table = |key: &[u8]| {
            let list = sized(b"A", &[b"V".to_vec(), inner(key)].concat());
            let entries = [
                short(key),
                b"l\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
                short(b"list"),
                list,
            ];
            sized(b"", &entries.concat())
        };
        let payload = |text: &[u8]| {
            header(
                HEADERS | CORRELATION_ID | TIMESTAMP,
                &[&table(text), &short(text), &[0xfe; 8]],
            )
        };

        assert_eq!(content_header(&payload(b"caf\xe9")), Some(payload("café".as_bytes())));
    }

    #[test]
    fn the_key_that_a_message_was_published_with_is_read_too() {
        let deliver = |key: &[u8]| {
            let start = b"\x00\x3c\x00\x3c\x03tag\x00\x00\x00\x00\x00\x00\x00\x80\x00";
            [start.to_vec(), short(b"amq.topic"), short(key)].concat()
        };
        let returned = |key: &[u8]| {
            let start = b"\x00\x3c\x00\x32\x01\x38\x08NO_ROUTE".to_vec();
            [start, short(b""), short(key)].concat()
        };

        assert_eq!(method(&deliver(b"b\xfccher")), Some(deliver("bücher".as_bytes())));
        assert_eq!(method(&returned(b"b\xfccher")), Some(returned("bücher".as_bytes())));
    }

    #[test]
    fn a_text_that_has_no_room_in_utf8_loses_its_letters_and_nothing_else() {
        let payload = |text: &[u8]| header(CORRELATION_ID, &[&short(text)]);
        let most = [b"a".to_vec(), b"\xe9".repeat(127)].concat();

        assert_eq!(
            content_header(&payload(&most)),
            Some(payload(format!("a{}", "é".repeat(127)).as_bytes()))
        );
        assert_eq!(
            content_header(&payload(&b"\xe9".repeat(128))),
            Some(payload(&b"?".repeat(128)))
        );
    }

    #[test]
    fn a_payload_cut_anywhere_is_left_alone() {
        let table = sized(b"", &[short(b"k\xe9y"), sized(b"S", b"v")].concat());
        let whole = header(HEADERS | CORRELATION_ID, &[&table, &short(b"caf\xe9")]);

        for end in 0..whole.len() {
            assert_eq!(content_header(&whole[..end]), None, "{end}");
            assert_eq!(method(&whole[..end]), None, "{end}");
        }
    }
}
