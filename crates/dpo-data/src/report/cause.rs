//! Why rows were dropped, changed or worth a look.

use serde::Serialize;

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It is not trained on.
    Dropped,
    /// It is trained on, but not as it was written.
    Changed,
    /// It is trained on as it was written; worth a look.
    Noted,
    /// It is not of this set, but of another one that was asked for.
    SetAside,
}

/// Why a row was dropped, changed or worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// Chosen and rejected are the same.
    IdenticalSides,
    /// A completion has no text.
    EmptyCompletion,
    /// Chosen and rejected answer different prompts.
    DifferingPrompts,
    /// A conversation does not end with an assistant turn, so there is nothing to train on.
    MissingAnswerTurn,
    /// The prompt leaves no room for a completion.
    PromptTooLong,
    /// The row is longer than the limit and overlong rows are dropped.
    Overlong,
    /// The start of the prompt was cut to fit the limit.
    PromptCut,
    /// The end of a completion was cut to fit the limit.
    CompletionCut,
    /// A token straddles prompt and completion, so the end of the prompt belongs to the completions.
    BoundaryStraddle,
    /// Chosen and rejected differ in spaces and line breaks only.
    DifferInSpaceOnly,
    /// The prompt has no text.
    BlankPrompt,
    /// The prompt column says something else than the conversations do; these were taken.
    PromptColumnDiffers,
    /// A completion has turns of others between the assistant's, and they are trained on too.
    TurnsInCompletion,
    /// Chosen and rejected both start with the prompt again.
    PromptRepeated,
    /// Turns of one speaker in a row were joined into one.
    TurnsJoined,
    /// A text has a NUL character.
    NulCharacter,
    /// A text has a special token of the tokenizer written out.
    SpecialTokenInText,
    /// The prompt has no tokens, so that nothing predicts the first one of a completion.
    UnscoredFirstToken,
    /// Chosen and rejected are the same tokens, if perhaps not the same text.
    SameTokens,
    /// It is of another group than the one that was asked for.
    OtherGroup,
    /// It is of no group, and one was asked for.
    NoGroup,
    /// Its prompt was drawn to be held out of training.
    HeldOut,
    /// Its prompt was not drawn to be held out, and the held-out rows were asked for.
    NotHeldOut,
    /// More people prefer the rejected completion, so that the sides were swapped.
    SidesSwapped,
    /// A completion is a number or a truth value, and was read as the text of it.
    ReadAsText,
    /// Completions as good as another one of the list were left out.
    TiesLeftOut,
    /// Replies without a rank were left out of the list.
    UnrankedLeftOut,
    /// A list was made into pairs.
    MadeIntoPairs,
    /// A pair was made into a desirable and an undesirable completion.
    Unpaired,
    /// A row was made for each annotator's vote.
    MadeIntoVotes,
    /// An annotator prefers neither completion.
    TieVote,
    /// A row for each annotator's vote was asked for, and nobody voted.
    NoVote,
    /// There are no two completions of different rank.
    NothingRanked,
    /// A list has the same completion twice.
    RepeatedCompletion,
    /// Neither completion is preferred, and the loss needs one that is.
    Tied,
    /// The loss needs scores, and the row has none.
    NoGap,
    /// The loss needs a better score for the chosen completion, and it is not better.
    NoWinner,
    /// A completion that is said to be worse has the higher score.
    ScoresDisagree,
}

impl Cause {
    /// What it does to the row.
    pub fn effect(self) -> Effect {
        match self {
            Self::IdenticalSides
            | Self::EmptyCompletion
            | Self::DifferingPrompts
            | Self::MissingAnswerTurn
            | Self::PromptTooLong
            | Self::Overlong
            | Self::NothingRanked
            | Self::RepeatedCompletion
            | Self::Tied
            | Self::NoGap
            | Self::NoWinner
            | Self::NoVote => Effect::Dropped,
            Self::PromptCut
            | Self::CompletionCut
            | Self::TurnsJoined
            | Self::SidesSwapped
            | Self::ReadAsText
            | Self::TiesLeftOut
            | Self::UnrankedLeftOut
            | Self::MadeIntoPairs
            | Self::MadeIntoVotes
            | Self::Unpaired => Effect::Changed,
            Self::BoundaryStraddle
            | Self::DifferInSpaceOnly
            | Self::BlankPrompt
            | Self::PromptColumnDiffers
            | Self::TurnsInCompletion
            | Self::PromptRepeated
            | Self::NulCharacter
            | Self::SpecialTokenInText
            | Self::UnscoredFirstToken
            | Self::SameTokens
            | Self::ScoresDisagree
            | Self::TieVote => Effect::Noted,
            Self::OtherGroup | Self::NoGroup | Self::HeldOut | Self::NotHeldOut => Effect::SetAside,
        }
    }

    /// A phrase for people, to follow the number of rows.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::IdenticalSides => "chosen and rejected are the same",
            Self::EmptyCompletion => "a completion has no text",
            Self::DifferingPrompts => "chosen and rejected answer different prompts",
            Self::MissingAnswerTurn => "the conversation does not end with an assistant turn",
            Self::PromptTooLong => "the prompt leaves no room for a completion",
            Self::Overlong => "longer than the limit",
            Self::PromptCut => "the start of the prompt was cut to fit the limit",
            Self::CompletionCut => "the end of a completion was cut to fit the limit",
            Self::BoundaryStraddle => {
                "a token straddles prompt and completion; it is trained on with the completions"
            }
            Self::DifferInSpaceOnly => "chosen and rejected differ in spaces and line breaks only",
            Self::BlankPrompt => "the prompt has no text",
            Self::PromptColumnDiffers => {
                "the prompt column differs from the conversations; the conversations were taken"
            }
            Self::TurnsInCompletion => {
                "a completion has turns of others between the assistant's; they are trained on too"
            }
            Self::PromptRepeated => "chosen and rejected both start with the prompt again",
            Self::TurnsJoined => "turns of one speaker in a row were joined into one",
            Self::NulCharacter => "a text has a NUL character",
            Self::SpecialTokenInText => "a special token of the tokenizer is written out in a text",
            Self::UnscoredFirstToken => {
                "the prompt has no tokens; the first token of each completion is not scored"
            }
            Self::SameTokens => "chosen and rejected are the same tokens; nothing is learnt from them",
            Self::OtherGroup => "of another group",
            Self::NoGroup => "of no group",
            Self::HeldOut => "held out by their prompt",
            Self::NotHeldOut => "not held out, but trained on",
            Self::SidesSwapped => "more votes for the rejected side; the sides were swapped",
            Self::ReadAsText => "a completion is a number or a truth value; its text was taken",
            Self::TiesLeftOut => "completions as good as another of their list were left out",
            Self::UnrankedLeftOut => "replies without a rank were left out of the list",
            Self::MadeIntoPairs => "a list was made into pairs",
            Self::Unpaired => "a pair was made into a desirable and an undesirable completion",
            Self::MadeIntoVotes => "a row was made for each annotator's vote",
            Self::TieVote => "an annotator prefers neither completion",
            Self::NoVote => "no annotator voted",
            Self::NothingRanked => "no two completions of different rank",
            Self::RepeatedCompletion => "a list has the same completion twice",
            Self::Tied => "neither completion is preferred",
            Self::NoGap => "no scores",
            Self::NoWinner => "the chosen completion has no better score",
            Self::ScoresDisagree => "a worse completion has the higher score",
        }
    }
}

impl Effect {
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Changed => "changed",
            Self::Noted => "noted",
            Self::SetAside => "set aside",
        }
    }
}
