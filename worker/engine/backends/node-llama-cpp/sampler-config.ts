// What the library's samplers are told at each step, beyond its options. With a large vocabulary its own way takes as long as the
// model: it sorts the whole vocabulary where nothing is cut off, and asks the grammar about every token when the first one that is
// drawn does not fit. Nothing here changes how likely a token is.
import type { LlamaContextSequence } from "node-llama-cpp";

/** As the library passes it to its native code. A part that is absent is a sampler that is not there. */
export type SamplerConfig = {
  temperature?: number;
  topK?: number;
  minP?: number;
  tokenBiasKeys?: Uint32Array;
  tokenBiasValues?: Float32Array;
};
/** The library does not export it, and another version may lack it: then it samples in its own way. */
type Internals = { _resolveSamplerConfig?(options: unknown): SamplerConfig };

/**
 * Added to every token that the grammar allows: one of them is drawn, each as likely as among them alone. In the rare case that another
 * one is drawn, the library refuses it and draws from those that the grammar allows. Not more, because 32-bit numbers
 * would become too coarse.
 */
const BIAS = 100;
/**
 * By how much the logarithms of two weights differ when the smaller one is left out. All 2^18 tokens of a large vocabulary together would
 * then be drawn less than once in 2^20 tokens, and mostly far less, because few of them are so close.
 */
const NEGLIGIBLE = 38 * Math.LN2;
/** Above it hardly any token is so unlikely, and to look for them takes longer than it saves. */
const MAX_CUT_TEMPERATURE = 0.8;

/** `allowed` is asked before each step. */
export function tuneSampler(
  sequence: LlamaContextSequence,
  allowed: () => readonly number[] | undefined,
): void {
  const internals = sequence as unknown as Internals;
  const resolve = internals._resolveSamplerConfig;
  if (resolve === undefined) return;
  internals._resolveSamplerConfig = (options) => tuned(resolve.call(sequence, options), allowed());
}

export function tuned(config: SamplerConfig, allowed: readonly number[] | undefined): SamplerConfig {
  return withBias(withoutSorting(config), allowed);
}

/** Where no top_k is wanted, the sampler for it would sort everything and keep everything. */
function withoutSorting(config: SamplerConfig): SamplerConfig {
  const { topK, ...rest } = config;
  if (topK !== 0) return config;
  const { temperature = 0, minP = 0 } = config;
  const isCut = temperature > 0 && temperature <= MAX_CUT_TEMPERATURE && minP === 0;
  return isCut ? { ...rest, minP: Math.exp(-NEGLIGIBLE * temperature) } : rest;
}

function withBias(config: SamplerConfig, allowed: readonly number[] | undefined): SamplerConfig {
  if (allowed === undefined) return config;
  const { tokenBiasKeys: keys = [], tokenBiasValues: values = [] } = config;
  return {
    ...config,
    tokenBiasKeys: Uint32Array.from([...keys, ...allowed]),
    tokenBiasValues: Float32Array.from([...values, ...allowed.map(() => BIAS)]),
  };
}
