//! Answers: stop strings, conversations, models side by side.

use std::{
    ffi::OsString,
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::{
    program::{Ended, Sandbox, flags, paths, tiny},
    support::{golden, json_lines},
};

/// A word a token, no chat template, 256 positions.
fn words() -> PathBuf {
    golden("models/llama_gqa_tied")
}

/// A byte a token, with a chat template, 512 positions.
fn chat_model() -> PathBuf {
    golden("runs/model")
}

/// The JSON lines of `dpo generate`.
fn answers(sandbox: &Sandbox, model: &Path, more: &[&str]) -> Vec<Value> {
    let mut args = paths([("--model", model)]);
    args.extend(more.iter().map(OsString::from));
    args.push("--json".into());
    json_lines(&sandbox.run("generate", &args).success().out)
}

fn completion(answer: &Value) -> &str {
    answer["completion"].as_str().unwrap()
}

/// Runs it with this standard input.
fn run_with_input(sandbox: &Sandbox, args: &[OsString], input: &[u8]) -> Ended {
    let mut command = sandbox.command("generate", args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended without reading.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        messages: String::from_utf8(output.stderr).unwrap(),
    }
}

fn chat(sandbox: &Sandbox, more: &str, input: &str) -> Ended {
    let mut args = paths([("--model", &chat_model())]);
    args.extend(flags(&format!("--chat {more}")));
    run_with_input(sandbox, &args, input.as_bytes())
}

/// As the terminal gets it.
fn printed(answer: &Value) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    completion(answer).chars().map(shown).collect::<String>() + "\n"
}

/// The answer to the last of these messages, without `--chat`; `flags` as they are typed.
fn answer_to(sandbox: &Sandbox, messages: &[(&str, &str)], flags: &str) -> Value {
    let message = |(role, content): &(&str, &str)| json!({"role": role, "content": content});
    let prompt = json!({"prompt": messages.iter().map(message).collect::<Vec<_>>()});
    let file = sandbox.file("conversation.jsonl", &prompt.to_string());
    let mut more = vec!["--prompts", file.to_str().unwrap()];
    more.extend(flags.split_whitespace());
    answers(sandbox, &chat_model(), &more).remove(0)
}

/// The stop string begins in the middle of the third word and ends in the middle of the fourth, which is the last token.
#[test]
fn a_stop_string_over_two_tokens_ends_an_answer() {
    let sandbox = Sandbox::new();
    let whole = answers(&sandbox, &words(), &["--prompt", "t1 t17 t230 t5", "--max-new-tokens", "8"]);
    let text = completion(&whole[0]);
    let third = text.match_indices(' ').nth(2).unwrap().0;
    let (start, stop) = (third - 2, &text[third - 2..third + 4]);
    assert_eq!(text.find(stop), Some(start), "{stop:?} in {text:?}");
    let more = ["--prompt", "t1 t17 t230 t5", "--max-new-tokens", "8", "--stop", stop];
    let stopped = answers(&sandbox, &words(), &more);
    assert_eq!(completion(&stopped[0]), &text[..start]);
    assert_eq!(stopped[0]["tokens"], 4);
}

/// Every answer of a batch ends at its own place: that of the first stop string that it holds.
#[test]
fn stop_strings_end_each_answer_of_a_batch_alone() {
    let sandbox = Sandbox::new();
    let prompts = ["t1 t17", "t9", "t300 t12 t12", "t77 t140 t33 t8", "t251", "t64 t3"];
    let batch = |more: &[&str]| {
        answers(&sandbox, &words(), &[&["--max-new-tokens", "30", "--prompt"], &prompts[..], more].concat())
    };
    let whole = batch(&[]);
    let word = |answer: usize, n: usize| completion(&whole[answer]).split(' ').nth(n).unwrap().to_owned();
    let stops = [word(0, 12) + " ", word(3, 4) + " "];
    let stopped = batch(&["--stop", &stops[0], "--stop", &stops[1]]);
    let mut lengths = Vec::new();
    for (whole, stopped) in whole.iter().zip(&stopped) {
        let text = completion(whole);
        let end = stops.iter().filter_map(|stop| text.find(stop)).min().unwrap_or(text.len());
        assert_eq!(completion(stopped), &text[..end]);
        lengths.push(stopped["tokens"].as_u64().unwrap());
    }
    assert!(lengths.iter().any(|length| *length < 30), "{lengths:?}");
    assert!(lengths.contains(&30), "{lengths:?}");
}

/// What is said is put through the chat template with everything before it; a reset forgets, a system message stays.
#[test]
fn a_conversation_is_what_its_messages_are() {
    let sandbox = Sandbox::new();
    let limit = "--max-new-tokens 12";
    let first = answer_to(&sandbox, &[("user", "Hello")], limit);
    let second = [("user", "Hello"), ("assistant", completion(&first)), ("user", "And now?")];
    let second = answer_to(&sandbox, &second, limit);
    let with_system = answer_to(&sandbox, &[("system", "Be brief."), ("user", "Hello")], limit);
    assert_ne!(first, second);
    assert_ne!(first, with_system);
    let input =
        "Hello\n\n  And now? \r\n/reset\nHello\n/reset\n/system Be brief.\nHello\n/reset\n/system\nHello";
    let ended = chat(&sandbox, limit, input).success();
    let expected = [&first, &second, &first, &with_system, &first].map(printed).concat();
    assert_eq!(ended.out, expected);
    let mut args = paths([("--model", &chat_model())]);
    args.extend(flags("--chat --max-new-tokens 12 --system"));
    args.push("Be brief.".into());
    let ended = run_with_input(&sandbox, &args, b"Hello\n").success();
    assert_eq!(ended.out, printed(&with_system));
}

#[test]
fn a_conversation_ends_with_its_input_or_when_told() {
    let sandbox = Sandbox::new();
    let ended = chat(&sandbox, "", "").success();
    assert_eq!((ended.out.as_str(), ended.messages.as_str()), ("", ""));
    let ended = chat(&sandbox, "--max-new-tokens 3", "/help\n/quit\nHello\n").success();
    assert_eq!(ended.out, "");
    assert!(ended.messages.contains("no command /help; known are /reset, /system TEXT, /quit"));
}

/// Half of the model's 512 positions are said in the first message, a quarter is kept for an answer.
#[test]
fn a_conversation_that_outgrows_the_model_forgets_its_beginning() {
    let sandbox = Sandbox::new();
    let limit = "--max-new-tokens 5";
    let (long, endless) = ("a".repeat(300), "b".repeat(600));
    let ended = chat(&sandbox, limit, &format!("{long}\n{long}\n{endless}\nHello\n")).success();
    for part in [
        "its first 2 messages are forgotten",
        "not asked: this message makes 604 tokens, and the model reads 512",
    ] {
        assert!(ended.messages.contains(part), "{}", ended.messages);
    }
    let first = answer_to(&sandbox, &[("user", &long)], limit);
    let last = [("user", long.as_str()), ("assistant", completion(&first)), ("user", "Hello")];
    let last = answer_to(&sandbox, &last, limit);
    assert_eq!(ended.out, [&first, &first, &last].map(printed).concat());
}

/// What is answered in a conversation is cut at a stop string before anything of it is seen.
#[test]
fn a_stop_string_ends_an_answer_of_a_conversation() {
    let sandbox = Sandbox::new();
    let whole = answer_to(&sandbox, &[("user", "Hello")], "--max-new-tokens 40");
    let text: Vec<char> = completion(&whole).chars().collect();
    let is_plain = |pair: &[char]| pair.iter().all(char::is_ascii_graphic);
    let at = text.windows(2).skip(3).position(is_plain).unwrap() + 3;
    let stop: String = text[at..at + 2].iter().collect();
    let stopped = answer_to(&sandbox, &[("user", "Hello")], &format!("--max-new-tokens 40 --stop={stop}"));
    assert!(completion(&whole).starts_with(&format!("{}{stop}", completion(&stopped))));
    let ended = chat(&sandbox, &format!("--max-new-tokens 40 --stop={stop}"), "Hello\n").success();
    assert_eq!(ended.out, printed(&stopped));
}

/// Two folders of one name, one of them trained; what is written says what `dpo generate` says of each.
#[test]
fn models_are_compared_side_by_side() {
    let sandbox = Sandbox::new();
    let trained = sandbox.train("run", &tiny("--max-steps 3 --learning-rate 1e-2")).model();
    let hostile = "</style><script>alert(\"x\")</script> & 'y' \u{202e}z\u{7}";
    let common =
        ["--prompt", hostile, "Hello", "--max-new-tokens", "20", "--temperature", "1", "--seed", "4"];
    let out = sandbox.path("out");
    let mut args = paths([("--model", &chat_model()), ("--model", &trained), ("--out", &out)]);
    args.extend(common.map(OsString::from));
    sandbox.run("compare", &args).success();
    let rows = json_lines(&std::fs::read_to_string(out.join("compare.jsonl")).unwrap());
    assert_eq!(rows.iter().map(|row| &row["prompt"]).collect::<Vec<_>>(), [hostile, "Hello"]);
    for (idx, model) in [chat_model(), trained].iter().enumerate() {
        let alone = answers(&sandbox, model, &common);
        for (row, alone) in rows.iter().zip(&alone) {
            let answer = &row["answers"][idx];
            assert_eq!(answer["model"], model.to_str().unwrap());
            assert_eq!((&answer["completion"], &answer["tokens"]), (&alone["completion"], &alone["tokens"]));
        }
    }
    assert_ne!(rows[1]["answers"][0]["completion"], rows[1]["answers"][1]["completion"]);
    let page = std::fs::read_to_string(out.join("compare.html")).unwrap();
    let (_, body) = page.split_once("</style>").unwrap();
    assert!(!body.contains("<script") && !body.contains("</style") && !body.contains(['\u{202e}', '\u{7}']));
    let escaped =
        "&lt;/style&gt;&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &#39;y&#39; \u{fffd}z\u{fffd}";
    for part in
        [escaped, "runs/model <small>20 tokens, cut off", "run/model <small>20 tokens, cut off", "<mark>"]
    {
        assert!(page.contains(part), "{part}");
    }
    let again = sandbox.run("compare", &args);
    assert_eq!(again.code, Some(1));
    assert!(again.messages.contains("compare.jsonl is there already"), "{}", again.messages);
}

/// An adapter's folder stands for its base with the adapter; without a folder to write to, the terminal gets it.
#[test]
fn an_adapter_is_compared_with_its_base() {
    let sandbox = Sandbox::new();
    let adapter = sandbox.train("run", &tiny("--max-steps 3 --lora-rank 4 --learning-rate 1e-1")).model();
    let mut args = paths([("--model", &chat_model()), ("--model", &adapter)]);
    args.extend(flags("--prompt Hello --max-new-tokens 10 --plain"));
    let ended = sandbox.run("compare", &args).success();
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines[0], "» Hello");
    let titles = "runs/model (10 tokens, cut off)                    run/model (10 tokens, cut off)";
    assert_eq!(lines[1], titles);
    assert!(lines.len() > 2, "{}", ended.out);
}

#[test]
fn mistakes_are_named_with_what_to_do() {
    let sandbox = Sandbox::new();
    sandbox.file("system.jsonl", "{\"prompt\": [{\"role\": \"system\", \"content\": \"x\"}]}\n");
    sandbox.file("words.txt", "t1\n");
    let (chat, words) = (chat_model(), words());
    let (chat, words) = (chat.display(), words.display());
    let cases = [
        (format!("generate --model {chat} --chat --json"), 2, "--json does nothing with --chat"),
        (format!("generate --model {chat} --chat --prompt a"), 2, "--prompt does nothing with --chat"),
        (
            format!("generate --model {chat} --chat --prompts words.txt"),
            2,
            "--prompts does nothing with --chat",
        ),
        (format!("generate --model {chat} --chat --plain"), 2, "--plain does nothing with --chat"),
        (format!("generate --model {chat} --chat --top-k 3"), 2, "--top-k does nothing at temperature 0"),
        (
            format!("generate --model {words} --chat"),
            1,
            "no chat template, so this model does not know what a convers",
        ),
        (format!("generate --model {chat} --prompt a --stop="), 2, "a value is required for '--stop <TEXT>'"),
        (
            format!("generate --model {chat} --prompt a --plain --system b"),
            2,
            "--system does nothing with --plain",
        ),
        (format!("generate --model {words} --prompt t1 --system b"), 1, "--system: no chat template in "),
        (
            format!("generate --model {chat} --prompts system.jsonl --system b"),
            1,
            "system.jsonl:1: a system message of its own, beside --system",
        ),
        (
            format!("compare --model {chat} --prompt a"),
            2,
            "one model compares with nothing; give --model twice",
        ),
        (format!("compare --model {chat} --model {chat} --prompt a"), 2, "is there twice"),
        (format!("compare --model {chat} --model {words}"), 2, "no prompt; give --prompt TEXT"),
        (format!("compare --model {chat} --model absent/model --prompt t1"), 1, "absent/model"),
        (
            format!("compare --model {chat} --model {words} --prompt t1 --system b"),
            1,
            "--system: no chat template",
        ),
        (format!("compare --model {chat} --model {words} --prompt t1 --seed 3"), 2, "--seed does nothing"),
    ];
    for (text, code, part) in cases {
        let (command, text) = text.split_once(' ').unwrap();
        let ended = sandbox.run(command, &flags(text));
        assert_eq!(ended.code, Some(code), "{text}: {}", ended.messages);
        assert!(ended.messages.contains(part), "{text}: {}", ended.messages);
        assert_eq!(ended.out, "", "{text}");
    }
    let ended = run_with_input(&sandbox, &flags(&format!("--model {chat} --chat")), b"caf\xe9\n");
    assert_eq!(ended.code, Some(1));
    assert!(ended.messages.contains("standard input: byte 4 is not UTF-8"), "{}", ended.messages);
}
