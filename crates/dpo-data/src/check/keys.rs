//! Rows as 128 bits for each text, to be compared by the hundred thousand.

use std::borrow::Cow;

use blake3::Hasher;

use crate::{Label, PreferenceExample, Relation, RowId, Text, TokenTree};

/// 128 bits of BLAKE3: two different texts do not meet there.
pub(super) type Key = u128;

/// What of a row is compared with other rows.
#[derive(Debug, Clone)]
pub(super) struct Compared {
    /// Where it was read.
    pub(super) row: RowId,
    /// Whose it is.
    pub(super) group: Option<Key>,
    /// What it says is better than what.
    pub(super) verdicts: Vec<Verdict>,
    /// All that it says, to the letter: prompt, completions, verdict, whose it is.
    pub(super) whole: Key,
    /// The prompt with what the chat template is told beside it; white space counts as one space. `None` if it is blank.
    pub(super) prompt: Option<Key>,
    /// The completions; white space counts as one space.
    pub(super) completions: Vec<Key>,
}

impl Compared {
    pub(super) fn of_example(example: &PreferenceExample) -> Self {
        let completions: Vec<Key> = example.completions.iter().map(text_key).collect();
        let is_blank = pieces(&example.prompt).iter().all(|piece| piece.trim().is_empty());
        Self {
            row: example.row,
            group: example.group.as_deref().map(name_key),
            verdicts: verdicts(&example.relation, &completions),
            whole: whole_key(example),
            prompt: (!is_blank).then(|| prompt_key(example)),
            completions,
        }
    }

    /// A row of tokens: what they spell is the same where they are.
    pub(super) fn of_tree(tree: &TokenTree) -> Self {
        let completions: Vec<Key> = tree.completions.iter().map(|completion| ids_key(completion)).collect();
        let mut whole = Hasher::new();
        add_ids(&mut whole, &tree.prompt);
        tree.completions.iter().for_each(|completion| add_ids(&mut whole, completion));
        part(&mut whole, tree.group.as_deref().unwrap_or_default());
        part(&mut whole, &serde_json::to_string(&tree.relation).unwrap_or_default());
        Self {
            row: tree.row,
            group: tree.group.as_deref().map(name_key),
            verdicts: verdicts(&tree.relation, &completions),
            whole: finish(&whole),
            prompt: (!tree.prompt.is_empty()).then(|| ids_key(&tree.prompt)),
            completions,
        }
    }
}

/// That the first is better than the second.
pub(super) type Verdict = (Key, Key);

/// What stands between good and bad completions of a prompt: better than every bad one, worse than every good one.
const MEDIOCRE: Key = Key::MAX;

/// What a row says is better than what: of a list each two of different rank, of a label the completion or what is
/// mediocre. Ties and even votes say nothing.
fn verdicts(relation: &Relation, completions: &[Key]) -> Vec<Verdict> {
    if let (Relation::Label(label), [completion]) = (relation, completions) {
        return match label {
            Label::Desirable => vec![(*completion, MEDIOCRE)],
            Label::Undesirable => vec![(MEDIOCRE, *completion)],
        };
    }
    let pairs = relation.preferences().into_iter();
    let keys =
        pairs.filter_map(|(better, worse)| Some((*completions.get(better)?, *completions.get(worse)?)));
    keys.filter(|(better, worse)| better != worse).collect()
}

pub(super) fn ids_key(ids: &[u32]) -> Key {
    let mut hasher = Hasher::new();
    add_ids(&mut hasher, ids);
    finish(&hasher)
}

fn add_ids(hasher: &mut Hasher, ids: &[u32]) {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
}

fn prompt_key(example: &PreferenceExample) -> Key {
    let mut hasher = Hasher::new();
    add(&mut hasher, &example.prompt, Spaces::Joined);
    add_kwargs(&mut hasher, example);
    finish(&hasher)
}

fn whole_key(example: &PreferenceExample) -> Key {
    let mut hasher = Hasher::new();
    add(&mut hasher, &example.prompt, Spaces::Kept);
    example.completions.iter().for_each(|completion| add(&mut hasher, completion, Spaces::Kept));
    add_kwargs(&mut hasher, example);
    part(&mut hasher, example.group.as_deref().unwrap_or_default());
    part(&mut hasher, &serde_json::to_string(&example.relation).unwrap_or_default());
    finish(&hasher)
}

fn name_key(name: &str) -> Key {
    let mut hasher = Hasher::new();
    part(&mut hasher, name);
    finish(&hasher)
}

fn text_key(text: &Text) -> Key {
    let mut hasher = Hasher::new();
    add(&mut hasher, text, Spaces::Joined);
    finish(&hasher)
}

fn finish(hasher: &Hasher) -> Key {
    u128::from_le_bytes(hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default())
}

/// Each part goes in behind its length, so that no two texts look alike.
fn part(hasher: &mut Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
}

/// What becomes of white space before texts are compared.
#[derive(Debug, Clone, Copy)]
enum Spaces {
    /// It counts as it is.
    Kept,
    /// It counts as one space between words.
    Joined,
}

fn add(hasher: &mut Hasher, text: &Text, spaces: Spaces) {
    match text {
        Text::Plain(text) => part(hasher, &spaces.written(text)),
        Text::Messages(turns) => turns.iter().for_each(|turn| {
            part(hasher, &turn.role);
            part(hasher, &spaces.written(&turn.content));
            if !turn.extra.is_empty() {
                part(hasher, &serde_json::to_string(&turn.extra).unwrap_or_default());
            }
        }),
    }
}

fn add_kwargs(hasher: &mut Hasher, example: &PreferenceExample) {
    if !example.template_kwargs.is_empty() {
        part(hasher, &serde_json::to_string(&example.template_kwargs).unwrap_or_default());
    }
}

impl Spaces {
    fn written(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Kept => Cow::Borrowed(text),
            Self::Joined => {
                let mut joined = String::with_capacity(text.len());
                for word in text.split_whitespace() {
                    if !joined.is_empty() {
                        joined.push(' ');
                    }
                    joined.push_str(word);
                }
                Cow::Owned(joined)
            }
        }
    }
}

/// What was said, turn after turn.
pub(super) fn pieces(text: &Text) -> Vec<&str> {
    match text {
        Text::Plain(text) => vec![text],
        Text::Messages(turns) => turns.iter().map(|turn| turn.content.as_str()).collect(),
    }
}
