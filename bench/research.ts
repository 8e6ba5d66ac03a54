// `bench research`: what it saves to ask all parts of a research together. 9 local pages with 45 parts are researched with as many requests at
// once as a job may have, and with one at a time, on the same engine; ratios in one run.
import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import { runAlone } from "../worker/cli/commands/run.ts";
import { loadConfig } from "../worker/config/config.ts";
import { SERVE_OPTIONS } from "../worker/http/server-limits.ts";
import { Job } from "../worker/job/envelope.ts";
import type { Report } from "../worker/job/research/report.ts";
import type { Receipt } from "../worker/job/result.ts";
import { silentLog } from "../worker/logging/log.ts";
import { type Column, table } from "../worker/logging/terminal.ts";
import { entryFor } from "../worker/outbound/destinations.ts";
import { type Bench, fileOf, oneOf, whole } from "./arguments.ts";
import { startOurEngine } from "./engine-process.ts";
import { interleave, median } from "./figures.ts";
import { factsLine, machine, modelFile, modelText } from "./machine.ts";
import { biasesAgainstEnd, FORMATS, smallModel } from "./models.ts";
import { cpuSeconds } from "./process-usage.ts";
import { seededRandom } from "./seeded-random.ts";
import type { Session } from "./session.ts";
import { digits, percent } from "./table.ts";

const PAGES = 9;
/** With what the model is told and the answer, a part of 2,000 characters fits. */
const CONTEXT = 4_096;
const WAYS = ["one at a time", "together"] as const;
type Way = (typeof WAYS)[number];

export const research: Bench = {
  about: "what it saves to ask all parts of a research together: speed-up and share of cached prompt tokens",
  options: {
    slots: { type: "string", default: "8" },
    "parts-of-page": { type: "string", default: "5" },
    rounds: { type: "string", default: "2" },
    "answer-tokens": { type: "string", default: "96" },
    format: { type: "string", default: "Q4_0" },
    model: { type: "string" },
  },
  async run(values, session) {
    const [slots, rounds, answerTokens, partsOfPage] = [
      "slots",
      "rounds",
      "answer-tokens",
      "parts-of-page",
    ].map((flag) => whole(values, flag));
    const model = fileOf(values, "model") ?? (await smallModel(oneOf(values, "format", FORMATS)));
    const plan = { slots: slots!, rounds: rounds!, answerTokens: answerTokens!, partsOfPage: partsOfPage! };
    session.print(`${factsLine(machine(), { model: modelText(modelFile(model)), ...plan })}\n`);
    const samples = await measure({ ...plan, model }, session);
    const [speedUp, cpuRatio] = [speedUpOf(samples, "seconds"), speedUpOf(samples, "engineCpuSeconds")];
    const cachedShare = median(of(samples, "together").map(shareOf));
    session.print(`${samplesTable(samples)}\n`);
    session.print(`speed-up, one at a time / together: ${digits(speedUp, 2)}`);
    session.print(`the engine's CPU time, one at a time / together: ${digits(cpuRatio, 2)}`);
    session.print(`share of the prompt tokens that were cached, together: ${percent(cachedShare)}`);
    return { machine: machine(), model: modelFile(model), ...plan, samples, speedUp, cpuRatio, cachedShare };
  },
};

type Plan = { slots: number; rounds: number; answerTokens: number; partsOfPage: number; model: string };
export type Sample = { way: Way; seconds: number; engineCpuSeconds: number; parts: number } & Pick<
  Receipt,
  "promptTokens" | "cachedTokens" | "completionTokens" | "requests"
>;

async function measure(
  { slots, rounds, answerTokens, partsOfPage, model }: Plan,
  session: Session,
): Promise<Sample[]> {
  await using stack = new AsyncDisposableStack();
  const engine = await startOurEngine({ model, slots, contextSize: CONTEXT }, session);
  stack.defer(() => engine.stop());
  const answer = { tokens: answerTokens, biases: await biasesAgainstEnd(model) };
  const front = await startServer((request) => answerAs(request, engine.url, answer));
  stack.defer(front.close);
  const site = await startServer(async (request) => pageAt(new URL(request.url), partsOfPage));
  stack.defer(site.close);
  const samples: Sample[] = [];
  for (const [run, way] of interleave(WAYS, rounds).entries()) {
    // Texts that no run had before: only what a run's own prompts share may be cached.
    const before = cpuSeconds(engine.pid);
    const sample = await researchOnce({ way, slots, run, engineUrl: front.url, siteUrl: site.url }, session);
    samples.push({ way, ...sample, engineCpuSeconds: cpuSeconds(engine.pid) - before });
    process.stderr.write(`${way}: ${digits(sample.seconds, 1)} s for ${sample.parts} parts\n`);
  }
  return samples;
}

type Once = { way: Way; slots: number; run: number; engineUrl: string; siteUrl: string };

async function researchOnce(
  { way, slots, run, engineUrl, siteUrl }: Once,
  { signal }: Session,
): Promise<Omit<Sample, "way" | "engineCpuSeconds">> {
  const config = loadConfig(
    {
      KAMADO_ENGINE_URL: engineUrl,
      KAMADO_MAX_JOB_PARALLEL_REQUESTS: way === "together" ? `${2 * slots}` : "1",
      KAMADO_TIMEOUT_SECONDS: "7200",
    },
    {},
  );
  const urls = Array.from({ length: PAGES }, (_, page) => `${siteUrl}/${run}/${page}`);
  const input = { question: `What does page ${run} say?`, urls, maxTokens: 1_000_000 };
  const { output, receipt, error } = await runAlone(
    Job.parse({ id: `bench-${run}`, kind: "knowledge.research", input }),
    {
      config,
      aws: { region: "us-east-1", credentials: { accessKeyId: "none", secretAccessKey: "none" } },
      log: silentLog,
      signal,
      watch: () => {},
      destinations: [entryFor(siteUrl, { allowPrivate: true })],
    },
  );
  if (error) throw new Error(`The research failed: ${error.code}: ${error.message}`);
  const { durationMs, sources } = output as Report;
  const { promptTokens, cachedTokens, completionTokens, requests } = receipt;
  const parts = sources.reduce((sum, { chunks }) => sum + chunks.asked, 0);
  return { seconds: durationMs / 1_000, parts, promptTokens, cachedTokens, completionTokens, requests };
}

// ── What is researched ──

const PARAGRAPH = 1_900;
const SENTENCE = 95;
/** Common words, so that a trained model needs about as many tokens as for a real page. In the random models a character is a token. */
const WORDS =
  "the town of river council market bridge people opened school street water year library garden old new said winter station would museum between harbour for million plan after teacher summer road from festival and visitors hall a morning train north".split(
    " ",
  );

const LONGEST_WORD = 8;

/** A page of paragraphs that are each as long as a part. Another run has other words. */
function pageAt({ pathname }: URL, parts: number): Response {
  const [, run, page] = /^\/(\d+)\/(\d+)$/.exec(pathname) ?? [];
  if (run === undefined) return new Response("", { status: 404 });
  const random = seededRandom(10_007 * (Number(run) + 1) + 101 * Number(page));
  const paragraph = () =>
    `<p>${Array.from({ length: PARAGRAPH / SENTENCE }, () => sentence(random)).join(" ")}</p>`;
  const paragraphs = Array.from({ length: parts }, paragraph).join("");
  const html = `<!doctype html><title>${page}</title><article><h1>${page}</h1>${paragraphs}</article>`;
  return new Response(html, { headers: { "content-type": "text/html" } });
}

function sentence(random: () => number): string {
  const words: string[] = [];
  while (words.join(" ").length < SENTENCE - LONGEST_WORD)
    words.push(WORDS[Math.floor(random() * WORDS.length)]!);
  const line = words.join(" ");
  return `${line[0]!.toUpperCase()}${line.slice(1)}.`;
}

// ── The model ──

type Body = { messages: { content: unknown }[]; max_tokens: number; logprobs?: boolean };

/**
 * The engine, with answers as a trained model gives them: as long as such, and with what the question asks for. A model of random weights
 * would fill each string to its limit.
 */
async function answerAs(
  request: Request,
  engineUrl: string,
  answer: { tokens: number; biases: Record<string, number> },
): Promise<Response> {
  const { tokens, biases } = answer;
  const url = new URL(request.url);
  const text = await request.text();
  const send = (body: string) =>
    fetch(`${engineUrl}${url.pathname}`, {
      method: request.method,
      ...(body !== "" && { body, headers: { "content-type": "application/json" } }),
    });
  if (url.pathname !== "/v1/chat/completions") return passOn(await send(text));
  const {
    response_format: _,
    check_schema: __,
    ...body
  } = JSON.parse(text) as Body & Record<string, unknown>;
  const response = await send(
    JSON.stringify({ ...body, max_tokens: Math.min(tokens, body.max_tokens), logit_bias: biases }),
  );
  if (!response.ok) return passOn(response);
  const whole = (await response.json()) as Record<string, unknown>;
  return Response.json({ ...whole, choices: [{ index: 0, finish_reason: "stop", ...choiceFor(body) }] });
}

const passOn = async (response: Response) =>
  new Response(await response.text(), {
    status: response.status,
    headers: { "content-type": response.headers.get("content-type") ?? "application/json" },
  });

function choiceFor({ messages, logprobs }: Body) {
  const content = String(messages.at(-1)?.content);
  if (logprobs) {
    const token = { token: "different", logprob: Math.log(0.95), bytes: [...Buffer.from("different")] };
    return {
      message: { role: "assistant", content: "different" },
      logprobs: { content: [{ ...token, top_logprobs: [token] }] },
    };
  }
  const [, sentence = ""] = /Article: (?:\[[^\]]*\] )?([^.]*\.)/.exec(content) ?? [];
  const value = content.includes("\nClaims: ")
    ? { claims: [{ evidence: sentence, claim: sentence }] }
    : { sentences: [{ text: "It says so.", claims: [1] }] };
  return { message: { role: "assistant", content: JSON.stringify(value) } };
}

async function startServer(answer: (request: Request) => Promise<Response>) {
  const { promise, resolve } = Promise.withResolvers<AddressInfo>();
  const server = serve({ ...SERVE_OPTIONS, fetch: answer, hostname: "127.0.0.1", port: 0 }, resolve);
  const url = `http://127.0.0.1:${(await promise).port}`;
  const close = () => new Promise<void>((done) => void server.close(() => done()));
  return { url, close };
}

// ── Figures ──

const of = (samples: readonly Sample[], way: Way) => samples.filter((sample) => sample.way === way);
type Measure = "seconds" | "engineCpuSeconds";
const medianOf = (samples: readonly Sample[], way: Way, measure: Measure) =>
  median(of(samples, way).map((sample) => sample[measure]));
const shareOf = ({ cachedTokens, promptTokens }: Sample) => cachedTokens / promptTokens;

/** NaN where not every part was asked in every run, because then they cannot be compared. */
export function speedUpOf(samples: readonly Sample[], measure: Measure): number {
  if (new Set(samples.map(({ parts }) => parts)).size !== 1) return Number.NaN;
  return medianOf(samples, "one at a time", measure) / medianOf(samples, "together", measure);
}

function samplesTable(samples: readonly Sample[]): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const columns = [
    { title: "parts are asked" },
    ...["parts", "seconds", "engine CPU s", "prompt tokens", "cached", "answer tokens"].map(right),
  ];
  const rows = samples.map((sample) => [
    sample.way,
    String(sample.parts),
    digits(sample.seconds, 1),
    digits(sample.engineCpuSeconds, 1),
    String(sample.promptTokens),
    percent(shareOf(sample)),
    String(sample.completionTokens),
  ]);
  return table(columns, rows);
}
