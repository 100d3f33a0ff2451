//! Tables that fit the terminal: what is too wide is cut in the last columns, and no line wraps.
//!
//! Knows texts and widths. The first column is names, which are never cut.

use anstyle::Style;

use crate::cli::out::Line;
use crate::cli::quote;

/// Below so many columns a text says nothing any more.
const LEAST: usize = 6;

/// Blanks between two columns.
const GAP: usize = 2;

/// Lines of a table below its headings. `widest` is the width that there is; `None` is any.
/// `cut` names the columns that may lose their ends, the first to lose in front.
pub fn lines(headings: &[&str], rows: &[Vec<String>], cut: &[usize], widest: Option<usize>) -> Vec<Line> {
    // How wide a text is shows when it is quoted.
    let quoted = |row: &Vec<String>| row.iter().map(|text| quote::line(text)).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = rows.iter().map(quoted).collect();
    let mut widths: Vec<usize> = headings.iter().map(|text| length(text)).collect();
    for row in &rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(length(text));
        }
    }
    if let Some(widest) = widest {
        for column in cut {
            let whole: usize = widths.iter().sum::<usize>() + GAP * (widths.len().saturating_sub(1));
            let over = whole.saturating_sub(widest);
            widths[*column] = widths[*column].saturating_sub(over).max(LEAST.min(widths[*column]));
        }
    }
    let bold = Style::new().bold();
    let head: Vec<String> = headings.iter().map(|text| (*text).to_owned()).collect();
    let mut lines = vec![Line::styled(bold, line(&head, &widths))];
    lines.extend(rows.iter().map(|row| Line::from(line(row, &widths))));
    lines
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (text, width) in row.iter().zip(widths) {
        let shown = shorten(text, *width);
        line += &shown;
        line += &" ".repeat((width + GAP).saturating_sub(length(&shown)));
    }
    line.trim_end().to_owned()
}

fn shorten(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|line| anstream::adapter::strip_str(line.as_str()).to_string()).collect()
    }

    #[test]
    fn a_table_fits_its_terminal_and_names_stay_whole() {
        let rows = vec![
            vec!["a-rather-long-name".into(), "registry.example/team/app".into(), "fresh".into()],
            vec!["b".into(), "x".into(), "stale".into()],
        ];
        let wide = plain(&lines(&["image", "tag", "state"], &rows, &[1], None));
        assert_eq!(wide[1], "a-rather-long-name  registry.example/team/app  fresh");
        let narrow = plain(&lines(&["image", "tag", "state"], &rows, &[1], Some(40)));
        assert_eq!(narrow[1], "a-rather-long-name  registry.exa…  fresh");
        assert!(narrow.iter().all(|line| line.chars().count() <= 40), "{narrow:?}");
        let least = plain(&lines(&["image", "tag", "state"], &rows, &[1], Some(3)));
        assert_eq!(least[1], "a-rather-long-name  regis…  fresh");
    }
}
