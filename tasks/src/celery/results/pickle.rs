//! Python's pickle for values that JSON knows: what Celery up to 5.6 keeps in its database tables.
//!
//! Nothing is ever called while reading: a pickle that names a class or a function is refused.

mod read;

use serde_json::{Number, Value};

pub use read::{NotSimple, from_bytes};

/// Writes a value, protocol 2.
pub fn to_bytes(value: &Value) -> Vec<u8> {
    let mut out = vec![0x80, 2];
    write(value, &mut out);
    out.push(b'.');
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'N'),
        Value::Bool(flag) => out.push(if *flag { 0x88 } else { 0x89 }),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.extend(*b"](");
            items.iter().for_each(|item| write(item, out));
            out.push(b'e');
        }
        Value::Object(entries) => {
            out.extend(*b"}(");
            for (key, value) in entries {
                write_text(key, out);
                write(value, out);
            }
            out.push(b'u');
        }
    }
}

fn write_number(number: &Number, out: &mut Vec<u8>) {
    let integer = number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from));
    match integer.map(|integer| (integer, i32::try_from(integer))) {
        Some((_, Ok(short))) => {
            out.push(b'J');
            out.extend(short.to_le_bytes());
        }
        // Nine bytes: one more than 64 bits, so that the sign has a place.
        Some((long, Err(_))) => {
            out.extend([0x8a, 9]);
            out.extend(&long.to_le_bytes()[..9]);
        }
        None => {
            out.push(b'G');
            out.extend(number.as_f64().unwrap_or(f64::NAN).to_be_bytes());
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'X');
    // A body has at most 16 MiB, and so has every text in it.
    out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// One value, in each of Python's protocols.
    const PICKLED: [&str; 6] = [
        "286470300a56610a70310a286c70320a49310a6146322e350a614e614930310a6156fc0a70330a617356620a70340a492d37303030300a7356630a70350a2849310a286c70360a49320a617470370a732e",
        "7d71002858010000006171015d7102284b014740040000000000004e4930310a5802000000c3bc71036558010000006271044a90eefeff5801000000637105284b015d71064b0261747107752e",
        "80027d71002858010000006171015d7102284b014740040000000000004e885802000000c3bc71036558010000006271044a90eefeff58010000006371054b015d71064b0261867107752e",
        "80037d71002858010000006171015d7102284b014740040000000000004e885802000000c3bc71036558010000006271044a90eefeff58010000006371054b015d71064b0261867107752e",
        "80049535000000000000007d94288c0161945d94284b014740040000000000004e888c02c3bc94658c0162944a90eefeff8c0163944b015d944b02618694752e",
        "80059535000000000000007d94288c0161945d94284b014740040000000000004e888c02c3bc94658c0162944a90eefeff8c0163944b015d944b02618694752e",
    ];
    /// One list, twice.
    const SHARED: &str = "8004950e000000000000005d94285d948c017894616801652e";
    /// `os.system` thrice, a datetime, an exception.
    const CALLING: [&str; 5] = [
        "63706f7369780a73797374656d0a70300a2856747275650a70310a7470320a5270330a2e",
        "800263706f7369780a73797374656d0a710058040000007472756571018571025271032e",
        "8004951f000000000000008c05706f736978948c0673797374656d9493948c047472756594859452942e",
        "8002636461746574696d650a6461746574696d650a7100635f636f646563730a656e636f64650a7101580b00000007c3aa0101000000000000710258060000006c6174696e3171038671045271058571065271072e",
        "80049523000000000000008c086275696c74696e73948c0a56616c75654572726f729493948c017894859452942e",
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        let pairs = (0..hex.len()).step_by(2);
        pairs
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn what_python_has_pickled_is_read() {
        let value = json!({"a": [1, 2.5, null, true, "ü"], "b": -70_000, "c": [1, [2]]});
        for pickled in PICKLED {
            assert_eq!(from_bytes(&bytes(pickled)), Ok(value.clone()), "{pickled}");
        }
        let shared = bytes(SHARED);
        assert_eq!(from_bytes(&shared), Ok(json!([["x"], ["x"]])));
    }

    #[test]
    fn what_would_call_something_is_refused() {
        for pickled in CALLING {
            assert_eq!(
                from_bytes(&bytes(pickled)).unwrap_err().to_string(),
                "the pickle holds more than plain values"
            );
        }
    }

    #[test]
    fn a_pickle_that_grows_without_end_is_refused() {
        let mut bomb = vec![0x80, 2, b']'];
        for level in 0..40 {
            bomb.extend([b'q', level, b']', b'(', b'h', level, b'h', level, b'e']);
        }
        bomb.push(b'.');

        assert_eq!(from_bytes(&bomb).unwrap_err().to_string(), "the pickle is too large");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e300..1e300).prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..5).prop_map(|entries| entries.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_we_write_we_read(value in any_value()) {
            prop_assert_eq!(from_bytes(&to_bytes(&value)), Ok(value));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = from_bytes(&[&[0x80, 2], bytes.as_slice()].concat());
        }
    }
}
