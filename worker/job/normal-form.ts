// A short text such as an answer in one form, however it is written: "The 4th of July" and "July 4", "七千円" and "¥7,000". Owns case,
// width, punctuation, numbers in words and digits, dates, times, units and the words that say nothing, in English and Japanese. Which
// texts mean the same in other words is left to meaning.ts. Pure.
import { folded, UNSPACED } from "./text.ts";

/** The words of a text in their normal form. Texts with the same words say the same. Empty for a text without words. */
export function normalWords(text: string): string[] {
  const names = namesIn(text);
  const words = withNumbers(plainOf(text).match(WORD) ?? [])
    .map((word) => UNITS.get(word) ?? (names.has(word) ? word : singular(word)))
    .filter((word, at, { length }) => word !== "the" && !(/^an?$/.test(word) && at + 1 < length));
  return withoutLead(withUnitsBehind(words).map(withoutZeros));
}

/** The numbers of a text. Those of a date count one by one; a time of the day is one. */
export function numbersIn(words: readonly string[]): Set<string> {
  return new Set(words.filter((word) => /^(?:-?\d|\?-)/.test(word)).flatMap(partsOfDate));
}

const partsOfDate = (word: string) => {
  const [, ...parts] = /^(\d{4}|\?)-(\d\d)(?:-(\d\d))?$/.exec(word) ?? [];
  if (parts.length > 0) return parts.filter((part) => part !== undefined && part !== "?").map(decimal);
  return /\..*\./.test(word) ? word.split(".").map(decimal) : [decimal(word)];
};

const IS_NUMBER = /^-?\d+(?:\.\d+)?$/;
/** `007` and `7.50` as 7 and 7.5. */
const decimal = (digits: string) =>
  IS_NUMBER.test(digits) ? plainNumber(digits).replace(/(\.\d*?)0+$/, "$1") : digits;

/** `007` and `7.00` as 7. In `1.10`, the 0 counts: it may be a version, a chapter or a time. */
const plainNumber = (digits: string) =>
  IS_NUMBER.test(digits) ? digits.replace(/^(-?)0+(?=\d)/, "$1").replace(/\.0+$/, "") : digits;

/** Of something measured, 7.50 is 7.5; but 1.500 may be 1,500, as some write it. */
function withoutZeros(word: string, at: number, words: readonly string[]): string {
  const isMeasured = IN_UNITS.has(words[at + 1] ?? "");
  return isMeasured && /\.\d+$/.test(word) && !/\.\d\d0$/.test(word) ? decimal(word) : word;
}

// ── The text, before it is cut into words ──

const plainOf = (text: string) =>
  withTimes(withDates(withDigits(withNegations(withMinus(folded(text))).trim())));

/** A dash before a number, and not between two or after a word, is a minus. */
const withMinus = (text: string) =>
  text.replaceAll("−", "-").replaceAll(/(?<=^|[\s(])(?<!\d\s?)[–‒](?=\d)/g, "-");

const withNegations = (text: string) =>
  text
    .replaceAll(/[’‘`´]/g, "'")
    .replaceAll(/\bcan(?:'t|not)\b/g, "can not")
    .replaceAll(/\bwon't\b/g, "will not")
    .replaceAll(/n't\b/g, " not")
    .replaceAll(/\bper cent\b/g, "percent");

const KANJI_DIGITS = "〇一二三四五六七八九";
const SMALL = new Map([
  ["十", 10],
  ["百", 100],
  ["千", 1_000],
]);
const LARGE = new Map([
  ["万", 1e4],
  ["億", 1e8],
  ["兆", 1e12],
]);
const KANJI_NUMBER = /\d*\.?\d*[〇零一二三四五六七八九十百千万億兆][\d〇零一二三四五六七八九十百千万億兆]*/g;
/** What is counted with such a number. In other words, such as 千葉 and 一緒, the same letters are no number. */
const COUNTED =
  /^\s*(?:[個人円年月日時分秒本枚台件回倍歳才階度名匹冊軒社店校票点位番割週ヶカか箇つ%]|パーセント|キロ|メートル|グラム|トン|ドル|ユーロ|ポイント)/;

function withDigits(text: string): string {
  return text.replaceAll(KANJI_NUMBER, (number, at: number) => {
    const isNumber =
      number.length === text.length || /\d/.test(number) || COUNTED.test(text.slice(at + number.length));
    return isNumber ? String(kanjiValue(number)) : number;
  });
}

function kanjiValue(number: string): number {
  let [total, section, digits] = [0, 0, ""];
  for (const letter of number.replaceAll("零", "〇")) {
    const small = SMALL.get(letter);
    const large = LARGE.get(letter);
    if (small !== undefined) section += (digits === "" ? 1 : Number(digits)) * small;
    else if (large !== undefined) {
      total += (section + Number(digits) || 1) * large;
      section = 0;
    } else {
      digits += /[\d.]/.test(letter) ? letter : KANJI_DIGITS.indexOf(letter);
      continue;
    }
    digits = "";
  }
  return rounded(total + section + Number(digits));
}

/** 1.1 times 10,000 is 11,000. */
const rounded = (value: number) => Number(value.toPrecision(12));

const MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");
const MONTH =
  "(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\\.?";
const DAY = String.raw`(\d{1,2})(?:st|nd|rd|th)?`;
const DAY_MONTH = new RegExp(String.raw`(?<![\d.])${DAY}(?: of)? ${MONTH}(?:,? (\d{4}))?(?![\p{L}\d])`, "gu");
const MONTH_DAY = new RegExp(String.raw`\b${MONTH} ${DAY}(?:,? (\d{4}))?(?![\p{L}\d:])`, "gu");
const MONTH_YEAR = new RegExp(String.raw`\b${MONTH},? (\d{4})(?!\d)`, "gu");
const ERAS = new Map([
  ["令和", 2018],
  ["平成", 1988],
  ["昭和", 1925],
]);

function withDates(text: string): string {
  return text
    .replaceAll(DAY_MONTH, (_, day, month, year) => date(year, monthOf(month), day))
    .replaceAll(MONTH_DAY, (_, month, day, year) => date(year, monthOf(month), day))
    .replaceAll(MONTH_YEAR, (_, month, year) => date(year, monthOf(month)))
    .replaceAll(/(?<!\d)(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?!\d)/g, (_, year, __, month, day) =>
      date(year, month, day),
    )
    .replaceAll(
      /(令和|平成|昭和)(\d{1,2}|元)年/g,
      (_, era, year) => `${ERAS.get(era)! + (Number(year) || 1)}年`,
    )
    .replaceAll(/(?<!\d)(\d{4})年\s*(\d{1,2})月(?:\s*(\d{1,2})日)?/g, (_, year, month, day) =>
      date(year, month, day),
    )
    .replaceAll(/(?<!\d)(\d{1,2})月\s*(\d{1,2})日/g, (_, month, day) => date(undefined, month, day))
    .replaceAll(/(?<!\d)(\d{4})年(?!間|前|後|以)/g, "$1 ");
}

const monthOf = (name: string) => String(MONTHS.indexOf(name.slice(0, 3)) + 1);
const two = (digits: string | number) => String(digits).padStart(2, "0");
const date = (year: string | undefined, month: string, day?: string) =>
  ` ${year ?? "?"}-${two(month)}${day === undefined ? "" : `-${two(day)}`} `;

function withTimes(text: string): string {
  return text
    .replaceAll(
      /(午前|午後)?\s*(?<!\d)(\d{1,2})時(?:(\d{1,2})分|(半))?(?!間)/g,
      (_, half, hour, minute, isHalf) =>
        time(hour, minute ?? (isHalf ? "30" : "0"), half === undefined ? "" : half === "午後" ? "p" : "a"),
    )
    .replaceAll(/(?<![\d:])(\d{1,2})(?::(\d\d))?\s?([ap])\.?m\b\.?/g, (_, hour, minute, half) =>
      time(hour, minute ?? "0", half),
    )
    .replaceAll(/(?<![\d:])(\d{1,2}) o'clock\b/g, (_, hour) => time(hour, "0", ""))
    .replaceAll(/(?<![\d:])(\d{1,2}):(\d\d)(?![\d:])/g, (_, hour, minute) => time(hour, minute, ""));
}

function time(hour: string, minute: string, half: string): string {
  const hours = half === "" ? Number(hour) : (Number(hour) % 12) + (half === "p" ? 12 : 0);
  return ` ${two(hours)}:${two(minute)} `;
}

// ── Its words ──

// A date, a time, a number, a row of letters of a script without spaces, a word, or a sign that changes what is meant.
const WORD = new RegExp(
  String.raw`(?:\d{4}|\?)-\d\d(?:-\d\d)?(?!\d)|\d\d:\d\d|(?:(?<![\p{L}\p{N}])-)?\d+(?:\.\d+)*(?:(?:st|nd|rd|th)(?!\p{L}))?|(?:(?=[${UNSPACED}])[\p{L}\p{M}])+|(?:(?![${UNSPACED}])[\p{L}\p{M}\p{N}'+#])+|[%&$¥€£<>≤≥±~≈°+=^]|(?<=\d)[/\u2044](?=\d)`,
  "gu",
);

const SMALL_NUMBERS =
  "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(
    " ",
  );
const TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split(" ");
const VALUES = new Map<string, number>([
  ...SMALL_NUMBERS.map((word, value) => [word, value] as const),
  ...TENS.map((word, at) => [word, (at + 2) * 10] as const),
]);
const SCALES = new Map([
  ["hundred", 100],
  ["dozen", 12],
  ["thousand", 1e3],
  ["million", 1e6],
  ["billion", 1e9],
  ["trillion", 1e12],
]);
const ORDINALS = new Map(
  "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
    .split(" ")
    .map((word, at) => [word, `${at + 1}${["st", "nd", "rd"][at] ?? "th"}`]),
);

/** "two hundred and five", "7 thousand" and "3.5 million" as one number each. */
function withNumbers(words: readonly string[]): string[] {
  const found: string[] = [];
  for (let at = 0; at < words.length; ) {
    const number = numberAt(words, at);
    found.push(number?.digits ?? ORDINALS.get(words[at]!) ?? words[at]!);
    at = number?.end ?? at + 1;
  }
  return found;
}

/** The number that begins at a word. A smaller part comes after a larger one: "two three" are two numbers. */
function numberAt(words: readonly string[], from: number): { digits: string; end: number } | null {
  let [total, part, last, end] = [0, Number.NaN, Number.POSITIVE_INFINITY, from];
  for (let at = from; at < words.length; at += 1) {
    const word = words[at]!;
    const scale = SCALES.get(word);
    if (scale !== undefined && (at > from || hasArticle(words, at))) {
      const scaled = (Number.isNaN(part) ? 1 : part) * scale;
      if (scale <= 100) part = scaled;
      else {
        total += scaled;
        part = Number.NaN;
      }
      last = scale;
    } else if (word === "and" && SCALES.has(words[at - 1] ?? "") && VALUES.has(words[at + 1] ?? "")) continue;
    else {
      const value =
        VALUES.get(word) ?? (at === from && /^-?\d+(?:\.\d+)?$/.test(word) ? Number(word) : undefined);
      if (value === undefined || (at > from && value >= Math.min(last, 100))) break;
      part = (Number.isNaN(part) ? 0 : part) + value;
      last = value >= 20 && value < 100 && value % 10 === 0 && VALUES.has(word) ? 10 : 0;
    }
    end = at + 1;
  }
  if (end === from) return null;
  const onlyDigits = end === from + 1 && /^-?\d/.test(words[from]!);
  return { digits: onlyDigits ? plainNumber(words[from]!) : String(rounded(total + (part || 0))), end };
}

/** "a hundred", but "hundreds" and "million" alone are no numbers. */
const hasArticle = (words: readonly string[], at: number) => words[at - 1] === "a";

const UNITS = new Map(
  Object.entries({
    "%": "percent パーセント",
    and: "&",
    km: "kilometer kilometers kilometre kilometres キロメートル",
    m: "meter meters metre metres メートル",
    cm: "centimeter centimeters centimetre centimetres センチメートル",
    mm: "millimeter millimeters millimetre millimetres ミリメートル",
    kg: "kilogram kilograms キログラム",
    g: "gram grams グラム",
    t: "tonne tonnes トン",
    hour: "hr hrs h 時間",
    minute: "min mins",
    yen: "¥ 円 jpy",
    dollar: "$ usd ドル",
    euro: "€ eur ユーロ",
    pound: "£ gbp ポンド",
  }).flatMap(([unit, written]) => written.split(" ").map((one) => [one, unit] as const)),
);
const IN_UNITS = new Set(UNITS.values());
const MONEY = new Set(["yen", "dollar", "euro", "pound"]);

/** "$ 5" as "5 dollar". */
function withUnitsBehind(words: readonly string[]): string[] {
  const ordered = [...words];
  for (let at = 0; at + 1 < ordered.length; at += 1)
    if (MONEY.has(ordered[at]!) && /^\d/.test(ordered[at + 1]!) && !/^-?\d/.test(ordered[at - 1] ?? "")) {
      [ordered[at], ordered[at + 1]] = [ordered[at + 1]!, ordered[at]!];
      at += 1;
    }
  return ordered;
}

/** Adams is not Adam. A word with a capital may be a name, unless it is counted. */
const namesIn = (text: string) => new Set((text.match(NAME) ?? []).map((name) => name.toLowerCase()));
const NAME = /(?<![\p{L}\p{N}])(?<!\p{N}\s)\p{Lu}\p{Ll}+s(?![\p{L}\p{N}])/gu;

const singular = (word: string) => (/^[a-z]{3,}[^s'aiu]s$/.test(word) ? word.slice(0, -1) : courteous(word));

/** Japanese without the title of a person, and without the end of a sentence that only says "is". */
const courteous = (word: string) =>
  word
    .replace(/(?<=.)(?:です|でした|である|であった)$/, "")
    .replace(/(?<=[\p{sc=Han}\p{sc=Kana}ー])(?:だ|だった)$/u, "")
    .replace(/(?<=[\p{sc=Han}\p{sc=Kana}ー])(?:さん|氏|様)$/u, "");

/** "in 1977", "the city of Paris", "1977年に". */
function withoutLead(words: readonly string[]): string[] {
  const [first, second, third] = words;
  if (second === undefined) return [...words];
  if (/^(?:に|で)$/.test(words.at(-1)!)) return withoutLead(words.slice(0, -1));
  if (/^(?:in|on|at)$/.test(first!)) return withoutLead(words.slice(1));
  if (first === "year" && /^\d/.test(second)) return words.slice(1);
  const isNamed = second === "of" && /^(?:city|town|village|state|country|year)$/.test(first!);
  return isNamed && third !== undefined ? words.slice(2) : [...words];
}
