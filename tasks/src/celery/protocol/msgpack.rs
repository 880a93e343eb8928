//! MessagePack as kombu writes it, read into JSON's types.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value, json};

/// As deep as JSON may be.
const DEEPEST: usize = 128;

/// Why it is none, in words that quote nothing.
type Problem = &'static str;

/// Reads one document. Bytes become kombu's typed value for them; extension types are refused.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    let mut reader = Reader { rest: bytes };
    let value = reader.value(DEEPEST)?;
    if reader.rest.is_empty() {
        Ok(value)
    } else {
        Err("more after its end")
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("an early end")?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| "an early end")
    }

    fn length(&mut self, width: usize) -> Result<usize, Problem> {
        let length = self
            .take(width)?
            .iter()
            .fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        // Each element takes a byte at least: no length makes us reserve what is not there.
        if length > self.rest.len() {
            Err("an early end")
        } else {
            Ok(length)
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Problem> {
        let depth = depth.checked_sub(1).ok_or("too many levels")?;
        let [marker] = self.array()?;
        Ok(match marker {
            0x00..=0x7f => marker.into(),
            0x80..=0x8f => self.map(usize::from(marker & 0x0f), depth)?,
            0x90..=0x9f => self.list(usize::from(marker & 0x0f), depth)?,
            0xa0..=0xbf => self.text(usize::from(marker & 0x1f))?.into(),
            0xc0 => Value::Null,
            0xc2 => false.into(),
            0xc3 => true.into(),
            0xc4..=0xc6 => {
                let length = self.length(1 << (marker - 0xc4))?;
                bytes(self.take(length)?)
            }
            0xca => float(f32::from_be_bytes(self.array()?).into())?,
            0xcb => float(f64::from_be_bytes(self.array()?))?,
            0xcc => u8::from_be_bytes(self.array()?).into(),
            0xcd => u16::from_be_bytes(self.array()?).into(),
            0xce => u32::from_be_bytes(self.array()?).into(),
            0xcf => u64::from_be_bytes(self.array()?).into(),
            0xd0 => i8::from_be_bytes(self.array()?).into(),
            0xd1 => i16::from_be_bytes(self.array()?).into(),
            0xd2 => i32::from_be_bytes(self.array()?).into(),
            0xd3 => i64::from_be_bytes(self.array()?).into(),
            0xd9..=0xdb => {
                let length = self.length(1 << (marker - 0xd9))?;
                self.text(length)?.into()
            }
            0xdc | 0xdd => {
                let length = self.length(2 << (marker - 0xdc))?;
                self.list(length, depth)?
            }
            0xde | 0xdf => {
                let length = self.length(2 << (marker - 0xde))?;
                self.map(length, depth)?
            }
            0xe0..=0xff => i8::from_be_bytes([marker]).into(),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return Err("an extension type"),
        })
    }

    fn text(&mut self, length: usize) -> Result<String, Problem> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| "text that is not UTF-8")?;
        Ok(text.to_owned())
    }

    fn list(&mut self, length: usize, depth: usize) -> Result<Value, Problem> {
        (0..length).map(|_| self.value(depth)).collect()
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Value, Problem> {
        let mut entries = Map::new();
        for _ in 0..length {
            let Value::String(key) = self.value(depth)? else {
                return Err("a key that is not text");
            };
            if entries.insert(key, self.value(depth)?).is_some() {
                return Err("a key twice");
            }
        }
        Ok(entries.into())
    }
}

fn float(float: f64) -> Result<Value, Problem> {
    Number::from_f64(float)
        .map(Value::Number)
        .ok_or("a number out of range")
}

fn bytes(bytes: &[u8]) -> Value {
    json!({"__type__": "base64", "__value__": STANDARD.encode(bytes)})
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_python_packs_is_read() {
        // msgpack.packb([[1, -1, 300, -40000, 2**40, 1.5, "ü", b"\xff", None, True], {"a": {"b": []}}, {}], use_bin_type=True)
        let packed = b"\x93\x9a\x01\xff\xcd\x01,\xd2\xff\xffc\xc0\xcf\x00\x00\x01\x00\x00\x00\x00\x00\xcb?\xf8\x00\x00\x00\x00\x00\x00\
            \xa2\xc3\xbc\xc4\x01\xff\xc0\xc3\x81\xa1a\x81\xa1b\x90\x80";

        let value = parse(packed).unwrap();

        let bytes = json!({"__type__": "base64", "__value__": "/w=="});
        assert_eq!(
            value,
            json!([[1, -1, 300, -40000, 1_u64 << 40, 1.5, "ü", bytes, null, true], {"a": {"b": []}}, {}])
        );
    }

    #[test]
    fn what_is_not_msgpack_or_goes_too_far_is_refused() {
        for (packed, problem) in [
            (b"".as_slice(), "an early end"),
            (b"\x92\x01", "an early end"),
            (b"\xdd\xff\xff\xff\xff", "an early end"),
            (b"\x01\x01", "more after its end"),
            (b"\x81\x01\x01", "a key that is not text"),
            (b"\x82\xa1a\x01\xa1a\x01", "a key twice"),
            (b"\xa1\xff", "text that is not UTF-8"),
            (b"\xd4\x00\x00", "an extension type"),
            (b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "a number out of range"),
            (&[0x91; 1000], "too many levels"),
        ] {
            assert_eq!(parse(packed), Err(problem));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
        }
    }
}
