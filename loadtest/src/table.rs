//! Tables for people.

use std::fmt::Write as _;

use anyhow::Result;

/// Rows of text, padded to columns.
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table; commas part the headings, but not within quotation marks.
    pub(crate) fn new(title: impl Into<String>, headings: &str) -> Self {
        let mut quoted = false;
        let parted = headings.split(|letter| {
            quoted ^= letter == '"';
            letter == ',' && !quoted
        });
        let first = parted.map(|heading| heading.trim_matches('"').to_owned());
        Self {
            title: title.into(),
            rows: vec![first.collect()],
        }
    }

    /// Adds a row, a cell a heading.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// Prints it, unless it is empty: words to the left, numbers to the right.
    pub(crate) fn print(&self, out: &mut String) -> Result<()> {
        let Some(headings) = self.rows.first().filter(|_| self.rows.len() > 1) else {
            return Ok(());
        };
        let widths: Vec<usize> = (0..headings.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        writeln!(out, "\n{}\n", self.title)?;
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), heading) in row.iter().zip(&widths).zip(headings) {
                if WORDS.contains(&heading.as_str()) {
                    write!(line, "{cell:<width$}  ")?;
                } else {
                    write!(line, "{cell:>width$}  ")?;
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A number without decimals.
pub(crate) fn whole(number: f64) -> String {
    format!("{number:.0}")
}

/// Three digits or so.
pub(crate) fn fine(number: f64) -> String {
    let decimals = match number {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{number:.decimals$}")
}

/// Hundredths.
pub(crate) fn percent(number: f64) -> String {
    format!("{number:.0} %")
}

/// Bytes in MB (10⁶).
pub(crate) fn megabytes(bytes: f64) -> String {
    format!("{:.1}", bytes / 1e6)
}

/// Columns that hold words.
const WORDS: [&str; 5] = ["film", "what", "server", "program", "spoken"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_words_up_to_the_left_and_numbers_to_the_right() {
        let mut table = Table::new("Title", "what,\"µs, warm\"");
        table.row(["a segment".to_owned(), fine(1234.5)]);
        table.row(["init".to_owned(), fine(1.234)]);
        let mut out = String::new();
        table.print(&mut out).unwrap();
        let expected = "\nTitle\n\nwhat       µs, warm\na segment      1234\ninit           1.23\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn a_table_without_rows_is_not_printed() {
        let mut out = String::new();
        Table::new("Title", "what,µs").print(&mut out).unwrap();
        assert_eq!(out, "");
    }
}
