//! What chat templates expect of Python: `json.dumps` and `strftime`.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// The time that a chat template is told, in UTC. It stands still, so that every row of a run is told the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    unix_seconds: i64,
}

impl Clock {
    /// The time now.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { unix_seconds: since.as_secs() as i64 }
    }

    /// Seconds since 1970, as [`Clock::unix_seconds`] gave them: what a resumed run sets.
    pub fn at_unix_seconds(unix_seconds: i64) -> Self {
        Self { unix_seconds }
    }

    /// Seconds since 1970.
    pub fn unix_seconds(self) -> i64 {
        self.unix_seconds
    }

    /// Python's `strftime` in its default locale; a directive that is not known stays as it is.
    pub(super) fn strftime(self, format: &str) -> String {
        let mut text = String::new();
        let mut chars = format.chars();
        while let Some(char) = chars.next() {
            if char != '%' {
                text.push(char);
                continue;
            }
            match chars.next() {
                Some('-') => {
                    let padded = self.directive(chars.next());
                    let bare = padded.trim_start_matches(['0', ' ']);
                    text.push_str(if bare.is_empty() { "0" } else { bare });
                }
                directive => text.push_str(&self.directive(directive)),
            }
        }
        text
    }

    fn directive(self, directive: Option<char>) -> String {
        let (days, seconds) = (self.unix_seconds.div_euclid(86_400), self.unix_seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let (hour, minute) = (seconds / 3600, seconds / 60 % 60);
        let weekday = WEEKDAYS[(days + 4).rem_euclid(7) as usize];
        let month_name = MONTHS[month as usize - 1];
        let hour_12 = if hour % 12 == 0 { 12 } else { hour % 12 };
        match directive {
            Some('Y') => year.to_string(),
            Some('y') => format!("{:02}", year.rem_euclid(100)),
            Some('m') => format!("{month:02}"),
            Some('d') => format!("{day:02}"),
            Some('e') => format!("{day:2}"),
            Some('B') => month_name.to_owned(),
            Some('b' | 'h') => month_name[..3].to_owned(),
            Some('A') => weekday.to_owned(),
            Some('a') => weekday[..3].to_owned(),
            Some('H') => format!("{hour:02}"),
            Some('I') => format!("{hour_12:02}"),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{:02}", seconds % 60),
            Some('j') => format!("{:03}", days - first_of(year) + 1),
            Some('F') => self.strftime("%Y-%m-%d"),
            Some('T') => self.strftime("%H:%M:%S"),
            Some('Z') => "UTC".to_owned(),
            Some('z') => "+0000".to_owned(),
            Some('%') | None => "%".to_owned(),
            Some(other) => format!("%{other}"),
        }
    }
}

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Year, month and day of a number of days since 1970: Howard Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since 1970 of the first of January.
fn first_of(year: i64) -> i64 {
    let before = year - 1;
    365 * (year - 1970) + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 477
}

/// How [`dumps`] writes.
#[derive(Debug, Default)]
pub(super) struct JsonStyle {
    /// Write everything that is not ASCII as `\u` escapes.
    pub(super) ensure_ascii: bool,
    /// What a level is indented by; everything on one line without.
    pub(super) indent: Option<String>,
    /// What stands between items and after keys.
    pub(super) separators: Option<Vec<String>>,
    /// Sort the keys of objects.
    pub(super) sort_keys: bool,
}

/// Python's `json.dumps`.
pub(super) fn dumps(value: &Value, style: &JsonStyle) -> String {
    let separators = style.separators.as_deref().unwrap_or_default();
    let item = if style.indent.is_some() { "," } else { ", " };
    let mut writer = JsonWriter {
        text: String::new(),
        style,
        item: separators.first().map_or(item, String::as_str),
        key: separators.get(1).map_or(": ", String::as_str),
    };
    writer.value(value, 0);
    writer.text
}

struct JsonWriter<'a> {
    text: String,
    style: &'a JsonStyle,
    item: &'a str,
    key: &'a str,
}

impl JsonWriter<'_> {
    fn value(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Null => self.text.push_str("null"),
            Value::Bool(value) => self.text.push_str(if *value { "true" } else { "false" }),
            Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
                Some(float) => self.text.push_str(&float_repr(float)),
                None => self.text.push_str(&number.to_string()),
            },
            Value::String(text) => self.string(text),
            Value::Array(items) if items.is_empty() => self.text.push_str("[]"),
            Value::Array(items) => self.block(['[', ']'], depth, items, Self::value),
            Value::Object(map) if map.is_empty() => self.text.push_str("{}"),
            Value::Object(map) => {
                let mut entries: Vec<(&String, &Value)> = map.iter().collect();
                if self.style.sort_keys {
                    entries.sort_by_key(|(key, _)| *key);
                }
                self.block(['{', '}'], depth, entries, Self::entry);
            }
        }
    }

    fn entry(&mut self, (key, value): (&String, &Value), depth: usize) {
        self.string(key);
        self.text.push_str(self.key);
        self.value(value, depth);
    }

    fn block<T>(
        &mut self,
        [open, close]: [char; 2],
        depth: usize,
        items: impl IntoIterator<Item = T>,
        write: impl Fn(&mut Self, T, usize),
    ) {
        self.text.push(open);
        for (item_idx, item) in items.into_iter().enumerate() {
            if item_idx > 0 {
                self.text.push_str(self.item);
            }
            self.new_line(depth + 1);
            write(self, item, depth + 1);
        }
        self.new_line(depth);
        self.text.push(close);
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = &self.style.indent {
            self.text.push('\n');
            self.text.push_str(&indent.repeat(depth));
        }
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        for char in text.chars() {
            match char {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                char if char < ' ' || (self.style.ensure_ascii && char > '~') => self.escape(char),
                char => self.text.push(char),
            }
        }
        self.text.push('"');
    }

    fn escape(&mut self, char: char) {
        for unit in char.encode_utf16(&mut [0; 2]) {
            let _ = write!(self.text, "\\u{unit:04x}");
        }
    }
}

/// Python's `repr` of a float: an exponent below 1e-4 and from 1e16 on, of at least two digits.
fn float_repr(float: f64) -> String {
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{float:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) => {
                let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
                format!("{digits}e{sign}{exponent:0>2}")
            }
            None => text,
        };
    }
    format!("{float:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Python prints them.
    #[test]
    fn floats_are_written_as_python_does() {
        let pairs =
            [(1.0, "1.0"), (0.0001, "0.0001"), (0.00001, "1e-05"), (1e16, "1e+16"), (1.5e300, "1.5e+300")];
        for (float, text) in pairs {
            assert_eq!(float_repr(float), text);
        }
        assert_eq!(float_repr(-123_456.75), "-123456.75");
    }

    /// 2024-02-29 13:05:09 UTC was a Thursday, the 60th day of its year.
    #[test]
    fn dates_are_written_as_python_does() {
        let clock = Clock::at_unix_seconds(1_709_211_909);
        assert_eq!(clock.strftime("%A %-d %B %Y, %H:%M:%S"), "Thursday 29 February 2024, 13:05:09");
        assert_eq!(clock.strftime("%a %d %b %y %I%p %j %-m%%%Q"), "Thu 29 Feb 24 01PM 060 2%%Q");
        assert_eq!(Clock::at_unix_seconds(0).strftime("%a %F %T %j"), "Thu 1970-01-01 00:00:00 001");
    }

    #[test]
    fn strings_are_escaped_as_python_does() {
        let style = JsonStyle { ensure_ascii: true, ..JsonStyle::default() };
        assert_eq!(dumps(&Value::from("a\"\\\u{1}😀\u{7f}"), &style), r#""a\"\\\u0001\ud83d\ude00\u007f""#);
        assert_eq!(dumps(&Value::from("é\u{7f}/"), &JsonStyle::default()), "\"é\u{7f}/\"");
    }
}
