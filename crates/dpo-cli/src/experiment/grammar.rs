//! The generator: a seed and a number give a short review, its prompt, and the sentiment it means.

use super::domains::{self, DOMAINS, Ending};
use super::lexicon::{Class, Graded};
use super::plans;
use super::rng::Rng;
use super::writer::{Writer, capitalised};

/// What a review means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polarity {
    /// Praise.
    Positive,
    /// Blame.
    Negative,
}

impl Polarity {
    /// The other one.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Positive => Self::Negative,
            Self::Negative => Self::Positive,
        }
    }

    /// The words of `class` that mean this.
    pub(crate) fn of(self, class: Class) -> Graded {
        match self {
            Self::Positive => class.positive,
            Self::Negative => class.negative,
        }
    }

    /// Praise is written first.
    pub(crate) fn side<T>(self, [praise, blame]: [T; 2]) -> T {
        match self {
            Self::Positive => praise,
            Self::Negative => blame,
        }
    }
}

/// A short review: `prompt` are its first words, which say nothing good or bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Review {
    /// The first words.
    pub(crate) prompt: String,
    /// The rest; it begins with a space.
    pub(crate) completion: String,
    /// What the review means.
    pub(crate) polarity: Polarity,
}

impl Review {
    /// Review number `idx` of the corpus of `seed`; half of all reviews mean praise.
    pub(crate) fn generate(seed: u64, idx: u64) -> Self {
        let mut rng = Rng::new(seed, idx);
        let polarity = if rng.chance(50) { Polarity::Positive } else { Polarity::Negative };
        let (start, opening) = Start::draw(rng);
        start.finish(&opening, polarity)
    }

    /// Another review of corpus `seed` that begins with the words of [`Review::generate`]`(seed, idx)`: what a
    /// model that knows the corpus perfectly would write.
    #[cfg(test)]
    pub(crate) fn retell(seed: u64, idx: u64, telling: u64) -> Self {
        let mut first = Rng::new(seed, idx);
        first.chance(50);
        let (mut start, opening) = Start::draw(first);
        start.writer.rng = Rng::new(seed ^ idx, telling);
        let polarity = if start.writer.rng.chance(50) { Polarity::Positive } else { Polarity::Negative };
        start.finish(&opening, polarity)
    }

    /// The whole text.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.prompt, self.completion)
    }
}

/// A review of which the prompt is written.
struct Start {
    writer: Writer,
    ending: Ending,
}

impl Start {
    fn draw(mut rng: Rng) -> (Self, String) {
        let domain = &DOMAINS[rng.below(DOMAINS.len())];
        let openings = if rng.chance(45) { domains::OPENINGS } else { domain.openings };
        let (template, ending) = openings[rng.below(openings.len())];
        let mut writer = Writer::new(domain, rng);
        let prompt = capitalised(&writer.fill(template));
        (Self { writer, ending }, prompt)
    }

    fn finish(self, prompt: &str, polarity: Polarity) -> Review {
        let mut writer = self.writer;
        writer.polarity = polarity;
        let first = match self.ending {
            Ending::Copula => writer.plan(plans::AFTER_COPULA),
            Ending::And => writer.plan(plans::AFTER_AND),
            Ending::Subject => writer.plan(plans::AFTER_SUBJECT),
            Ending::Sentence => writer.sentence(plans::BODY),
        };
        let mut sentences = vec![first];
        sentences.extend(rest(&mut writer));
        let completion = sentences.iter().fold(String::new(), |text, sentence| text + " " + sentence);
        Review { prompt: prompt.to_owned(), completion, polarity }
    }
}

/// One to three sentences after the first one.
fn rest(writer: &mut Writer) -> Vec<String> {
    let mut sentences = Vec::new();
    let grants = writer.rng.chance(20);
    if grants {
        sentences.push(writer.sentence(plans::GRANTED));
    } else if writer.rng.chance(45) {
        sentences.push(writer.remark());
    }
    // What is granted must not outweigh a faint first sentence.
    if writer.rng.chance(70) || grants || sentences.is_empty() {
        sentences.push(writer.sentence(plans::BODY));
    }
    if writer.rng.chance(70) {
        sentences.push(writer.sentence(plans::CLOSING));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::experiment::reward;

    const N: u64 = 20_000;

    /// What the reward reads is what the generator means, in at least 999 of 1000 reviews; half of them praise.
    #[test]
    fn the_reward_agrees_with_the_intent() {
        let reviews: Vec<Review> = (0..N).map(|idx| Review::generate(1, idx)).collect();
        let is_praise = |review: &&Review| review.polarity == Polarity::Positive;
        let wrong =
            reviews.iter().filter(|review| reward::is_positive(&review.text()) != is_praise(review)).count();
        assert!(wrong as u64 * 1000 <= N, "{wrong} of {N}");
        let praise = reviews.iter().filter(is_praise).count();
        assert!((9700..=10_300).contains(&praise), "{praise}");
    }

    /// A prompt says nothing, and is not the end of anything that negates or grants.
    #[test]
    fn prompts_are_neutral() {
        for idx in 0..N {
            let prompt = Review::generate(1, idx).prompt;
            let rewards = [reward::sentiment(&prompt), reward::sentiment(&format!("{prompt} good"))];
            let good = reward::sentiment("good");
            assert!(rewards[0] == 0.0 && rewards[1].to_bits() == good.to_bits(), "{prompt}: {rewards:?}");
        }
    }

    /// Remarks, names and times carry no sentiment either.
    #[test]
    fn remarks_are_neutral() {
        for domain in &DOMAINS {
            for text in domain.remarks.split('|') {
                assert!(reward::clauses(text).iter().all(|clause| clause.sum == 0.0), "{text}");
            }
            let nouns = domain.aspects.iter().map(|(_, nouns)| *nouns);
            for text in nouns.chain([domain.products, domain.later, domain.again, domain.cost, domain.past]) {
                assert!(reward::clauses(text).iter().all(|clause| clause.sum == 0.0), "{text}");
            }
        }
    }

    /// No slot is left open; the language is rich and reviews differ.
    #[test]
    fn reviews_are_complete_and_varied() {
        let texts: Vec<String> = (0..N).map(|idx| Review::generate(1, idx).text()).collect();
        assert!(texts.iter().all(|text| text.is_ascii() && !text.contains(['{', '}', '~', '|', '+'])));
        assert!(texts.iter().all(|text| !text.contains("  ") && text.ends_with(['.', '!'])));
        let words: HashSet<String> = texts
            .iter()
            .flat_map(|text| text.split(|c: char| !c.is_alphabetic()).map(str::to_ascii_lowercase))
            .collect();
        let distinct: HashSet<&String> = texts.iter().collect();
        assert!(
            words.len() > 500 && distinct.len() as u64 * 100 > N * 99,
            "{} {}",
            words.len(),
            distinct.len()
        );
    }

    /// The first review of seed 1, for ever: a change here changes every asset.
    #[test]
    fn the_generator_is_pinned() {
        let review = Review::generate(1, 0);
        assert_eq!(Review::generate(1, 0), review);
        assert_eq!(
            review.text(),
            "My uncle took me to see this comedy during the holidays. Despite the heartfelt dialogues, the script was awful. Not once did the plot convince me. I regret every minute."
        );
    }

    #[test]
    fn a_retelling_keeps_the_prompt() {
        let (first, again) = (Review::generate(4, 7), Review::retell(4, 7, 1));
        assert_eq!(first.prompt, again.prompt);
        assert_ne!(first.completion, again.completion);
        assert_ne!(again, Review::retell(4, 7, 2));
    }
}
