//! The ways that judgments are put to use.

use serde_json::Value;

use super::{Study, judgments::Pool};

/// One way to learn from the judgments of a study.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arm {
    pub(super) name: &'static str,
    /// Below `[loss]`.
    pub(super) loss: &'static str,
    /// Below `[data]`.
    pub(super) data: &'static str,
    /// Rows of a step: as many as let 32 completions through the model.
    pub(super) batch_size: usize,
    make: fn(&Pool, u64) -> Vec<Value>,
}

impl Arm {
    const fn pairs(name: &'static str, loss: &'static str, make: fn(&Pool, u64) -> Vec<Value>) -> Self {
        Self { name, loss, data: "", batch_size: 16, make }
    }

    /// What it trains on.
    pub(super) fn rows(&self, pool: &Pool, seed: u64) -> Vec<Value> {
        (self.make)(pool, seed)
    }
}

const DPO: &str = "kind = \"sigmoid\"";

impl Study {
    /// Of its files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Graded => "graded",
            Self::Votes => "votes",
            Self::Flips => "flips",
            Self::Contrast => "contrast",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Graded => "The same rankings, as lists and as pairs",
            Self::Votes => "Five annotators who disagree",
            Self::Flips => "A fifth of the labels flipped",
            Self::Contrast => "What an excellent answer is compared with",
        }
    }

    pub(super) fn arms(self) -> Vec<Arm> {
        match self {
            Self::Graded => vec![
                Arm {
                    name: "lists, plackett_luce",
                    loss: "kind = \"plackett_luce\"",
                    data: "",
                    batch_size: 8,
                    make: Pool::ranked,
                },
                Arm {
                    name: "graded lists, lipo",
                    loss: "kind = \"lipo\"",
                    data: "",
                    batch_size: 8,
                    make: Pool::graded,
                },
                Arm {
                    name: "all pairs with scores, odpo",
                    loss: "kind = \"odpo\"",
                    data: "pairs = \"all\"",
                    batch_size: 16,
                    make: Pool::scored,
                },
                Arm {
                    name: "all pairs, DPO",
                    loss: DPO,
                    data: "pairs = \"all\"",
                    batch_size: 16,
                    make: Pool::ranked,
                },
                Arm {
                    name: "best and worst, DPO",
                    loss: DPO,
                    data: "pairs = \"best-worst\"",
                    batch_size: 16,
                    make: Pool::ranked,
                },
            ],
            Self::Votes => vec![
                Arm::pairs("shares of votes, soft_label", "kind = \"soft_label\"", Pool::voted),
                Arm::pairs("the majority, DPO", DPO, Pool::majority),
                Arm::pairs("one annotator, DPO", DPO, Pool::one_voice),
            ],
            Self::Flips => vec![
                Arm::pairs("robust, 0.2", "kind = \"robust\"\nlabel_smoothing = 0.2", Pool::flipped),
                Arm::pairs("conservative, 0.2", "kind = \"sigmoid\"\nlabel_smoothing = 0.2", Pool::flipped),
                Arm::pairs("DPO", DPO, Pool::flipped),
                Arm::pairs("DPO without flips", DPO, Pool::unflipped),
            ],
            Self::Contrast => vec![
                Arm::pairs("excellent and poor", DPO, Pool::excellent_and_poor),
                Arm::pairs("excellent and mediocre", DPO, Pool::excellent_and_mediocre),
            ],
        }
    }
}
