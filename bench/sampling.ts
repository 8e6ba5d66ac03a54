// The second table of `bench engine`: what it costs to draw a token, and to follow a schema, beside always taking the likeliest
// token. On a vocabulary of 262,144 tokens, where it matters, or on the model that is given.
import { table } from "../worker/logging/terminal.ts";
import { type GivenOptions, type ServerProcess, startOurEngine } from "./engine-process.ts";
import { interleave, median, sum } from "./figures.ts";
import { type Call, runLoad } from "./load.ts";
import { modelFile, modelText } from "./machine.ts";
import { largeVocabularyModel } from "./models.ts";
import { cpuSeconds } from "./process-usage.ts";
import { textOf } from "./prompts.ts";
import type { Session } from "./session.ts";
import { atLeast, digits, mark, meets } from "./table.ts";

const TOKENS = 64;
const PROMPT_CHARACTERS = 16;
const CONTEXT = 512;
/** Of the rate of greedy answers without a schema. */
const TARGET = atLeast(0.9);
const SCHEMA = {
  type: "object",
  properties: {
    items: {
      type: "array",
      minItems: 3,
      items: {
        type: "object",
        properties: {
          kind: { enum: ["note", "task", "event"] },
          count: { type: "integer" },
          done: { type: "boolean" },
        },
        required: ["kind", "count", "done"],
      },
    },
    text: { type: "string" },
  },
  required: ["items", "text"],
};
const json = { response_format: { type: "json_schema", json_schema: { name: "list", schema: SCHEMA } } };

const WAYS = ["greedy", "T=0.7", "T=1", "JSON", "JSON, T=0.7"] as const;
type Way = (typeof WAYS)[number];
const FIELDS: Record<Way, Record<string, unknown>> = {
  greedy: { temperature: 0 },
  "T=0.7": { temperature: 0.7 },
  "T=1": { temperature: 1 },
  JSON: { temperature: 0, ...json },
  "JSON, T=0.7": { temperature: 0.7, ...json },
};
/** The other libraries sample behind an API that leaves nothing to choose: they are shown, without a target. */
const OURS = "node-llama-cpp";
export const BACKENDS = [OURS, "llama-node", "llama-server"] as const;
type BackendName = (typeof BACKENDS)[number];

/** `cpuMs` of a token is not known of a backend that runs in a process of its own. */
export type SamplingRow = {
  backend: BackendName;
  concurrency: number;
  way: Way;
  tokensPerSecond: number;
  cpuMs: number | undefined;
};
type Plan = {
  own: string | undefined;
  threads: number;
  rounds: number;
  widths: readonly number[];
  backends?: readonly BackendName[];
  program: string;
};

export async function measureSampling(plan: Plan, session: Session): Promise<SamplingRow[]> {
  if (plan.widths.length === 0) return [];
  const model = plan.own ?? (await largeVocabularyModel());
  const rows: SamplingRow[] = [];
  for (const backend of plan.backends ?? BACKENDS)
    for (const concurrency of plan.widths) {
      rows.push(...(await measureBackend({ ...plan, model, backend, concurrency }, session)));
      process.stderr.write(`measured sampling, ${backend}, C=${concurrency}\n`);
    }
  session.print(
    `sampling on ${modelText(modelFile(model))}, ${TOKENS} tokens out; ratios are beside greedy\n${samplingTable(rows)}\n`,
  );
  return rows;
}

type Measured = Plan & { model: string; backend: BackendName; concurrency: number };

async function measureBackend(measured: Measured, session: Session): Promise<SamplingRow[]> {
  const { backend, concurrency, model, threads, program } = measured;
  const options: GivenOptions = { model, backend, threads, slots: concurrency, contextSize: CONTEXT };
  const server = await startOurEngine(
    { ...options, ...(backend === "llama-server" && { llamaServer: program }) },
    session,
  );
  try {
    const turns = new Map(WAYS.map((way) => [way, [] as Turn[]]));
    // The first answers also read the prompt, load what is loaded late, and make the grammar.
    for (const way of WAYS) await turn(server, way, 0, measured, session);
    for (const way of interleave(WAYS, measured.rounds)) {
      const seed = turns.get(way)!.length + 1;
      turns.get(way)!.push(await turn(server, way, seed, measured, session));
    }
    return WAYS.map((way) => ({ backend, concurrency, way, ...medianTurn(turns.get(way)!, backend) }));
  } finally {
    await server.stop();
  }
}

type Turn = { tokensPerSecond: number; cpuMs: number };

function medianTurn(
  turns: readonly Turn[],
  backend: BackendName,
): Pick<SamplingRow, "tokensPerSecond" | "cpuMs"> {
  const cpuMs = median(turns.map((turn) => turn.cpuMs));
  return {
    tokensPerSecond: median(turns.map((turn) => turn.tokensPerSecond)),
    cpuMs: backend === "llama-server" ? undefined : cpuMs,
  };
}

async function turn(
  server: ServerProcess,
  way: Way,
  seed: number,
  { concurrency }: Measured,
  session: Session,
): Promise<Turn> {
  const calls = Array.from({ length: concurrency }, (_, at) => callOf(way, 100 * seed + at));
  const before = cpuSeconds(server.pid);
  const { answers, wallMs } = await runLoad(calls, server, concurrency, session.signal);
  const cpu = cpuSeconds(server.pid) - before;
  const isSound = answers.every(({ failure }) => failure === undefined);
  const tokens = isSound ? sum(answers.map(({ completionTokens }) => completionTokens)) : Number.NaN;
  return { tokensPerSecond: (1_000 * tokens) / wallMs, cpuMs: (1_000 * cpu) / tokens };
}

/** The prompt is always the same, so that none of it is evaluated again. */
function callOf(way: Way, seed: number): Call {
  const messages = [{ role: "user", content: textOf(PROMPT_CHARACTERS, 1) }];
  const stream = { stream: true, stream_options: { include_usage: true } };
  return {
    path: "/v1/chat/completions",
    body: { messages, max_tokens: TOKENS, seed, ...FIELDS[way], ...stream },
  };
}

/** A row's rate as a share of the greedy rate, by CPU time where it is known: other work on the machine changes it less. */
export function shareOfGreedy(row: SamplingRow, rows: readonly SamplingRow[]): number {
  const greedy = rows.find(
    ({ way, backend, concurrency }) =>
      way === "greedy" && backend === row.backend && concurrency === row.concurrency,
  )!;
  return row.cpuMs === undefined || greedy.cpuMs === undefined
    ? row.tokensPerSecond / greedy.tokensPerSecond
    : greedy.cpuMs / row.cpuMs;
}

const hasTarget = ({ backend, way }: SamplingRow) => backend === OURS && way !== "greedy" && way !== "T=1";

export function samplingTargets(rows: readonly SamplingRow[]): { met: number; of: number } {
  const verdicts = rows.filter(hasTarget).map((row) => meets(shareOfGreedy(row, rows), TARGET));
  return { met: verdicts.filter(Boolean).length, of: verdicts.length };
}

export function samplingTable(rows: readonly SamplingRow[]): string {
  const numbers = ["C", "tokens/s", "CPU ms/token", "of greedy"].map((title) => ({
    title,
    align: "right" as const,
  }));
  const [c, rate, cpu, share] = numbers;
  return table(
    [{ title: "backend" }, c!, { title: "sampling" }, rate!, cpu!, share!, { title: "target" }],
    rows.map((row) => [
      row.backend,
      String(row.concurrency),
      row.way,
      digits(row.tokensPerSecond, 1),
      digits(row.cpuMs, 2),
      digits(shareOfGreedy(row, rows), 2),
      hasTarget(row) ? mark(shareOfGreedy(row, rows), TARGET) : "",
    ]),
  );
}
