//! Whether a node's name matches a pattern, in the two languages that kombu knows.

use regex_lite::{Regex, escape};

/// `glob` is Python's `fnmatch`, `pcre` its `re.match`.
pub(super) fn matches(name: &str, pattern: &str, matcher: &str) -> Result<bool, String> {
    let pattern = match matcher {
        "glob" => format!("^(?s:{})$", of_glob(pattern)),
        "pcre" => format!("^(?:{pattern})"),
        other => return Err(format!("No matcher installed for {other}")),
    };
    let regex = Regex::new(&pattern).map_err(|error| format!("the pattern cannot be matched: {error}"))?;
    Ok(regex.is_match(name))
}

fn of_glob(glob: &str) -> String {
    let mut pattern = String::new();
    let mut rest = glob.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '*' => pattern.push_str(".*"),
            '?' => pattern.push('.'),
            '[' => match class(rest.as_str()) {
                Some((class, left)) => {
                    pattern.push_str(&class);
                    rest = left.chars();
                }
                None => pattern.push_str("\\["),
            },
            letter => pattern.push_str(&escape(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    pattern
}

/// `[seq]` or `[!seq]`, after its opening bracket; `None` if nothing closes it.
fn class(text: &str) -> Option<(String, &str)> {
    let (not, text) = match text.strip_prefix('!') {
        Some(text) => ("^", text),
        None => ("", text),
    };
    // A bracket that stands first is one of the letters.
    let from = text
        .chars()
        .next()
        .filter(|first| *first == ']')
        .map_or(0, char::len_utf8);
    let end = from + text[from..].find(']')?;
    let letters = text[..end].chars().map(|letter| match letter {
        '-' => "-".to_owned(),
        letter => escape(letter.encode_utf8(&mut [0; 4])),
    });
    let letters: String = letters.collect();
    Some((format!("[{not}{letters}]"), &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_read_as_python_reads_them() {
        for (pattern, name, expected) in [
            ("*", "w1@host", true),
            ("w?@host", "w1@host", true),
            ("w?@host", "w10@host", false),
            ("W*", "w1@host", false),
            ("w[0-3]@*", "w2@host", true),
            ("w[!0-3]@*", "w2@host", false),
            ("w[]x]@*", "w]@host", true),
            ("w[", "w[", true),
            ("w.@host", "w1@host", false),
            ("w1@host", "xw1@host", false),
        ] {
            assert_eq!(matches(name, pattern, "glob"), Ok(expected), "{pattern} {name}");
        }
    }

    #[test]
    fn what_cannot_be_matched_is_told() {
        assert_eq!(matches("w", "x", "sql"), Err("No matcher installed for sql".to_owned()));
        assert!(matches("w", "(", "pcre").is_err());
    }
}
