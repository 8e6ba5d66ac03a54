// Measures our engine and llama-server at one concurrency: a first wave each, warm rounds by turns, and a first wave of ours
// after a restart.
import { KamadoError } from "../worker/errors.ts";
import { type ServerProcess, startOurEngine } from "./engine-process.ts";
import type { Level } from "./engine-report.ts";
import { interleave } from "./interleave.ts";
import { startLlamaServer } from "./llama-server-process.ts";
import { type Call, completion, type More, runLoad } from "./load.ts";
import { lengthFor, promptsOf, type Shape, textOf } from "./prompts.ts";
import { measure, medianSample, type Sample } from "./sample.ts";
import type { Session } from "./session.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const CONTEXT = 1_024;
/** Far from those of the warm rounds. */
const RESTARTED_SEED = 500;

export type Plan = {
  model: string;
  program: string;
  shape: Shape;
  /** What keeps answers from ending. */
  biases: More["logit_bias"];
  answerTokens: number;
  threads: number;
  rounds: number;
  jobs: number | undefined;
};
type Pair<T> = { ours: T; theirs: T };

export async function measureLevel(plan: Plan, concurrency: number, session: Session): Promise<Level> {
  await using stack = new AsyncDisposableStack();
  const dataDir = temporaryFolder(stack);
  const { model, threads, answerTokens: tokens } = plan;
  const common = { model, threads, slots: concurrency, contextSize: CONTEXT };
  const startOurs = () => startOurEngine({ ...common, backend: "node-llama-cpp", dataDir }, session);
  const theirs = await startLlamaServer(plan.program, common, session);
  stack.defer(() => theirs.stop());
  const ours = await startOurs();
  stack.defer(() => ours.stop());

  const how = { concurrency, tokens, signal: session.signal };
  const run: Run = (server, count, seed) => measure(server, callsOf(plan, count, seed), how);
  const first = { theirs: await run(theirs, concurrency, 0), ours: await run(ours, concurrency, 0) };
  const warm = await takeTurns(
    { ours, theirs },
    run,
    plan.rounds,
    plan.jobs ?? Math.max(16, 2 * concurrency),
  );
  await ours.stop();
  const again = await startOurs();
  stack.defer(() => again.stop());
  // Own ends that nobody has seen, so that all that can be shared is the beginning.
  const restarted = await run(again, concurrency, RESTARTED_SEED);
  return { concurrency, warm, first: { ...first, restarted }, possible: possible(plan.shape, concurrency) };
}

type Run = (server: ServerProcess, count: number, seed: number) => Promise<Sample>;

function callsOf({ shape, answerTokens, biases }: Plan, count: number, seed: number): Call[] {
  const more = biases && { logit_bias: biases };
  return promptsOf(shape, count, seed).map((prompt) => completion(prompt, answerTokens, more));
}

/** Of a wave's prompt tokens, the common beginning: one request must evaluate it where nobody has seen it. */
export function possible({ shared, own }: Shape, concurrency: number): Level["possible"] {
  const restarted = shared / (shared + own);
  return { restarted, unseen: ((concurrency - 1) / concurrency) * restarted };
}

async function takeTurns(
  servers: Pair<ServerProcess>,
  run: Run,
  rounds: number,
  jobs: number,
): Promise<Pair<Sample>> {
  const samples: Pair<Sample[]> = { ours: [], theirs: [] };
  // The same prompts for both, and new ones in every round.
  for (const who of interleave(["ours", "theirs"] as const, rounds))
    samples[who].push(await run(servers[who], jobs, samples[who].length + 1));
  return { ours: medianSample(samples.ours), theirs: medianSample(samples.theirs) };
}

/** How long, in characters, the parts of a prompt must be for this model: asked of it once. */
export async function shapeFor(
  tokens: Shape,
  program: string,
  model: string,
  session: Session,
): Promise<Shape> {
  const server = await startLlamaServer(
    program,
    { model, threads: 1, slots: 1, contextSize: CONTEXT },
    session,
  );
  try {
    const probe = textOf(CONTEXT / 4, 999);
    const { answers } = await runLoad([completion(probe, 1)], server, 1, session.signal);
    const { promptTokens, failure } = answers[0]!;
    if (failure !== undefined)
      throw new KamadoError("engine_unavailable", `llama-server does not answer: ${failure}`);
    const seen = { characters: probe.length, tokens: promptTokens };
    return { shared: lengthFor(tokens.shared, seen), own: lengthFor(tokens.own, seen) };
  } finally {
    await server.stop();
  }
}
