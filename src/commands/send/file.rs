//! A file of messages: one JSON value, an array of them, or one after the other. Each keeps its very text.

use std::fmt;

use serde::de::IgnoredAny;

/// One message of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Where it begins, counted from 1.
    pub(super) line: usize,
    /// As it is written.
    pub(super) text: &'a str,
}

/// Where a file is no JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    line: usize,
    column: usize,
    found: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.found)
    }
}

/// Takes a file apart.
pub(super) fn split(text: &str) -> Result<Vec<Piece<'_>>, Fault> {
    // Editors of one system put it there; it is no part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut scan = Scan {
        text,
        at: 0,
        line: 1,
        begun: 0,
        counted: 0,
    };
    let mut pieces = Vec::new();
    loop {
        match scan.next() {
            None => break,
            Some('[') => scan.array(&mut pieces)?,
            Some(_) => pieces.push(scan.value()?),
        }
    }
    if pieces.is_empty() {
        Err(scan.fault("there is no message in it".to_owned()))
    } else {
        Ok(pieces)
    }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    /// The line of `counted`, and where it begins.
    line: usize,
    begun: usize,
    counted: usize,
}

impl<'a> Scan<'a> {
    /// The next character that is no space.
    fn next(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        self.text[self.at..].chars().next()
    }

    fn array(&mut self, pieces: &mut Vec<Piece<'a>>) -> Result<(), Fault> {
        self.at += 1;
        if self.next() == Some(']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            pieces.push(self.value()?);
            match self.next() {
                Some(',') => self.at += 1,
                Some(']') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(_) => return Err(self.fault("expected , or ] after a message of the array".to_owned())),
                None => return Err(self.fault("the array does not end".to_owned())),
            }
            self.next();
        }
    }

    fn value(&mut self) -> Result<Piece<'a>, Fault> {
        let line = self.count();
        let rest = &self.text[self.at..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                let length = values.byte_offset();
                self.at += length;
                Ok(Piece {
                    line,
                    text: rest[..length].trim_end(),
                })
            }
            Some(Err(error)) => Err(self.no_json(&error)),
            None => Err(self.fault("the array does not end".to_owned())),
        }
    }

    fn no_json(&mut self, error: &serde_json::Error) -> Fault {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let found = format!("no JSON: {}", error.to_string().trim_end_matches(&place));
        let begin = self.fault(found);
        match error.line() {
            0 | 1 => Fault {
                column: begin.column + error.column().saturating_sub(1),
                ..begin
            },
            line => Fault {
                line: begin.line + line - 1,
                column: error.column(),
                ..begin
            },
        }
    }

    fn fault(&mut self, found: String) -> Fault {
        let line = self.count();
        Fault {
            line,
            column: self.text[self.begun..self.at].chars().count() + 1,
            found,
        }
    }

    /// The line of `at`.
    fn count(&mut self) -> usize {
        for (index, _) in self.text[self.counted..self.at].match_indices('\n') {
            self.line += 1;
            self.begun = self.counted + index + 1;
        }
        self.counted = self.at;
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<(usize, &str)> {
        split(text)
            .unwrap()
            .into_iter()
            .map(|piece| (piece.line, piece.text))
            .collect()
    }

    #[test]
    fn one_object_an_array_and_lines_are_taken_apart_with_their_lines() {
        assert_eq!(pieces("{\n \"a\": 1 }\n"), [(1, "{\n \"a\": 1 }")]);
        assert_eq!(
            pieces("[\n{\"a\":\"]\"},\n {\"b\":[2]}\n]"),
            [(2, "{\"a\":\"]\"}"), (3, "{\"b\":[2]}")]
        );
        assert_eq!(
            pieces("{\"a\":1}\n\n{\"b\":2}\r\n"),
            [(1, "{\"a\":1}"), (3, "{\"b\":2}")]
        );
        assert_eq!(pieces("\u{feff}[1,2]"), [(1, "1"), (1, "2")]);
    }

    #[test]
    fn what_is_no_json_is_told_with_line_and_column() {
        for (text, fault) in [
            ("", "1:1: there is no message in it"),
            ("[ ]", "1:4: there is no message in it"),
            ("{\"a\":1}\n{\"b\":}", "2:6: no JSON: expected value"),
            ("\n {\"a\":\n  x}", "3:3: no JSON: expected value"),
            ("[{} {}]", "1:5: expected , or ] after a message of the array"),
            ("[{},", "1:5: the array does not end"),
            ("[{}", "1:4: the array does not end"),
        ] {
            assert_eq!(split(text).map(|_| ()).unwrap_err().to_string(), fault, "{text}");
        }
        assert!(split("[{},]").is_err());
        assert!(split("{\"a\":1").is_err());
    }
}
