//! How rows lie in JSON text: a row a line, one list, or a list inside an object.

use super::list::wraps_a_list;
use super::nesting::is_closed;

/// Arrangement of rows in JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// `{…}⏎{…}⏎`
    Lines,
    /// `[{…}, {…}]`
    List,
    /// `{"data": [{…}, {…}]}`
    Object,
}

impl Layout {
    /// Decides by the start of the text; `whole` says that there is no more.
    pub(super) fn of(start: &[u8], whole: bool, is_column: &dyn Fn(&str) -> bool) -> Self {
        let start = start.trim_ascii_start();
        match start.first() {
            Some(b'[') => Self::List,
            Some(b'{') if is_object(start, whole, is_column) => Self::Object,
            _ => Self::Lines,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lines => "JSON Lines",
            Self::List => "JSON",
            Self::Object => "JSON (a list in an object)",
        }
    }
}

fn is_object(start: &[u8], whole: bool, is_column: &dyn Fn(&str) -> bool) -> bool {
    let newline = start.iter().position(|&byte| byte == b'\n');
    let first_line = start[..newline.unwrap_or(start.len())].trim_ascii();
    let rest = newline.map_or(&[][..], |newline| &start[newline..]).trim_ascii();
    match first_line.last() {
        // Only a pretty-printed object breaks its first line there.
        Some(b'{' | b'[' | b',') if newline.is_some() => true,
        _ if rest.is_empty() && (whole || newline.is_none()) => wraps_a_list(start, is_column),
        _ => !is_closed(first_line) && wraps_a_list(start, is_column),
    }
}
