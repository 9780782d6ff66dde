//! Where a JSON value ends, without parsing it.

/// Whether `text` holds the whole of the value that it starts with.
pub(super) fn is_closed(text: &[u8]) -> bool {
    Nesting::default().find_end(text).is_some()
}

/// How deep a value is entered, and whether this is inside a string.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Nesting {
    pub(super) depth: u64,
    pub(super) in_string: bool,
    escaped: bool,
}

impl Nesting {
    /// Goes on through `bytes`; returns where the value ends, if it does.
    pub(super) fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (idx, &byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                if !self.in_string && self.depth == 0 {
                    return Some(idx + 1);
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                // A bare number or word ends before what follows it.
                b'}' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => return Some(idx),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(idx + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}
