//! Enough of Rust's syntax to tell code from comments and literals.

/// The text with comments and the contents of strings and characters blanked; offsets and lines stay as they are.
pub(crate) fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let previous = out.chars().next_back().unwrap_or(' ');
        let in_word = previous.is_alphanumeric() || previous == '_';
        let (length, literal) = match next {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), true),
            '/' if rest.starts_with("/*") => (block_comment(rest), true),
            '"' => (string(rest), true),
            'r' | 'b' | 'c' if !in_word => match prefixed(rest) {
                Some(length) => (length, true),
                None => (1, false),
            },
            '\'' => match character(rest) {
                Some(length) => (length, true),
                None => (1, false),
            },
            other => (other.len_utf8(), false),
        };
        let (taken, left) = rest.split_at(length);
        if literal {
            out.extend(taken.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        } else {
            out.push_str(taken);
        }
        rest = left;
    }
    out
}

/// The identifiers of blanked code, with their offsets.
pub(crate) fn identifiers(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let words = code.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    let start = code.as_ptr() as usize;
    words
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - start, word))
}

/// The words of an identifier in lower case: `bookDelivery`, `BookDelivery` and `book_delivery` are book and delivery.
pub(crate) fn words(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous = '_';
    for letter in identifier.chars() {
        if letter == '_' || letter.is_uppercase() && previous.is_lowercase() {
            words.push(String::new());
        }
        if letter != '_' {
            words
                .last_mut()
                .expect("there is a first word")
                .extend(letter.to_lowercase());
        }
        previous = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a literal like `r#"…"#`, `b"…"` or `b'…'`, if one starts here.
fn prefixed(text: &str) -> Option<usize> {
    let prefix = text
        .find(|letter| !matches!(letter, 'r' | 'b' | 'c'))
        .filter(|length| *length <= 2)?;
    let hashes = text[prefix..].bytes().take_while(|byte| *byte == b'#').count();
    let body = &text[prefix + hashes..];
    if !text[..prefix].contains('r') {
        return match body.chars().next()? {
            '"' if hashes == 0 => Some(prefix + string(body)),
            '\'' if hashes == 0 => Some(prefix + character(body)?),
            _ => None,
        };
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body
        .strip_prefix('"')?
        .find(&end)
        .map_or(body.len(), |at| 1 + at + end.len());
    Some(prefix + hashes + length)
}

/// The length of a character literal; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let mut letters = text.char_indices().skip(1);
    let (_, first) = letters.next()?;
    if first == '\\' {
        letters.next()?;
        return letters.find(|(_, letter)| *letter == '\'').map(|(at, _)| at + 1);
    }
    letters
        .next()
        .filter(|(_, letter)| *letter == '\'')
        .map(|(at, _)| at + 1)
}

#[test]
fn comments_and_literals_are_no_code() {
    let cases = [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"f("b\"c", d)"#, "f(      , d)"),
        (r##"f(r#"a"b"#, c)"##, "f(        , c)"),
        ("f('a', '\\'', b'x', &'static c)", "f(   ,     ,     , &'static c)"),
        ("for_r\"x\"", "for_r   "),
    ];
    for (text, expected) in cases {
        assert_eq!(bare(text), expected, "{text}");
    }
}

#[test]
fn blanked_code_keeps_its_offsets() {
    let text = "let größe = \"größe\"; // größer\nnext";

    assert_eq!(bare(text).len(), text.len());
    assert_eq!(bare(text).find("next"), text.find("next"));
}

#[test]
fn identifiers_have_words() {
    assert_eq!(words("BookDelivery"), ["book", "delivery"]);
    assert_eq!(words("book_DELIVERY"), ["book", "delivery"]);
    assert_eq!(
        identifiers("let a_b = c;").map(|(_, word)| word).collect::<Vec<_>>(),
        ["let", "a_b", "c"]
    );
}
