//! Bodies on a terminal.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::redact;

/// A body as it is shown.
pub(in crate::commands) struct Shown {
    pub(in crate::commands) text: String,
    /// `redacted`, or with everything `utf-8` or `base64`.
    pub(in crate::commands) encoding: &'static str,
}

/// Everything, or what is known to be harmless.
pub(in crate::commands) fn show(body: &[u8], whole: bool) -> Shown {
    if whole {
        let (text, encoding) = whole_text(body);
        return Shown { text, encoding };
    }
    let hidden = || format!("{} bytes that are no JSON (--whole shows them)", body.len());
    let text = redact::payload(body).map_or_else(hidden, |shown| format!("{shown:#}"));
    Shown {
        text,
        encoding: "redacted",
    }
}

/// As text where it is; what would do something to a terminal is no text.
fn whole_text(body: &[u8]) -> (String, &'static str) {
    let is_text = |text: &&str| {
        !text
            .chars()
            .any(|letter| letter.is_control() && !"\n\r\t".contains(letter))
    };
    match std::str::from_utf8(body).ok().filter(is_text) {
        Some(text) => (text.to_owned(), "utf-8"),
        None => (STANDARD.encode(body), "base64"),
    }
}

/// What others wrote, on one line and harmless.
pub(in crate::commands) fn harmless(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { '\u{fffd}' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_body_is_text_unless_it_could_do_something_to_a_terminal() {
        assert_eq!(
            whole_text("{\"größe\":\n1}".as_bytes()),
            ("{\"größe\":\n1}".to_owned(), "utf-8")
        );
        assert_eq!(whole_text(b"\xff\x00"), ("/wA=".to_owned(), "base64"));
        assert_eq!(whole_text(b"\x1b[2J").1, "base64");
        assert_eq!(harmless("a\x1b[2Jb"), "a\u{fffd}[2Jb");
    }

    #[test]
    fn of_a_body_that_is_no_json_nothing_is_shown_unless_it_is_asked_for() {
        let shown = show(b"pin=4711", false);

        assert_eq!(
            (shown.text.as_str(), shown.encoding),
            ("8 bytes that are no JSON (--whole shows them)", "redacted")
        );
        assert_eq!(show(b"pin=4711", true).text, "pin=4711");
    }
}
