// Grammars: compiled once for each schema, and followed token by token where a request wants probabilities. Where it wants none, the
// library follows the grammar in native code, which cannot be interrupted. There only the limit of grammar-bound.ts protects the
// other requests; here there is a time limit as well.
import {
  type Llama,
  type LlamaGrammar,
  LlamaGrammarEvaluationState,
  type LlamaModel,
  type Token,
} from "node-llama-cpp";
import { AllowedTokens } from "../../generation/allowed-tokens.ts";
import { invalid } from "../../generation/backend.ts";
import { rulesOf } from "../../generation/json-schema-to-gbnf.ts";
import type { Candidate } from "../../generation/sampler.ts";
import type { TokenTexts } from "../../generation/token-texts.ts";

const PARAM = "response_format.json_schema.schema";
const MAX_KEPT = 64;
// So many of the likeliest tokens are tried first. One that is less likely than all of them is hardly ever drawn.
const MAX_TRIED = 512;
/** For one token. Only the request that needs longer fails. */
const MAX_MS = 1_000;

/** `allowed` is absent where the vocabulary cannot be read. */
export type Made = { grammar: LlamaGrammar; allowed?: AllowedTokens | undefined };

export class Grammars {
  readonly #llama: Llama;
  readonly #texts: () => TokenTexts | undefined;
  readonly #kept = new Map<string, Promise<Made>>();

  constructor(llama: Llama, texts: () => TokenTexts | undefined = () => undefined) {
    this.#llama = llama;
    this.#texts = texts;
  }

  /** Throws `invalid_input` for a grammar that cannot be followed. */
  async for(grammar: string): Promise<Made> {
    let made = this.#kept.get(grammar);
    if (!made) {
      made = this.#make(grammar);
      if (this.#kept.size >= MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value!);
      this.#kept.set(grammar, made);
    }
    return made.catch((cause) => {
      this.#kept.delete(grammar);
      throw invalid(PARAM, "The schema cannot be followed.", cause);
    });
  }

  async #make(grammar: string): Promise<Made> {
    const [rules, texts] = [rulesOf(grammar), this.#texts()];
    const allowed = rules && texts && new AllowedTokens(rules, texts);
    return { grammar: await this.#llama.createGrammar({ grammar }), allowed };
  }
}

/** The library does not export these, and another version may lack them. */
type Internals = {
  _llama: {
    _bindings: {
      AddonSampler: {
        canBeNextTokenForGrammarEvaluationState(state: unknown, token: number): boolean;
        acceptGrammarEvaluationStateToken(state: unknown, token: number): void;
      };
    };
  };
  _state: unknown;
};

/** A grammar that is applied after the model's probabilities were read, so that they are reported unchanged. */
export class GrammarState {
  readonly #internals: Internals;

  constructor(model: LlamaModel, grammar: LlamaGrammar) {
    const state: unknown = new LlamaGrammarEvaluationState({ model, grammar });
    this.#internals = state as Internals;
    const sampler = this.#internals._llama?._bindings?.AddonSampler;
    if (!sampler?.canBeNextTokenForGrammarEvaluationState || !sampler.acceptGrammarEvaluationStateToken)
      throw invalid("logprobs", "logprobs: not together with a response_format in this build.");
  }

  allowed(candidates: readonly Candidate[]): Candidate[] {
    return fitting(candidates, ({ token }) =>
      this.#sampler.canBeNextTokenForGrammarEvaluationState(this.#internals._state, token),
    );
  }

  accept(token: Token): void {
    this.#sampler.acceptGrammarEvaluationStateToken(this.#internals._state, token);
  }

  get #sampler() {
    return this.#internals._llama._bindings.AddonSampler;
  }
}

/** The likeliest candidates that fit. Throws when it takes too long to find one. */
export function fitting(
  candidates: readonly Candidate[],
  fits: (candidate: Candidate) => boolean,
  now = () => performance.now(),
): Candidate[] {
  const end = now() + MAX_MS;
  const fitsInTime = (candidate: Candidate) => {
    if (now() > end) throw invalid(PARAM, "The schema takes too long to follow. Make it simpler.");
    return fits(candidate);
  };
  const likely = candidates.slice(0, MAX_TRIED).filter(fitsInTime);
  if (likely.length > 0) return likely;
  const any = candidates.find(fitsInTime);
  if (any === undefined) throw new Error("The grammar allows no token.");
  return [any];
}
