//! A page that is complete in itself, text that is safe inside it, and numbers as people read them.

/// How every page looks.
const STYLE: &str = include_str!("style.css");

/// A page that loads nothing and runs no script. `title` is escaped here; `body` is HTML, and `style` is what this page
/// adds to the looks of all.
pub(crate) fn page(title: &str, style: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title>\n<style>{STYLE}{style}</style></head>\n\
         <body><main>\n{body}</main></body></html>\n",
        escape(title),
    )
}

/// `text` for the inside of an element or of a quoted attribute.
///
/// Control characters that HTML forbids become `�`.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            '\r' => {}
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A whole number with thin spaces between thousands.
pub(crate) fn count(n: f64) -> String {
    let digits = format!("{:.0}", n.abs());
    let mut grouped = String::new();
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) && digits.len() > 4 {
            grouped.push('\u{2009}');
        }
        grouped.push(digit);
    }
    format!("{}{grouped}", if n <= -0.5 { "−" } else { "" })
}

/// About three significant digits, `−` for minus, an exponent where there would be many zeros.
pub(crate) fn number(x: f64) -> String {
    let size = x.abs();
    let text = match size {
        _ if !x.is_finite() => return "—".to_owned(),
        0.0 => "0".to_owned(),
        _ if size < 1e-3 => exponent(size),
        _ if size < 1.0 => format!("{size:.3}"),
        _ if size < 10.0 => format!("{size:.2}"),
        _ if size < 1000.0 => format!("{size:.1}"),
        _ => count(size),
    };
    if x < 0.0 { format!("−{text}") } else { text }
}

/// [`number`] with its sign.
pub(crate) fn signed(x: f64) -> String {
    if x > 0.0 { format!("+{}", number(x)) } else { number(x) }
}

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    let decimals = usize::from(share > 0.0 && share < 1.0);
    format!("{:.decimals$}\u{2009}%", share * 100.0)
}

/// `3.5e−7`.
pub(super) fn exponent(size: f64) -> String {
    let text = format!("{size:.1e}").replace(".0e", "e");
    text.replace("e-", "e−")
}

/// Hours, minutes and seconds, the two largest of them.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        _ if !seconds.is_finite() => "—".to_owned(),
        0..10 => format!("{:.1} s", seconds.max(0.0)),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// Binary multiples of a byte.
pub(super) fn bytes(n: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = n.max(0.0);
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && size < 100.0);
    format!("{size:.decimals$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_element_or_attribute() {
        let escaped = escape("</p><script>alert(\"x\" + 'y')</script>&amp;\u{0}\u{7f}\r\n");
        assert!(!escaped.contains(['<', '>', '"', '\'', '\u{0}']), "{escaped}");
        assert!(escaped.ends_with("&amp;amp;\u{fffd}\u{fffd}\n"), "{escaped}");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.4567, -1.5, 12.34, -123.46, 12_345.6, 3.5e-7, 1e-6].map(number);
        let expected = ["0", "0.457", "−1.50", "12.3", "−123.5", "12\u{2009}346", "3.5e−7", "1e−6"];
        assert_eq!(shown, expected);
        assert_eq!(
            [3.21, 75.0, 3725.0, 90_000.0].map(duration),
            ["3.2 s", "1 min 15 s", "1 h 2 min", "1 d 1 h"]
        );
        assert_eq!([12.0, 1536.0, 3e9].map(bytes), ["12 B", "1.5 KiB", "2.8 GiB"]);
        assert_eq!(
            [0.0, 0.5, 0.713, 1.0].map(percent),
            ["0\u{2009}%", "50.0\u{2009}%", "71.3\u{2009}%", "100\u{2009}%"]
        );
    }
}
