//! Tables for the terminal: numbers before and after, and reviews side by side.

use super::evaluate::{Estimate, Summary};

/// Whether the text may hold colour codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A file or a pipe.
    Plain,
    /// A terminal.
    Colour,
}

/// One prompt with what was written after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// The first words.
    pub(crate) prompt: String,
    /// The completion before training.
    pub(crate) before: String,
    /// The completion after training.
    pub(crate) after: String,
}

const GAP: &str = "   ";

/// The true reward and the variety of samples before and after training, a line each.
pub(crate) fn before_after(before: &Summary, after: &Summary) -> String {
    let percent = |x: f64| format!("{:.0} %", 100.0 * x);
    let share = |e: Estimate| format!("{} ({:.0}–{:.0})", percent(e.value), 100.0 * e.low, 100.0 * e.high);
    let number = |e: Estimate| format!("{:+.2} ({:+.2} to {:+.2})", e.value, e.low, e.high);
    let row = |name: &str, [before, after]: [String; 2]| format!("{name:<22}{before:<26}{after}\n");
    let sides = [before, after];
    let mut table = row("", ["before".to_owned(), "after".to_owned()]);
    table += &row("positive reviews", sides.map(|s| share(s.positive)));
    table += &row("mean true reward", sides.map(|s| number(s.reward)));
    table += &row("different reviews", sides.map(|s| percent(s.distinct_texts)));
    table += &row("different word pairs", sides.map(|s| percent(s.distinct_2)));
    table += &row("words in a review", sides.map(|s| format!("{:.1}", s.mean_words)));
    table
}

/// Prompts as headings, and under each the two completions in columns that fill `width` characters.
///
/// Below 50 characters the columns stand under one another.
pub(crate) fn side_by_side(rows: &[Comparison], width: usize, style: Style) -> String {
    let blocks: Vec<String> = rows.iter().map(|row| comparison(row, width, style)).collect();
    blocks.join("\n")
}

fn comparison(row: &Comparison, width: usize, style: Style) -> String {
    let heading: String = wrap(&printable(&row.prompt), width.saturating_sub(2).max(1))
        .iter()
        .map(|line| bold(&format!("» {line}"), style) + "\n")
        .collect();
    let (before, after) = (printable(&row.before), printable(&row.after));
    if width < 50 {
        let [before, after] = [("before", before), ("after", after)].map(|(name, text)| {
            let lines = wrap(&text, width.max(1));
            format!("{}\n{}\n", dim(name, style), lines.join("\n"))
        });
        return heading + &before + &after;
    }
    let column = (width - GAP.len()) / 2;
    let (left, right) = (wrap(&before, column), wrap(&after, column));
    let blank = String::new();
    let lines = (0..left.len().max(right.len())).map(|idx| {
        let [left, right] = [&left, &right].map(|lines| lines.get(idx).unwrap_or(&blank));
        format!("{left:<column$}{GAP}{right}").trim_end().to_owned() + "\n"
    });
    let titles = format!("{:<column$}{GAP}{}", "before", "after");
    heading + &dim(&titles, style) + "\n" + &lines.collect::<String>()
}

/// Lines of at most `width` characters, broken at spaces; a longer word is broken.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut len = 0;
    for word in text.split_whitespace() {
        let word: Vec<char> = word.chars().collect();
        for (idx, piece) in word.chunks(width).enumerate() {
            let needs_space = idx == 0 && len > 0;
            if idx > 0 || len + usize::from(needs_space) + piece.len() > width && len > 0 {
                lines.push(String::new());
                len = 0;
            } else if needs_space {
                lines.last_mut().into_iter().for_each(|line| line.push(' '));
                len += 1;
            }
            lines.last_mut().into_iter().for_each(|line| line.extend(piece));
            len += piece.len();
        }
    }
    lines
}

/// What a model wrote may hold anything: control characters, which could move a cursor, become `�`.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !c.is_whitespace() { '�' } else { c }).collect()
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn row() -> Comparison {
        Comparison {
            prompt: "This film was".to_owned(),
            before: " dull, and the plot was tedious from beginning to end.".to_owned(),
            after: " a joy.\nThe acting was superb.".to_owned(),
        }
    }

    #[test]
    fn columns_fill_the_width() {
        let expected = "\
» This film was
before                       after
dull, and the plot was       a joy. The acting was
tedious from beginning to    superb.
end.
";
        assert_eq!(side_by_side(&[row()], 55, Style::Plain), expected);
    }

    #[test]
    fn any_width_and_text_is_printed() {
        let odd =
            Comparison { prompt: "x\u{1b}[2J".to_owned(), before: String::new(), after: "é".repeat(300) };
        for width in 0..130 {
            let text = side_by_side(&[row(), odd.clone()], width, Style::Plain);
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= width.max(6) && !text.contains('\u{1b}'), "{width}: {longest}");
        }
        assert!(side_by_side(&[row()], 80, Style::Colour).contains("\u{1b}[1m» This film was\u{1b}[0m"));
    }

    #[test]
    fn numbers_stand_in_two_columns() {
        let before = Summary::of(&["bad".to_owned(), "good".to_owned()]).unwrap();
        let after = Summary::of(&["good".to_owned(), "great".to_owned()]).unwrap();
        let table = before_after(&before, &after);
        assert!(table.contains("positive reviews      50 % (9–91)               100 % (34–100)"), "{table}");
    }
}
