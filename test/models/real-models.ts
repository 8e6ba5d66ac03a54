// The real models that some tests and benches use: small ones, which `npm run models:test` installs. Their tests take long: they run where
// KAMADO_TEST_MODELS=1 is set, as .ci/run does. Otherwise, and where a model is not installed, they are skipped and say so.
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export const REAL_MODELS = join(homedir(), ".kamado", "models");

const isWanted = process.env.KAMADO_TEST_MODELS === "1";
const installed = (file: string) => {
  const path = join(REAL_MODELS, file);
  return isWanted && existsSync(path) ? path : undefined;
};

/** SmolLM2-135M-Instruct, Q4_1: it follows short instructions and has a chat template with system messages. */
export const SMOLLM2 = installed("SmolLM2-135M-Instruct.Q4_1.gguf");
/** Gemma 3 270M, Q4_K_M: not instruction-tuned, without a chat template, and with a vocabulary of 262,144 tokens. */
export const GEMMA3 = installed("gemma-3-270m-q4_k_m.gguf");
/** For the title of a skipped test. */
export const NO_REAL_MODEL = isWanted
  ? "not installed; npm run models:test installs it"
  : "not run, because it takes long; set KAMADO_TEST_MODELS=1, as .ci/run does";
