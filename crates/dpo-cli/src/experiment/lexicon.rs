//! The words that carry sentiment, and how strongly: the generator writes with them, the reward reads them.

/// Words of one polarity by strength; entries are separated by commas and may have several words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Graded {
    /// Valence ±1.
    pub(crate) mild: &'static str,
    /// Valence ±2.
    pub(crate) plain: &'static str,
    /// Valence ±3.
    pub(crate) strong: &'static str,
}

/// Interchangeable words of both polarities.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Class {
    /// Words of praise.
    pub(crate) positive: Graded,
    /// Words of blame.
    pub(crate) negative: Graded,
}

impl Graded {
    /// Every entry with its strength, 1 to 3.
    pub(crate) fn entries(self) -> impl Iterator<Item = (&'static str, u8)> {
        let grades = [(self.mild, 1), (self.plain, 2), (self.strong, 3)];
        grades.into_iter().flat_map(|(list, strength)| entries(list).map(move |entry| (entry, strength)))
    }
}

/// The entries of a comma-separated list.
pub(crate) fn entries(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// Whether some class has `word` among its strongest.
pub(crate) fn is_strong(word: &str) -> bool {
    let lists = ALL.iter().flat_map(|class| [class.positive.strong, class.negative.strong]);
    lists.flat_map(entries).any(|entry| entry == word)
}

/// What a class needs to be written on one screen: three lists of praise, three of blame.
const fn class(positive: [&'static str; 3], negative: [&'static str; 3]) -> Class {
    let [mild, plain, strong] = positive;
    let positive = Graded { mild, plain, strong };
    let [mild, plain, strong] = negative;
    Class { positive, negative: Graded { mild, plain, strong } }
}

/// Adjectives that fit anything.
pub(crate) const GENERAL: Class = class(
    [
        "fine, nice, decent, pleasant, solid, agreeable, respectable, satisfying",
        "good, great, lovely, splendid, delightful, impressive, enjoyable, charming",
        "wonderful, excellent, superb, brilliant, fantastic, magnificent, outstanding, marvellous, perfect",
    ],
    [
        "weak, dull, uneven, awkward, underwhelming, flawed, tiresome, unremarkable",
        "bad, poor, disappointing, lousy, unpleasant, mediocre, annoying, depressing",
        "terrible, awful, dreadful, horrible, appalling, abysmal, hopeless, atrocious",
    ],
);

/// Adjectives for what is told: a film, a plot, a character.
pub(crate) const STORY: Class = class(
    [
        "honest, convincing, amusing, heartfelt",
        "moving, clever, witty, touching, absorbing, inventive, funny, original",
        "gripping, thrilling, unforgettable, captivating",
    ],
    [
        "slow, silly, repetitive, forced",
        "predictable, muddled, shallow, confusing, clumsy, implausible, lifeless, forgettable",
        "tedious, boring, pointless, unbearable",
    ],
);

/// Adjectives for skill on show: acting, music, costumes.
pub(crate) const CRAFT: Class = class(
    [
        "polished, assured, tasteful",
        "elegant, graceful, stylish, vivid, expressive, imaginative",
        "dazzling, masterful, stunning",
    ],
    [
        "stiff, flat, overdone",
        "wooden, sloppy, lazy, careless, ugly, amateurish",
        "embarrassing, ghastly, laughable",
    ],
);

/// Adjectives for what is eaten and drunk.
pub(crate) const FOOD: Class = class(
    [
        "fresh, crisp, tender",
        "tasty, fragrant, flavourful, juicy, comforting, hearty",
        "delicious, succulent, mouthwatering, heavenly",
    ],
    [
        "watery, lukewarm, salty",
        "bland, stale, greasy, soggy, burnt, rubbery",
        "tasteless, inedible, disgusting, revolting",
    ],
);

/// Adjectives for people at work.
pub(crate) const SERVICE: Class = class(
    [
        "polite, patient, courteous",
        "friendly, attentive, helpful, kind, cheerful, thoughtful, welcoming",
        "superb, exceptional, wonderful",
    ],
    [
        "impatient, grumpy, indifferent",
        "unhelpful, careless, dismissive, arrogant, inattentive, unfriendly, surly",
        "rude, hostile, insulting",
    ],
);

/// Adjectives for rooms and houses.
pub(crate) const PLACE: Class = class(
    [
        "clean, bright, spacious, tidy",
        "cosy, charming, comfortable, peaceful, inviting, elegant",
        "spotless, gorgeous, enchanting",
    ],
    [
        "noisy, damp, draughty, gloomy",
        "dirty, shabby, cramped, smelly, musty, uncomfortable",
        "filthy, unbearable, disgusting",
    ],
);

/// Adjectives for machines and their parts.
pub(crate) const DEVICE: Class = class(
    [
        "handy, sleek, neat, practical",
        "reliable, sturdy, durable, dependable, ingenious",
        "flawless, superb, outstanding",
    ],
    [
        "clunky, crude, dated",
        "faulty, fragile, flimsy, unreliable, shaky",
        "useless, defective, worthless, unusable",
    ],
);

/// Adjectives for what is heard.
pub(crate) const SOUND: Class = class(
    [
        "warm, melodic, lively",
        "catchy, lush, energetic, soulful, radiant, rousing",
        "glorious, irresistible, sublime",
    ],
    [
        "muddy, hollow, harsh",
        "shrill, monotonous, grating, tuneless, lifeless, uninspired",
        "unlistenable, unbearable, dreary",
    ],
);

/// Adjectives for prices.
pub(crate) const VALUE: Class = class(
    ["fair, reasonable, sensible", "generous, attractive, welcome", "unbeatable"],
    ["steep, inflated", "excessive, unreasonable, unfair", "outrageous, scandalous"],
);

/// How a person feels: "I was …", "it left me …", "I was … with the room".
pub(crate) const FEELING: Class = class(
    ["pleased, satisfied, content", "happy, delighted, impressed", "thrilled, overjoyed, enchanted"],
    [
        "dissatisfied, unimpressed",
        "disappointed, annoyed, bored, frustrated, irritated, unhappy, fed up",
        "furious, disgusted, livid",
    ],
);

/// What a person does to a thing, in the past: "I … the soup".
pub(crate) const VERDICT: Class = class(
    ["liked, appreciated, welcomed", "enjoyed, admired, praised, relished", "loved, adored, treasured"],
    ["resented, endured", "disliked, regretted, criticised", "hated, loathed, despised, detested"],
);

/// What a thing does to a person, in the past: "what … me most".
pub(crate) const EFFECT: Class = class(
    ["pleased, encouraged", "impressed, delighted, charmed, cheered", "thrilled, enchanted, captivated"],
    ["bothered", "disappointed, annoyed, bored, irritated, frustrated", "infuriated, disgusted, appalled"],
);

/// The same without its ending: "it did not … me".
pub(crate) const EFFECT_BASE: Class = class(
    ["please", "impress, delight, charm, convince", "thrill, enchant"],
    ["bother", "disappoint, annoy, bore, irritate, frustrate", "infuriate, disgust"],
);

/// What a thing is: "it was a …".
pub(crate) const NOUN: Class = class(
    ["success", "delight, joy, gem, treat, pleasure", "triumph, masterpiece, marvel"],
    ["chore", "mess, letdown, failure, mistake, flop", "disaster, nightmare, disgrace"],
);

/// Words that begin a sentence: "…, the soup was cold".
pub(crate) const OPENER: Class = class(
    ["happily, thankfully, luckily, fortunately", "", ""],
    ["sadly, unfortunately, regrettably, alas", "", ""],
);

/// Comparisons: "this one was …".
pub(crate) const COMPARISON: Class =
    class(["", "better, finer, superior", ""], ["", "worse, poorer, inferior", ""]);

/// Words of fixed sentences and predicates, and relatives of the words above that a model may come up with.
pub(crate) const OTHER: Class = class(
    [
        "fast, smooth, gladly, smiled, helped, kindness, fun, likeable, welcomed, smiling, miss nothing, eager",
        "beautifully, warmly, kindly, perfectly, sparkled, shone, soared, gripped, recommend, recommended, worth, \
         bargain, well done, well spent, held my attention, won me over, felt like home, goosebumps, lifted my mood, \
         beautiful, enjoy, enjoys, admire, admires, praise, compliments, well made, best, grateful",
        "brilliantly, wonderfully, superbly, flawlessly, dazzled, five stars, love, loves, adore, amazing, incredible, \
         could not be better, could not have been better, favourite",
    ],
    [
        "overpriced, blurry, sluggish, buggy, miss, needed repairs, complained, grumbled, cold, tired, stains, problems",
        "badly, poorly, rudely, ignored, dragged, fell apart, fell short, made no sense, wore me out, failed, fails, \
         broke, crashed, froze, overheated, grated, hurt, headache, shocked, sick, kept us waiting, avoid, waste, \
         wasted, shame, money back, regret, regrets, complaint, complaints, dislike, dislikes, criticise, worst, \
         broken, faults, shouted, insulted, apology",
        "horribly, terribly, miserable, one star, stank, hate, hates, loathe, could not be worse, could not have been worse, \
         unacceptable",
    ],
);

/// Every class: all that the reward knows.
pub(crate) const ALL: [Class; 17] = [
    GENERAL,
    STORY,
    CRAFT,
    FOOD,
    SERVICE,
    PLACE,
    DEVICE,
    SOUND,
    VALUE,
    FEELING,
    VERDICT,
    EFFECT,
    EFFECT_BASE,
    NOUN,
    OPENER,
    COMPARISON,
    OTHER,
];

/// Turns the sentiment of what follows it in its clause.
pub(crate) const NEGATORS: &str = "not, never, no, nothing, nobody, none, neither, without, hardly, barely, scarcely, \
    rarely, cannot, far from, anything but, by no means";

/// Multiply the next sentiment word by [`STRONGER`]; before mild and plain words.
pub(crate) const INTENSIFIERS: &str =
    "very, very, really, truly, so, extremely, remarkably, thoroughly, particularly, exceptionally";

/// Intensifiers before strong words.
pub(crate) const SUPERLATIVE_INTENSIFIERS: &str = "absolutely, truly, really, utterly, completely";

/// Multiply the next sentiment word by [`WEAKER`].
pub(crate) const DOWNTONERS: &str = "slightly, somewhat, a little, a bit, a touch";

/// Downtoners before praise.
pub(crate) const FAINT_PRAISE: &str = "fairly, reasonably, quite";

/// Begin a clause that a writer grants but does not mean: it counts half, to the next comma.
pub(crate) const CONCESSIONS: &str = "although, though, even though, even if, despite";

/// Begin the clause that a writer means: what the sentence said before counts half.
pub(crate) const CONTRASTS: &str = "but, yet, however, nevertheless";

/// End a clause and change nothing else.
pub(crate) const BOUNDARIES: &str = "and, because, since, when, which, who, where, then";

/// Phrases that only look like something above.
pub(crate) const INERT: &str = "not only, not just, nothing but, no doubt, no wonder, not yet, so far, so did, so was, \
    so that, rather than, and so, no sooner, no longer, without doubt, love story, best friend, happy birthday";

/// Factor of an intensifier.
pub(crate) const STRONGER: f64 = 1.5;

/// Factor of a downtoner.
pub(crate) const WEAKER: f64 = 0.5;

/// Factor of a clause that was granted.
pub(crate) const GRANTED: f64 = 0.5;
