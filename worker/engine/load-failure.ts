// Why a model could not be loaded, from the lines that llama.cpp printed meanwhile: whether its files are refused, which they would be
// again, or something was missing that may be there later.
import { KamadoError } from "../errors.ts";

const MEMORY_HINT =
  "Free some memory, or use a smaller model or quantization, a smaller context, or fewer slots.";
const MODEL_HINT =
  "Download the file again. If the model is newer than this version of Kamado, update Kamado or use another model.";
const MMPROJ_HINT = "Use the projector that was published with the model, or leave KAMADO_MMPROJ out.";

const MEMORY =
  /out of memory|(failed|unable|cannot|can't|could not) (to )?(re)?alloc|alloc\w* .*failed|bad_alloc|outof\w*memory|insufficient memory|too large for the available/i;
/** Printed once for each cause; lines after it only say that there was one. */
const MODEL = /error loading model(?: \w+)?: (.+)/;
const REFUSED =
  /unknown|unsupported|not supported|missing|not found|wrong|invalid|corrupt|mismatch|not within|bad |magic|expected/i;
const MMPROJ = /mismatch between text model|unknown projector|^(clip|mtmd)\w*: /;

/** `how` the process or the call ended, and what was printed before. `whole` says both where no cause is found. */
export function loadFailure(
  how: string,
  printed: readonly string[],
  whole = [how, ...printed].filter(Boolean).join(": "),
): KamadoError {
  const memory = [...printed, how].find((line) => MEMORY.test(line));
  if (memory !== undefined) return unavailable(memory, MEMORY_HINT);
  const refused = printed.map((line) => MODEL.exec(line)?.[1]).find((why) => REFUSED.test(why ?? ""));
  if (refused !== undefined) return refusal("KAMADO_MODEL", refused, MODEL_HINT);
  const projector = printed.find((line) => MMPROJ.test(line) && REFUSED.test(line));
  if (projector !== undefined) return projectorRefused(projector);
  // Linux ends the process that has the most memory when there is none left.
  if (how === "SIGKILL") return unavailable("SIGKILL, perhaps because the memory was full", MEMORY_HINT);
  return unavailable(whole);
}

export const projectorRefused = (why: string) => refusal("KAMADO_MMPROJ", why, MMPROJ_HINT);

const unavailable = (why: string, hint = "With --log-level debug the engine says more.") =>
  new KamadoError("engine_unavailable", why, { hint });

const refusal = (variable: string, why: string, hint: string) =>
  new KamadoError("config_invalid", `${variable}: llama.cpp cannot load this file: ${why}.`, { hint });
