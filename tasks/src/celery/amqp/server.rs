//! The broker's name and version, out of the first frame that it sends.

/// Reads `product` and `version` out of the payload of a `connection.start`.
pub(super) fn name(payload: &[u8]) -> Option<String> {
    // Class, method, protocol version; then the table of the server's properties.
    let table = payload.strip_prefix(&[0, 10, 0, 10, 0, 9])?;
    let (size, table) = table.split_first_chunk::<4>()?;
    let mut table = table.get(..usize::try_from(u32::from_be_bytes(*size)).ok()?)?;
    let (mut product, mut version) = (None, None);
    while let Some((entry, rest)) = entry(table) {
        let text = || String::from_utf8_lossy(entry.value).into_owned();
        match (entry.name, entry.kind) {
            (b"product", b'S') => product = Some(text()),
            (b"version", b'S') => version = Some(text()),
            _ => (),
        }
        table = rest;
    }
    match (product?, version) {
        (product, Some(version)) => Some(format!("{product} {version}")),
        (product, None) => Some(product),
    }
}

struct Entry<'a> {
    name: &'a [u8],
    kind: u8,
    value: &'a [u8],
}

/// The next entry, and the rest. The types are those that brokers put there: strings, tables, booleans.
fn entry(table: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (size, rest) = table.split_first()?;
    let (name, rest) = rest.split_at_checked((*size).into())?;
    let (kind, rest) = rest.split_first()?;
    let (value, rest) = match kind {
        b'S' | b'F' => {
            let (size, rest) = rest.split_first_chunk::<4>()?;
            rest.split_at_checked(usize::try_from(u32::from_be_bytes(*size)).ok()?)?
        }
        b't' => rest.split_at_checked(1)?,
        _ => return None,
    };
    let kind = *kind;
    Some((Entry { name, kind, value }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(entries: &[u8]) -> Vec<u8> {
        let mut payload = vec![0, 10, 0, 10, 0, 9];
        payload.extend(u32::try_from(entries.len()).unwrap().to_be_bytes());
        payload.extend(entries);
        payload
    }

    #[test]
    fn product_and_version_are_read_wherever_they_stand() {
        let entries = b"\x0ccapabilitiesF\x00\x00\x00\x04\x01at\x01\x07productS\x00\x00\x00\x08RabbitMQ\x07versionS\x00\x00\x00\x063.10.8";

        assert_eq!(name(&start(entries)).as_deref(), Some("RabbitMQ 3.10.8"));
    }

    #[test]
    fn a_frame_cut_anywhere_is_no_name_and_no_panic() {
        let whole = start(b"\x07productS\x00\x00\x00\x08RabbitMQ");

        for end in 0..whole.len() {
            assert_eq!(name(&whole[..end]), None);
        }
        assert_eq!(name(&whole).as_deref(), Some("RabbitMQ"));
    }
}
