// The demo's jobs and their expected results: sentences, pictures and articles that the demo model was not trained on.
import sharp from "sharp";
import { articleCase } from "../../models/demo/data/articles.ts";
import { drawLock } from "../../models/demo/data/locks.ts";
import { HELD_OUT } from "../../models/demo/data/random.ts";
import type { Destination } from "../../worker/job/envelope.ts";
import type { Report } from "../../worker/job/research/report.ts";

export type DemoJob = {
  id: string;
  kind: string;
  input: unknown;
  deliver: Destination[];
  /** What the job asks, in a few words for the table. */
  asked: string;
  expected: string;
  /** The part of an output that is compared with `expected`. */
  got(output: unknown): string;
};

export type Places = { todosUrl: string; webhookUrl: string; topicArn: string; bucket: string };
export type Upload = { key: string; bytes: Uint8Array };

/** The todos in the service at the start. */
export const TODOS = ["buy milk", "call the dentist", "pay the rent", "fix the bike", "book the hotel"];

const SENTENCES: readonly [sentence: string, expected: string][] = [
  ["we are out of milk", "update buy milk"],
  ["the bicycle works again", "update fix the bike"],
  ["we still need stamps", "create"],
  ["I spoke with the tooth doctor", "update call the dentist"],
  ["家賃はまだ", "update pay the rent"],
];

function todoJobs({ todosUrl }: Places): DemoJob[] {
  return SENTENCES.map(([text, expected], index) => ({
    id: `todo-${index + 1}`,
    kind: "todo.match",
    input: { text, todosUrl },
    deliver: [{ rest: todosUrl }],
    asked: text,
    expected,
    got: (output) => {
      const { action, title } = output as { action: string; title: string };
      return action === "update" ? `update ${title}` : action;
    },
  }));
}

const QUESTION = "Is the door locked?";

async function pictureJobs({
  webhookUrl,
  topicArn,
  bucket,
}: Places): Promise<{ jobs: DemoJob[]; uploads: Upload[] }> {
  const drawn = Array.from({ length: 4 }, async (_, index) => {
    const orientation = index % 2 === 0 ? ("horizontal" as const) : ("vertical" as const);
    const { rgb, width, height } = drawLock({
      seed: HELD_OUT + 4_000 + index,
      orientation,
      present: true,
      width: 256,
    });
    const bytes = await sharp(rgb, { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer();
    const key = `in/demo/door-${index + 1}.png`;
    const job: DemoJob = {
      id: `door-${index + 1}`,
      kind: "image.check",
      input: { image: `s3://${bucket}/${key}`, question: QUESTION },
      deliver: [{ sns: topicArn }, { callback: webhookUrl }],
      asked: `${QUESTION} (bar ${orientation === "horizontal" ? "across" : "upright"})`,
      expected: orientation === "horizontal" ? "y" : "n",
      got: (output) => (output as { answer: string }).answer,
    };
    return { job, upload: { key, bytes } };
  });
  const done = await Promise.all(drawn);
  return { jobs: done.map(({ job }) => job), uploads: done.map(({ upload }) => upload) };
}

function articleJobs({ webhookUrl }: Places): DemoJob[] {
  return [0, 1, 2, 3].map((index) => {
    const { text, question, expected } = articleCase(HELD_OUT + 5_000 + index);
    return {
      id: `article-${index + 1}`,
      kind: "article.extract",
      input: { text, questions: [question], maxFacts: 2 },
      deliver: [{ callback: webhookUrl }],
      asked: question,
      expected: expected.answer ?? "not in the text",
      got: (output) =>
        (output as { answers: { answer: string | null }[] }).answers[0]?.answer ?? "not in the text",
    };
  });
}

function promptJob({ topicArn }: Places): DemoJob {
  return {
    id: "prompt-1",
    kind: "prompt",
    input: { prompt: "Text: there is no coffee left\nTitle:", maxTokens: 16 },
    deliver: [{ sns: topicArn }],
    asked: "a title for: there is no coffee left",
    expected: "buy coffee",
    got: (output) => (output as { text: string }).text,
  };
}

/** A page that the search finds, and that its server does not give any more. */
export const GONE = "havelo-today.html";

const numbersIn = (text: string) => text.match(/\d+/g)?.join(" ") ?? text;

/** Each claim's number, and how many pages make it: "8400 (2), but 6200 (1)". */
function claimsInShort({ claims, contradictions }: Report): string {
  const isContradicted = (number: number) => contradictions.some(([, other]) => other === number);
  return claims
    .map(({ number, claim, sources }) => {
      const but = isContradicted(number) ? "but " : "";
      return `${but}${numbersIn(claim)} (${sources.length})`;
    })
    .join(", ");
}

/**
 * Six pages are found: two say the same in other words, one contradicts them, one has nothing about the question, one is about another
 * town, and one is gone.
 */
function researchJob({ webhookUrl }: Places): DemoJob {
  const question = "How many people were there at the festival in Havelo?";
  return {
    id: "research-1",
    kind: "knowledge.research",
    input: { question, pagesPerKeyword: 6 },
    deliver: [{ callback: webhookUrl }],
    asked: question,
    expected: "8400 (2), but 6200 (1)",
    got: (output) => claimsInShort(output as Report),
  };
}

export async function scenario(places: Places): Promise<{ jobs: DemoJob[]; uploads: Upload[] }> {
  const pictures = await pictureJobs(places);
  return {
    jobs: [
      ...todoJobs(places),
      ...pictures.jobs,
      ...articleJobs(places),
      researchJob(places),
      promptJob(places),
    ],
    uploads: pictures.uploads,
  };
}
