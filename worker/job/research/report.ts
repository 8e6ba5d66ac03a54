// What a research found, as data and as Markdown. Owns the form of the report. Everything in it that comes from pages or from the model is
// escaped, and links lead to http(s) only. How it is found out is in handlers/knowledge-research.ts. Pure.
import { z } from "zod";

const Count = z.int().min(0);
const FromOne = z.int().min(1);

const Cited = z.strictObject({
  source: FromOne.describe("The number of the source."),
  quote: z.string().describe("A sentence that stands in the source, word for word."),
  heading: z.string().optional().describe("The headings above it."),
});

const Claim = z.strictObject({
  number: FromOne,
  claim: z.string(),
  sources: z.array(Cited).describe("Each source that says so, with its quote."),
});

const Source = z.strictObject({
  number: FromOne,
  url: z.string(),
  alsoAt: z.array(z.string()).describe("Other addresses at which the same text stands."),
  title: z.string().nullable(),
  site: z.string().nullable(),
  published: z.string().nullable(),
  language: z.string().nullable(),
  format: z.string(),
  claims: z.array(FromOne).describe("The claims that it supports."),
  chunks: z
    .strictObject({ total: Count, asked: Count })
    .describe("Its parts, and how many the model was asked about."),
  note: z.string().optional(),
});

const Failure = z.strictObject({
  step: z.enum(["keywords", "search", "page", "chunk", "answer"]),
  what: z.string().describe("The words of the search, or the address of the page."),
  code: z.string(),
  reason: z.string(),
});

export const Report = z.strictObject({
  question: z.string(),
  found: z.boolean().describe("Whether any claim about the question was found."),
  answer: z
    .array(z.strictObject({ text: z.string(), claims: z.array(FromOne) }))
    .describe("The answer's sentences, each with the claims that it rests on."),
  claims: z.array(Claim),
  contradictions: z.array(z.tuple([FromOne, FromOne])).describe("Pairs of claims that cannot both be true."),
  sources: z.array(Source),
  searches: z.array(z.strictObject({ query: z.string(), found: Count, note: z.string().optional() })),
  failures: z.array(Failure).describe("What could not be searched, read or asked, and why."),
  notRead: z.array(z.string()).describe("What was left unread, and why."),
  dropped: z
    .strictObject({ claims: Count, sentences: Count })
    .describe(
      "Claims whose quote does not stand in their source, and sentences without a claim that supports them.",
    ),
  partial: z
    .array(z.string())
    .describe("Why this is only a part of what could be found; empty when it is whole."),
  notes: z.array(z.string()),
  model: z.string().nullable(),
  durationMs: Count.describe("Of this run."),
  estimate: z
    .strictObject({
      seconds: z.number().nullable().describe("By the rates measured before; null where none were."),
      tookSeconds: z.number(),
      promptTokens: Count,
      completionTokens: Count,
    })
    .describe("What asking the chunks was estimated to take, and what it took."),
  tokens: z.strictObject({ prompt: Count, cached: Count, completion: Count }).describe("Of this run."),
  resumed: z
    .strictObject({ searches: Count, pages: Count, chunks: Count })
    .optional()
    .describe("What an earlier run of the same job had done."),
  markdown: z.string().describe("The report for people."),
});
export type Report = z.output<typeof Report>;

export function markdownOf(report: Omit<Report, "markdown">): string {
  const { question, partial, notes } = report;
  return [
    `# ${escaped(question)}`,
    partial.length > 0 && `> **This report is partial.** ${partial.map(escaped).join(" ")}`,
    `## Answer\n\n${answerOf(report)}`,
    section(
      "Claims",
      report.claims.map((claim) => claimOf(claim, report)),
    ),
    section(
      "Contradictions",
      report.contradictions.map((pair) => contradictionOf(pair, report)),
    ),
    section("Sources", report.sources.map(sourceOf)),
    section("What failed", report.failures.map(failureOf)),
    section(
      "Not read",
      report.notRead.map((one) => `- ${escaped(one)}`),
    ),
    section(
      "How it was made",
      [...madeOf(report), ...notes].map((one) => `- ${escaped(one)}`),
    ),
  ]
    .filter((part) => part !== false && part !== "")
    .join("\n\n")
    .concat("\n");
}

const section = (title: string, lines: readonly string[]): string =>
  lines.length > 0 ? `## ${title}\n\n${lines.join("\n")}` : "";

function answerOf({ answer, claims, sources, contradictions }: Omit<Report, "markdown">): string {
  const against = (number: number) =>
    contradictions.flatMap(([one, other]) => (one === number ? [other] : other === number ? [one] : []));
  if (answer.length > 0)
    return answer
      .map(({ text, claims: own }) => {
        const opposed = [...new Set(own.flatMap(against))].filter((number) => !own.includes(number));
        const but = opposed.length > 0 ? `; contradicted by ${opposed.join(", ")}` : "";
        return `${escaped(text)} [${own.join(", ")}${but}]`;
      })
      .join(" ");
  if (claims.length > 0) return "There is no summary; the claims below are what the sources say.";
  const read = sources.filter(({ chunks }) => chunks.asked > 0).length;
  if (read === 0) return "Nothing was found: no page could be read.";
  return read === 1
    ? "Nothing was found: the one source that was read says nothing about this question."
    : `Nothing was found: none of the ${read} sources that were read says anything about this question.`;
}

function claimOf(
  { number, claim, sources }: Report["claims"][number],
  report: Omit<Report, "markdown">,
): string {
  const quotes = sources.map(({ source, quote, heading }) => {
    const from = report.sources.find((one) => one.number === source);
    const under = heading === undefined ? "" : `, under “${escaped(heading)}”`;
    return `   - “${escaped(quote)}” (${from ? linkTo(from.url, from.title ?? from.url) : source}${under})`;
  });
  return [`${number}. ${escaped(claim)}`, ...quotes].join("\n");
}

function contradictionOf([one, other]: [number, number], { claims }: Omit<Report, "markdown">): string {
  const text = (number: number) => escaped(claims.find((claim) => claim.number === number)?.claim ?? "");
  return `- ${one}: ${text(one)} **But** ${other}: ${text(other)}`;
}

function sourceOf({
  number,
  url,
  alsoAt,
  title,
  site,
  published,
  language,
  claims,
  note,
}: Report["sources"][number]) {
  const about = [site, published, language, note].filter((one) => one !== null && one !== undefined);
  const cited =
    claims.length > 0 ? `${claims.length === 1 ? "claim" : "claims"} ${claims.join(", ")}` : "no claim";
  const also = alsoAt.map((address) => `; also ${linkTo(address, address)}`).join("");
  return `${number}. ${linkTo(url, title ?? url)} (${[...about.map(escaped), cited].join(", ")})${also}`;
}

const NAMES = {
  keywords: "Keywords",
  search: "Search",
  page: "Page",
  chunk: "Part of",
  answer: "Answer",
} as const;

const failureOf = ({ step, what, code, reason }: Report["failures"][number]) =>
  `- ${NAMES[step]}${what === "" ? "" : ` ${linkTo(what, what)}`}: \`${code}\`: ${escaped(reason)}`;

const counted = (count: number, one: string) =>
  `${count} ${count === 1 ? one : one.endsWith("ch") ? `${one}es` : `${one}s`}`;

const seconds = (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;

function madeOf({
  model,
  durationMs,
  tokens,
  estimate,
  searches,
  dropped,
  resumed,
}: Omit<Report, "markdown">) {
  const { prompt, cached, completion } = tokens;
  const lines = [
    `Model ${model ?? "unknown"}, ${seconds(durationMs / 1_000)}, ${prompt} tokens in (${cached} cached), ${completion} out.`,
    estimate.seconds === null
      ? `Asking took ${seconds(estimate.tookSeconds)}; no rates were measured before, so there was no estimate.`
      : `Asking was estimated to take ${seconds(estimate.seconds)} and took ${seconds(estimate.tookSeconds)}.`,
    ...searches.map(
      ({ query, found, note }) => `Search “${query}”: ${found} found${note ? `; ${note}` : ""}.`,
    ),
  ];
  if (dropped.claims > 0)
    lines.push(
      `${counted(dropped.claims, "claim")} dropped: a quote or a number does not stand in the source.`,
    );
  if (dropped.sentences > 0)
    lines.push(`${counted(dropped.sentences, "sentence")} of the answer dropped: no claim supports it.`);
  if (resumed)
    lines.push(
      `An earlier run had done ${counted(resumed.searches, "search")}, read ${counted(resumed.pages, "page")} and asked ${counted(resumed.chunks, "part")}.`,
    );
  return lines;
}

// ── Texts of others ──

/** What begins something in Markdown: emphasis, links, HTML, headings, tables, entities. A picture begins with a bracket too. */
const SPECIAL = /[\\`*_{}[\]<>#|~&$]/g;
/** What is made a link without any mark around it. */
const AUTOLINK = /(?<=\b(?:https?|ftp|mailto|xmpp))(?=:)|(?<=\bwww)(?=\.)|(?=@)/gi;
/** At the start of a line: a list, a number of a list, a line under a heading. */
const LEADING = /^([-+=]|\d+(?=[.)](?:\s|$)))/;
/** Control characters, and those that turn the order of what follows. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are meant
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+/g;

/** A text of somebody else as one line of Markdown that shows it and does nothing else. */
export function escaped(text: string): string {
  const line = text.replaceAll(UNSEEN, " ").replaceAll(/\s+/g, " ").trim();
  const marked = line.replaceAll(SPECIAL, String.raw`\$&`).replaceAll(AUTOLINK, "\\");
  return marked.replace(LEADING, (start) => (/\d/.test(start) ? `${start}\\` : `\\${start}`));
}

/** A link to an address of the web; of any other address, only its text. */
export function linkTo(address: string | null, text: string): string {
  const url = address !== null && URL.canParse(address) ? new URL(address) : null;
  if (!url || !/^https?:$/.test(url.protocol)) return escaped(text);
  const target = url.href.replaceAll(/[<>\\\s]/g, (one) => encodeURIComponent(one));
  return text === address ? `<${target}>` : `[${escaped(text)}](<${target}>)`;
}
