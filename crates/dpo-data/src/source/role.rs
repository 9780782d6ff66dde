//! What columns can be, and what they are usually called.

/// What a column may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Prompt,
    Chosen,
    Rejected,
    Completion,
    Messages,
    Text,
    System,
    Input,
    History,
    Weight,
    Group,
    Tools,
    TemplateKwargs,
    ScoreChosen,
    ScoreRejected,
    Margin,
    Votes,
    Annotators,
    Tie,
    Label,
    First,
    Second,
    Verdict,
    Completions,
    Ranks,
    Scores,
    Tree,
}

impl Role {
    /// Its name in reports, and in `columns` where it has a key there.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Chosen => "chosen",
            Self::Rejected => "rejected",
            Self::Completion => "completion",
            Self::Messages => "messages",
            Self::Text => "text",
            Self::System => "system",
            Self::Input => "input",
            Self::History => "history",
            Self::Weight => "weight",
            Self::Group => "group",
            Self::Tools => "tools",
            Self::TemplateKwargs => "chat_template_kwargs",
            Self::ScoreChosen => "score_chosen",
            Self::ScoreRejected => "score_rejected",
            Self::Margin => "margin",
            Self::Votes => "votes",
            Self::Annotators => "annotators",
            Self::Tie => "tie",
            Self::Label => "label",
            Self::First => "first",
            Self::Second => "second",
            Self::Verdict => "verdict",
            Self::Completions => "completions",
            Self::Ranks => "ranks",
            Self::Scores => "scores",
            Self::Tree => "tree",
        }
    }

    /// Usual names; of several in a row, the first is taken.
    pub(super) fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Prompt => &[
                "prompt",
                "instruction",
                "question",
                "query",
                "conversations",
                "conversation",
                "messages",
                "input",
            ],
            Self::Chosen => &[
                "chosen",
                "chosen_response",
                "response_chosen",
                "preferred_output",
                "preferred",
                "response_j",
            ],
            Self::Rejected => &[
                "rejected",
                "rejected_response",
                "response_rejected",
                "non_preferred_output",
                "non_preferred",
                "response_k",
            ],
            Self::Completion => &["completion", "response", "output", "answer"],
            Self::Messages => &["messages", "conversations", "conversation"],
            Self::Text => &["text"],
            Self::System => &["system", "system_prompt"],
            Self::Input => &["input"],
            Self::History => &["history"],
            Self::Weight => &["weight"],
            Self::Group | Self::Annotators => &[],
            Self::Tools => &["tools"],
            Self::TemplateKwargs => &["chat_template_kwargs"],
            Self::ScoreChosen => {
                &["score_chosen", "chosen_score", "chosen_rating", "rating_chosen", "chosen-rating"]
            }
            Self::ScoreRejected => {
                &["score_rejected", "rejected_score", "rejected_rating", "rating_rejected", "rejected-rating"]
            }
            Self::Margin => &["margin"],
            Self::Votes => &["votes"],
            Self::Tie => &["tie", "is_tie"],
            Self::Label => &["label"],
            Self::First => {
                &["response1", "response_1", "response_a", "completion_a", "answer_a", "conversation_a"]
            }
            Self::Second => {
                &["response2", "response_2", "response_b", "completion_b", "answer_b", "conversation_b"]
            }
            Self::Verdict => &["winner", "preference"],
            Self::Completions => &["completions", "responses", "answers", "candidates"],
            Self::Ranks => &["ranks", "rank"],
            Self::Scores => &["scores", "ratings"],
            Self::Tree => &["message_tree_id"],
        }
    }

    pub(super) const ALL: [Self; 27] = [
        Self::Prompt,
        Self::Chosen,
        Self::Rejected,
        Self::Completion,
        Self::Messages,
        Self::Text,
        Self::System,
        Self::Input,
        Self::History,
        Self::Weight,
        Self::Group,
        Self::Tools,
        Self::TemplateKwargs,
        Self::ScoreChosen,
        Self::ScoreRejected,
        Self::Margin,
        Self::Votes,
        Self::Annotators,
        Self::Tie,
        Self::Label,
        Self::First,
        Self::Second,
        Self::Verdict,
        Self::Completions,
        Self::Ranks,
        Self::Scores,
        Self::Tree,
    ];
}

/// `annotator1`, `annotator_2` and so on.
pub(super) fn is_annotator(name: &str) -> bool {
    let number = name.strip_prefix("annotator").map(|rest| rest.strip_prefix('_').unwrap_or(rest));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
