//! Chat templates: the Jinja programs that come with a model and turn a conversation into one text.

mod python;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, Error, ErrorKind, Value};

use crate::DataError;

pub use python::Clock;

/// Work one rendering may cost: an instruction costs 1, and so do 64 bytes of text that are made on the way.
const FUEL: u64 = 4_000_000;
/// Bytes one rendering may give.
const MAX_RENDERED: usize = 64 << 20;
const NAME: &str = "chat_template";

/// A compiled chat template, with the surroundings that transformers gives it: `trim_blocks`, `lstrip_blocks`, loop
/// controls, `namespace`, Python's methods of strings and maps, `raise_exception`, `strftime_now` and its `tojson`.
///
/// It is a program from elsewhere: it reads only what it is given, and its work and its output are bounded.
#[derive(Debug)]
pub struct ChatTemplate {
    source: String,
    path: PathBuf,
    env: Environment<'static>,
}

impl ChatTemplate {
    /// Compiles `source`, which was found in the file `path`; `clock` is the time that its `strftime_now` tells.
    pub fn compile(source: &str, path: &Path, clock: Clock) -> Result<Self, DataError> {
        let mut env = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        let unusable =
            |error: Error| DataError::BadTemplate { path: path.to_path_buf(), problem: explain(&error) };
        env.set_syntax(syntax.map_err(unusable)?);
        env.set_fuel(Some(FUEL));
        env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        env.add_filter("tojson", tojson);
        env.add_function("raise_exception", raise_exception);
        env.add_function("strftime_now", move |format: String| clock.strftime(&format));
        env.add_template_owned(NAME, scope_generation_blocks(source)).map_err(unusable)?;
        Ok(Self { source: source.to_owned(), path: path.to_path_buf(), env })
    }

    /// The template as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The file it was found in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether what it renders may depend on the date: it mentions `strftime_now`.
    pub fn reads_clock(&self) -> bool {
        self.source.contains("strftime_now")
    }

    /// Renders the variables in `context`; an error is the template's own message.
    pub(crate) fn render(&self, context: Value) -> Result<String, String> {
        let mut text = Bounded(Vec::new());
        let template = self.env.get_template(NAME).map_err(|error| explain(&error))?;
        template.render_captured_to(context, &mut text).map_err(|error| explain(&error))?;
        String::from_utf8(text.0).map_err(|error| error.to_string())
    }
}

/// A buffer that refuses to grow past [`MAX_RENDERED`].
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_RENDERED {
            return Err(io::Error::other(format!("more than {MAX_RENDERED} bytes of text")));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The message of an error and of its causes, in a line.
fn explain(error: &Error) -> String {
    let what = match (error.kind(), error.detail()) {
        (ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    let mut message = match error.line() {
        Some(line) => format!("{what} (line {line} of the template)"),
        None => what,
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    message
}

fn raise_exception(message: Value) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.to_string()))
}

/// Python's `json.dumps` under Jinja's name: nothing is escaped for HTML.
fn tojson(value: &Value, positional: Rest<Value>, options: Kwargs) -> Result<Value, Error> {
    let value = serde_json::to_value(value)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, "is no JSON").with_source(error))?;
    let given = |place: usize, name: &str| -> Result<Option<Value>, Error> {
        let named: Option<Value> = options.get(name)?;
        Ok(named.or_else(|| positional.get(place).cloned()).filter(|value| !value.is_none()))
    };
    let separators = given(2, "separators")?.map(|pair| pair.try_iter()).transpose()?;
    let style = python::JsonStyle {
        ensure_ascii: given(0, "ensure_ascii")?.is_some_and(|value| value.is_true()),
        indent: given(1, "indent")?.and_then(indent),
        separators: separators.map(|pair| pair.map(|text| text.to_string()).collect()),
        sort_keys: given(3, "sort_keys")?.is_some_and(|value| value.is_true()),
    };
    options.assert_all_used()?;
    Ok(Value::from(python::dumps(&value, &style)))
}

/// What a line is indented by: spaces for a number, itself for a text.
fn indent(value: Value) -> Option<String> {
    match value.as_str() {
        Some(text) => Some(text.to_owned()),
        None => usize::try_from(value).ok().map(|n| " ".repeat(n.min(64))),
    }
}

/// Rewrites `{% generation %}` … `{% endgeneration %}`, which marks what an assistant says and prints it as it is, to
/// the block that only opens a scope; whitespace control stays.
fn scope_generation_blocks(source: &str) -> String {
    let mut rewritten = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        rewritten.push_str(before);
        let end = tag.find("%}").map_or(tag.len(), |end| end + 2);
        let (tag, after) = tag.split_at(end);
        match tag.trim_start_matches(['{', '%', '-', '+']).trim_end_matches(['}', '%', '-', '+']).trim() {
            "generation" => rewritten.push_str(&tag.replacen("generation", "with", 1)),
            "endgeneration" => rewritten.push_str(&tag.replacen("endgeneration", "endwith", 1)),
            _ => rewritten.push_str(tag),
        }
        rest = after;
    }
    rewritten + rest
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use minijinja::value::Serde;
    use serde_json::json;

    use super::*;

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate::compile(source, Path::new("chat_template.jinja"), Clock::at_unix_seconds(1_700_000_000))
            .unwrap()
    }

    fn render(source: &str) -> Result<String, String> {
        let messages =
            json!([{"role": "user", "content": " <b> é\n"}, {"role": "assistant", "content": "x"}]);
        let tools = json!([{"name": "f", "args": {"a": 1.0, "b": [true, null]}}]);
        template(source)
            .render(Value::from(Serde(json!({"messages": messages, "tools": tools, "none": null}))))
    }

    /// Blocks on lines of their own leave neither the line break behind them nor the spaces before them.
    #[test]
    fn blocks_are_trimmed_as_transformers_does() {
        let source =
            "{% for m in messages %}\n  {% if loop.first %}\n- {{ m.role }}\n  {% endif %}\n{% endfor %}\n";
        assert_eq!(render(source).unwrap(), "- user\n");
    }

    #[test]
    fn python_methods_and_controls_work() {
        let source = "{% for m in messages %}{% if m['role'] == 'assistant' %}{% break %}{% endif %}\
                      {{ m.content.strip().upper() }}{{ m.get('name', '?') }}{% endfor %}\
                      {% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}\
                      {{ none }}{{ true }}{{ messages[::-1][0].content }}";
        assert_eq!(render(source).unwrap(), "<B> É?2NoneTruex");
    }

    /// What transformers 5 prints for these.
    #[test]
    fn tojson_is_pythons() {
        let tool = r#"{"name": "f", "args": {"a": 1.0, "b": [true, null]}}"#;
        assert_eq!(render("{{ tools[0] | tojson }}").unwrap(), tool);
        assert_eq!(render("{{ messages[0].content | tojson }}").unwrap(), r#"" <b> é\n""#);
        assert_eq!(
            render("{{ messages[0].content | tojson(ensure_ascii=true) }}").unwrap(),
            r#"" <b> \u00e9\n""#
        );
        assert_eq!(
            render("{{ tools[0].args | tojson(indent=2) }}").unwrap(),
            "{\n  \"a\": 1.0,\n  \"b\": [\n    true,\n    null\n  ]\n}"
        );
        assert_eq!(
            render("{{ tools[0].args | tojson(separators=(',', ':'), sort_keys=true) }}").unwrap(),
            r#"{"a":1.0,"b":[true,null]}"#
        );
    }

    #[test]
    fn generation_blocks_print_what_they_hold() {
        let source =
            "{% for m in messages %}\n{%- generation %}\n{{ m.role }}\n{%- endgeneration -%}\n|{% endfor %}";
        let plain = source.replace("endgeneration", "endif").replace("generation", "if true");
        assert_eq!(render(source).unwrap(), render(&plain).unwrap());
    }

    #[test]
    fn the_clock_is_the_one_given() {
        assert_eq!(render("{{ strftime_now('%d %b %Y') }}").unwrap(), "14 Nov 2023");
        assert!(template("{{ strftime_now('%d') }}").reads_clock());
    }

    #[test]
    fn a_raised_message_comes_through() {
        let raised = render("{{ raise_exception('System role not supported') }}").unwrap_err();
        assert_eq!(raised, "System role not supported (line 1 of the template)");
    }

    #[test]
    fn endless_work_is_stopped() {
        for bomb in [
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}",
            "{% set ns = namespace(s='x') %}{% for a in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{{ 'x' * 10000000000 }}",
        ] {
            assert!(render(bomb).is_err(), "{bomb}");
        }
    }

    #[test]
    fn a_broken_template_says_where() {
        let broken = ChatTemplate::compile("a\n{% if %}", Path::new("t.jinja"), Clock::now()).unwrap_err();
        assert!(broken.to_string().starts_with("t.jinja: the chat template cannot be used: "), "{broken}");
        assert!(broken.to_string().contains("line 2"), "{broken}");
    }
}
