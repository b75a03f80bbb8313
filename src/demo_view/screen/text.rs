//! Text within cells: cut, wrapped, named, underlined.

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::demo_view::palette::{QUIET, TO_COPY};

/// A heading.
pub(super) fn heading(text: String) -> Line<'static> {
    Line::styled(text, Style::new().fg(QUIET).add_modifier(Modifier::UNDERLINED))
}

/// A name and a text to copy: broken into lines rather than cut.
pub(super) fn named(name: &'static str, text: &str, width: usize) -> Vec<Line<'static>> {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(width.saturating_sub(9).max(10))
        .enumerate()
        .map(|(row, chunk)| {
            let title = if row == 0 { name } else { "" };
            Line::from(vec![
                Span::styled(format!(" {title:<7}"), QUIET),
                Span::styled(chunk.iter().collect::<String>(), TO_COPY),
            ])
        })
        .collect()
}

/// A text within so many cells, its end cut with an ellipsis.
pub(super) fn fitted(text: &str, cells: usize) -> String {
    if text.chars().count() <= cells {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(cells.saturating_sub(1)).collect();
    if cells > 0 {
        cut.push('…');
    }
    cut
}

/// A text in at most so many lines of so many cells, broken at spaces, its end cut with an ellipsis.
pub(super) fn wrapped(text: &str, cells: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut words = text.split_whitespace().peekable();
    while lines.len() < most && words.peek().is_some() {
        let is_last = lines.len() + 1 == most;
        let mut line = String::new();
        while let Some(word) = words.peek() {
            let length =
                line.chars().count() + usize::from(!line.is_empty()) + word.chars().count();
            if length > cells && !line.is_empty() && !is_last {
                break;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            words.next();
            if length > cells {
                break;
            }
        }
        lines.push(fitted(&line, cells));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_at_spaces_and_cut_where_there_is_no_more_room() {
        let text = "the battery gives 1.2 kW because the home needs it";
        assert_eq!(
            wrapped(text, 20, 9),
            ["the battery gives", "1.2 kW because the", "home needs it"]
        );
        assert_eq!(wrapped(text, 20, 2), ["the battery gives", "1.2 kW because the …"]);
        assert_eq!(wrapped("Donaudampfschifffahrt", 8, 3), ["Donauda…"]);
        assert!(wrapped(text, 20, 0).is_empty() && wrapped("", 5, 5).is_empty());
        for cells in 0..60 {
            assert!(wrapped(text, cells, 3).iter().all(|line| line.chars().count() <= cells));
        }
    }
}
