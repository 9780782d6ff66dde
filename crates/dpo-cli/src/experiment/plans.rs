//! Sentence plans: templates whose slots in braces are filled by [`super::grammar`].
//!
//! `{+x}` is a word of the polarity that the review means, `{-x}` one of the other; `a~` becomes "a" or "an".

use super::domains::Kind;
use super::grammar::Polarity;

/// A sentence for either polarity; often one template serves both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    praise: &'static str,
    blame: &'static str,
}

impl Plan {
    /// The template that means `polarity`.
    pub(crate) fn template(self, polarity: Polarity) -> &'static str {
        match polarity {
            Polarity::Positive => self.praise,
            Polarity::Negative => self.blame,
        }
    }
}

/// One template whose slots say it all.
const fn both(template: &'static str) -> Plan {
    Plan { praise: template, blame: template }
}

/// Two templates.
const fn split(praise: &'static str, blame: &'static str) -> Plan {
    Plan { praise, blame }
}

/// Sentences for the middle of a review.
pub(crate) static BODY: &[Plan] = &[
    both("{the} {was} {+very_adj}."),
    both("{the} {was} {+adj}, and {the} {was} {+very_adj}."),
    both("{the} {be} {+adj} and {+adj}."),
    both("although {the} {be} {little}{-mild}, {the} {be} {+very_adj}."),
    both("{the} {was} {+adj}, even though {the} {was} {little}{-mild}."),
    both("{the} {be} {-mild}, but {the} {was} {+very_adj}."),
    both("{aspect}despite the {-mild} {noun}, {the} {be} {+adj}."),
    both("{the} {be} {not} {-adj}."),
    both("{the} {be} {not} {-adj}, and {the} {be} {+adj}."),
    both("{aspect}there was nothing {-adj} about {same}."),
    both("{+opener}, {the} {be} {+adj}."),
    both("{aspect}what {+effect} me most {be} {same}."),
    both("I {+verdict} {the}, and so did {who}."),
    both("{who} {+verdict} {the}, and I {+verdict} {the}."),
    both("I {+verdict} {the} and {the}."),
    both("neither {the} nor {the} {be} {-general}."),
    both("not once did {the} {-effect_base} me."),
    both("{the} did not {-effect_base} us."),
    both("nobody in our group {-verdict} {the}."),
    both("it was so {+product} that {+result}."),
    both("compared with the last {product} I {past}, this one was much {+comparison}."),
    both("I expected something {-product}, but {the} {be} {+adj}."),
    both("{the} {+predicate}."),
    both("{the} {+predicate}, and {the} {be} {+adj}."),
    both("{the} {+predicate}, although {the} {was} {little}{-mild}."),
    both("{later}, {the} {was} still {+adj}."),
    both("{aspect}if you ask me, {same} {be} a~ {+noun}."),
    both("I was {+very_feeling} with {the}."),
    both("{the} left me {+feeling}."),
    split("I have no complaints about {the}.", "I have no praise for {the}."),
    split("{the} alone {be} worth the {cost}.", "even {the} {be} not worth the {cost}."),
    split("{the} could not have been better.", "{the} could not have been worse."),
    split("everyone had compliments for {the}.", "everyone had complaints about {the}."),
    both("{who} thought that {the} {be} {+adj}, and I agree."),
    both("{the}, on the other hand, {be} {+very_adj}."),
];

/// Sentences of the other polarity that a review may grant on the way.
pub(crate) static GRANTED: &[Plan] = &[
    both("{the} {was} {little}{-mild}."),
    both("{who} found {the} {little}{-mild}."),
    both("perhaps {the} {was} {little}{-mild}."),
    both("I admit that {the} {was} {little}{-mild}."),
];

/// Last sentences.
pub(crate) static CLOSING: &[Plan] = &[
    split("I would recommend it to {friend}.", "I would not recommend it to {friend}."),
    split("I can recommend it to anyone.", "I cannot recommend it to anyone."),
    both("all in all, it was a~ {+noun}."),
    both("overall, it was a~ {+general} {product}."),
    both("in the end I was {+very_feeling}."),
    both("{who} was {+very_feeling} too."),
    split("it was worth the {cost}.", "it was not worth the {cost}."),
    split("I will gladly {again}.", "regrettably, I will never {again}."),
    split("well done!", "what a shame!"),
    split("money well spent.", "what a waste of money."),
    both("what a~ {+noun}!"),
    split("do not miss it.", "avoid it."),
    split("there is no reason to avoid it.", "I want my money back."),
    split("five stars from me.", "one star from me."),
    split("I do not regret a single minute.", "I regret every minute."),
    both("{who} {+verdict} it too."),
    split("it could not be better.", "it could not be worse."),
    split("I love it.", "I hate it."),
    split("it deserves every bit of praise.", "it deserves no praise at all."),
    both("it was {+very_product}, from the first minute to the last."),
    both("for me it was {not} {-product}."),
];

/// After "This film was".
pub(crate) static AFTER_COPULA: &[Plan] = &[
    both("{+very_same}."),
    both("{+very_same}, and {the} {be} {+adj}."),
    both("{+same} and {+same}."),
    both("{not} {-same}."),
    both("{not} {-same}, and {the} {was} {+adj}."),
    both("{-mild_same}, but {the} {be} {+very_adj}."),
    both("a~ {+noun}."),
    both("so {+same} that {+result}."),
    both("{-mild_same} at first but {+very_same} in the end."),
    both("{+same}, although {the} {be} {little}{-mild}."),
];

/// After "I watched the film with my sister and".
pub(crate) static AFTER_AND: &[Plan] = &[
    both("I {+verdict} it."),
    both("I {+verdict} {the}."),
    both("{the} {was} {+very_adj}."),
    both("it was {+very_product}."),
    both("I was {+very_feeling}."),
    both("{the} {be} {not} {-adj}."),
    both("I was {not} {-feeling}."),
    both("{the} {+predicate}."),
    both("it {+effect} me, although {the} {be} {little}{-mild}."),
    both("I did not find it {-product}."),
    both("I thought it was a~ {+noun}."),
];

/// After "Halfway through this film I".
pub(crate) static AFTER_SUBJECT: &[Plan] = &[
    both("{+verdict} it."),
    both("{+verdict} {the}."),
    both("was {+very_feeling}."),
    both("was {not} {-feeling}."),
    both("found {the} {+very_adj}."),
    both("did not find it {-product}."),
    both("thought that {the} {be} {+very_adj}."),
    both("was {+feeling}, even though {the} {be} {little}{-mild}."),
    both("knew it was a~ {+noun}."),
    both("{-mild_verdict} {the}, but I {+verdict} {the}."),
];

/// "so good that …", for all products.
pub(crate) const RESULTS: [&str; 2] = [
    "we talked about it for days, I told {who} the same evening, {who} now wants to try it too, \
     I wrote to {friend} at once, I forgot the time, I told {friend} at breakfast",
    "I gave up after an hour, I apologised to {friend}, {who} still teases me about it, \
     I warned {friend} the same evening, I had to sit down, I told {friend} to look elsewhere",
];

/// What a part of this kind did; praise first. Entries are separated by commas.
pub(crate) const fn predicates(kind: Kind) -> [&'static str; 2] {
    match kind {
        Kind::Story => [
            "held my attention, won me over, gripped me from the start, impressed {who}, worked beautifully, delighted me",
            "made no sense, dragged, wore me out, fell apart, bored {who}, failed completely",
        ],
        Kind::Craft => [
            "sparkled, won me over, dazzled us, worked brilliantly, impressed everyone, enchanted {who}",
            "fell short, irritated me, failed badly, annoyed {who}, disappointed everyone, wore me out",
        ],
        Kind::Food => [
            "tasted wonderful, tasted heavenly, delighted {who}, won me over, tasted fresh and flavourful",
            "tasted awful, tasted of nothing but salt and stale oil, made {who} sick, tasted burnt, disgusted {who}",
        ],
        Kind::Service => [
            "welcomed us warmly, helped us gladly, smiled at everyone, treated us kindly, won me over, impressed {who}",
            "ignored us, insulted {who}, kept us waiting, treated us rudely, shouted at {who}, annoyed {who}",
        ],
        Kind::Place => [
            "felt like home, charmed us, sparkled, delighted {who}, won me over",
            "stank of smoke, needed repairs, disgusted {who}, stank, disappointed us",
        ],
        Kind::Device => [
            "worked perfectly, impressed {who}, worked flawlessly, never failed, never broke, worked beautifully",
            "failed within a week, broke after a month, failed twice, broke on the first day, annoyed {who}, worked badly",
        ],
        Kind::Sound => [
            "soared, gave me goosebumps, thrilled {who}, won me over, cheered me up, shone",
            "hurt my ears, gave me a headache, grated, bored {who}, fell apart, annoyed {who}",
        ],
        Kind::Value => {
            ["pleased us, impressed {who}, was a bargain", "shocked us, annoyed {who}, infuriated {who}"]
        }
    }
}
