//! Tables for the terminal: numbers before and after, and reviews side by side.

use super::evaluate::{Estimate, Summary};
use crate::columns::{self, Column, Style};

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

/// Prompts as headings, and under each the two completions side by side.
pub(crate) fn side_by_side(rows: &[Comparison], width: usize, style: Style) -> String {
    let column = |title: &str, text: &str| Column {
        title: title.to_owned(),
        // A review is one paragraph.
        text: text.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    let block = |row: &Comparison| {
        let both = [column("before", &row.before), column("after", &row.after)];
        columns::side_by_side(&row.prompt, &both, width, style)
    };
    rows.iter().map(block).collect::<Vec<_>>().join("\n")
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
    fn reviews_stand_side_by_side() {
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
    fn numbers_stand_in_two_columns() {
        let before = Summary::of(&["bad".to_owned(), "good".to_owned()]).unwrap();
        let after = Summary::of(&["good".to_owned(), "great".to_owned()]).unwrap();
        let table = before_after(&before, &after);
        assert!(table.contains("positive reviews      50 % (9–91)               100 % (34–100)"), "{table}");
    }
}
