//! Fills the slots of a template, and remembers what the review has spoken of.

use super::domains::{self, Domain, Kind};
use super::grammar::Polarity;
use super::lexicon::{self, Class};
use super::plans::{self, Plan};
use super::rng::Rng;

/// A part of the product, and which words fit it.
#[derive(Debug, Clone, Copy)]
struct Aspect {
    noun: &'static str,
    plural: bool,
    kind: Kind,
}

/// Fills templates: the state is what the review has spoken of.
pub(crate) struct Writer {
    /// Where its choices come from.
    pub(crate) rng: Rng,
    domain: &'static Domain,
    product: &'static str,
    /// What was named last; verbs and adjectives agree with it.
    aspect: Aspect,
    /// Nouns and adjectives that are spent: a review does not repeat itself.
    used: Vec<&'static str>,
    /// What it means to say.
    pub(crate) polarity: Polarity,
}

impl Writer {
    /// A writer about one product of `domain`, which is also what its first adjectives are about.
    pub(crate) fn new(domain: &'static Domain, mut rng: Rng) -> Self {
        let product = pick(domain.products, &mut rng);
        let aspect = Aspect { noun: product, plural: false, kind: domain.kind };
        // No slot of an opening asks for the polarity.
        Self { rng, domain, product, aspect, used: Vec::new(), polarity: Polarity::Positive }
    }

    /// A neutral sentence about the product.
    pub(crate) fn remark(&mut self) -> String {
        let remarks: Vec<&str> = self.domain.remarks.split('|').collect();
        let remark = remarks[self.rng.below(remarks.len())];
        capitalised(&self.fill(remark.trim()))
    }

    /// One of `plans` as a sentence.
    pub(crate) fn sentence(&mut self, plans: &[Plan]) -> String {
        capitalised(&self.plan(plans))
    }

    /// One of `plans`, to go on with a sentence.
    pub(crate) fn plan(&mut self, plans: &[Plan]) -> String {
        let plan = plans[self.rng.below(plans.len())];
        self.fill(plan.template(self.polarity))
    }

    /// Replaces every `{slot}`, then every `a~`.
    pub(crate) fn fill(&mut self, template: &str) -> String {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (slot, after) = after.split_once('}').unwrap_or((after, ""));
            text.push_str(before);
            text.push_str(&self.slot(slot));
            rest = after;
        }
        text.push_str(rest);
        with_articles(&text)
    }

    fn slot(&mut self, slot: &str) -> String {
        if let Some(name) = slot.strip_prefix('+') {
            return self.sentiment(name, self.polarity);
        }
        if let Some(name) = slot.strip_prefix('-') {
            return self.sentiment(name, self.polarity.flipped());
        }
        match slot {
            "product" => self.product.to_owned(),
            "aspect" => {
                self.name_aspect();
                String::new()
            }
            "same" => format!("the {}", self.aspect.noun),
            "the" => format!("the {}", self.name_aspect()),
            "noun" => self.aspect.noun.to_owned(),
            "was" => self.linking_verb(),
            "be" => self.number(["was", "were"]),
            "little" if self.rng.chance(50) => String::new(),
            "little" => {
                // What is granted is of the other polarity: blame fits in a positive review.
                let downtoners = self.polarity.side([lexicon::DOWNTONERS, lexicon::FAINT_PRAISE]);
                pick(downtoners, &mut self.rng).to_owned() + " "
            }
            "not" => pick("not, not, not, never, hardly, far from, anything but, by no means", &mut self.rng)
                .to_owned(),
            "first" => self.domain.first.to_owned(),
            "past" => self.domain.past.to_owned(),
            "again" => self.domain.again.to_owned(),
            "cost" => pick(self.domain.cost, &mut self.rng).to_owned(),
            "later" => pick(self.domain.later, &mut self.rng).to_owned(),
            "friend" => pick(domains::FRIENDS, &mut self.rng).to_owned(),
            "who" => pick(domains::PEOPLE, &mut self.rng).to_owned(),
            "when" => self.fill_one(domains::TIMES),
            "period" => pick(domains::PERIODS, &mut self.rng).to_owned(),
            "month" => pick(domains::MONTHS, &mut self.rng).to_owned(),
            "city" => pick(domains::CITIES, &mut self.rng).to_owned(),
            "dish" => pick(domains::DISHES, &mut self.rng).to_owned(),
            unknown => unreachable!("no slot is called {unknown}: every template is filled by a test"),
        }
    }

    /// A word or phrase of `polarity`.
    fn sentiment(&mut self, name: &str, polarity: Polarity) -> String {
        let own = self.aspect.kind;
        if let Some(name) = name.strip_prefix("very_") {
            let word = self.sentiment(name, polarity);
            return self.intensifier(&word) + &word;
        }
        let class = match name {
            "adj" | "same" => self.adjectives(own),
            "mild" | "mild_same" => return self.mild(self.aspect.kind, polarity),
            "mild_verdict" => return self.fresh(polarity.of(lexicon::VERDICT).mild),
            "product" => self.adjectives(self.domain.kind),
            "general" => lexicon::GENERAL,
            "opener" => lexicon::OPENER,
            "effect" => lexicon::EFFECT,
            "effect_base" => lexicon::EFFECT_BASE,
            "verdict" => lexicon::VERDICT,
            "feeling" => lexicon::FEELING,
            "noun" => lexicon::NOUN,
            "comparison" => lexicon::COMPARISON,
            "result" => return self.fill_one(polarity.side(plans::RESULTS)),
            "predicate" => return self.fill_one(polarity.side(plans::predicates(own))),
            unknown => unreachable!("no sentiment is called {unknown}: every template is filled by a test"),
        };
        let graded = polarity.of(class);
        self.fresh_of(graded.entries().map(|(entry, _)| entry).collect())
    }

    /// Nothing, or in two of five cases an intensifier that goes with `word`.
    fn intensifier(&mut self, word: &str) -> String {
        if self.rng.chance(60) {
            return String::new();
        }
        let intensifiers =
            if lexicon::is_strong(word) { lexicon::SUPERLATIVE_INTENSIFIERS } else { lexicon::INTENSIFIERS };
        pick(intensifiers, &mut self.rng).to_owned() + " "
    }

    /// Adjectives for `kind`: two times in three its own.
    fn adjectives(&mut self, kind: Kind) -> Class {
        if self.rng.chance(65) { kind.adjectives() } else { lexicon::GENERAL }
    }

    fn mild(&mut self, kind: Kind, polarity: Polarity) -> String {
        let list = polarity.of(self.adjectives(kind)).mild;
        self.fresh(list)
    }

    fn fresh(&mut self, list: &'static str) -> String {
        self.fresh_of(lexicon::entries(list).collect())
    }

    /// An entry that this review has not used, if one is left.
    fn fresh_of(&mut self, mut entries: Vec<&'static str>) -> String {
        let all = entries.clone();
        entries.retain(|entry| !self.used.contains(entry));
        let entries = if entries.is_empty() { all } else { entries };
        let entry = entries[self.rng.below(entries.len())];
        self.used.push(entry);
        entry.to_owned()
    }

    /// One entry of a list, with its own slots filled.
    fn fill_one(&mut self, list: &'static str) -> String {
        let entry = pick(list, &mut self.rng);
        self.fill(entry)
    }

    /// Turns to another part of the product.
    fn name_aspect(&mut self) -> &'static str {
        let parts = self.domain.aspects.iter().flat_map(|&(kind, list)| {
            lexicon::entries(list).map(move |entry| {
                let noun = entry.strip_prefix('+').unwrap_or(entry);
                Aspect { noun, plural: noun.len() < entry.len(), kind }
            })
        });
        let fresh: Vec<Aspect> = parts.filter(|part| !self.used.contains(&part.noun)).collect();
        if !fresh.is_empty() {
            self.aspect = fresh[self.rng.below(fresh.len())];
            self.used.push(self.aspect.noun);
        }
        self.aspect.noun
    }

    fn linking_verb(&mut self) -> String {
        match self.rng.below(5) {
            0 => "seemed".to_owned(),
            1 if matches!(self.aspect.kind, Kind::Sound) => "sounded".to_owned(),
            1 if matches!(self.aspect.kind, Kind::Food) => "tasted".to_owned(),
            1 if matches!(self.aspect.kind, Kind::Craft | Kind::Place | Kind::Device) => "looked".to_owned(),
            _ => self.number(["was", "were"]),
        }
    }

    fn number(&self, [singular, plural]: [&str; 2]) -> String {
        if self.aspect.plural { plural.to_owned() } else { singular.to_owned() }
    }
}

fn pick(list: &'static str, rng: &mut Rng) -> &'static str {
    let n_entries = lexicon::entries(list).count();
    lexicon::entries(list).nth(rng.below(n_entries)).unwrap_or_default()
}

/// "a~ x" as "a x" or "an x".
fn with_articles(text: &str) -> String {
    let mut parts = text.split("a~ ");
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let vowel = part.starts_with(['a', 'e', 'i', 'o', 'u']);
        let consonant_sound = ["us", "uni", "one"].iter().any(|start| part.starts_with(start));
        let is_an = (vowel && !consonant_sound) || part.starts_with("hon") || part.starts_with("unin");
        written.push_str(if is_an { "an " } else { "a " });
        written.push_str(part);
    }
    written
}

/// With its first letter large.
pub(crate) fn capitalised(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
