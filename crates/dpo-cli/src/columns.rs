//! Texts side by side on the terminal.

use std::io::IsTerminal;

use console::measure_text_width;

/// Whether the text may hold colour codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A file or a pipe.
    Plain,
    /// A terminal.
    Colour,
}

/// A text with a title over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Few words.
    pub(crate) title: String,
    /// Its lines are kept where they fit.
    pub(crate) text: String,
}

const GAP: &str = "   ";
/// Narrower columns stand under one another.
const NARROWEST: usize = 23;

/// A heading and under it the columns, which together fill `width` characters.
pub(crate) fn side_by_side(heading: &str, columns: &[Column], width: usize, style: Style) -> String {
    let heading: String = wrap(&printable(heading), width.saturating_sub(2).max(1))
        .iter()
        .map(|line| bold(&format!("» {line}"), style) + "\n")
        .collect();
    let n = columns.len().max(1);
    let column = (width + GAP.len()).saturating_sub(n * GAP.len()) / n;
    heading
        + &if column < NARROWEST { stacked(columns, width, style) } else { beside(columns, column, style) }
}

fn stacked(columns: &[Column], width: usize, style: Style) -> String {
    let part = |column: &Column| {
        let title = dim(&lines(&column.title, width.max(1)).join("\n"), style);
        format!("{title}\n{}\n", lines(&column.text, width.max(1)).join("\n"))
    };
    columns.iter().map(part).collect()
}

fn beside(columns: &[Column], width: usize, style: Style) -> String {
    let rows = |texts: Vec<Vec<String>>| -> Vec<String> {
        let n_rows = texts.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |text: &Vec<String>, row: usize| pad(text.get(row).map_or("", String::as_str), width);
        let row = |row| texts.iter().map(|text| cell(text, row)).collect::<Vec<_>>().join(GAP);
        (0..n_rows).map(row).map(|row| row.trim_end().to_owned()).collect()
    };
    let titles = rows(columns.iter().map(|column| lines(&column.title, width)).collect());
    let texts = rows(columns.iter().map(|column| lines(&column.text, width)).collect());
    let titles = titles.iter().map(|line| dim(line, style));
    titles.chain(texts).map(|line| line + "\n").collect()
}

/// Spaces up to `width`.
fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(measure_text_width(text))))
}

/// Lines of at most `width` characters, those of the text where they fit.
fn lines(text: &str, width: usize) -> Vec<String> {
    printable(text).trim().lines().flat_map(|line| wrap(line, width)).collect()
}

/// Lines of at most `width` characters, broken at spaces; a longer word is broken.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut len = 0;
    for word in text.split_whitespace() {
        for (idx, (piece, piece_len)) in pieces(word, width).into_iter().enumerate() {
            let needs_space = idx == 0 && len > 0;
            if idx > 0 || len + usize::from(needs_space) + piece_len > width && len > 0 {
                lines.push(String::new());
                len = 0;
            } else if needs_space {
                lines.last_mut().into_iter().for_each(|line| line.push(' '));
                len += 1;
            }
            lines.last_mut().into_iter().for_each(|line| line.push_str(piece));
            len += piece_len;
        }
    }
    lines
}

/// A word in pieces of at most `width` characters, with their widths; some characters are two wide.
fn pieces(word: &str, width: usize) -> Vec<(&str, usize)> {
    let (mut pieces, mut start, mut len) = (Vec::new(), 0, 0);
    for (at, c) in word.char_indices() {
        let c_len = measure_text_width(c.encode_utf8(&mut [0; 4]));
        if at > start && len + c_len > width {
            pieces.push((&word[start..at], len));
            (start, len) = (at, 0);
        }
        len += c_len;
    }
    pieces.push((&word[start..], len));
    pieces
}

/// What a model wrote may hold anything: characters that could move a cursor or turn the direction of a line become
/// `�`.
fn printable(text: &str) -> String {
    let steers = |c: char| c.is_control() && !c.is_whitespace() || turns_direction(c);
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether a character turns the direction in which others are written: <https://www.unicode.org/reports/tr9/>.
pub(crate) fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn bold(text: &str, style: Style) -> String {
    match style {
        Style::Plain => text.to_owned(),
        Style::Colour => format!("\u{1b}[1m{text}\u{1b}[0m"),
    }
}

fn dim(text: &str, style: Style) -> String {
    match style {
        Style::Plain => text.to_owned(),
        Style::Colour => format!("\u{1b}[2m{text}\u{1b}[0m"),
    }
}

/// Columns of the terminal, 100 where there is none.
pub(crate) fn width() -> usize {
    let (_, columns) = console::Term::stdout().size_checked().unwrap_or((0, 100));
    usize::from(columns).clamp(40, 140)
}

/// Colour on a terminal, unless `NO_COLOR` is set.
pub(crate) fn style() -> Style {
    let is_colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if is_colour { Style::Colour } else { Style::Plain }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn columns<const N: usize>(columns: [(&str, &str); N]) -> Vec<Column> {
        columns.map(|(title, text)| Column { title: title.to_owned(), text: text.to_owned() }).to_vec()
    }

    fn reviews() -> Vec<Column> {
        let before = " dull, and the plot was tedious from beginning to end.";
        columns([("before", before), ("after", " a joy.\nThe acting was superb.")])
    }

    #[test]
    fn columns_fill_the_width_and_keep_lines() {
        let expected = "\
» This film was
before                       after
dull, and the plot was       a joy.
tedious from beginning to    The acting was superb.
end.
";
        assert_eq!(side_by_side("This film was", &reviews(), 55, Style::Plain), expected);
    }

    /// A character of East Asia is two wide.
    #[test]
    fn wide_characters_count_twice() {
        let columns = columns([("a", &"猫".repeat(12)), ("b", "x")]);
        let text = side_by_side("p", &columns, 49, Style::Plain);
        let expected = format!("» p\na{}b\n{}{}x\n猫\n", " ".repeat(25), "猫".repeat(11), " ".repeat(4));
        assert_eq!(text, expected);
    }

    #[test]
    fn any_width_and_text_is_printed() {
        let odd = columns([("x\u{1b}[2J", ""), ("y", &"é".repeat(300)), ("z", "\u{202e}猫\r\n\n猫猫")]);
        for width in 0..130 {
            let odd = side_by_side("x\u{1b}[2J", &odd, width, Style::Plain);
            let text = side_by_side("This film was", &reviews(), width, Style::Plain) + &odd;
            let longest = text.lines().map(measure_text_width).max().unwrap();
            assert!(longest <= width.max(6), "{width}: {longest}");
            assert!(!text.contains(['\u{1b}', '\r', '\u{202e}']), "{width}: {text:?}");
        }
        let colour = side_by_side("This film was", &reviews(), 80, Style::Colour);
        assert!(colour.contains("\u{1b}[1m» This film was\u{1b}[0m"));
    }
}
