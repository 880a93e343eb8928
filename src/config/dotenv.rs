//! The `.env` file: `NAME=VALUE` by line, for people who start by hand. The environment wins.

use std::io;
use std::path::Path;

use super::SettingsError;

/// Reads `.env` in the folder, if there is one.
pub(super) fn read(folder: &Path) -> Result<Vec<(String, String)>, SettingsError> {
    match std::fs::read_to_string(folder.join(".env")) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(SettingsError::DotEnv {
            line: None,
            found: format!("not readable ({error})"),
        }),
    }
}

/// Reads lines. A later line of the same name wins, as in a shell.
fn parse(text: &str) -> Result<Vec<(String, String)>, SettingsError> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let wrong = |found: &str| SettingsError::DotEnv {
            line: Some(index + 1),
            found: found.to_owned(),
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or_else(|| wrong("a line without ="))?;
        let name = name.trim_end();
        if !is_name(name) {
            return Err(wrong("a name that is none"));
        }
        let value = unquote(value.trim()).ok_or_else(|| wrong("a quote that does not end"))?;
        variables.retain(|(earlier, _)| earlier != name);
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// The value without its quotes. In double quotes `\n`, `\"` and `\\` are what they are in a shell's `$'…'`; a plain
/// value ends before ` #`.
fn unquote(text: &str) -> Option<String> {
    match text.chars().next() {
        Some('\'') => text[1..]
            .split_once('\'')
            .filter(|(_, rest)| is_end(rest))
            .map(|(value, _)| value.to_owned()),
        Some('"') => unescape(&text[1..]),
        _ => Some(text.split(" #").next().unwrap_or_default().trim_end().to_owned()),
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '"' => return is_end(letters.as_str()).then_some(value),
            '\\' => match letters.next()? {
                'n' => value.push('\n'),
                letter @ ('"' | '\\') => value.push(letter),
                letter => value.extend(['\\', letter]),
            },
            letter => value.push(letter),
        }
    }
}

/// Whether nothing but a comment follows a quoted value.
fn is_end(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_a_shell_would() {
        for (line, value) in [
            ("A=b", "b"),
            ("  A = b c ", "b c"),
            ("export A=b", "b"),
            ("A=", ""),
            ("A=b # why", "b"),
            ("A=b#c", "b#c"),
            ("A='b # c'", "b # c"),
            (r#"A="b \"c\" \\ \n \x" # why"#, "b \"c\" \\ \n \\x"),
            ("A=postgres://u:p@h/d?x=y", "postgres://u:p@h/d?x=y"),
        ] {
            assert_eq!(parse(line).unwrap(), [("A".to_owned(), value.to_owned())], "{line}");
        }
    }

    #[test]
    fn empty_lines_and_comments_say_nothing_and_a_later_line_wins() {
        assert_eq!(
            parse("\u{feff}\n# A=x\n\r\nA=1\nA=2\r\n").unwrap(),
            [("A".to_owned(), "2".to_owned())]
        );
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for (text, line) in [
            ("A=1\nB", ".env line 2: a line without =, expected lines of NAME=VALUE"),
            ("1A=b", ".env line 1: a name that is none, expected lines of NAME=VALUE"),
            (
                "A='b",
                ".env line 1: a quote that does not end, expected lines of NAME=VALUE",
            ),
            (
                "A=\"b\" c",
                ".env line 1: a quote that does not end, expected lines of NAME=VALUE",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), line);
        }
    }
}
