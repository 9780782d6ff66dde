//! Tables of text for the terminal.

use console::measure_text_width;

/// Names on the left, numbers on the right of their columns.
pub(crate) fn aligned(grid: &[Vec<String>]) -> String {
    let n_columns = grid.first().map_or(0, Vec::len);
    let width = |idx: usize| grid.iter().map(|row| measure_text_width(&row[idx])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    let mut text = String::new();
    for row in grid {
        let mut line = String::new();
        for (idx, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let room = " ".repeat(width - measure_text_width(cell));
            line += &if idx == 0 { format!("{cell}{room}") } else { format!("   {room}{cell}") };
        }
        text += &format!("{}\n", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_under_one_another() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let grid = [row(["", "a", "longer"]), row(["  base", "—", "1"]), row(["  Zürich", "12.5 %", "+0.5"])];
        let expected = "                a   longer\n  base          —        1\n  Zürich   12.5 %     +0.5\n";
        assert_eq!(aligned(&grid), expected);
    }
}
