// Chat requests as real clients send them, with the answers they expect, taken from public trouble reports of such servers. They go
// to the demo model on every backend that runs here.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Engine, startEngine } from "../../worker/engine/supervisor/supervisor.ts";
import { LLAMA_SERVER, NO_LLAMA_SERVER } from "../engine/backends/llama-server/installed.ts";
import { post } from "../engine/running.ts";

const DEMO = resolve(import.meta.dirname, "../../models/demo");
const bodyOf = (name: string) => readFileSync(join(import.meta.dirname, `in/${name}.json`), "utf8");

type Token = { token: string; bytes: number[] | null };

describe.each(["node-llama-cpp", "llama-node", "llama-server"] as const)(
  "on %s",
  { timeout: 120_000 },
  (backend) => {
    const isMissing = backend === "llama-server" && LLAMA_SERVER === undefined;
    let engine: Engine | undefined;
    beforeAll(async () => {
      if (isMissing) return;
      const picturesToo =
        backend === "node-llama-cpp" ? {} : { mmproj: join(DEMO, "kamado-demo-mmproj.gguf") };
      const options = {
        model: join(DEMO, "kamado-demo.gguf"),
        backend,
        port: 0,
        slots: 2,
        threads: 1,
        ...picturesToo,
      };
      engine = startEngine({
        ...options,
        ...(LLAMA_SERVER && { llamaServer: LLAMA_SERVER }),
        onLog: () => {},
      });
      await engine.ready();
    }, 120_000);
    afterAll(() => engine?.stop());

    const it = test.skipIf(isMissing);
    const skipped = isMissing ? ` [${NO_LLAMA_SERVER}]` : "";
    const ask = (body: string) => post(engine!.url, body);
    /** llama.node gives log probabilities of the first token only. It refuses more by the field's name. */
    const refusesLogprobs = (status: number, body: { error?: { param: string } }) =>
      backend === "llama-node" && status === 400 && body.error?.param === "logprobs";
    const content = async (name: string) => {
      const { status, body } = await ask(bodyOf(name));
      expect(status, JSON.stringify(body)).toBe(200);
      return body.choices[0].message.content as string;
    };

    it(`an answer in Japanese with log probabilities is whole, and so are its bytes${skipped}`, async () => {
      const { status, body } = await ask(bodyOf("01-logprobs"));
      if (refusesLogprobs(status, body)) return;
      const { content } = body.choices[0].message;
      expect(content.trim()).toMatch(/^牛乳/);
      const tokens = body.choices[0].logprobs.content as Token[];
      const bytes = Buffer.from(tokens.flatMap(({ token, bytes }) => bytes ?? [...Buffer.from(token)]));
      expect(bytes.toString()).toBe(content);
    });

    it(`a schema with keys and values in Japanese is followed, with log probabilities${skipped}`, async () => {
      const { status, body } = await ask(bodyOf("01c-schema-logprobs"));
      // llama.node cannot give log probabilities under a schema, and says so.
      if (backend === "llama-node" && status === 400) return expect(body.error.message).toMatch(/logprobs/);
      expect(JSON.parse(body.choices[0].message.content)).toEqual({ 都市: "東京" });
    });

    it(`a schema under json_object is followed${skipped}`, async () => {
      expect(JSON.parse(await content("20-json-object-schema"))).toEqual({ k: "v" });
    });

    it(`a $ref is a URI fragment: its percent-encoding is read${skipped}`, async () => {
      expect(["x", "y"]).toContain(JSON.parse(await content("21-ref")).a);
    });

    it(`a tuple of draft-07 is followed${skipped}`, async () => {
      expect(JSON.parse(await content("22-tuple"))).toEqual(["x", "y"]);
    });

    it(`an integer keeps its range${skipped}`, async () => {
      expect([3, 4, 5]).toContain(JSON.parse(await content("23-range")).n);
    });

    it(`an assistant's null content in the history is no content${skipped}`, async () => {
      expect((await content("24-null-content")).trim()).not.toBe("");
    });
  },
);
