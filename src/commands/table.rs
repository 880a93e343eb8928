//! Tables for a terminal: columns as wide as they must be.

use std::fmt::Write as _;

/// What is wider is cut: one bad value must not break the lines of all others.
const WIDEST: usize = 72;

/// Lines of columns, two spaces between; the last column is not padded.
pub(super) fn write(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, column: usize| row.get(column).map_or_else(String::new, |text| fit(text));
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .map(|row| cell(row, column).chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, width) in widths.iter().enumerate() {
            let _ = write!(line, "{:width$}  ", cell(row, column));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// On one line, and not endless.
fn fit(text: &str) -> String {
    let mut letters = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut short: String = letters.by_ref().take(WIDEST).collect();
    if letters.next().is_some() {
        short.pop();
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_no_line_ends_in_spaces() {
        let rows = [
            vec!["a".to_owned(), "bb".to_owned()],
            vec!["größer".to_owned(), String::new()],
        ];

        assert_eq!(write(&rows), "a       bb\ngrößer\n");
    }

    #[test]
    fn what_does_not_fit_is_cut_and_stays_on_its_line() {
        let text = write(&[vec![format!("x\n{}", "y".repeat(100))]]);

        assert_eq!(text.lines().count(), 1);
        assert_eq!(text.trim_end().chars().count(), WIDEST);
        assert!(text.ends_with("…\n"), "{text}");
    }
}
