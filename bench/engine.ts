// `bench engine`: our engine beside llama-server on the same file, the same prompts and threads, taking turns.
import { type Bench, fileOf, oneOf, whole, wholes } from "./arguments.ts";
import { neverEnding } from "./endings.ts";
import { measureLevel, type Plan, shapeFor } from "./engine-level.ts";
import { coldTable, failureLines, type Level, targetsMet, warmTable } from "./engine-report.ts";
import { findProgram } from "./llama-server-process.ts";
import { factsLine, machine, modelFile, modelWords } from "./machine.ts";
import { FORMATS, smallModel } from "./random-model.ts";

const SHARED_TOKENS = 500;
const OWN_TOKENS = 100;
const ANSWER_TOKENS = 48;

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
  async run(values, session) {
    const { print } = session;
    const levelsWanted = wholes(values, "concurrency");
    const program = findProgram();
    const own = fileOf(values, "model");
    const model = own ?? (await smallModel(oneOf(values, "format", FORMATS)));
    const tokens = { shared: SHARED_TOKENS, own: OWN_TOKENS };
    const plan: Plan = {
      model,
      program,
      // In the random models a character is a token, and none of them can end an answer.
      shape: own ? await shapeFor(tokens, program, own, session) : tokens,
      biases: own ? await neverEnding(own) : undefined,
      answerTokens: ANSWER_TOKENS,
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
    for (const concurrency of levelsWanted) {
      levels.push(await measureLevel(plan, concurrency, session));
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
