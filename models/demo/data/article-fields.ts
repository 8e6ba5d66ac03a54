// What articles say: each field with the values it may have, the sentences that state it and the questions that ask for it.
import { fullName, properWord, word } from "./invented.ts";
import type { Random } from "./random.ts";

export type Field = {
  /** The fact's name in 5W2H words. */
  label: string;
  value(r: Random): string;
  sentences: readonly string[];
  questions: readonly string[];
};

const MONTHS = "January February March April May June July August September October November December".split(
  " ",
);
/** Without three equal digits in a row: a model this small loses count of them when it copies. */
function numeral(draw: () => number): string {
  const digits = String(draw());
  return /(.)\1\1/.test(digits) ? numeral(draw) : digits;
}
const count = (r: Random) =>
  numeral(() => r.pick([r.int(2, 9), r.int(10, 99), r.int(100, 999), r.int(10, 99) * 100]));
const money = (r: Random) => `${count(r)} ${r.pick(["euros", "dollars", "yen"])}`;
const duration = (r: Random) => `${r.int(2, 59)} ${r.pick(["minutes", "hours", "days", "weeks"])}`;
const CAUSES = [
  "a broken cable",
  "heavy rain",
  "a gas leak",
  "low wages",
  "strong wind",
  "an old heater",
  "a long holiday",
  "bad weather",
  "high prices",
  "a lost key",
  "a software error",
  "melting snow",
  "a careless driver",
  "a power cut",
];

export const DATE: Field = {
  label: "when",
  value: (r) => `${r.int(1, 28)} ${r.pick(MONTHS)}`,
  sentences: [
    "it was on {v}.",
    "the date was {v}.",
    "this happened on {v}.",
    "all of it took place on {v}.",
    "people will remember {v}.",
  ],
  questions: [
    "When was it?",
    "On which date did it happen?",
    "What was the date?",
    "When did it happen?",
    "Which day was it?",
    "When did this take place?",
  ],
};
export const PLACE: Field = {
  label: "where",
  value: properWord,
  sentences: [
    "it was in {v}.",
    "the town of {v} was the scene.",
    "all of this was in {v}.",
    "the people of {v} talk about nothing else.",
    "it happened in {v}.",
  ],
  questions: [
    "Where was it?",
    "Where did it happen?",
    "In which town was it?",
    "What is the name of the town?",
    "Where did this take place?",
  ],
};

/** What may have happened, and the word for it in a question. */
export const EVENTS = [
  { said: "a fire broke out", noun: "fire" },
  { said: "a concert took place", noun: "concert" },
  { said: "a flood hit the area", noun: "flood" },
  { said: "a festival was held", noun: "festival" },
  { said: "a public meeting took place", noun: "meeting" },
  { said: "an accident happened", noun: "accident" },
  { said: "an exhibition opened", noun: "exhibition" },
  { said: "a marathon was run", noun: "marathon" },
  { said: "a strike began", noun: "strike" },
  { said: "a wedding was celebrated", noun: "wedding" },
  { said: "a conference started", noun: "conference" },
  { said: "a robbery was reported", noun: "robbery" },
  { said: "a new market opened", noun: "market" },
  { said: "a boat race was held", noun: "boat race" },
  { said: "a storm passed", noun: "storm" },
  { said: "a school was opened", noun: "school" },
  { said: "a bridge was closed", noun: "bridge" },
  { said: "a new library opened", noun: "library" },
] as const;

/** The opening sentence's field: the event itself, which every article has. */
export const EVENT: Field = {
  label: "what",
  value: (r) => r.pick(EVENTS).said,
  sentences: ["{v}."],
  questions: ["What happened?", "What is the article about?", "What took place?", "What is the news?"],
};

const TOLD: readonly Field[] = [
  {
    label: "what time",
    value: (r) => `${r.int(1, 12)}:${r.pick(["00", "10", "15", "20", "30", "40", "45", "50"])}`,
    sentences: [
      "it started at {v}.",
      "at {v} it began.",
      "the start was at {v}.",
      "everything began at {v}.",
    ],
    questions: [
      "What time did it start?",
      "At what time did it begin?",
      "When exactly did it start?",
      "What was the starting time?",
    ],
  },
  {
    label: "how long",
    value: duration,
    sentences: [
      "it lasted {v}.",
      "after {v} it was over.",
      "it went on for {v}.",
      "the whole thing took {v}.",
    ],
    questions: ["How long did it last?", "How long did it take?", "How long did it go on?"],
  },
  {
    label: "how many people",
    value: count,
    sentences: [
      "{v} people took part.",
      "there were {v} guests.",
      "about {v} people were there.",
      "the crowd counted {v} people.",
    ],
    questions: [
      "How many people were there?",
      "How many people took part?",
      "What was the number of guests?",
      "How many guests were there?",
    ],
  },
  {
    label: "how many houses",
    value: count,
    sentences: [
      "{v} houses were damaged.",
      "the damage reached {v} houses.",
      "at least {v} houses need repairs.",
    ],
    questions: [
      "How many houses were damaged?",
      "How many houses need repairs?",
      "What is the number of damaged houses?",
    ],
  },
  {
    label: "how much",
    value: money,
    sentences: ["the cost was {v}.", "it cost {v}.", "the bill came to {v}.", "the city spent {v} on it."],
    questions: [
      "How much did it cost?",
      "What was the cost?",
      "How much money was it?",
      "How much was spent on it?",
    ],
  },
  {
    label: "how much is a ticket",
    value: money,
    sentences: ["a ticket is {v}.", "tickets are sold for {v}.", "the price of a ticket is {v}."],
    questions: ["How much is a ticket?", "What is the price of a ticket?", "What does a ticket cost?"],
  },
  {
    label: "why",
    value: (r) => (r.chance(0.6) ? r.pick(CAUSES) : `a ${word(r)} ${word(r)}`),
    sentences: [
      "the cause was {v}.",
      "the reason was {v}.",
      "it happened because of {v}.",
      "experts blame {v}.",
      "behind it all was {v}.",
    ],
    questions: ["Why did it happen?", "What was the cause?", "What was the reason?", "Why was that?"],
  },
  {
    label: "which company",
    value: (r) => `${properWord(r)} ${r.pick(["Ltd", "Group", "Bank", "Works", "Foods"])}`,
    sentences: [
      "the company {v} was involved.",
      "{v} paid for it.",
      "it was supported by {v}.",
      "money came from {v}.",
    ],
    questions: [
      "Which company is named?",
      "Which company was involved?",
      "What is the name of the company?",
      "Which company paid for it?",
    ],
  },
  {
    label: "how was the weather",
    value: (r) => r.pick(["sunny", "rainy", "windy", "snowy", "foggy", "cloudy"]),
    sentences: [
      "the sky was {v}.",
      "the forecast said {v}.",
      "it stayed {v} all day.",
      "the weather was {v}.",
    ],
    questions: ["What was the weather like?", "How was the weather?", "What did the sky look like?"],
  },
  {
    label: "how did they come",
    value: (r) => `by ${r.pick(["bus", "train", "boat", "car", "bicycle", "tram", "plane"])}`,
    sentences: ["most visitors came {v}.", "many travelled {v}.", "the guests arrived {v}."],
    questions: ["How did the visitors come?", "How did people travel?", "How did the guests arrive?"],
  },
  {
    label: "how old",
    value: (r) => `${numeral(() => r.int(2, 400))} years`,
    sentences: [
      "the building is {v} old.",
      "the hall has stood for {v}.",
      "for {v} the building has been there.",
    ],
    questions: [
      "How old is the building?",
      "How old is the hall?",
      "For how long has the building been there?",
    ],
  },
];

const person = (role: string): Field => ({
  label: `who is the ${role}`,
  value: fullName,
  sentences: [
    `the ${role} is {v}.`,
    `{v} is the ${role}.`,
    `the ${role}, {v}, gave a talk.`,
    `{v}, the ${role}, was happy.`,
    `{v} spoke as the ${role}.`,
    `the name of the ${role} is {v}.`,
  ],
  questions: [
    `Who is the ${role}?`,
    `What is the name of the ${role}?`,
    `Name the ${role}.`,
    `What is the ${role} called?`,
  ],
});

/** Every field but the event. */
export const FIELDS: readonly Field[] = [
  DATE,
  PLACE,
  ...TOLD,
  ...["mayor", "organiser", "owner", "manager", "winner", "driver", "engineer"].map(person),
];

/** Phrases before a sentence, each at most once in an article. */
export const LEADS = [
  "According to the paper, ",
  "Officials said that ",
  "We learned that ",
  "As far as we know, ",
  "Later we heard that ",
  "One visitor told us that ",
  "In the end, ",
];

/** Sentences that answer none of the questions. */
export const FILLERS = [
  "Many people came to see it.",
  "The streets were quiet.",
  "Nobody expected it.",
  "Local shops stayed open.",
  "More news will follow.",
  "The town is known for its old bridge.",
  "Children played nearby.",
  "Traffic was slow.",
  "The police were informed.",
  "Visitors took many photos.",
  "Some of the neighbours helped from the first hour.",
  "A small band played in front of the station.",
  "The town hall has promised to publish a report about it.",
  "Several shops in the main street closed early.",
  "Volunteers served tea and soup to everybody who was waiting.",
  "Experts are still discussing what it means for the region.",
  "Readers sent us letters and pictures.",
  "Nothing like this has happened here before.",
  "The river was calm and the trees were green.",
  "Older people remember a similar story.",
  "Plans for the next year are already being made.",
  "Our reporter talked with many of the people there.",
  "In the evening everything was back to normal.",
  "Some asked for more help from the city.",
];
