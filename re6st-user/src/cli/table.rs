//! Aligned columns for people.

/// A titled table; nothing without rows. Numbers stand to the right.
pub fn table(title: &str, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    if rows.is_empty() {
        return String::new();
    }
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().filter_map(|row| row.get(index));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
                .max(column.chars().count())
        })
        .collect();
    let mut text = format!("\n{title}\n");
    let header: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
    for row in std::iter::once(&header).chain(&rows) {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            let number = !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
            line += &if number {
                format!(" {cell:>width$} ")
            } else {
                format!(" {cell:<width$} ")
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A number of things: `1 route`, `2 routes`.
pub fn counted(number: usize, one: &str, several: &str) -> String {
    let word = if number == 1 { one } else { several };
    format!("{number} {word}")
}

#[cfg(test)]
mod tests {
    use super::{counted, table};

    #[test]
    fn one_is_singular() {
        let routes = |number| counted(number, "route", "routes");
        assert_eq!([0, 1, 2].map(routes), ["0 routes", "1 route", "2 routes"]);
    }

    #[test]
    fn aligns_columns_and_puts_numbers_to_the_right() {
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["long".to_owned(), "100".to_owned()],
        ];

        let text = table("things", &["name", "count"], rows);

        assert_eq!(
            text,
            "\nthings\n  name  count\n  a         1\n  long    100\n"
        );
    }

    #[test]
    fn shows_nothing_without_rows() {
        assert_eq!(table("things", &["name"], []), "");
    }
}
