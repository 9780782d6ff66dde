//! What the reviews are about: ten kinds of product, their parts, and the neutral things one says of them.
//!
//! Nothing here carries sentiment; a test holds every opening and every remark at a reward of exactly 0.

use super::lexicon::{self, Class};

/// Which adjectives and predicates fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What is told.
    Story,
    /// Skill on show.
    Craft,
    /// What is eaten and drunk.
    Food,
    /// People at work.
    Service,
    /// Rooms and houses.
    Place,
    /// Machines.
    Device,
    /// What is heard.
    Sound,
    /// Prices.
    Value,
}

impl Kind {
    /// The adjectives of this kind.
    pub(crate) fn adjectives(self) -> Class {
        match self {
            Self::Story => lexicon::STORY,
            Self::Craft => lexicon::CRAFT,
            Self::Food => lexicon::FOOD,
            Self::Service => lexicon::SERVICE,
            Self::Place => lexicon::PLACE,
            Self::Device => lexicon::DEVICE,
            Self::Sound => lexicon::SOUND,
            Self::Value => lexicon::VALUE,
        }
    }
}

/// What the words after the prompt have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// "This film was" …
    Copula,
    /// "I watched the film and" …
    And,
    /// "After two days I" …
    Subject,
    /// A whole sentence, and another one follows.
    Sentence,
}

/// The first words of a review: a template and what follows it.
pub(crate) type Opening = (&'static str, Ending);

/// A kind of product. Lists are separated by commas, or by `|` where an entry may hold commas.
#[derive(Debug)]
pub(crate) struct Domain {
    /// What it is called.
    pub(crate) products: &'static str,
    /// The adjectives that fit the product itself.
    pub(crate) kind: Kind,
    /// Its parts by kind; a part that begins with `+` is a plural.
    pub(crate) aspects: &'static [(Kind, &'static str)],
    /// "the film we … last night".
    pub(crate) first: &'static str,
    /// "the last film I …".
    pub(crate) past: &'static str,
    /// "I will never … again".
    pub(crate) again: &'static str,
    /// "it was worth the …".
    pub(crate) cost: &'static str,
    /// "…, the plot was still clever".
    pub(crate) later: &'static str,
    /// First words that fit this product alone.
    pub(crate) openings: &'static [Opening],
    /// Neutral sentences, separated by `|`.
    pub(crate) remarks: &'static str,
}

/// Every kind of product.
pub(crate) static DOMAINS: [Domain; 10] = [
    Domain {
        products: "film, movie, thriller, comedy, documentary",
        kind: Kind::Story,
        aspects: &[
            (Kind::Story, "plot, script, ending, +dialogues, second half"),
            (Kind::Craft, "acting, camera work, +costumes, direction, editing, cast"),
            (Kind::Sound, "soundtrack, music"),
        ],
        first: "saw",
        past: "saw",
        again: "watch it again",
        cost: "ticket, evening, long drive",
        later: "even on the second viewing, two days later, after the credits, on a small screen",
        openings: &[
            ("I watched this {product} with {friend} and", Ending::And),
            ("{who} took me to see this {product} {when}.", Ending::Sentence),
            ("Halfway through this {product} I", Ending::Subject),
            ("For a {product} from {city}, {the} {be}", Ending::Copula),
            ("We saw the {product} at the cinema in {city} and", Ending::And),
        ],
        remarks: "It runs for two hours and ten minutes.|Most of it takes place in {city}.|We sat in the third row.|\
                  The director used to work in {city}.|It is based on a book from the seventies.|There were about thirty \
                  people in the hall.|I had read about it in the newspaper.|The story covers a single week in {city}.",
    },
    Domain {
        products: "book, novel, biography, mystery, memoir",
        kind: Kind::Story,
        aspects: &[
            (Kind::Story, "plot, ending, +characters, first chapter, +dialogues, middle part"),
            (Kind::Craft, "writing, translation, prose, cover, +drawings"),
        ],
        first: "read",
        past: "read",
        again: "read it again",
        cost: "time, effort, money",
        later: "even on the last page, on a second reading, after the first hundred pages, weeks later",
        openings: &[
            ("{who} gave me this {product} {when}.", Ending::Sentence),
            ("I read the {product} on the train to {city} and", Ending::And),
            ("By the middle of this {product} I", Ending::Subject),
            ("Our reading group chose this {product} {when}, and", Ending::And),
            ("In this {product}, {the} {be}", Ending::Copula),
        ],
        remarks: "It has about three hundred pages.|The author grew up in {city}.|I read most of it on the train.|\
                  It tells the story of two sisters from {city}.|Each chapter has the name of a month.|\
                  {who} had left a note between the pages.|The second part is set in {city}.|My copy came from the library.",
    },
    Domain {
        products: "restaurant, bistro, pizzeria, tavern, steakhouse",
        kind: Kind::Place,
        aspects: &[
            (Kind::Food, "soup, bread, dessert, pasta, fish, +vegetables, steak, sauce, salad, +potatoes"),
            (Kind::Service, "waiter, staff, chef, +waitresses, service"),
            (Kind::Place, "dining room, terrace"),
            (Kind::Value, "bill"),
        ],
        first: "visited",
        past: "visited",
        again: "eat there again",
        cost: "trip, money, wait",
        later: "on our second visit, an hour later, even on a busy night, at the end of the evening",
        openings: &[
            ("We had dinner at this {product} {when} and", Ending::And),
            ("{who} booked a table at this {product} {when}.", Ending::Sentence),
            ("I ordered {dish} at this {product} and", Ending::And),
            ("After the first course at this {product} I", Ending::Subject),
            ("At the {product} near the station in {city}, {the} {be}", Ending::Copula),
        ],
        remarks: "We sat by the window and ordered {dish}.|There are ten tables and a long bar.|{who} ordered {dish}.|\
                  The kitchen closes at ten.|It is five minutes from the station.|We ordered {dish} and two coffees.|\
                  The menu changes with the season.|They opened in {city} three years ago.",
    },
    Domain {
        products: "cafe, bakery, tea room, coffee shop",
        kind: Kind::Place,
        aspects: &[
            (Kind::Food, "coffee, cake, tea, +pancakes, breakfast, +sandwiches, apple pie"),
            (Kind::Service, "girl at the counter, staff, owner, service"),
            (Kind::Place, "back room, garden, front room"),
        ],
        first: "visited",
        past: "visited",
        again: "have breakfast there again",
        cost: "walk, money, detour",
        later: "on our second visit, half an hour later, even on a Sunday, after the rain",
        openings: &[
            ("I stopped at this {product} {when} and", Ending::And),
            ("I met {friend} at this {product} {when}.", Ending::Sentence),
            ("When I sat down in this {product} I", Ending::Subject),
            ("In this little {product} in {city}, {the} {be}", Ending::Copula),
        ],
        remarks: "We took a table near the door.|It opens at seven in the morning.|I had a cup of tea and read the \
                  newspaper.|{who} had the apple pie.|It used to be a shop for hats.|There is a shelf of old magazines.|\
                  They also sell bread and jam.|The bus to {city} stops outside.",
    },
    Domain {
        products: "hotel, guest house, hostel, country inn",
        kind: Kind::Place,
        aspects: &[
            (Kind::Place, "room, bathroom, lobby, bed, +hallways, balcony, pool"),
            (Kind::Service, "receptionist, staff, +cleaners, manager, porter"),
            (Kind::Food, "breakfast, coffee"),
            (Kind::Value, "price"),
        ],
        first: "stayed at",
        past: "stayed at",
        again: "stay there again",
        cost: "price, journey, money",
        later: "on the second night, after the weekend, by the third morning, even in winter",
        openings: &[
            ("We stayed at this {product} {when} and", Ending::And),
            ("I booked two nights at this {product} in {city}.", Ending::Sentence),
            ("On the first night at this {product} I", Ending::Subject),
            ("At this {product} in {city}, {the} {be}", Ending::Copula),
            ("I spent a week at this {product} with {friend} and", Ending::And),
        ],
        remarks: "Our room was on the fourth floor.|The window looked out on the street.|We arrived late and left early.|\
                  It is ten minutes from the station in {city}.|{who} had the room next to ours.|Breakfast is served from \
                  seven to ten.|We were in {city} for a wedding.|There is a lift and a small bar.",
    },
    Domain {
        products: "phone, camera, tablet, smartwatch",
        kind: Kind::Device,
        aspects: &[
            (Kind::Device, "screen, battery, charger, touchscreen, +buttons, case"),
            (Kind::Service, "support team, shop assistant, seller"),
            (Kind::Value, "price"),
        ],
        first: "bought",
        past: "owned",
        again: "buy from them again",
        cost: "money, price, upgrade",
        later: "after a month, even outdoors, on the third day, after the update",
        openings: &[
            ("I bought this {product} {when} and", Ending::And),
            ("My new {product} came in the post {when}.", Ending::Sentence),
            ("After {period} with this {product} I", Ending::Subject),
            ("On this {product}, {the} {be}", Ending::Copula),
            ("{who} gave me this {product} {when}.", Ending::Sentence),
        ],
        remarks: "It comes in a blue box with a short cable.|I use it on the way to work.|I ordered the black one.|\
                  The old one went to {who}.|I keep it in the pocket of my coat.|It was delivered on a Tuesday.|\
                  {who} has the same one in green.|I took it on a trip to {city}.",
    },
    Domain {
        products: "printer, vacuum cleaner, washing machine, coffee machine, dishwasher",
        kind: Kind::Device,
        aspects: &[
            (Kind::Device, "motor, power switch, display, lid, +cables, control panel, filter"),
            (Kind::Service, "support team, technician, delivery driver"),
            (Kind::Value, "price"),
        ],
        first: "bought",
        past: "owned",
        again: "buy from them again",
        cost: "money, price, space",
        later: "after a month, even in daily use, on the second day, after the repair",
        openings: &[
            ("We ordered this {product} {when} and", Ending::And),
            ("I replaced our old {product} {when}.", Ending::Sentence),
            ("After {period} with this {product} I", Ending::Subject),
            ("On our new {product}, {the} {be}", Ending::Copula),
            ("{who} and I share this {product}, and", Ending::And),
        ],
        remarks: "It stands in the corner of the kitchen.|The box weighed twelve kilos.|I use it three times a week.|\
                  It came with a thick manual.|{who} carried it up the stairs.|The delivery took four days.|\
                  We ordered it from a shop in {city}.|The cable is two metres long.",
    },
    Domain {
        products: "album, record, recording, live album",
        kind: Kind::Sound,
        aspects: &[
            (
                Kind::Sound,
                "singer, +songs, choir, opening track, +guitars, +drums, chorus, orchestra, encore",
            ),
            (Kind::Craft, "mixing, sleeve, +lyrics"),
        ],
        first: "listened to",
        past: "heard",
        again: "listen to it again",
        cost: "money, time, ticket",
        later: "on the third listening, through headphones, even at home, a week later",
        openings: &[
            ("I listened to this {product} with {friend} and", Ending::And),
            ("{who} told me about this {product} {when}.", Ending::Sentence),
            ("After the first song on this {product} I", Ending::Subject),
            ("On this {product} from {city}, {the} {be}", Ending::Copula),
        ],
        remarks: "There are eleven songs in all.|The band comes from {city}.|I heard it in the car on the way to {city}.|\
                  It was recorded in an old church.|{who} plays in a band as well.|The last song lasts nine minutes.|\
                  They have been on the road since {month}.|The drummer wrote half of the songs.",
    },
    Domain {
        products: "play, musical, opera, ballet, puppet show",
        kind: Kind::Story,
        aspects: &[
            (Kind::Craft, "lead actor, +costumes, stage design, lighting, direction, +dancers"),
            (Kind::Story, "first act, ending, story, final scene"),
            (Kind::Sound, "orchestra, choir, music"),
        ],
        first: "saw",
        past: "saw",
        again: "see it again",
        cost: "ticket, evening, journey",
        later: "after the interval, in the last act, even from the back row, on the way home",
        openings: &[
            ("We went to this {product} with {friend} and", Ending::And),
            ("I saw the {product} in {city} {when}.", Ending::Sentence),
            ("During the first act of this {product} I", Ending::Subject),
            ("In this {product}, {the} {be}", Ending::Copula),
        ],
        remarks: "The theatre holds about two hundred people.|We sat in the balcony.|It runs until the end of {month}.|\
                  There was one interval of twenty minutes.|The company is on tour from {city}.|{who} bought the \
                  programme.|We left our coats at the door.|It began at half past seven.",
    },
    Domain {
        products: "game, board game, card game, puzzle",
        kind: Kind::Story,
        aspects: &[
            (Kind::Story, "final level, story, +rules, opening round, +characters"),
            (Kind::Craft, "artwork, +graphics, +illustrations, design"),
            (Kind::Value, "price"),
        ],
        first: "played",
        past: "played",
        again: "play it again",
        cost: "money, time, effort",
        later: "in the second round, after ten games, even with four players, a month later",
        openings: &[
            ("I played this {product} with {friend} and", Ending::And),
            ("{who} brought this {product} along {when}.", Ending::Sentence),
            ("After an hour of this {product} I", Ending::Subject),
            ("In this {product}, {the} {be}", Ending::Copula),
        ],
        remarks: "A round takes about forty minutes.|There are sixty cards in the box.|It is made for two to four \
                  players.|{who} read the rules aloud.|We played it on the kitchen table.|The box is the size of a \
                  dictionary.|It comes from a small studio in {city}.|The youngest player begins.",
    },
];

/// First words that fit every product.
pub(crate) static OPENINGS: &[Opening] = &[
    ("This {product} was", Ending::Copula),
    ("This {product} was", Ending::Copula),
    ("The {product} we {first} {when} was", Ending::Copula),
    ("I thought this {product} was", Ending::Copula),
    ("In my opinion this {product} was", Ending::Copula),
    ("{who} thought the {product} was", Ending::Copula),
    ("I had heard about this {product} from {friend}, and", Ending::And),
    ("It was my first {product} in {period}, and", Ending::And),
    ("To me, {the} of this {product} {be}", Ending::Copula),
];

/// "with …".
pub(crate) const FRIENDS: &str = "my sister, my brother, a friend, my parents, two colleagues, a neighbour, my wife, \
    my husband, my cousin, our children, my aunt, my grandfather, three friends, my daughter";

/// Who else says something; singular.
pub(crate) const PEOPLE: &str = "my sister, my brother, my mother, my father, my wife, my husband, my son, my daughter, \
    my uncle, my cousin, our neighbour, my boss, my teacher, a colleague";

/// When it was.
pub(crate) const TIMES: &str = "last weekend, on a rainy Sunday, on Tuesday evening, during the holidays, last summer, \
    in spring, on my birthday, two weeks ago, last night, on Saturday, in {month}, after work, a month ago";

/// How long.
pub(crate) const PERIODS: &str = "a week, two weeks, three days, a month, half a year, four months";

/// Months.
pub(crate) const MONTHS: &str = "January, March, April, June, July, August, October, November, December";

/// Cities.
pub(crate) const CITIES: &str =
    "Lisbon, Oslo, Vienna, Dublin, Prague, Boston, Kyoto, Toronto, Madrid, Athens, Cairo, Lima";

/// What was ordered.
pub(crate) const DISHES: &str = "the soup, the fish, the lamb, a salad, the pasta, the steak, the menu of the day, \
    the mushrooms, roast chicken, the risotto";
