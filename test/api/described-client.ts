// A client of the jobs API that is made from /openapi.json alone: it calls operations by their ids, and checks every answer against the
// description. Not a test.
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";

// biome-ignore lint/suspicious/noExplicitAny: it is whatever the description says
type Json = any;
export type Answered = { status: number; body: Json; headers: Headers };
type Call = {
  params?: Record<string, string>;
  query?: Record<string, unknown>;
  body?: unknown;
  headers?: Record<string, string>;
};

export class DescribedClient {
  readonly #url: string;
  readonly description: Json;
  readonly #operations = new Map<string, { path: string; method: string; operation: Json }>();
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #validators = new Map<string, ValidateFunction>();
  /** Which answers were seen, as `operation status`. */
  readonly seen = new Set<string>();

  constructor(url: string, description: Json) {
    this.#url = url;
    this.description = description;
    this.#ajv.addSchema({ $id: "api", ...description });
    for (const [path, methods] of Object.entries<Json>(description.paths))
      for (const [method, operation] of Object.entries<Json>(methods))
        this.#operations.set(operation.operationId, { path, method, operation });
  }

  static async of(url: string): Promise<DescribedClient> {
    const response = await fetch(`${url}/openapi.json`);
    return new DescribedClient(url, await response.json());
  }

  get operations(): string[] {
    return [...this.#operations.keys()];
  }

  operation(id: string): { path: string; method: string; operation: Json } {
    return this.#operations.get(id)!;
  }

  /** Throws when the answer is not what the description says. */
  async call(id: string, { params = {}, query = {}, body, headers = {} }: Call = {}): Promise<Answered> {
    const { path, method } = this.operation(id);
    const url = new URL(
      path.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(params[name] ?? "")),
      this.#url,
    );
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const isJson =
      body !== undefined &&
      !(body instanceof Uint8Array || typeof body === "string" || body instanceof FormData);
    const response = await fetch(url, {
      method: method.toUpperCase(),
      headers: { ...(isJson && { "content-type": "application/json" }), ...headers },
      ...(body !== undefined && { body: (isJson ? JSON.stringify(body) : body) as BodyInit }),
    });
    return this.check(id, response);
  }

  async check(id: string, response: Response): Promise<Answered> {
    const { operation } = this.operation(id);
    const { status, headers } = response;
    const described = operation.responses[status];
    const text = await response.text();
    if (!described) throw new Error(`${id}: ${status} is not described: ${text.slice(0, 300)}`);
    this.seen.add(`${id} ${status}`);
    const type = headers.get("content-type")?.split(";")[0] ?? "";
    const content = described.content[type] ?? described.content["*/*"];
    if (!content) throw new Error(`${id}: ${status} has the type ${type}`);
    if (type !== "application/json") return { status, headers, body: text };
    const body = JSON.parse(text);
    const validate = this.#validatorOf(content.schema);
    if (!validate(body))
      throw new Error(`${id}: ${status}: ${this.#ajv.errorsText(validate.errors)}: ${text.slice(0, 500)}`);
    return { status, headers, body };
  }

  #validatorOf(schema: Json): ValidateFunction {
    const whole = schema.$ref ? { $ref: `api${schema.$ref}` } : schema;
    const key = JSON.stringify(whole);
    const known = this.#validators.get(key) ?? this.#ajv.compile(whole);
    this.#validators.set(key, known);
    return known;
  }
}
