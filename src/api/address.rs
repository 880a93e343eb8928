//! Addresses in what callers send: checked before the engine takes them.

use serde_json::{Map, Value as Json};

/// Fields of an address: name, whether it must be there, how many characters it may have.
const FIELDS: [(&str, bool, usize); 9] = [
    ("name", true, 200),
    ("line1", true, 200),
    ("line2", false, 200),
    ("postal_code", true, 20),
    ("city", true, 100),
    ("region", false, 100),
    ("country", true, 2),
    ("phone", false, 40),
    ("email", false, 254),
];

/// Whether this is an address; if not, which part must be what.
pub(super) fn check(place: &str, value: &Json) -> Result<(), (String, String)> {
    let Json::Object(parts) = value else {
        return Err((
            place.to_owned(),
            "an address: an object with name, line1, postal_code, city and country".to_owned(),
        ));
    };
    if let Some(name) = parts
        .keys()
        .find(|name| !FIELDS.iter().any(|(known, ..)| known == name))
    {
        return Err((
            format!("{place}.{name}"),
            "left out, an address has no such part".to_owned(),
        ));
    }
    for (name, required, longest) in FIELDS {
        check_part(parts, name, required, longest).map_err(|expected| (format!("{place}.{name}"), expected))?;
    }
    Ok(())
}

fn check_part(parts: &Map<String, Json>, name: &str, required: bool, longest: usize) -> Result<(), String> {
    let expected = || format!("text of 1 to {longest} characters without control characters");
    match parts.get(name) {
        None | Some(Json::Null) if !required => Ok(()),
        Some(Json::String(text)) if name == "country" => {
            let fitting = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
            if fitting {
                Ok(())
            } else {
                Err("two capital letters (ISO 3166-1), such as DE".to_owned())
            }
        }
        Some(Json::String(text)) => {
            let fitting =
                !text.trim().is_empty() && text.chars().count() <= longest && !text.chars().any(char::is_control);
            if fitting { Ok(()) } else { Err(expected()) }
        }
        _ => Err(expected()),
    }
}
