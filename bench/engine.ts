// `bench engine`: our engine beside llama-server on the same file, the same prompts and threads, taking turns.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bench, oneOf, whole, wholes } from "./arguments.ts";
import { type ServerProcess, startOurEngine } from "./engine-process.ts";
import { coldTable, failureLines, type Level, targetsMet, warmTable } from "./engine-report.ts";
import { interleave } from "./interleave.ts";
import { findProgram, startLlamaServer } from "./llama-server-process.ts";
import { completion, runLoad } from "./load.ts";
import { factsLine, machine, modelFile, modelWords } from "./machine.ts";
import { lengthFor, promptsOf, type Shape, textOf } from "./prompts.ts";
import { FORMATS, smallModel } from "./random-model.ts";
import { measure, medianSample, type Sample } from "./sample.ts";

const SHARED_TOKENS = 500;
const OWN_TOKENS = 100;
const ANSWER_TOKENS = 48;
const CONTEXT = 1_024;

export const engine: Bench = {
  about: "our engine beside llama-server: CPU seconds a job, tokens/s, TTFT, TPOT, cached share, as ratios",
  options: {
    model: { type: "string" },
    format: { type: "string", default: "Q4_0" },
    threads: { type: "string", default: "1" },
    concurrency: { type: "string", default: "1,4,8,16" },
    rounds: { type: "string", default: "3" },
    jobs: { type: "string" },
  },
  async run(values, print) {
    const program = findProgram();
    const own = typeof values.model === "string" ? values.model : undefined;
    const model = own ?? (await smallModel(oneOf(values, "format", FORMATS)));
    const plan: Plan = {
      model,
      program,
      // In the random models a character is a token.
      shape: own ? await shapeFor(program, own) : { shared: SHARED_TOKENS, own: OWN_TOKENS },
      threads: whole(values, "threads"),
      rounds: whole(values, "rounds"),
      jobs: values.jobs === undefined ? undefined : whole(values, "jobs"),
    };
    const [machineFacts, file] = [machine(), modelFile(model)];
    const { threads, rounds } = plan;
    print(factsLine(machineFacts, { model: modelWords(file), threads, rounds }));
    print(
      `${SHARED_TOKENS} shared + ${OWN_TOKENS} own prompt tokens, ${ANSWER_TOKENS} out, greedy; ${plan.program}\n`,
    );
    const levels: Level[] = [];
    for (const concurrency of wholes(values, "concurrency")) {
      levels.push(await measureLevel(plan, concurrency));
      process.stderr.write(`measured C=${concurrency}\n`);
    }
    print(
      `warm (medians of ${rounds} rounds, ours and theirs by turns; ratios are ours / theirs)\n${warmTable(levels)}\n`,
    );
    print(`first wave of a fresh process, C requests at once\n${coldTable(levels)}\n`);
    for (const line of failureLines(levels)) print(line);
    const { met, of } = targetsMet(levels);
    print(`targets met: ${met} of ${of}`);
    return { machine: machineFacts, model: file, threads, rounds, levels, targets: { met, of } };
  },
};

type Plan = {
  model: string;
  program: string;
  shape: Shape;
  threads: number;
  rounds: number;
  jobs: number | undefined;
};

async function measureLevel(plan: Plan, concurrency: number): Promise<Level> {
  await using stack = new AsyncDisposableStack();
  const dataDir = mkdtempSync(join(tmpdir(), "kamado-bench-"));
  stack.defer(() => rmSync(dataDir, { recursive: true, force: true }));
  const { model, threads } = plan;
  const common = { model, threads, slots: concurrency, contextSize: CONTEXT };
  const startOurs = () => startOurEngine({ ...common, backend: "node-llama-cpp", dataDir });
  const theirs = await startLlamaServer(plan.program, common);
  stack.defer(() => theirs.stop());
  const ours = await startOurs();
  stack.defer(() => ours.stop());

  const wave = promptsOf(plan.shape, concurrency, 0).map(call);
  const cold = (server: ServerProcess) => measure(server, wave, concurrency, ANSWER_TOKENS);
  const first = { theirs: await cold(theirs), ours: await cold(ours) };
  const warm = await takeTurns({ ours, theirs }, plan, concurrency);
  await ours.stop();
  const again = await startOurs();
  stack.defer(() => again.stop());
  const restarted = await cold(again);
  return { concurrency, warm, first: { ...first, restarted }, possibleCachedShare: possible(concurrency) };
}

/** Of a first wave's prompt tokens: the common beginning, but for the one request that evaluates it. */
const possible = (concurrency: number) =>
  (((concurrency - 1) / concurrency) * SHARED_TOKENS) / (SHARED_TOKENS + OWN_TOKENS);

type Pair<T> = { ours: T; theirs: T };

async function takeTurns(
  servers: Pair<ServerProcess>,
  { rounds, jobs, shape }: Plan,
  concurrency: number,
): Promise<Pair<Sample>> {
  const samples: Pair<Sample[]> = { ours: [], theirs: [] };
  for (const who of interleave<keyof Pair<unknown>>("ours", "theirs", rounds)) {
    // The same prompts for both, and new ones in every round.
    const count = jobs ?? Math.max(16, 2 * concurrency);
    const round = promptsOf(shape, count, samples[who].length + 1).map(call);
    samples[who].push(await measure(servers[who], round, concurrency, ANSWER_TOKENS));
  }
  return { ours: medianSample(samples.ours), theirs: medianSample(samples.theirs) };
}

const call = (prompt: string) => completion(prompt, ANSWER_TOKENS);

/** How long, in characters, the parts of a prompt must be for this model: asked of it once. */
async function shapeFor(program: string, model: string): Promise<Shape> {
  const server = await startLlamaServer(program, { model, threads: 1, slots: 1, contextSize: CONTEXT });
  try {
    const probe = textOf(CONTEXT / 4, 999);
    const { answers } = await runLoad([completion(probe, 1)], server, 1);
    const seen = { characters: probe.length, tokens: answers[0]!.promptTokens };
    return { shared: lengthFor(SHARED_TOKENS, seen), own: lengthFor(OWN_TOKENS, seen) };
  } finally {
    await server.stop();
  }
}
