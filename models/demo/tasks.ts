// The tasks that measure the demo model: for every held-out seed, the question, its form, and whether an answer is right.
import sharp from "sharp";
import { z } from "zod";
import { factsContent, questionContent } from "../../handlers/article-extract.ts";
import { checkContent } from "../../handlers/image-check.ts";
import { answerContent, claimsContent, keywordsContent } from "../../handlers/knowledge-research.ts";
import { matchContent, titleContent } from "../../handlers/todo-match.ts";
import type { SafeImage } from "../../worker/job/handler.ts";
import { compareContent } from "../../worker/job/meaning.ts";
import type { Wish } from "./answer.ts";
import { type ArticleCase, articleCase, factsCase } from "./data/articles.ts";
import { pictureCase } from "./data/lock-questions.ts";
import type { LockPicture } from "./data/locks.ts";
import { drawLock } from "./data/locks.ts";
import { type ClaimsCase, claimsCase } from "./data/page-parts.ts";
import { HELD_OUT } from "./data/random.ts";
import { answerCase, compareCase, keywordsCase } from "./data/research.ts";
import { titleCase, todoCase } from "./data/todos.ts";

export type Asked = {
  content: string;
  picture?: LockPicture;
  wish?: Wish;
  expected: string;
  isRight(answer: string): boolean;
};
/** The case of a seed from HELD_OUT on; null when the seed has none. */
export type Task = { name: string; target?: number; of(seed: number): Asked | null };

// In the form in which the handler asks.
const ANSWER = z.toJSONSchema(
  z.strictObject({ evidence: z.string().nullable(), answer: z.string().nullable() }),
);
const FACTS = z.toJSONSchema(
  z.strictObject({ facts: z.array(z.strictObject({ evidence: z.string(), fact: z.string() })) }),
);

const KEYWORDS = z.toJSONSchema(z.strictObject({ keywords: z.array(z.string().max(100)) }));
const CLAIMS = z.toJSONSchema(
  z.strictObject({ claims: z.array(z.strictObject({ evidence: z.string(), claim: z.string() })) }),
);
const SENTENCES = z.toJSONSchema(
  z.strictObject({ sentences: z.array(z.strictObject({ text: z.string(), claims: z.array(z.int()) })) }),
);

/** JSON with its strings trimmed, as handlers do; null when it is not JSON. */
function read(text: string): unknown {
  try {
    return JSON.parse(text, (_, value) => (typeof value === "string" ? value.trim() : value));
  } catch {
    return null;
  }
}
const same = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);

const todo: Task = {
  name: "todo match",
  target: 0.95,
  of(seed) {
    const { text, todos, expected } = todoCase(seed);
    const options = [...todos.map((_, index) => String(index + 1)), "new"];
    return {
      content: matchContent(text, todos),
      wish: { options },
      expected,
      isRight: (answer) => answer === expected,
    };
  },
};

const title: Task = {
  name: "todo title",
  of(seed) {
    const { text, expected } = titleCase(seed);
    return { content: titleContent(text), expected, isRight: (answer) => answer.trim() === expected };
  },
};

type Wants = (found: ArticleCase) => boolean;

function question(name: string, wants: Wants, part: "answer" | "evidence", target?: number): Task {
  return {
    name,
    ...(target !== undefined && { target }),
    of(seed) {
      const found = articleCase(seed);
      if (!wants(found)) return null;
      return {
        content: questionContent(found.text, found.question),
        wish: { schema: ANSWER },
        expected: JSON.stringify(found.expected),
        isRight: (answer) =>
          (read(answer) as ArticleCase["expected"] | null)?.[part] === found.expected[part],
      };
    },
  };
}

const facts: Task = {
  name: "article facts, all of them",
  of(seed) {
    const { text, count, expected } = factsCase(seed);
    return {
      content: factsContent(text, count),
      wish: { schema: FACTS },
      expected: JSON.stringify(expected),
      isRight: (answer) => same(read(answer), expected),
    };
  },
};

const picture: Task = {
  name: "picture, locked or not",
  target: 0.9,
  of(seed) {
    const found = pictureCase(seed);
    return {
      content: checkContent(found.question),
      picture: found.picture,
      wish: { options: ["y", "n"] },
      expected: found.expected,
      isRight: (answer) => answer === found.expected,
    };
  },
};

/** Larger than any picture of the training, like a camera's. */
const largePicture: Task = {
  name: "picture, 640 x 480",
  of(seed) {
    const orientation = seed % 2 === 0 ? ("horizontal" as const) : ("vertical" as const);
    const expected = orientation === "horizontal" ? "y" : "n";
    return {
      content: checkContent("Is the door locked?"),
      picture: drawLock({ seed: seed + 500_000, orientation, present: true, width: 640, height: 480 }),
      wish: { options: ["y", "n"] },
      expected,
      isRight: (answer) => answer === expected,
    };
  },
};

const keywords: Task = {
  name: "research keywords",
  target: 0.95,
  of(seed) {
    const { question, count, expected } = keywordsCase(seed);
    return {
      content: keywordsContent(question, count),
      wish: { schema: KEYWORDS },
      expected: JSON.stringify(expected),
      isRight: (answer) => same(read(answer), expected),
    };
  },
};

function claims(name: string, wants: (found: ClaimsCase) => boolean, target?: number): Task {
  return {
    name,
    ...(target !== undefined && { target }),
    of(seed) {
      const found = claimsCase(seed);
      if (!wants(found)) return null;
      const { where, text, question, expected } = found;
      return {
        content: claimsContent(where, text, question),
        wish: { schema: CLAIMS },
        expected: JSON.stringify(expected),
        isRight: (answer) => same(read(answer), expected),
      };
    },
  };
}

const compare: Task = {
  name: "research compare",
  target: 0.9,
  of(seed) {
    const { one, other, question, expected } = compareCase(seed);
    return {
      content: compareContent(one, other, question),
      wish: { options: ["same", "different", "contradiction"] },
      expected,
      isRight: (answer) => answer === expected,
    };
  },
};

const sentences: Task = {
  name: "research answer",
  target: 0.85,
  of(seed) {
    const { question, claims, expected } = answerCase(seed);
    return {
      content: answerContent(question, claims),
      wish: { schema: SENTENCES },
      expected: JSON.stringify(expected),
      isRight: (answer) => same(read(answer), expected),
    };
  },
};

const hasClaims = ({ expected }: ClaimsCase) => expected.claims.length > 0;

const isAnswered = ({ expected }: ArticleCase) => expected.answer !== null;

export const TASKS: readonly Task[] = [
  todo,
  title,
  question("article question", () => true, "answer", 0.97),
  question("article question, answered in the text", isAnswered, "answer"),
  question("article question, left open by the text", (found) => !isAnswered(found), "answer"),
  question("article evidence", () => true, "evidence"),
  facts,
  keywords,
  claims("research claims", () => true, 0.9),
  claims("research claims, some in the text", hasClaims),
  claims("research claims, none in the text", (found) => !hasClaims(found)),
  compare,
  sentences,
  picture,
  largePicture,
];

/** The first `count` held-out cases of a task. */
export function* casesOf(task: Task, count: number): Generator<Asked> {
  for (let seed = HELD_OUT, given = 0; given < count; seed++) {
    const asked = task.of(seed);
    if (!asked) continue;
    given += 1;
    yield asked;
  }
}

/** The picture as the worker sends it to an engine: a small one as PNG. */
export async function toSafeImage({ rgb, width, height }: LockPicture): Promise<SafeImage> {
  const png = await sharp(rgb, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
  return { dataUri: `data:image/png;base64,${png.toString("base64")}`, width, height, sha256: "" };
}
