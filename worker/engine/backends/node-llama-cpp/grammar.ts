// Grammars: compiled once for each schema, and followed token by token where a request wants probabilities.
import {
  type Llama,
  type LlamaGrammar,
  LlamaGrammarEvaluationState,
  type LlamaModel,
  type Token,
} from "node-llama-cpp";
import type { JsonSchema } from "../../generation/backend.ts";
import { invalid } from "../../generation/backend.ts";
import { jsonGrammar } from "../../generation/json-schema-to-gbnf.ts";
import type { Candidate } from "../../generation/sampler.ts";

const MAX_KEPT = 64;
// So many of the likeliest tokens are tried first. One that is less likely than all of them is hardly ever drawn.
const MAX_TRIED = 512;

export class Grammars {
  readonly #llama: Llama;
  readonly #kept = new Map<string, Promise<LlamaGrammar>>();

  constructor(llama: Llama) {
    this.#llama = llama;
  }

  /** Throws `invalid_input` for a schema that is invalid or cannot be followed. */
  async for(schema: JsonSchema): Promise<LlamaGrammar> {
    const grammar = jsonGrammar(schema);
    let made = this.#kept.get(grammar);
    if (!made) {
      made = this.#llama.createGrammar({ grammar });
      if (this.#kept.size >= MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value!);
      this.#kept.set(grammar, made);
    }
    return made.catch((cause) => {
      this.#kept.delete(grammar);
      throw invalid("response_format.json_schema.schema", "The schema cannot be followed.", cause);
    });
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
    const fits = ({ token }: Candidate) =>
      this.#sampler.canBeNextTokenForGrammarEvaluationState(this.#internals._state, token);
    const likely = candidates.slice(0, MAX_TRIED).filter(fits);
    if (likely.length > 0) return likely;
    const any = candidates.find(fits);
    if (any === undefined) throw new Error("The grammar allows no token.");
    return [any];
  }

  accept(token: Token): void {
    this.#sampler.acceptGrammarEvaluationStateToken(this.#internals._state, token);
  }

  get #sampler() {
    return this.#internals._llama._bindings.AddonSampler;
  }
}
